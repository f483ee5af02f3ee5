/* The commands of ssacl-text, and what they share. */
#ifndef TEXT_COMMAND_H
#define TEXT_COMMAND_H

#include "args.h"
#include "model.h"
#include "say.h"
#include "signals.h"
#include "text.h"

#include <jansson.h>
#include <ssacl/ssacl.h>

#include <stdbool.h>

int train_main(int argc, char **argv);
int plan_main(int argc, char **argv);
int eval_main(int argc, char **argv);
int sample_main(int argc, char **argv);
int report_main(int argc, char **argv);

/* Says the library's last error. */
int library_failed(void);

/* Devices, and the model of a checkpoint on them. */
struct loaded {
    struct ssa_pool *pool;
    struct ssa_checkpoint *checkpoint;
    struct ssa_model *model;
    bool averaged; /* its weights are an average of those of many steps */
};
/* `average`: of the weights, where the checkpoint has one. */
int load_model(struct loaded *loaded, const char *devices, const char *checkpoint, int batch, bool average);
#define RAW_WEIGHTS_HELP \
    "take the weights of the last step, where the checkpoint has an average of them too (`train --ema`)"
void unload_model(struct loaded *loaded);

/* What `train` kept in the checkpoint's note. */
struct train_note {
    int micro_batch;  /* 0: the checkpoint is of another program */
    bool known, same; /* of which text it is, and whether that is this one */
};
struct train_note read_train_note(const struct ssa_checkpoint *checkpoint, const struct text *text);
/* Bytes of a token that the checkpoint was trained on: 1, 2, 4. Where the note does not say, 1 if it can be, else 0. */
int trained_token_size(const struct ssa_checkpoint *checkpoint);
/* --tokens, or where it was not given, -1, those of the checkpoint, which may be NULL. 0: not known, which is said. */
int settle_tokens(int said, const struct ssa_checkpoint *checkpoint, const char *name);
#define TOKENS_HELP \
    "bits of a token: 8 are the bytes of text, 16 and 32 unsigned integers of token files, as nanoGPT's train.bin"
/* true, false, or null where it is not known. */
json_t *same_text_json(const struct train_note *note);

/* args_parse() of options of which --checkpoint, at `checkpoint`, must be given. */
int parse_options(const struct arg *table, const struct args_page *page, int argc, char **argv,
                  const char **checkpoint);

/* How losses are told: bits a byte, or where tokens are no bytes, nats a token and their perplexity. */
struct unit {
    const char *key;        /* in JSON: "bits", "loss" */
    const char *name;       /* "bits per byte" */
    const char *item;       /* "byte" */
    double nats;            /* that one of them is */
    bool perplexity;
};
const struct unit *unit_of(int token_size);
double unit_loss(const struct unit *unit, double nats);
/* "3.210 nats/token (perplexity 24.8)" */
const char *unit_text(const struct unit *unit, double nats, char text[64]);
/* Adds PREFIX and the unit's key, and where it has one the perplexity. */
void unit_record(const struct unit *unit, json_t *object, const char *prefix, double nats);
json_t *device_json(const struct ssa_device *device);

/* The last sampled pattern that a checkpoint was trained with, or NULL. */
const struct ssa_pattern *sampled_pattern(const struct ssa_checkpoint *checkpoint);

#endif
