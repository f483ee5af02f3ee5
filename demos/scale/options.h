/* What `ssacl-scale` is told: models, how fast a rank computes, the network. */
#ifndef SCALE_OPTIONS_H
#define SCALE_OPTIONS_H

#include "simulate.h"

#include <ssacl/model.h>

enum { SCALE_MODELS = 3, SCALE_LIST = 16 };

struct scale_list {
    int count;
    double items[SCALE_LIST];
};

struct scale_options {
    struct ssa_model_config models[SCALE_MODELS];
    int model_count;
    double rate;            /* flop/s of forward and backward */
    double memory;          /* bytes/s of the update; 0: no time */
    double ratio;           /* keys that a query sees, of all */
    double processors;      /* ranks that compute at once; more of them share; 0: all */
    int batch, accumulate, global_batch;
    struct scale_list ranks, bandwidths; /* Gbit/s */
    struct scale_link link; /* without bandwidth */
    const char *chart, *title;
    int json, markdown, measure;
};

/* ARGS_GO, or the exit status. */
int scale_options_parse(const struct scale_options **parsed, int argc, char **argv);

#endif
