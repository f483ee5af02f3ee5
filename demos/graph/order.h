/* The order in which graphs are trained on: each as often as any other, but in steps of like size, so that little of a
 * step is padding. Which graph is where follows from the seed, the step and its place in the step alone.
 *
 *   All graphs follow each other in an order drawn anew for each epoch. Of each `together` steps in a row the graphs
 *   are sorted by size and dealt out to the steps one after another; which of these comes when is drawn, too. */
#ifndef GRAPH_ORDER_H
#define GRAPH_ORDER_H

#include <stddef.h>
#include <stdint.h>

struct order {
    /* Set before the first call, and the rest zero: */
    uint32_t count;    /* graphs, which are numbered by size; at least 1 */
    int batch;         /* of a step */
    int together;      /* steps whose graphs are sorted together; 1: none are, but within a step */
    /* What was drawn last: */
    uint64_t seed, epoch, pool;
    uint32_t *of_epoch; /* [count] */
    uint32_t *of_pool;  /* [steps, batch], sorted */
    uint32_t *turns;    /* [steps]: which of these comes when */
    int steps;          /* of a pool: no more than an epoch has */
};

/* The numbers of the graphs of a step, [batch], smaller ones first; until the next call. NULL: no memory. */
const uint32_t *order_step(struct order *o, uint64_t seed, uint64_t step);
void order_free(struct order *o);

#endif
