/* Which graphs are for training, validation and test. */
#ifndef GRAPH_PARTS_H
#define GRAPH_PARTS_H

#include "graphs.h"

#define SPLIT_NAMES "auto|official|seeded"
enum split { SPLIT_AUTO, SPLIT_OFFICIAL, SPLIT_SEEDED };

struct parts_options {
    enum split split; /* auto: that of the file where it has one */
    uint64_t seed;    /* of what is drawn */
    /* At most that many; 0: all of a part of the file's, a twentieth of all graphs for one that is drawn, and for
     * training all that are left. A smaller number takes some of what a larger one takes; that of `train` leaves
     * validation and test as they are. */
    size_t train, valid, test;
    int most_atoms; /* larger ones are in no part */
};

/* Graphs with a target, smaller ones first: neighbours are of one size. */
struct parts {
    struct {
        uint32_t *graphs;
        size_t count;
    } part[GRAPH_PARTS];
    bool official, test_is_valid; /* test_is_valid: the file's test has no targets */
    bool drawn;                   /* of a seed: not all of it is as the file says */
    size_t no_target;             /* graphs of the parts that were left out for that, */
    size_t large;                 /* or since they are too large, */
    uint32_t first_large;         /* the first of which is of this line */
};

/* Says what is wrong and returns non-zero; parts_free() it in any case. */
int parts_make(struct parts *p, const struct graphs *g, const struct parts_options *options);
void parts_free(struct parts *p);
/* Whether there is something in a part; says if not. */
int parts_check(const struct parts *p, const struct graphs *g, enum graph_part part);

#endif
