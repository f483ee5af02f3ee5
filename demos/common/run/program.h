/* A program that trains models: what it provides (struct program), and what it has from here for that: main(), and the
 * commands train, plan, eval and report. */
#ifndef RUN_PROGRAM_H
#define RUN_PROGRAM_H

#include "args.h"
#include "model.h"
#include "say.h"
#include "unit.h"

#include <jansson.h>
#include <ssacl/ssacl.h>

#include <stdbool.h>

struct exchange;
struct preset;
struct program;
struct settings;
struct train_options;

struct command {
    const char *name;
    int (*run)(const struct program *program, int argc, char **argv); /* argv[0] is the command's name */
    const char *what;
};

/* Of --help of a command, and its options of the program's own. */
struct page {
    const char *about, *examples;
    const char *data;          /* of --data FILE, in a list of its own or with others that say how it is read: */
    const struct arg *options; /* NULL, or these; reset by defaults() */
};

/* arg.settles of a heading: a checkpoint answers what stands under it, to whatever starts from one, or to a run that
 * goes on. */
enum settles { SETTLES_NOTHING, SETTLES_MODEL, SETTLES_RUN };

/* A line of `report`'s table besides those that every program has: "event.path" of a log. */
struct figure {
    const char *key, *name, *format;
    double scale;
    const char *in_log;
};

/* An option of common/run that a program calls otherwise. A list of them ends with an option of NULL. */
struct renamed {
    const char *option, *name; /* name NULL: it has no such option */
    const char *help;          /* NULL: the same */
};

/* What there is to know of answers besides their loss, one evaluation after another. */
struct judge {
    /* Before one of `passes` passes, dense or sampled. Says what is wrong and returns non-zero. */
    int (*begin)(const struct settings *s, bool sampled, int passes);
    void (*answer)(void *cookie, const struct ssa_answer *answer); /* struct ssa_evaluate's; has no cookie */
    /* After it. A row of a table, as wide as `heads`: of the first `passes` together, or 0 of the single ones. */
    const char *heads;
    const char *(*row)(int passes, char text[64]);
    const char *(*brief)(char text[64]); /* of all passes, in a sentence */
    /* Of one pass, or of so many with what single ones give beside it. */
    void (*record)(json_t *object, const char *before, int passes);
    void (*print)(void); /* NULL, or what else people are told */
    int (*end)(void);    /* NULL, or after the last evaluation of `eval`; says what is wrong and returns non-zero */
};

struct program {
    const char *name;                /* "ssacl-text" */
    const char *about;               /* of its --help, as it is printed */
    const struct command *commands;  /* the last has a name of NULL */
    struct page train, plan, eval, report; /* plan has the options of train */
    unsigned families;               /* that it trains: 1 << SSA_GPT | ... */
    const struct model_option *model_options;
    const struct renamed *renamed;   /* NULL, or options that have another name here */
    const char *sequence;            /* NULL, or what a sequence is, "image": by which speeds and amounts are told then,
                                        not by tokens */
    float lr;                        /* peak learning rate, where none is said; 0: 2e-3 */
    const struct unit *const *units; /* that its losses may be in; the last is NULL */
    const struct figure *figures;    /* NULL, or more; the last has a key of NULL */
    /* What it trains on, "text": in sentences, and in a checkpoint's note the key of the data's fingerprint. A log has
     * it behind "same_". */
    const char *what;

    void (*defaults)(struct train_options *o); /* of its model and own options, before any are read */
    void (*adapt)(struct train_options *o, const struct preset *preset); /* after that was taken; or NULL */

    /* NULL, or opens as a checkpoint what another program wrote. `checkpoint` stays NULL, with 0, where it is no such
     * file. Says what is wrong and returns non-zero. */
    int (*adopt)(struct ssa_checkpoint **checkpoint, const struct program *program, const char *path);
    const struct exchange *exchange; /* NULL: it has no commands import and export */

    /* ---- data (struct settings has what they go by) ---- */
    /* Opens what --data names, if it names any, as the checkpoint's if there is one; fills s->data, of which the unit is
     * set in any case; completes and checks s->model. Says what is wrong and returns non-zero. */
    int (*open)(struct settings *s);
    void (*close)(struct settings *s); /* also after an open() that failed, or was never called */
    /* More for the head of a log, and for what a checkpoint notes so that open() knows how its data were read. */
    void (*describe)(const struct settings *s, json_t *start);
    void (*note)(const struct settings *s, json_t *note);
    /* Inputs and targets of a pass, of the beginning of the data; `memory` is to be freed. The library's status. */
    int (*fill)(const struct settings *s, struct ssa_pass *pass, void **memory);
    /* Data that fit the model, to measure how long a step takes: items, which are to be freed, or a source, which lives
     * as long as the settings; neither: no memory. */
    struct ssa_data (*invent)(const struct settings *s);
    /* NULL, or adds to a record of a training of `seconds` so far what the data had to do with it; `ends`: it is the
     * last, and people are told, too. */
    void (*account)(const struct settings *s, json_t *record, double seconds, bool ends);
    /* What `plan` says of a model besides its layers, width, heads and hidden: "length 256, vocabulary 256". */
    void (*describe_model)(const struct ssa_model_config *model, char *text, size_t size);
};

/* Gives the table the names that the program has for its options. */
void rename_options(const struct program *program, struct arg *table);

int program_main(const struct program *program, int argc, char **argv);

/* Commands. */
int train_main(const struct program *program, int argc, char **argv);
int plan_main(const struct program *program, int argc, char **argv);
int eval_main(const struct program *program, int argc, char **argv);
int report_main(const struct program *program, int argc, char **argv);
int import_main(const struct program *program, int argc, char **argv);
int export_main(const struct program *program, int argc, char **argv);

/* "ssacl-text train"; lives until the next call. */
const char *program_command(const struct program *program, const char *command);

/* Says the library's last error. */
int library_failed(void);

/* Devices, and the model of a checkpoint on them. */
struct loaded {
    struct ssa_pool *pool;
    struct ssa_checkpoint *checkpoint;
    struct ssa_model *model;
    bool averaged; /* its weights are an average of those of many steps */
};
/* `precision`: enum ssa_precision, of the devices; `average`: of the weights, where the checkpoint has one. */
int load_model(struct loaded *loaded, const struct program *program, const char *devices, int precision,
               const char *checkpoint, int batch, bool average);
#define RAW_WEIGHTS_HELP \
    "take the weights of the last step, where the checkpoint has an average of them too (`train --ema`)"
void unload_model(struct loaded *loaded);
/* A checkpoint whose model the program knows, or what it adopts as one. Says why not, and returns non-zero. */
int open_checkpoint(struct ssa_checkpoint **checkpoint, const struct program *program, const char *path);

/* args_parse() of options of which --checkpoint, at `checkpoint`, must be given. */
int parse_options(const struct arg *table, const struct args_page *page, int argc, char **argv,
                  const char **checkpoint);

/* The last sampled pattern that a checkpoint was trained with, or NULL. */
const struct ssa_pattern *sampled_pattern(const struct ssa_checkpoint *checkpoint);

json_t *device_json(const struct ssa_device *device);

#endif
