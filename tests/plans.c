#include "plans.h"

#include <stdlib.h>
#include <string.h>

const char *const test_plan_names[PLAN_KINDS] = {
    "dense", "unbiased", "unbiased, own key", "local", "local, own key", "look-back", "fixed windows", "keep",
    "local, keep", "per example", "per example, local", "lengths", "lengths, local", "ratio, lengths, keep",
    "cells",
    "cells, look-back", "permuted queries",
    "sources drop out", "sources drop out, lengths, keep",
    "all sources drop out"};

/* Four columns behind what is left over, in cells of two columns and half of the rows. */
static void set_cells(struct ssa_sample *s, bool back)
{
    s->kind = SSA_LOCAL;
    s->rows = (s->length - 1) / 8 * 2;
    s->columns = 4;
    s->cell_rows = s->rows / 2;
    s->look_back = back;
    s->keys = (1 + back) * 2 * s->cell_rows;
    s->own_key = s->per_example = 1;
}

void test_draw(struct ssa_plan *plan, enum plan_kind kind, int batch, int keys, int queries)
{
    const int n = keys;
    int lengths[4] = {n, n / 2, 0, n - 1}; /* an example may be all padding */
    int keep[3] = {0, n / 3, n / 2}, keep_count = n >= 8 ? 3 : 1;
    struct ssa_sample s = {.kind = SSA_UNBIASED, .length = n, .queries = queries, .batch = batch, .keys = (n + 2) / 3,
                           .seed = 7, .step = 11};
    if (kind == DENSE)
        s.kind = SSA_DENSE;
    if (kind == LOCAL || kind == LOCAL_OWN || kind == LOOK_BACK || kind == WINDOWS || kind == LOCAL_KEEP ||
        kind == PER_EXAMPLE_LOCAL || kind == LENGTHS_LOCAL || kind == PERMUTED)
        s.kind = SSA_LOCAL;
    s.own_key = kind != DENSE && kind != UNBIASED && kind != LOCAL && kind != WINDOWS && kind != KEEP;
    s.look_back = (kind == LOOK_BACK || kind == LENGTHS_LOCAL) && s.keys >= 2;
    if (s.look_back)
        s.keys -= s.keys % 2;
    s.fixed_windows = kind == WINDOWS;
    s.permute_queries = kind == PERMUTED;
    s.per_example = kind == PER_EXAMPLE || kind == PER_EXAMPLE_LOCAL || kind == PERMUTED;
    if (kind == LENGTHS || kind == LENGTHS_LOCAL || kind == RATIO_LENGTHS_KEEP)
        s.lengths = lengths;
    if (kind == RATIO_LENGTHS_KEEP) { /* as of models whose sequences are of mixed size */
        s.ratio = 0.4f;
        s.keys = s.own_key = 0;
        s.per_example = 1;
        s.keep = keep;
        s.keep_count = 1;
    }
    if (kind == KEEP || kind == LOCAL_KEEP) {
        s.keep = keep;
        s.keep_count = keep_count;
        if (s.keys > n - keep_count)
            s.keys = n - keep_count;
        if (s.keys < 1)
            s = (struct ssa_sample){.length = n, .queries = queries};
    }
    if (kind == SOURCES || kind == NO_SOURCES || kind == SOURCES_KEEP) {
        s.independent = s.per_example = 1;
        s.own_key = kind == SOURCES_KEEP;
        s.ratio = kind == NO_SOURCES ? 1e-9f : kind == SOURCES ? 0.4f : 0; /* or by keys */
        s.lengths = kind == SOURCES_KEEP ? lengths : NULL;
        s.keep = keep + keep_count / 2;
        s.keep_count = kind == SOURCES_KEEP && n >= 8;
    }
    if ((kind == CELLS || kind == CELLS_BACK) && n > 8)
        set_cells(&s, kind == CELLS_BACK);
    OK(ssa_plan_draw(plan, &s));
}

bool test_left_out(const struct ssa_device *dev)
{
    const char *shape = getenv("SSACL_SHAPE");
    bool host = dev->info.kind == SSA_DEVICE_HOST;
    return (!strcmp(dev->info.platform, "rusticl") && !dev->info.gpu_shape) ||
           (host && shape && !strncmp(shape, "gpu", 3));
}

bool test_has_turn(const struct ssa_device *dev, int where)
{
    const char *turns = getenv("SSA_TEST_TURNS");
    if (turns && !strcmp(turns, "all"))
        return true;
    if (!strcmp(dev->info.platform, "Portable Computing Language") && !getenv("SSACL_PORTABLE"))
        return where & (dev->info.gpu_shape ? POCL_GPU : POCL_CPU);
    return strcmp(dev->info.platform, "rusticl") || where & LLVMPIPE;
}
