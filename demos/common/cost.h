/* Floating-point operations of training steps. */
#ifndef DEMO_COST_H
#define DEMO_COST_H

#include <ssacl/train.h>

/* As they are usually counted: forward, and twice that for backward; what fused attention computes again is not in it,
 * nor what is not a product. `linear`: 6 for every weight of a matrix and row that passes it, the head included; keys
 * and values only for the rows that are sampled, where the library does so. `attention`: 6 times the widths of all
 * heads' queries and values, for every pair of a query and a key that it sees, counted in plans as they are drawn; of
 * source dropout as many as there are in the mean of all draws. Of words bands are as frequent as Zipf's law has them. */
struct cost {
    double linear, attention;
};

/* Of a step of so many of the model's sequences. The library's status. */
int cost_of_step(struct cost *cost, const struct ssa_model_config *model, const struct ssa_pattern *pattern,
                 double sequences, uint64_t seed);

#endif
