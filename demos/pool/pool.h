/* What `ssacl-bench pool` measures: the same work on each device alone, on all at once, and on a pool of them. */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include "bench.h"
#include "gpt.h"

struct pool_options {
    struct gpt model;       /* `batch` is a step's; of molecules `length` the most atoms */
    int molecules;          /* 1: of graphs of mixed size (molecules.h), of training alone, */
    int sort_steps;         /* so many steps' sorted together */
    int kind;               /* of gpt_kinds[]: of training */
    int micro_batch;
    int passes, windows;    /* of the self-ensemble */
    const char *devices;    /* as of ssa_pool_open() */
};

/* Lists the cases. */
int pool_list(const struct pool_options *options, struct case_list *list);
/* Rounds in which every side does the same once, b->reps of them or until b->seconds are over; then a row for each. */
int pool_run(const struct bench *b, const struct pool_options *options, const struct bench_case *of);
extern const struct suite pool_suite;

#endif
