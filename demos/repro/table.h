/* The table of experiments, as experiments.json has it: tasks, and the arms of each, which differ in what they attend
 * to and how they are held back from learning by heart. A run is a task, an arm and a seed. */
#ifndef REPRO_TABLE_H
#define REPRO_TABLE_H

#include <jansson.h>
#include <stdbool.h>

enum { SEEDS_MOST = 100 };

enum arm_kind {
    ARM_DENSE,   /* of the grid of which the one that validates best is what others are compared with */
    ARM_CONTROL, /* another regulariser, or another pattern of as many keys */
    ARM_SSA
};

struct arm {
    const char *name, *about;   /* about: for people, short */
    const char *options;        /* words of the program's command line, behind the task's */
    const char *stages;         /* as --stages takes them; seconds=N: as many steps as take so long (times.h) */
    const char *of;             /* NULL, or an arm of the task: two models of it answer together, of its seeds 1 and 2,
                                   3 and 4, ...: no model is in two of them; then there are no stages */
    enum arm_kind kind;
    bool sampled;               /* has a stage that samples: measured by an ensemble, too */
    int seeds, passes;          /* seeds 0: it is only timed */
    int turn;                   /* all tasks' arms of turn 1 come before those of turn 2 */
};

struct task {
    const char *name, *title;
    const char *about;          /* a sentence or two: data, model, length of a run */
    const char *like;           /* the paper's task */
    const char *program;        /* "ssacl-image" */
    const char *data;           /* its name in the folder of data */
    const char *options;        /* of train, what a resumed run has in its checkpoint */
    const char *looks;          /* of train, what it has not: how often it looks and logs */
    const char *eval;           /* of eval, behind --data and --checkpoint */
    struct arm *arms;
    int arm_count;
};

struct table {
    struct task *tasks;
    int count;
    const char *attention; /* NULL, or what ssacl-bench attention is told when times are measured */
    json_t *json; /* has the texts */
};

/* Says what is wrong, and where, and returns non-zero. */
int table_read(struct table *table, const char *path);
void table_free(struct table *table);

/* ---- runs ---- */

struct run_key {
    const struct task *task;
    const struct arm *arm;
    int seed; /* from 1 */
};
/* "fashion/seed-1/ssa-4" */
void run_name(const struct run_key *key, char name[256]);

/* The runs whose models one of such an arm joins. False: it is of no such arm. */
bool run_pair(const struct run_key *key, struct run_key pair[2]);

/* Calls for every run, turn by turn, in a turn task by task, in a task seed by seed; ends where that returns non-zero,
 * and returns it. */
int table_each(const struct table *table, int (*call)(void *cookie, const struct run_key *key), void *cookie);

/* Whether a run is one of those that --only (NULL: all) and --seeds (0: all) leave. --only is words with commas
 * between: TASK, TASK/ARM, or either with * for any letters. */
bool run_wanted(const struct run_key *key, const char *only, int seeds);
/* The same of a name that is no task. */
bool name_wanted(const char *name, const char *only);

#endif
