#include "attention.h"
#include "launch.h"

#include <string.h>

/* Short blocks take the small tile. Eight rows a work-item do more arithmetic per byte of local memory, where registers
 * hold their sums. Where heads are too wide for that, more work-items share a row, until each has 32 sums, 16 where
 * registers are few, or where a wide head's gradients take those that pairs need; of the widest short blocks take a
 * whole group too. */
struct attention_tile ssa_attention_tile(const struct ssa_device *device, const char *file, int rows, int width,
                                         bool pairs)
{
    static const enum ssa_tuned sides[] = {SSA_TUNED(attention_fwd_gpu, SIDE), SSA_TUNED(attention_bwd_gpu, SIDE)},
        eaches[] = {SSA_TUNED(attention_fwd_gpu, EACH), SSA_TUNED(attention_bwd_gpu, EACH)},
        registers[] = {SSA_TUNED(attention_fwd_gpu, REGISTERS), SSA_TUNED(attention_bwd_gpu, REGISTERS)};
    const bool backward = !strcmp(file, "attention_bwd_gpu"), large = rows > 2 * ATTENTION_SMALL_ROWS;
    const bool device_few = ssa_tuned(device, registers[backward]) < 256;
    const bool few = device_few || (pairs && width > 64 && backward);
    const int side = ssa_tuned(device, sides[backward]), each = large ? ssa_tuned(device, eaches[backward]) : 4;
    const int sums = few ? 16 : 32;
    struct attention_tile t = {.side = large ? side : 8, .each = each, .registers = few && !device_few ? 128 : 0};
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

/* What the kernels are built for. Heads of a width that is no multiple of 8, and values of another width than keys,
 * take a build that has room for the wider of them. */
static int build_width(const struct ssa_attention *a)
{
    const int most = a->width > a->value_width ? a->width : a->value_width;
    return (most + 7) / 8 * 8;
}

static void set_grid(struct ssa_launch *l, struct attention_tile t, const struct ssa_attention *a, size_t tiles,
                     int heads)
{
    l->constants[0] = (struct ssa_constant){"D", build_width(a)};
    ssa_attention_constants(l->constants + 1, a, t);
    l->local[0] = (size_t)(t.side * t.tall);
    l->global[0] = tiles * l->local[0];
    l->global[1] = (size_t)heads;
    l->global[2] = (size_t)a->batch;
}

/* Whether 32 bits count the elements of a head, as AT() in cl/attention_gpu.h does. */
static bool countable(int positions, struct ssa_strides s)
{
    return s.position <= UINT32_MAX / (size_t)positions;
}

bool ssa_attention_countable_pairs(const struct ssa_attention *a, struct ssa_pairs p)
{
    const size_t last = ssa_plus(ssa_times((size_t)a->queries - 1, p.query), ssa_times((size_t)a->keys - 1, p.key));
    return !ssa_present(p.tensor) || last <= UINT32_MAX;
}

static bool countable_inputs(const struct ssa_attention *a)
{
    return countable(a->queries, a->q_strides) && countable(a->keys, a->k_strides) && countable(a->keys, a->v_strides) &&
           ssa_attention_countable_pairs(a, a->bias) && ssa_attention_countable_pairs(a, a->gate);
}

#define OPERANDS(a) \
    ARG_TENSOR((a)->q), ARG_TENSOR((a)->k), ARG_TENSOR((a)->v), ARG_TENSOR((a)->plan_data), ARG_TENSOR((a)->lse), \
        ATTENTION_SIZES(a), ARG_INT((a)->kv_heads), ATTENTION_STRIDES((a)->q_strides), \
        ATTENTION_STRIDES((a)->k_strides), ATTENTION_STRIDES((a)->v_strides), ATTENTION_PAIRS(a)

static struct attention_tile tile_for(const struct ssa_device *device, const char *file, int rows,
                                      const struct ssa_attention *a)
{
    return ssa_attention_tile(device, file, rows, build_width(a), ssa_attention_has_pairs(a));
}

static size_t query_blocks(const struct ssa_attention *a)
{
    return ssa_divide_up((size_t)ssa_attention_first(a) + (size_t)a->queries + (size_t)a->plan->lack,
                         (size_t)a->plan->block);
}

static bool trusted_forward(struct ssa_device *device, const struct ssa_attention *a)
{
    static const char file[] = "attention_fwd_gpu";
    return countable_inputs(a) && countable(a->queries, a->out_strides) &&
           ssa_attention_trusted(device, file, false, a, build_width(a), tile_for(device, file, a->plan->block, a));
}

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention *a)
{
    if (!trusted_forward(device, a))
        return ssa_attention_fwd_plain(device, a);
    struct attention_tile tile = tile_for(device, "attention_fwd_gpu", a->plan->block, a); /* after the self-test */
    int block_tiles = (int)ssa_divide_up((size_t)a->plan->block, (size_t)tile.rows);
    struct ssa_launch l = {
        .kernel = "attention_fwd_gpu",
        .args = {OPERANDS(a), ARG_TENSOR(a->out), ATTENTION_STRIDES(a->out_strides), ARG_TENSOR(a->gate_sum),
                 ARG_INT(a->plan->block), ARG_INT(block_tiles)},
    };
    set_grid(&l, tile, a, query_blocks(a) * (size_t)block_tiles, a->heads);
    return ssa_launch(device, &l);
}

static int query_gradients(struct ssa_device *device, const struct ssa_attention_bwd *b, struct ssa_tensor delta)
{
    const struct ssa_attention *a = &b->attention;
    struct attention_tile tile = tile_for(device, "attention_bwd_gpu", a->plan->block, a);
    int block_tiles = (int)ssa_divide_up((size_t)a->plan->block, (size_t)tile.rows);
    struct ssa_launch l = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_queries",
        .args = {OPERANDS(a), ARG_TENSOR(b->dout), ATTENTION_STRIDES(b->dout_strides), ARG_TENSOR(delta),
                 ARG_TENSOR(b->dq), ATTENTION_STRIDES(b->dq_strides), ARG_INT(a->plan->block), ARG_INT(block_tiles)},
    };
    set_grid(&l, tile, a, query_blocks(a) * (size_t)block_tiles, a->heads);
    return ssa_launch(device, &l);
}

/* delta, and the gradients that keys get from their own queries. */
static int own_gradients(struct ssa_device *device, const struct ssa_attention_bwd *b, struct ssa_tensor delta)
{
    const struct ssa_attention *a = &b->attention;
    const int positions = a->keys > a->queries ? a->keys : a->queries, width = build_width(a);
    struct ssa_launch l = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_prepare",
        .args = {OPERANDS(a), ARG_TENSOR(a->out), ATTENTION_STRIDES(a->out_strides), ARG_TENSOR(b->dout),
                 ATTENTION_STRIDES(b->dout_strides), ARG_TENSOR(delta), ARG_TENSOR(b->dk),
                 ATTENTION_STRIDES(b->dk_strides), ARG_TENSOR(b->dv), ATTENTION_STRIDES(b->dv_strides),
                 ARG_INT(a->keys)},
    };
    set_grid(&l, tile_for(device, "attention_bwd_gpu", a->plan->max_slice, a), a, 0, a->kv_heads);
    l.local[0] = PREPARE_ITEMS;
    l.global[0] = ssa_divide_up((size_t)positions, (size_t)(PREPARE_ITEMS / PREPARE_LANES(width))) * PREPARE_ITEMS;
    return ssa_launch(device, &l);
}

/* What sources get from one run of the query blocks that see them, which is added. */
static int source_gradients(struct ssa_device *device, const struct ssa_attention_bwd *b, struct ssa_tensor delta,
                            int turn)
{
    const struct ssa_attention *a = &b->attention;
    const int slices = a->plan->slices, sources = a->plan->max_slice;
    struct attention_tile tile = tile_for(device, "attention_bwd_gpu", sources, a);
    const int slice_tiles = (int)ssa_divide_up((size_t)sources, (size_t)tile.rows);
    const bool few = tile.registers || ssa_tuned(device, SSA_TUNED(attention_bwd_gpu, REGISTERS)) < 256;
    const int parts = few ? 2 : 1; /* dk, dv: SUMS there */
    struct ssa_launch l = {
        .file = "attention_bwd_gpu",
        .kernel = "attention_bwd_sources",
        .args = {OPERANDS(a), ARG_TENSOR(b->dout), ATTENTION_STRIDES(b->dout_strides), ARG_TENSOR(delta),
                 ARG_TENSOR(b->dk), ATTENTION_STRIDES(b->dk_strides), ARG_TENSOR(b->dv),
                 ATTENTION_STRIDES(b->dv_strides), ARG_INT(slice_tiles), ARG_INT(turn)},
    };
    set_grid(&l, tile, a, (size_t)slices * (size_t)slice_tiles, a->kv_heads * parts);
    return slices && sources ? ssa_launch(device, &l) : SSA_OK;
}

/* The tiles of both gradients: each is a build of its own. */
static bool trusted_backward(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    static const char file[] = "attention_bwd_gpu";
    const struct ssa_attention *a = &b->attention;
    const int w = build_width(a), sources = a->plan->max_slice;
    return countable_inputs(a) && countable(a->queries, b->dout_strides) && countable(a->queries, b->dq_strides) &&
           countable(a->keys, b->dk_strides) && countable(a->keys, b->dv_strides) &&
           ssa_attention_trusted(device, file, true, a, w, tile_for(device, file, a->plan->block, a)) &&
           (!sources || ssa_attention_trusted(device, file, true, a, w, tile_for(device, file, sources, a)));
}

int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    const struct ssa_attention *a = &b->attention;
    struct ssa_tensor delta;
    int err;
    if (!trusted_backward(device, b))
        return ssa_attention_bwd_plain(device, b);
    TRY(ssa_scratch(device, 0, (size_t)a->batch * (size_t)a->heads * (size_t)a->queries, &delta));
    TRY(own_gradients(device, b, delta));
    for (int turn = 0; turn < a->plan->runs; turn++)
        TRY(source_gradients(device, b, delta, turn));
    TRY(query_gradients(device, b, delta)); /* after: delta comes from there */
done:
    return err;
}
