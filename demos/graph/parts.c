#include "parts.h"

#include "draws.h"
#include "places.h"
#include "say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Graphs that are to be parted, in an order of their own. */
struct pile {
    uint32_t *graphs;
    size_t count;
};

void parts_free(struct parts *p)
{
    for (int part = 0; part < GRAPH_PARTS; part++)
        free(p->part[part].graphs);
    *p = (struct parts){0};
}

static uint32_t *make_list(size_t count)
{
    uint32_t *list = malloc((count + 1) * sizeof *list);
    if (!list)
        say_error("no memory for a list of %zu graphs", count);
    return list;
}

/* ---- piles ---- */

/* Those of a part of the file's, or all. Without a target nothing can be learned or measured. */
static int make_pile(struct pile *pile, struct parts *p, const struct graphs *g, enum graph_part part)
{
    pile->count = 0;
    pile->graphs = make_list(g->count);
    if (!pile->graphs)
        return EXIT_FAILED;
    for (size_t i = 0; i < g->count; i++) {
        const struct graph one = graphs_get(g, i);
        const bool in = !p->official || one.part == part;
        if (in && !isnan(one.target))
            pile->graphs[pile->count++] = (uint32_t)i;
        p->no_target += in && isnan(one.target);
    }
    return 0;
}

static int shuffle(struct pile *pile, uint64_t seed, enum graph_part part)
{
    struct draws draws = draws_begin(places_seed(seed), PLACE_SPLIT, (uint32_t)part, 0);
    uint32_t *order = make_list(pile->count);
    if (!order)
        return EXIT_FAILED;
    draw_permutation(&draws, order, (uint32_t)pile->count);
    for (size_t i = 0; i < pile->count; i++)
        order[i] = pile->graphs[order[i]];
    free(pile->graphs);
    pile->graphs = order;
    return 0;
}

/* ---- parts ---- */

static void leave_out_large(struct parts *p, const struct graphs *g, struct pile *pile, int most_atoms)
{
    size_t kept = 0;
    for (size_t i = 0; i < pile->count; i++) {
        const struct graph one = graphs_get(g, pile->graphs[i]);
        const bool large = most_atoms && one.atoms > most_atoms;
        if (large && (!p->large || one.line < p->first_large))
            p->first_large = one.line;
        p->large += large;
        if (!large)
            pile->graphs[kept++] = pile->graphs[i];
    }
    pile->count = kept;
}

/* Graphs of a number of atoms after those of fewer; as they come in the file otherwise. */
static int sort_by_size(const struct graphs *g, struct pile *pile)
{
    size_t *begin = calloc(GRAPH_MOST_ATOMS + 2, sizeof *begin);
    bool *in = calloc(g->count, sizeof *in);
    if (!begin || !in) {
        free(begin);
        free(in);
        return say_error("no memory for %zu graphs", g->count);
    }
    for (size_t i = 0; i < pile->count; i++) {
        in[pile->graphs[i]] = true;
        begin[graphs_get(g, pile->graphs[i]).atoms + 1]++;
    }
    for (int n = 1; n < GRAPH_MOST_ATOMS + 2; n++)
        begin[n] += begin[n - 1];
    for (size_t i = 0; i < g->count; i++)
        if (in[i])
            pile->graphs[begin[graphs_get(g, i).atoms]++] = (uint32_t)i;
    free(begin);
    free(in);
    return 0;
}

/* The last `count` of the pile become a part. */
static int cut(struct parts *p, const struct graphs *g, struct pile *pile, size_t count, enum graph_part part,
               int most_atoms)
{
    struct pile own = {.graphs = make_list(count), .count = count};
    if (!own.graphs)
        return EXIT_FAILED;
    pile->count -= count;
    memcpy(own.graphs, pile->graphs + pile->count, count * sizeof *own.graphs);
    leave_out_large(p, g, &own, most_atoms);
    p->part[part].graphs = own.graphs;
    p->part[part].count = own.count;
    return sort_by_size(g, &own);
}

/* A part of the file's: all of it, or the first of a shuffle, so that fewer are some of more. */
static int take_official(struct parts *p, const struct graphs *g, enum graph_part part, size_t most,
                         const struct parts_options *o)
{
    struct pile pile = {0};
    int status = make_pile(&pile, p, g, part);
    if (!status && most && most < pile.count) {
        p->drawn = true;
        status = shuffle(&pile, o->seed, part);
        pile.count = most;
    }
    if (!status)
        status = cut(p, g, &pile, pile.count, part, o->most_atoms);
    free(pile.graphs);
    return status;
}

static int draw_parts(struct parts *p, const struct graphs *g, struct pile *pile, const struct parts_options *o)
{
    const size_t all = pile->count, test = o->test ? o->test : all / 20, valid = o->valid ? o->valid : all / 20;
    if (test >= all || valid >= all - test)
        return say_error("%s: of %zu molecules with a target %zu for validation and %zu for the test cannot be set "
                         "aside; give smaller numbers", g->path, all, valid, test);
    if (shuffle(pile, o->seed, GRAPH_TRAIN) || cut(p, g, pile, test, GRAPH_TEST, o->most_atoms) ||
        cut(p, g, pile, valid, GRAPH_VALID, o->most_atoms))
        return EXIT_FAILED;
    const size_t train = o->train && o->train < pile->count ? o->train : pile->count;
    pile->count = train;
    return cut(p, g, pile, train, GRAPH_TRAIN, o->most_atoms);
}

static int draw_all(struct parts *p, const struct graphs *g, const struct parts_options *o)
{
    struct pile pile = {0};
    const int status = make_pile(&pile, p, g, GRAPH_TRAIN) || draw_parts(p, g, &pile, o);
    free(pile.graphs);
    return status ? EXIT_FAILED : 0;
}

static int copy_valid(struct parts *p)
{
    const size_t count = p->part[GRAPH_VALID].count;
    uint32_t *copy = make_list(count);
    if (!copy)
        return EXIT_FAILED;
    memcpy(copy, p->part[GRAPH_VALID].graphs, count * sizeof *copy);
    free(p->part[GRAPH_TEST].graphs);
    p->part[GRAPH_TEST].graphs = copy;
    p->part[GRAPH_TEST].count = count;
    p->test_is_valid = true;
    return 0;
}

static int take_all(struct parts *p, const struct graphs *g, const struct parts_options *o)
{
    const size_t most[GRAPH_PARTS] = {o->train, o->valid, o->test};
    for (int part = 0; part < GRAPH_PARTS; part++)
        if (take_official(p, g, (enum graph_part)part, most[part], o))
            return EXIT_FAILED;
    return p->part[GRAPH_TEST].count ? 0 : copy_valid(p);
}

static bool has_parts(const struct graphs *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (graphs_get(g, i).part != GRAPH_NO_PART)
            return true;
    return false;
}

int parts_check(const struct parts *p, const struct graphs *g, enum graph_part part)
{
    static const char *const names[] = {"training", "validation", "the test"};
    return p->part[part].count ? 0 : say_error("%s: has no molecules with a target for %s%s", g->path, names[part],
                                               p->official ? " by its own split; draw one by --split seeded" : "");
}

int parts_make(struct parts *p, const struct graphs *g, const struct parts_options *o)
{
    const bool known = o->split != SPLIT_SEEDED && has_parts(g);
    *p = (struct parts){.official = known, .drawn = !known};
    if (o->split == SPLIT_OFFICIAL && !known)
        return say_error("%s: has no split of its own; convert it with one, or draw one by --split seeded", g->path);
    return known ? take_all(p, g, o) : draw_all(p, g, o);
}
