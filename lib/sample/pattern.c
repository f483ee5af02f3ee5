/* From ratios to what each layer samples. */
#include "ssacl/train.h"
#include "cells.h"
#include "impl.h"
#include "share.h"

#include <math.h>
#include <stdio.h>

enum { MAX_KEEP = 64 };

/* Cells of so many keys in a layer's grid. */
static struct ssa_cells cells_of(const struct ssa_pattern *p, const struct ssa_layer *of, int keys)
{
    return ssa_cells_of(&(struct ssa_sample){.length = of->length, .keys = keys, .look_back = p->look_back,
        .rows = of->rows, .columns = of->columns, .channels = of->channels});
}

/* May a query of this kind see `keys` of them? */
static bool divides(const struct ssa_pattern *p, const struct ssa_layer *of, int keys)
{
    if (keys < 1 || keys > of->length)
        return false;
    if (p->kind != SSA_LOCAL)
        return true;
    if (p->look_back && keys % 2)
        return false;
    return p->grid ? cells_of(p, of, keys).high > 0 : of->length % (p->look_back ? keys / 2 : keys) == 0;
}

/* The nearest number of keys that divides; 0 if there is none (look_back of an odd prime). */
static int nearest(const struct ssa_pattern *p, const struct ssa_layer *of, double keys)
{
    int middle = (int)lround(keys);
    for (int away = 0; away <= of->length; away++) {
        if (divides(p, of, middle - away))
            return middle - away;
        if (divides(p, of, middle + away))
            return middle + away;
    }
    return 0;
}

static int check_ratio(const char *name, float ratio)
{
    return ratio > 0 && ratio <= 1 ? SSA_OK
                                   : ssa_fail(SSA_EINVAL, "pattern: %s is %g, must be in (0, 1]", name, (double)ratio);
}

/* With `any` the nearest will do. */
static int keys_of(const struct ssa_pattern *p, const char *name, float ratio, const struct ssa_layer *of, bool any,
                   int *keys)
{
    const int length = of->length;
    int err = check_ratio(name, ratio);
    if (err)
        return err;
    double exact = (double)ratio * length;
    *keys = (int)lround(exact);
    if (fabs(exact - *keys) <= 1e-6 * length && divides(p, of, *keys))
        return SSA_OK;
    int good = nearest(p, of, exact);
    if (any && good) {
        *keys = good;
        return SSA_OK;
    }
    const bool local = p->kind == SSA_LOCAL, cells = local && p->grid;
    char why[64] = "must be a whole number of keys";
    if (local)
        snprintf(why, sizeof why, "its slices must divide the length");
    if (cells)
        snprintf(why, sizeof why, "its cells must divide the grid, %d x %d", of->rows, of->columns);
    const char *two = !p->look_back || !local ? "" : cells ? " (two cells)" : " (two slices)";
    return ssa_fail(SSA_EINVAL, "pattern: %s %g of length %d is %g keys%s: %s; %.9g (%d keys) would do", name,
                    (double)ratio, length, exact, two, why, (double)good / length, good);
}

/* The ratio of a sampled layer, `depth` of 0..1 from the first to the last of them, where it may be any; */
static int layer_ratio(const struct ssa_pattern *p, double depth, float *ratio)
{
    const float last = p->ratio_last > 0 ? p->ratio_last : p->ratio;
    int err;
    TRY(check_ratio("ratio", p->ratio));
    if (p->ratio_last != 0) /* exactly: unset */
        TRY(check_ratio("ratio_last", p->ratio_last));
    *ratio = (float)((double)p->ratio + (double)(last - p->ratio) * depth);
done:
    return err;
}

/* and where it must make a number of keys. */
static int layer_keys(const struct ssa_pattern *p, double depth, const struct ssa_layer *of, bool any, int *keys)
{
    int first = 0, last = 0, err;
    TRY(keys_of(p, "ratio", p->ratio, of, any, &first));
    *keys = first;
    if (p->ratio_last == 0) /* exactly: unset */
        return SSA_OK;
    TRY(keys_of(p, "ratio_last", p->ratio_last, of, any, &last));
    *keys = nearest(p, of, first + (last - first) * depth);
done:
    return err;
}

static int check(const struct ssa_pattern *p, int layer, int layers, int length)
{
    int err;
    TRY(ssa_check_reserved("pattern", p->reserved, 3));
    REQUIRE(layers > 0 && layer >= 0 && layer < layers, "pattern: no layer %d of %d", layer, layers);
    REQUIRE(length > 0, "pattern: length is %d, must be positive", length);
    REQUIRE(p->kind >= SSA_DENSE && p->kind <= SSA_LOCAL, "pattern: kind is %d, not one of enum ssa_sampling", p->kind);
    REQUIRE(isfinite(p->ratio) && isfinite(p->ratio_last) && isfinite(p->sigma), "pattern: ratio is %g, ratio_last %g "
            "and sigma %g; they must be numbers", (double)p->ratio, (double)p->ratio_last, (double)p->sigma);
    REQUIRE(p->own_key == 0 || p->own_key == 1 || p->own_key == SSA_NONE, "pattern: own_key is %d, must be 0, 1 or "
            "SSA_NONE", p->own_key);
    REQUIRE(p->grid == 0 || p->grid == 1, "pattern: grid is %d, must be 0 or 1", p->grid);
    REQUIRE(p->independent == 0 || p->independent == 1, "pattern: independent is %d, must be 0 or 1", p->independent);
    REQUIRE(p->permute_queries == 0 || p->permute_queries == 1, "pattern: permute_queries is %d, must be 0 or 1",
            p->permute_queries);
    REQUIRE(!p->layers || p->layer_count == layers, "pattern: %d layers are given, the model has %d", p->layer_count,
            layers);
    REQUIRE(p->dense_first >= 0 && p->dense_last >= 0 && p->dense_first <= layers - p->dense_last,
            "pattern: %d dense first and %d dense last layers of %d", p->dense_first, p->dense_last, layers);
    REQUIRE(p->keep_first >= 0 && p->keep_first <= MAX_KEEP && p->keep_first <= length,
            "pattern: keep_first is %d, must be in [0, %d]", p->keep_first, MAX_KEEP < length ? MAX_KEEP : length);
done:
    return err;
}

static const int *first_positions(void)
{
#define FOUR(n) (n), (n) + 1, (n) + 2, (n) + 3
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
    static const int positions[MAX_KEEP] = {SIXTEEN(0), SIXTEEN(16), SIXTEEN(32), SIXTEEN(48)};
    return positions;
}

/* Of sequences of mixed size: any share of the real positions, whatever their number, in addition to those in front. */
static int fill_mixed(const struct ssa_pattern *p, double depth, const struct ssa_layer *of, struct ssa_sample *sample)
{
    int err;
    REQUIRE(p->kind == SSA_UNBIASED, "pattern: sequences of mixed size are sampled without order: kind must be "
            "SSA_UNBIASED or SSA_DENSE");
    TRY(layer_ratio(p, depth, &sample->ratio));
    sample->kind = p->kind;
    sample->independent = p->independent;
    sample->own_key = p->own_key == 1;
    sample->per_example = p->per_example;
    sample->keep_count = p->keep_first > of->lead ? p->keep_first : of->lead;
    sample->keep = sample->keep_count ? first_positions() : NULL;
    sample->keys = ssa_share(sample->ratio, of->length - sample->keep_count);
done:
    return err;
}

static int check_permuted(const struct ssa_pattern *p)
{
    int err = SSA_OK;
    REQUIRE(!p->look_back && !p->grid, "pattern: permute_queries: a query sees the slice of its own key alone: look_back "
            "is %d, grid %d, must be 0", p->look_back, p->grid);
    REQUIRE(!p->keep_first, "pattern: permute_queries: a query sees the slice of its own key alone, and a class token is "
            "a position as any other: keep_first is %d, must be 0", p->keep_first);
done:
    return err;
}

static int fill(const struct ssa_pattern *p, double depth, const struct ssa_layer *of, bool any,
                struct ssa_sample *sample)
{
    const bool grid = p->kind == SSA_LOCAL && p->grid;
    int err;
    if (of->mixed)
        return fill_mixed(p, depth, of, sample);
    REQUIRE(!grid || of->rows, "pattern: grid: its positions are no rows and columns; without grid they are local in "
            "one direction");
    if (p->kind == SSA_LOCAL && p->permute_queries)
        TRY(check_permuted(p));
    if (p->kind == SSA_UNBIASED && p->independent) {
        TRY(layer_ratio(p, depth, &sample->ratio));
        sample->keys = ssa_share(sample->ratio, of->length);
        sample->independent = 1;
    } else {
        TRY(layer_keys(p, depth, of, any, &sample->keys));
    }
    sample->kind = p->kind;
    sample->sigma = p->sigma;
    sample->fixed_windows = p->fixed_windows;
    sample->look_back = p->look_back;
    sample->permute_queries = p->kind == SSA_LOCAL && p->permute_queries;
    sample->own_key = p->own_key != SSA_NONE;
    sample->per_example = p->per_example;
    sample->keep = p->keep_first ? first_positions() : NULL;
    sample->keep_count = p->keep_first;
    if (grid) {
        sample->rows = of->rows;
        sample->columns = of->columns;
        sample->channels = of->channels;
    }
done:
    return err;
}

static int sample_layer(const struct ssa_pattern *pattern, int layer, int layers, const struct ssa_layer *of, int batch,
                        bool any, struct ssa_sample *sample)
{
    const struct ssa_pattern *p = pattern;
    int err;
    *sample = (struct ssa_sample){.kind = SSA_DENSE, .length = of->length, .batch = batch, .layer = (uint32_t)layer};
    TRY(check(p, layer, layers, of->length));
    int first = p->dense_first, sampled = layers - p->dense_first - p->dense_last;
    if (p->layers) {
        p = &p->layers[layer];
        TRY(check(p, layer, layers, of->length));
        first = 0;
        sampled = layers;
    }
    if (p->kind != SSA_DENSE && layer >= first && layer < first + sampled)
        TRY(fill(p, sampled > 1 ? (double)(layer - first) / (sampled - 1) : 0, of, any, sample));
done:
    return err;
}

int ssa_pattern_sample(const struct ssa_pattern *pattern, int layer, int layers, int length, int batch,
                       struct ssa_sample *sample)
{
    return sample_layer(pattern, layer, layers, &(struct ssa_layer){.length = length}, batch, false, sample);
}

int ssa_model_sample(const struct ssa_model_config *config, const struct ssa_pattern *pattern, int layer, int batch,
                     int first, struct ssa_sample *sample)
{
    struct ssa_layer of, lowest;
    int err;
    *sample = (struct ssa_sample){0};
    TRY(ssa_model_layer(config, layer, &of));
    TRY(ssa_model_layer(config, 0, &lowest));
    TRY(sample_layer(pattern, layer, ssa_model_layers(config), &of, batch * of.sequences, of.length != lowest.length,
                     sample));
    REQUIRE(!sample->permute_queries || config->family != SSA_SWIN, "pattern: permute_queries: the layers of a swin see "
            "windows of a grid, whose positions stay where they are");
    sample->first_example = (uint32_t)first * (uint32_t)of.sequences;
    if (sample->kind != SSA_DENSE && of.own_key)
        sample->own_key = 1;
done:
    return err;
}
