/* The model that whole training steps are measured on: a GPT over bytes, and what a step of it costs. */
#ifndef DEMO_GPT_H
#define DEMO_GPT_H

#include <ssacl/train.h>

struct gpt {
    int layers, width, heads, length, batch;
};
struct ssa_model_config gpt_config(const struct gpt *g);
/* As programs usually count: 6 a matrix parameter and token, 12 N k C a layer in attention, half of it as causal.
 * `ratio` of the keys. */
double gpt_operations(const struct gpt *g, double ratio);
/* Random bytes to train on, free() `items`; NULL if there is no memory. */
struct ssa_data gpt_text(const struct gpt *g);

enum { GPT_DENSE, GPT_UNBIASED, GPT_UNBIASED_8TH, GPT_LOOK_BACK, GPT_KINDS };
struct gpt_kind {
    const char *name;
    struct ssa_pattern pattern;
};
extern const struct gpt_kind gpt_kinds[GPT_KINDS];
double gpt_ratio(int kind);

#endif
