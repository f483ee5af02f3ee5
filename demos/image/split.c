#include "split.h"

#include "draws.h"
#include "places.h"
#include "say.h"

#include <stdlib.h>
#include <string.h>

/* Pictures that are to be parted, in an order of their own. */
struct pile {
    uint32_t *images;
    size_t count;
};

static size_t count_official(const struct dataset *d, enum dataset_part part)
{
    size_t count = 0;
    for (size_t i = 0; i < d->count; i++)
        count += d->official[i] == part;
    return count;
}

/* Where nothing is called test, what is called val is held out by everybody, and reported. */
static void settle_official(struct dataset *d)
{
    if (count_official(d, DATASET_TEST))
        return;
    for (size_t i = 0; i < d->count; i++)
        if (d->official[i] == DATASET_VALID)
            d->official[i] = DATASET_TEST;
}

static int make_pile(struct pile *pile, const struct dataset *d, enum dataset_part part)
{
    pile->count = 0;
    pile->images = malloc((count_official(d, part) + 1) * sizeof *pile->images);
    if (!pile->images)
        return say_error("no memory for a list of pictures");
    for (size_t i = 0; i < d->count; i++)
        if (d->official[i] == part)
            pile->images[pile->count++] = (uint32_t)i;
    return 0;
}

static int shuffle(struct pile *pile, uint64_t seed, enum dataset_part part)
{
    struct draws draws = draws_begin(places_seed(seed), PLACE_SPLIT, (uint32_t)part, 0);
    uint32_t *order = malloc((pile->count + 1) * sizeof *order);
    if (!order)
        return say_error("no memory for a list of pictures");
    draw_permutation(&draws, order, (uint32_t)pile->count);
    for (size_t i = 0; i < pile->count; i++)
        order[i] = pile->images[order[i]];
    free(pile->images);
    pile->images = order;
    return 0;
}

static int rising(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The last `count` of the pile become a part. */
static int cut(struct dataset *d, struct pile *pile, size_t count, enum dataset_part part)
{
    uint32_t *images = malloc((count + 1) * sizeof *images);
    if (!images)
        return say_error("no memory for a list of pictures");
    pile->count -= count;
    memcpy(images, pile->images + pile->count, count * sizeof *images);
    qsort(images, count, sizeof *images, rising);
    d->part[part].images = images;
    d->part[part].count = count;
    return 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A part that came as one: all of it, or the first of a shuffle, so that fewer are some of more. */
static int take_official(struct dataset *d, enum dataset_part part, size_t most, uint64_t seed)
{
    struct pile pile = {0};
    int status = make_pile(&pile, d, part);
    if (!status && most && most < pile.count) {
        d->drawn = true;
        status = shuffle(&pile, seed, part);
        pile.count = most;
    }
    if (!status)
        status = cut(d, &pile, pile.count, part);
    free(pile.images);
    return status;
}

/* Of the training pictures those parts that did not come with the data set, then what is left. `valid_last` is of the
 * order in which pictures came. */
static int part_training(struct dataset *d, const char *name, struct pile *pile, const struct dataset_options *o)
{
    bool test = !d->part[DATASET_TEST].count, valid = !d->part[DATASET_VALID].count;
    size_t all = pile->count, tests = test ? o->test ? o->test : all / 20 : 0;
    size_t valids = valid ? o->valid ? o->valid : all / 20 : 0;
    if (tests >= all || valids >= all - tests)
        return say_error("%s: of %zu pictures for training %zu for validation and %zu for the test cannot be set "
                         "aside; give smaller numbers, or those pictures that a checkpoint was trained on", name, all, valids,
                         tests);
    if (valid && o->valid_last && cut(d, pile, valids, DATASET_VALID))
        return EXIT_FAILED;
    if (shuffle(pile, o->seed, DATASET_TRAIN) || (test && cut(d, pile, tests, DATASET_TEST)) ||
        (valid && !o->valid_last && cut(d, pile, valids, DATASET_VALID)))
        return EXIT_FAILED;
    d->drawn = d->drawn || test || (valid && !o->valid_last) || (o->train && o->train < pile->count);
    pile->count = o->train ? least(o->train, pile->count) : pile->count;
    return cut(d, pile, pile->count, DATASET_TRAIN);
}

int dataset_split(struct dataset *d, const char *name, const struct dataset_options *options)
{
    struct pile pile = {0};
    settle_official(d);
    int status = make_pile(&pile, d, DATASET_TRAIN);
    if (!status && !pile.count)
        status = say_error("%s: there are no pictures for training", name);
    if (!status && count_official(d, DATASET_TEST))
        status = take_official(d, DATASET_TEST, options->test, options->seed);
    if (!status && count_official(d, DATASET_VALID))
        status = take_official(d, DATASET_VALID, options->valid, options->seed);
    if (!status)
        status = part_training(d, name, &pile, options);
    free(pile.images);
    return status;
}
