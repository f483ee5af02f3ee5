#include "attention.h"
#include "plan.h"

enum { SMALL_TILE = ATTENTION_SMALL_TILE };

static size_t divide_up(int a, int b)
{
    return ((size_t)a + (size_t)b - 1) / (size_t)b;
}

/* The larger tile does twice the arithmetic per byte staged; the smaller one wastes less on short blocks, and does
 * with 64 work-items. */
static int tile_for(const struct ssa_device *device, const char *file, int rows)
{
    return rows > SMALL_TILE ? ssa_tuned(device, file, "TILE") : SMALL_TILE;
}

/* A work-group of (tile / 4)^2 work-items for each of `tiles` x heads x batch. */
static void set_grid(struct ssa_launch *l, int tile, int width, size_t tiles, int heads, int batch)
{
    l->constants[0] = (struct ssa_constant){"D", width};
    l->constants[1] = (struct ssa_constant){"TILE", tile};
    l->local[0] = (size_t)(tile / 4 * (tile / 4));
    l->global[0] = tiles * l->local[0];
    l->global[1] = (size_t)heads;
    l->global[2] = (size_t)batch;
}

static uint64_t example_stride(const struct ssa_plan *plan)
{
    return plan->examples > 1 ? plan->stride : 0;
}

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention_fwd *a)
{
    if (!ssa_attention_trusted(device, "attention_fwd_gpu", false, a->width,
                               tile_for(device, "attention_fwd_gpu", a->plan->block)))
        return ssa_attention_fwd_plain(device, a);
    int tile = tile_for(device, "attention_fwd_gpu", a->plan->block);
    int block_tiles = (int)divide_up(a->plan->block, tile);
    struct ssa_launch l = {
        .kernel = "attention_fwd_gpu",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->plan_data), ARG_TENSOR(a->out),
                 ARG_TENSOR(a->lse), ARG_ULONG(example_stride(a->plan)), ARG_INT(a->length), ARG_INT(a->plan->block),
                 ARG_INT(block_tiles), ARG_INT(a->heads), ARG_INT(a->kv_heads), ARG_INT(a->q_stride),
                 ARG_INT(a->k_stride), ARG_INT(a->v_stride), ARG_INT(a->out_stride), ARG_INT(a->causal),
                 ARG_FLOAT(a->scale)},
    };
    size_t blocks = divide_up(a->length, a->plan->block);
    set_grid(&l, tile, a->width, blocks * (size_t)block_tiles, a->heads, a->batch);
    return ssa_launch(device, &l);
}

/* delta, and the gradients that keys get from their own queries. */
static int prepare(struct ssa_device *device, const struct ssa_attention_bwd *a, struct ssa_tensor delta)
{
    struct ssa_launch l = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_prepare",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->dout), ARG_TENSOR(a->plan_data), ARG_TENSOR(delta), ARG_TENSOR(a->dk),
                 ARG_TENSOR(a->dv), ARG_ULONG(example_stride(a->plan)), ARG_INT(a->length), ARG_INT(a->heads),
                 ARG_INT(a->kv_heads), ARG_INT(a->q_stride), ARG_INT(a->k_stride), ARG_INT(a->v_stride),
                 ARG_INT(a->out_stride), ARG_INT(a->dk_stride), ARG_INT(a->dv_stride), ARG_FLOAT(a->scale)},
    };
    int tile = tile_for(device, "attention_bwd_gpu", a->plan->block); /* it has no tile: whichever the program is built for anyway */
    set_grid(&l, tile, a->width, 0, a->kv_heads, a->batch);
    l.local[0] = 64;
    l.global[0] = divide_up(a->length, 8) * 64;
    return ssa_launch(device, &l);
}

static int query_gradients(struct ssa_device *device, const struct ssa_attention_bwd *a, struct ssa_tensor delta)
{
    int tile = tile_for(device, "attention_bwd_gpu", a->plan->block);
    int block_tiles = (int)divide_up(a->plan->block, tile);
    struct ssa_launch l = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_queries",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->lse), ARG_TENSOR(a->dout),
                 ARG_TENSOR(delta), ARG_TENSOR(a->plan_data), ARG_TENSOR(a->dq), ARG_ULONG(example_stride(a->plan)),
                 ARG_INT(a->length), ARG_INT(a->plan->block), ARG_INT(block_tiles), ARG_INT(a->heads),
                 ARG_INT(a->kv_heads), ARG_INT(a->q_stride), ARG_INT(a->k_stride), ARG_INT(a->v_stride),
                 ARG_INT(a->out_stride), ARG_INT(a->dq_stride), ARG_INT(a->causal), ARG_FLOAT(a->scale)},
    };
    size_t blocks = divide_up(a->length, a->plan->block);
    set_grid(&l, tile, a->width, blocks * (size_t)block_tiles, a->heads, a->batch);
    return ssa_launch(device, &l);
}

/* The most slices of an example, and the most sources in a slice. */
static void measure_slices(const struct ssa_plan *plan, int *slices, int *sources)
{
    *slices = *sources = 0;
    for (int e = 0; e < plan->examples; e++) {
        const int32_t *p = plan->data + plan->stride * (size_t)e, *start = p + p[PLAN_SLICE_AT];
        *slices = p[PLAN_SLICES] > *slices ? p[PLAN_SLICES] : *slices;
        for (int s = 0; s < p[PLAN_SLICES]; s++)
            *sources = start[s + 1] - start[s] > *sources ? start[s + 1] - start[s] : *sources;
    }
}

static int source_gradients(struct ssa_device *device, const struct ssa_attention_bwd *a, struct ssa_tensor delta)
{
    int slices, sources;
    measure_slices(a->plan, &slices, &sources);
    if (!slices || !sources)
        return SSA_OK;
    int tile = tile_for(device, "attention_bwd_gpu", sources);
    int slice_tiles = (int)divide_up(sources, tile);
    struct ssa_launch l = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_sources",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->lse), ARG_TENSOR(a->dout),
                 ARG_TENSOR(delta), ARG_TENSOR(a->plan_data), ARG_TENSOR(a->dk), ARG_TENSOR(a->dv),
                 ARG_ULONG(example_stride(a->plan)), ARG_INT(a->length), ARG_INT(slice_tiles), ARG_INT(a->heads),
                 ARG_INT(a->kv_heads), ARG_INT(a->q_stride), ARG_INT(a->k_stride), ARG_INT(a->v_stride),
                 ARG_INT(a->out_stride), ARG_INT(a->dk_stride), ARG_INT(a->dv_stride), ARG_INT(a->causal),
                 ARG_FLOAT(a->scale)},
    };
    set_grid(&l, tile, a->width, (size_t)slices * (size_t)slice_tiles, a->kv_heads, a->batch);
    return ssa_launch(device, &l);
}

/* The tiles of both gradients: each is a build of its own. */
static bool trusted(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    static const char file[] = "attention_bwd_gpu";
    int slices, sources;
    measure_slices(a->plan, &slices, &sources);
    return ssa_attention_trusted(device, file, true, a->width, tile_for(device, file, a->plan->block)) &&
           (!sources || ssa_attention_trusted(device, file, true, a->width, tile_for(device, file, sources)));
}

int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    struct ssa_tensor delta;
    int err;
    if (!trusted(device, a))
        return ssa_attention_bwd_plain(device, a);
    TRY(ssa_scratch(device, 0, (size_t)a->batch * (size_t)a->heads * (size_t)a->length, &delta));
    TRY(prepare(device, a, delta));
    TRY(query_gradients(device, a, delta));
    TRY(source_gradients(device, a, delta)); /* after prepare: adds to what it wrote */
done:
    return err;
}
