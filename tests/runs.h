/* A small training run with every kind of sampling, on a bare device or on a pool, and what it leaves. */
#ifndef SSA_TEST_RUNS_H
#define SSA_TEST_RUNS_H

#include "pools.h"
#include "saved.h"
#include "ssacl/evaluate.h"

enum { RUN_STEPS = 12, RUN_MICROS = 7 };

extern const struct ssa_model_config run_config;
extern const struct ssa_model_limits run_limits; /* micro-batches of 1 */

/* The model must be there. */
void run_trainer(struct run *r, int batch);
struct ssa_data run_data(void); /* what it learns from; or from something else: */
void run_trainer_on(struct run *r, int batch, const struct ssa_data *data, struct ssa_ranks *ranks);
struct run run_start(struct ssa_pool *pool);

struct result {
    float losses[RUN_STEPS], norm;
    float values[16384]; /* the parameters, and then their average */
    size_t count;
};
void run_read(struct run r, struct result *result);
void run_bare(const char *name, struct result *result); /* on a device alone */
void run_pool(struct ssa_pool *pool, struct result *result);
void run_same_bits(const struct result *a, const struct result *b);
void run_near(const struct result *a, const struct result *b); /* losses, within 1e-3 */

#endif
