/* Graphs of mixed size, invented, and a model of them: what a step of a pool is measured on whose micro-batches are not
 * alike. */
#ifndef POOL_MOLECULES_H
#define POOL_MOLECULES_H

#include <ssacl/train.h>

#include <stdbool.h>

/* Chains of 5 to `most` atoms, smaller ones more often, 17 of 40 on average. Of each `together` steps they are sorted
 * by size and dealt out, as ssacl-graph's --sort-steps does; within a step the smaller come first. All `steps` repeat
 * for ever, so that as many of them are the same work whichever is first. */
struct molecules {
    int layers, width, heads, most; /* edges are a quarter as wide */
    int batch, together;
    int steps;      /* molecules_steps() */
    int32_t *atoms; /* [steps, batch] */
};

/* Eight, or as many more as makes whole groups of those that are sorted together. */
int molecules_steps(int together);
/* Free `atoms`. False: there is no memory. */
bool molecules_draw(struct molecules *m);
struct ssa_model_config molecules_model(const struct molecules *m);
struct ssa_data molecules_data(struct molecules *m);
/* Means over the steps: atoms, and operations as cost.h counts them. The library's status. */
double molecules_atoms(const struct molecules *m);
int molecules_operations(const struct molecules *m, const struct ssa_pattern *pattern, double *operations);

#endif
