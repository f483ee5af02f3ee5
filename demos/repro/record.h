/* What came out of a run: its file in the folder of results. Its first line is of this program: which run, of which
 * settings, made of which commit on which machine; the others are the log of the program that trained and measured.
 *
 *   {"event": "run", "run": "fashion/seed-1/ssa-4", "settings": "...", "commit": ..., "machine": ..., "date": ...}
 */
#ifndef REPRO_RECORD_H
#define REPRO_RECORD_H

#include "table.h"

#include "run/run.h"

/* The weights that were measured. */
enum place {
    AT_BEST,  /* of the look, dense, with the least loss in validation */
    AT_STAGE, /* at the end of the first stage, which samples */
    AT_END,
    PLACES
};
extern const char *const place_endings[PLACES]; /* of the checkpoints' names: ".best", ".st.stage1", ".st" */
bool is_of_place(const json_t *test, enum place place);

enum { MEMBERS = 6 };
extern const int members[MEMBERS]; /* 1, 2, 5, 10, 25, 50 */

/* On the test part; NAN: not measured. `right` are shares. */
struct measured {
    double dense, single, ensemble[MEMBERS];
    double dense_right, single_right, ensemble_right[MEMBERS]; /* single_right: of two models, the mean of theirs */
};

enum record_state {
    RECORD_NONE,  /* also of a file that is cut short, or of something else: the run is open */
    RECORD_DONE,
    RECORD_FAILED,
    RECORD_OTHER  /* done, or failed, of other settings than the table has now */
};

struct record {
    enum record_state state;
    char *settings, *commit, *machine, *why; /* why: of one that failed */
    struct run run;       /* the log: curves, settings */
    double valid;         /* the least loss of the looks, dense, */
    double best_step;     /* and after how many steps */
    double steps;
    struct measured at[PLACES];
};

/* Reads results/RUN.jsonl. What is wrong with a file that is no whole result of the run is said. */
void record_read(struct record *record, const char *results, const struct run_key *key);
void record_free(struct record *record);

/* results/RUN.jsonl */
void record_path(const char *results, const struct run_key *key, char path[512]);

/* Writes it: `first` (whose reference it takes), then the lines of `log` without what is of this machine alone: names
 * of checkpoints lose their folders. It gets its name when it is whole. Says what fails and returns non-zero. */
int record_write(const char *path, json_t *first, const char *log); /* log NULL: none */

/* The settings of a run in one line: two of the same line are the same run. seconds=N of its stages are the steps that
 * times of these results make of them, where there are any. */
enum { SETTINGS_ROOM = 8192 };
void record_settings(const char *results, const struct run_key *key, char settings[SETTINGS_ROOM]);

#endif
