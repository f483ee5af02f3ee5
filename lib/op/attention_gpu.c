#include "attention.h"
#include "plan.h"

static size_t divide_up(int a, int b)
{
    return ((size_t)a + (size_t)b - 1) / (size_t)b;
}

/* Short blocks take the small tile. Eight rows a work-item do more arithmetic per byte of local memory, where registers
 * hold their sums. */
static struct attention_tile tile_for(const struct ssa_device *device, const char *file, int rows, int width)
{
    struct attention_tile t = ATTENTION_SMALL_TILE;
    if (rows > 2 * t.rows) {
        t.side = ssa_tuned(device, file, "SIDE");
        t.each = ssa_tuned(device, file, "EACH");
        t.each = t.each ? t.each : width <= 4 * t.side ? 8 : 4;
        t.rows = t.side * t.each;
    }
    return t;
}

static void set_grid(struct ssa_launch *l, struct attention_tile t, int width, size_t tiles, int heads, int batch)
{
    l->constants[0] = (struct ssa_constant){"D", width};
    l->constants[1] = (struct ssa_constant){"SIDE", t.side};
    l->constants[2] = (struct ssa_constant){"EACH", t.each};
    l->local[0] = (size_t)(t.side * t.side);
    l->global[0] = tiles * l->local[0];
    l->global[1] = (size_t)heads;
    l->global[2] = (size_t)batch;
}

static uint64_t example_stride(const struct ssa_plan *plan)
{
    return plan->examples > 1 ? plan->stride : 0;
}

/* OPERANDS and SIZES of cl/attention_gpu.h, for either direction's struct. */
#define OPERANDS(a) \
    ARG_TENSOR((a)->q), ARG_TENSOR((a)->k), ARG_TENSOR((a)->v), ARG_TENSOR((a)->plan_data), ARG_TENSOR((a)->lse)
#define SIZES(a) \
    ARG_ULONG(example_stride((a)->plan)), ARG_INT((a)->length), ARG_INT((a)->heads), ARG_INT((a)->kv_heads), \
        ARG_INT((a)->q_stride), ARG_INT((a)->k_stride), ARG_INT((a)->v_stride), ARG_INT((a)->out_stride), \
        ARG_INT((a)->causal), ARG_FLOAT((a)->scale)

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention_fwd *a)
{
    static const char file[] = "attention_fwd_gpu";
    if (!ssa_attention_trusted(device, file, false, a->width, tile_for(device, file, a->plan->block, a->width)))
        return ssa_attention_fwd_plain(device, a);
    struct attention_tile tile = tile_for(device, file, a->plan->block, a->width);
    int block_tiles = (int)divide_up(a->plan->block, tile.rows);
    struct ssa_launch l = {
        .kernel = "attention_fwd_gpu",
        .args = {OPERANDS(a), ARG_TENSOR(a->out), SIZES(a), ARG_INT(a->plan->block), ARG_INT(block_tiles)},
    };
    size_t blocks = divide_up(a->length, a->plan->block);
    set_grid(&l, tile, a->width, blocks * (size_t)block_tiles, a->heads, a->batch);
    return ssa_launch(device, &l);
}

static int query_gradients(struct ssa_device *device, const struct ssa_attention_bwd *a, struct ssa_tensor delta)
{
    struct attention_tile tile = tile_for(device, "attention_bwd_gpu", a->plan->block, a->width);
    int block_tiles = (int)divide_up(a->plan->block, tile.rows);
    struct ssa_launch l = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_queries",
        .args = {OPERANDS(a), ARG_TENSOR(a->dout), ARG_TENSOR(delta), ARG_TENSOR(a->dq), SIZES(a),
                 ARG_INT(a->plan->block), ARG_INT(block_tiles), ARG_INT(a->dq_stride)},
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

/* delta, and the gradients that keys get from their own queries; then what sources get, which is added. */
static int source_gradients(struct ssa_device *device, const struct ssa_attention_bwd *a, struct ssa_tensor delta)
{
    int slices, sources;
    measure_slices(a->plan, &slices, &sources);
    struct attention_tile tile = tile_for(device, "attention_bwd_gpu", sources, a->width);
    int slice_tiles = (int)divide_up(sources, tile.rows);
    struct ssa_launch prepare = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_prepare",
        .args = {OPERANDS(a), ARG_TENSOR(a->out), ARG_TENSOR(a->dout), ARG_TENSOR(delta), ARG_TENSOR(a->dk),
                 ARG_TENSOR(a->dv), SIZES(a), ARG_INT(a->dk_stride), ARG_INT(a->dv_stride)},
    };
    struct ssa_launch each = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_sources",
        .args = {OPERANDS(a), ARG_TENSOR(a->dout), ARG_TENSOR(delta), ARG_TENSOR(a->dk), ARG_TENSOR(a->dv), SIZES(a),
                 ARG_INT(slice_tiles), ARG_INT(a->dk_stride), ARG_INT(a->dv_stride)},
    };
    int err;
    set_grid(&prepare, tile, a->width, 0, a->kv_heads, a->batch);
    prepare.local[0] = 64;
    prepare.global[0] = divide_up(a->length, 8) * 64;
    TRY(ssa_launch(device, &prepare));
    set_grid(&each, tile, a->width, (size_t)slices * (size_t)slice_tiles, a->kv_heads, a->batch);
    if (slices && sources)
        TRY(ssa_launch(device, &each));
done:
    return err;
}

/* The tiles of both gradients: each is a build of its own. */
static bool trusted(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    static const char file[] = "attention_bwd_gpu";
    int slices, sources, w = a->width;
    measure_slices(a->plan, &slices, &sources);
    return ssa_attention_trusted(device, file, true, w, tile_for(device, file, a->plan->block, w)) &&
           (!sources || ssa_attention_trusted(device, file, true, w, tile_for(device, file, sources, w)));
}

int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    struct ssa_tensor delta;
    int err;
    if (!trusted(device, a))
        return ssa_attention_bwd_plain(device, a);
    TRY(ssa_scratch(device, 0, (size_t)a->batch * (size_t)a->heads * (size_t)a->length, &delta));
    TRY(source_gradients(device, a, delta));
    TRY(query_gradients(device, a, delta)); /* after: delta comes from there */
done:
    return err;
}
