/* What a run makes of its graphs: which are for what, and how their target is learned. It stands in checkpoints, so
 * that a run goes on with the same, `eval` finds the same parts, and whoever predicts gives numbers as they were. */
#ifndef GRAPH_RECIPE_H
#define GRAPH_RECIPE_H

#include "parts.h"

#include "args.h"

#include <jansson.h>
#include <ssacl/checkpoint.h>

struct recipe {
    int split, train, valid, test, split_seed; /* -1: not said */
    int raw_targets, fixed_signs, together;
    double mean, deviation; /* of the target in training; of raw ones 0 and 1 */
};

/* Options that set it: of parts; and of targets and order. Ended. */
enum { RECIPE_OPTIONS = 12 };
void recipe_defaults(struct recipe *r);
void recipe_options(struct recipe *r, struct arg options[RECIPE_OPTIONS]);

/* {"split": 0, "train": 2000, ..., "mean": 6.86, "deviation": 1.28} */
json_t *recipe_json(const struct recipe *r);
/* What a checkpoint was trained with: of the parts what was not said; the rest, if `all`; and mean and deviation:
 * false, if it has none. */
bool recipe_take(struct recipe *r, const struct ssa_checkpoint *checkpoint, bool all);
/* Mean and deviation alone. */
bool recipe_take_scale(struct recipe *r, const struct ssa_checkpoint *checkpoint);
/* A number that other recipes would hardly have. */
uint64_t recipe_hash(const struct recipe *r);

struct parts_options recipe_parts(const struct recipe *r, int most_atoms);
/* Mean and deviation of the targets that are trained on, where these are not raw. */
void recipe_measure(struct recipe *r, const struct graphs *g, const struct parts *p);

#endif
