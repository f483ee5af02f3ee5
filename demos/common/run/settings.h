/* What a run is of, its data, its model, its training: from the command line, and what a checkpoint knows, from it. */
#ifndef RUN_SETTINGS_H
#define RUN_SETTINGS_H

#include "options.h"

enum data_part { PART_TRAIN, PART_VALID, PART_TEST, DATA_PARTS };

/* What the program makes of --data. */
struct run_data {
    struct ssa_data part[DATA_PARTS]; /* empty where no --data was given */
    const struct unit *unit;          /* of losses */
    const struct judge *judge;        /* NULL, or of answers */
    int lead;                         /* items that each part begins with and that are not counted: for the first to
                                         have one before it */
    double bytes[DATA_PARTS];         /* that one of them stands for in the part's text; 0: that is not told */
    uint64_t fingerprint;             /* a number that other data would hardly have */
};

struct settings {
    const struct program *program;
    const struct train_options *o;
    const char *source_name;             /* of --resume or --from, or NULL, */
    struct ssa_checkpoint *source;       /* and that */
    struct run_data data;
    struct ssa_model_config model;
    struct ssa_train_config training;
    struct ssa_stage stages[STAGES_MAX]; /* of a new run, or one that is made longer; */
    struct ssa_pattern *layers;          /* what was said of their layers */
    int micro_batch;
    int precision;                       /* enum ssa_precision */
    enum data_part measured;             /* that evaluations are of */
};

/* Says what is wrong and returns non-zero. */
int settings_make(struct settings *s, const struct program *program, const struct train_options *o);
void settings_finish(struct settings *s);

/* Items of a part, or examples of its source. */
size_t settings_count(const struct settings *s, int part);
/* "1234 tokens/s", or in sequences, where the program counts those. */
const char *settings_rate(const struct settings *s, double tokens_per_second, char text[64]);
/* What is to be known of stages before they are settled. */
struct stage_terms settings_terms(const struct settings *s);
/* What --pattern says (stages_pattern()), if the model can sample so; pattern->layers is the caller's to free(). Says
 * what is wrong and returns non-zero. */
int settings_pattern(const struct settings *s, const char *text, bool or_dense, struct ssa_pattern *pattern);

/* Positions of a step's sequences, and passes of a step. */
double settings_tokens(const struct settings *s);
int settings_passes(const struct settings *s);

/* What a run has of every parameter: its value, the optimiser's moments, and an average where one is kept. */
int settings_kinds(const struct ssa_train_config *training);

/* Whether it fits one of the devices: those that it does not fit are left out of a run. Of none, the largest's reason;
 * with SSA_ENOMEM `memory` is what it would take. */
int settings_fit(const struct settings *s, const struct ssa_pool *pool, struct ssa_memory *memory, char why[512]);

/* {"batch", "micro_batch", "tokens_per_step", "optimiser", "ema", "seed", "parameters", "model", "stages"} */
json_t *settings_json(const struct settings *s);

#endif
