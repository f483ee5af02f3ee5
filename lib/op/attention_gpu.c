#include "attention.h"
#include "plan.h"

static size_t divide_up(int a, int b)
{
    return ((size_t)a + (size_t)b - 1) / (size_t)b;
}

/* Short blocks take the small tile. Eight rows a work-item do more arithmetic per byte of local memory, where registers
 * hold their sums. Where heads are too wide for that, more work-items share a row, until each has 32 sums, 16 where
 * registers are few; of the widest short blocks take a whole group too. */
struct attention_tile ssa_attention_tile(const struct ssa_device *device, const char *file, int rows, int width)
{
    const bool few = ssa_tuned(device, file, "REGISTERS") < 256, large = rows > 2 * ATTENTION_SMALL_ROWS;
    const int side = ssa_tuned(device, file, "SIDE"), each = large ? ssa_tuned(device, file, "EACH") : 4;
    const int sums = few ? 16 : 32;
    struct attention_tile t = {.side = large ? side : 8, .each = each};
    int items = t.side * t.side;
    if (width > 4 * sums)
        items = side * side;
    while (t.side < 64 && 4 * width > sums * t.side && 8 * t.side <= items)
        t.side *= 2;
    t.tall = items / t.side;
    t.each = each ? each : width <= 4 * t.side && !few ? 8 : 4;
    t.rows = t.tall * t.each;
    return t;
}

static void set_grid(struct ssa_launch *l, struct attention_tile t, int width, size_t tiles, int heads, int batch)
{
    l->constants[0] = (struct ssa_constant){"D", width};
    l->constants[1] = (struct ssa_constant){"SIDE", t.side};
    l->constants[2] = (struct ssa_constant){"EACH", t.each};
    if (t.tall != t.side)
        l->constants[3] = (struct ssa_constant){"TALL", t.tall};
    l->local[0] = (size_t)(t.side * t.tall);
    l->global[0] = tiles * l->local[0];
    l->global[1] = (size_t)heads;
    l->global[2] = (size_t)batch;
}

/* Whether 32 bits count the elements of an example, as AT() in cl/attention_gpu.h does. */
static bool countable(int length, int stride)
{
    return (uint64_t)length * (uint64_t)stride <= UINT32_MAX;
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
        ARG_INT((a)->width), ARG_INT((a)->causal), ARG_FLOAT((a)->scale)

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention_fwd *a)
{
    static const char file[] = "attention_fwd_gpu";
    struct attention_tile tile = ssa_attention_tile(device, file, a->plan->block, a->width);
    if (!countable(a->length, a->q_stride) || !countable(a->length, a->k_stride) ||
        !countable(a->length, a->v_stride) || !countable(a->length, a->out_stride) ||
        !ssa_attention_trusted(device, file, false, a->width, tile))
        return ssa_attention_fwd_plain(device, a);
    tile = ssa_attention_tile(device, file, a->plan->block, a->width); /* the self-test may have left a smaller one */
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
    struct attention_tile tile = ssa_attention_tile(device, "attention_bwd_gpu", a->plan->block, a->width);
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
    struct attention_tile tile = ssa_attention_tile(device, "attention_bwd_gpu", sources, a->width);
    const int slice_tiles = (int)divide_up(sources, tile.rows);
    const int parts = ssa_tuned(device, "attention_bwd_gpu", "REGISTERS") < 256 ? 2 : 1; /* dk, dv: SUMS there */
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
    prepare.global[0] = divide_up(a->length, a->width <= 64 ? 8 : a->width <= 128 ? 4 : 2) * 64;
    TRY(ssa_launch(device, &prepare));
    set_grid(&each, tile, a->width, (size_t)slices * (size_t)slice_tiles, a->kv_heads * parts, a->batch);
    if (slices && sources)
        TRY(ssa_launch(device, &each));
done:
    return err;
}

/* The tiles of both gradients: each is a build of its own. */
static bool trusted(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    static const char file[] = "attention_bwd_gpu";
    const int strides[] = {a->q_stride, a->k_stride, a->v_stride, a->out_stride, a->dq_stride, a->dk_stride,
                           a->dv_stride};
    int slices, sources, w = a->width;
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++)
        if (!countable(a->length, strides[i]))
            return false;
    measure_slices(a->plan, &slices, &sources);
    return ssa_attention_trusted(device, file, true, w, ssa_attention_tile(device, file, a->plan->block, w)) &&
           (!sources || ssa_attention_trusted(device, file, true, w, ssa_attention_tile(device, file, sources, w)));
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
