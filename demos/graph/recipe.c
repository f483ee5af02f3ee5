#include "recipe.h"

#include "run/note.h"
#include "run/program.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- options ---- */

void recipe_defaults(struct recipe *r)
{
    *r = (struct recipe){.split = -1, .train = -1, .valid = -1, .test = -1, .split_seed = -1, .together = 32,
                         .deviation = 1};
}

void recipe_options(struct recipe *r, struct arg options[RECIPE_OPTIONS])
{
    const struct arg table[] = {
        ARG_CHOICE(0, "split", &r->split, SPLIT_NAMES,
                   "which molecules are for what: as the file says, or drawn; auto: as it says, if it does"),
        ARG_INT(0, "train-molecules", &r->train, 0, INT_MAX, "N", "at most so many to train on; 0: all"),
        ARG_INT(0, "valid-molecules", &r->valid, 0, INT_MAX, "N",
                "so many for validation; 0: all of that part, or of a split that is drawn a twentieth"),
        ARG_INT(0, "test-molecules", &r->test, 0, INT_MAX, "N", "so many for the test; 0: as of validation"),
        ARG_INT(0, "split-seed", &r->split_seed, 0, INT_MAX, "N", "of which these are; 0, whatever --seed is"),
        ARG_HEADING_OF(SETTLES_RUN, "how molecules are learned"),
        ARG_FLAG(0, "raw-targets", &r->raw_targets,
                 "the target as it is; else less its mean and divided by its deviation in training. What is told is in "
                 "the target's own unit in any case"),
        ARG_FLAG(0, "fixed-signs", &r->fixed_signs,
                 "encodings as they are; else the signs of their components are drawn for each molecule and step"),
        ARG_INT(0, "sort-steps", &r->together, 1, 100000, "N",
                "the molecules of N steps are sorted by size, so that a step has little padding; 1: as they are drawn"),
        ARG_END};
    memcpy(options, table, sizeof table);
}

/* ---- in checkpoints ---- */

enum group { PARTS, LEARNING, SCALE };

static const struct note_field fields[] = {
#define FIELD(name, group, kind) {#name, group, NOTE_##kind, offsetof(struct recipe, name)}
    FIELD(split, PARTS, WHOLE), FIELD(train, PARTS, WHOLE), FIELD(valid, PARTS, WHOLE), FIELD(test, PARTS, WHOLE),
    FIELD(split_seed, PARTS, WHOLE), FIELD(raw_targets, LEARNING, WHOLE), FIELD(fixed_signs, LEARNING, WHOLE),
    FIELD(together, LEARNING, WHOLE), FIELD(mean, SCALE, REAL), FIELD(deviation, SCALE, REAL),
#undef FIELD
};
enum { FIELDS = sizeof fields / sizeof *fields };

json_t *recipe_json(const struct recipe *r)
{
    return note_json(r, fields, FIELDS);
}

bool recipe_take_scale(struct recipe *r, const struct ssa_checkpoint *checkpoint)
{
    struct recipe with = *r;
    const bool all = note_take_group(&with, checkpoint, fields, FIELDS, SCALE) && with.deviation > 0;
    if (all)
        *r = with;
    return all;
}

bool recipe_take(struct recipe *r, const struct ssa_checkpoint *checkpoint, bool all)
{
    for (int i = 0; i < FIELDS; i++)
        if (fields[i].group == PARTS ? note_get(r, &fields[i]) < 0 : fields[i].group == LEARNING && all)
            note_take(r, checkpoint, &fields[i]);
    r->together = r->together > 0 ? r->together : 1;
    return recipe_take_scale(r, checkpoint);
}

uint64_t recipe_hash(const struct recipe *r)
{
    return note_hash(r, fields, FIELDS);
}

/* ---- of data ---- */

static size_t count_or_all(int said)
{
    return said > 0 ? (size_t)said : 0;
}

struct parts_options recipe_parts(const struct recipe *r, int most_atoms)
{
    return (struct parts_options){.split = r->split > 0 ? (enum split)r->split : SPLIT_AUTO,
                                  .seed = count_or_all(r->split_seed), .train = count_or_all(r->train),
                                  .valid = count_or_all(r->valid), .test = count_or_all(r->test),
                                  .most_atoms = most_atoms};
}

void recipe_measure(struct recipe *r, const struct graphs *g, const struct parts *p)
{
    const size_t count = p->part[GRAPH_TRAIN].count;
    const uint32_t *graphs = p->part[GRAPH_TRAIN].graphs;
    double mean = 0, squares = 0;
    r->mean = 0;
    r->deviation = 1;
    if (r->raw_targets)
        return;
    for (size_t i = 0; i < count; i++)
        mean += (double)graphs_get(g, graphs[i]).target / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += pow((double)graphs_get(g, graphs[i]).target - mean, 2) / (double)count;
    r->mean = mean;
    r->deviation = squares > 0 ? sqrt(squares) : 1; /* of one molecule, or of the same target always */
}
