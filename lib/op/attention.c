#include "attention.h"
#include "plan.h"

#include <math.h>

/* The fields that forward and backward share have the same names, so that one macro serves both. */
#define SET_DEFAULTS(a) \
    do { \
        (a)->kv_heads = (a)->kv_heads ? (a)->kv_heads : (a)->heads; \
        (a)->q_stride = (a)->q_stride ? (a)->q_stride : (a)->heads * (a)->width; \
        (a)->k_stride = (a)->k_stride ? (a)->k_stride : (a)->kv_heads * (a)->width; \
        (a)->v_stride = (a)->v_stride ? (a)->v_stride : (a)->kv_heads * (a)->width; \
        (a)->out_stride = (a)->out_stride ? (a)->out_stride : (a)->heads * (a)->width; \
        (a)->scale = (a)->scale != 0.0f ? (a)->scale : 1.0f / sqrtf((float)(a)->width); \
    } while (0)

static struct ssa_attention_fwd forward_defaults(const struct ssa_attention_fwd *given)
{
    struct ssa_attention_fwd a = *given;
    SET_DEFAULTS(&a);
    return a;
}

static struct ssa_attention_bwd backward_defaults(const struct ssa_attention_bwd *given)
{
    struct ssa_attention_bwd a = *given;
    SET_DEFAULTS(&a);
    a.dq_stride = a.dq_stride ? a.dq_stride : a.q_stride;
    a.dk_stride = a.dk_stride ? a.dk_stride : a.k_stride;
    a.dv_stride = a.dv_stride ? a.dv_stride : a.v_stride;
    return a;
}

static int check_sizes(const char *op, int batch, int length, int heads, int kv_heads, int width, float scale)
{
    int err;
    TRY(ssa_check_positive(op, "batch", batch));
    TRY(ssa_check_positive(op, "length", length));
    TRY(ssa_check_positive(op, "heads", heads));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(width % 8 == 0 && width <= 256, "%s: width is %d, must be a multiple of 8 up to 256", op, width);
    REQUIRE(kv_heads > 0 && heads % kv_heads == 0,
            "%s: kv_heads is %d, must divide heads, %d (0 means as many as heads)", op, kv_heads, heads);
    REQUIRE((long long)heads * width <= INT32_MAX, "%s: heads * width is past 2^31", op);
    REQUIRE(isfinite(scale), "%s: scale is %g, must be a number (0 means 1/sqrt(width))", op, (double)scale);
done:
    return err;
}

/* Some three to six times what a work-item of the GPU shape loops, over the keys or, for their gradients, the queries
 * of a head, or of as many as share it. */
static int check_loops(const struct ssa_device *device, const char *op, int length, int width, int sharing)
{
    return ssa_check_loops(device, op, (size_t)length * (size_t)(width / 8 + 8) * (size_t)sharing);
}

static int check_plan(const char *op, const struct ssa_plan *plan, int batch, int length)
{
    int err;
    REQUIRE(plan && plan->data, "%s: plan is absent or not drawn (ssa_plan_draw)", op);
    REQUIRE(plan->length == length, "%s: plan is for length %d, not %d", op, plan->length, length);
    REQUIRE(plan->examples == 1 || plan->examples == batch,
            "%s: plan holds %d examples, must be 1 or the batch, %d", op, plan->examples, batch);
    err = SSA_OK;
done:
    return err;
}

/* What both directions are given, but for the operands. */
static int check_shared(struct ssa_device *device, const char *op, const struct ssa_attention_fwd *a)
{
    int err;
    TRY(ssa_check_reserved(op, a->reserved, 4));
    TRY(check_sizes(op, a->batch, a->length, a->heads, a->kv_heads ? a->kv_heads : a->heads, a->width, a->scale));
    TRY(check_plan(op, a->plan, a->batch, a->length));
    TRY(check_loops(device, op, a->length, a->width, 1));
done:
    return err;
}

/* Operands [batch * length, heads * width], rows a stride apart. */
#define ROWS(field, use, heads, step) \
    {#field, a.field, rows, (size_t)(heads) * (size_t)a.width, a.step##_stride > 0 ? (size_t)a.step##_stride : 1, use}
#define PLAN_DATA(p) {"plan_data", a.plan_data, 1, (p)->stride * (size_t)(p)->examples, 0, SSA_READ}

int ssa_attention_fwd_check(struct ssa_device *device, const struct ssa_attention_fwd *given)
{
    static const char op[] = "attention_fwd";
    struct ssa_attention_fwd a = *given;
    int err;
    TRY(check_shared(device, op, given));
    a = forward_defaults(given);
    size_t rows = ssa_times((size_t)a.batch, (size_t)a.length);
    TRY(ssa_check_operands(device, op, (const struct ssa_operand[]){
        PLAN_DATA(a.plan),
        ROWS(q, SSA_READ, a.heads, q),
        ROWS(k, SSA_READ, a.kv_heads, k),
        ROWS(v, SSA_READ, a.kv_heads, v),
        ROWS(out, ssa_output(true), a.heads, out),
        {"lse", a.lse, rows, (size_t)a.heads, (size_t)a.heads, SSA_WRITE},
        {0}}));
    TRY(ssa_check_plan_data(device, op, a.plan, a.plan_data));
done:
    return err;
}

int ssa_attention_bwd_check(struct ssa_device *device, const struct ssa_attention_bwd *given)
{
    static const char op[] = "attention_bwd";
    struct ssa_attention_bwd a = *given;
    int err;
    TRY(ssa_check_reserved(op, a.reserved, 4));
    TRY(check_shared(device, op, &(struct ssa_attention_fwd){.plan = a.plan, .batch = a.batch, .length = a.length,
        .heads = a.heads, .kv_heads = a.kv_heads, .width = a.width, .scale = a.scale}));
    a = backward_defaults(&a);
    TRY(check_loops(device, op, a.length, a.width, a.heads / a.kv_heads));
    size_t rows = ssa_times((size_t)a.batch, (size_t)a.length);
    TRY(ssa_check_operands(device, op, (const struct ssa_operand[]){
        PLAN_DATA(a.plan),
        ROWS(q, SSA_READ, a.heads, q),
        ROWS(k, SSA_READ, a.kv_heads, k),
        ROWS(v, SSA_READ, a.kv_heads, v),
        ROWS(out, SSA_READ, a.heads, out),
        {"lse", a.lse, rows, (size_t)a.heads, (size_t)a.heads, SSA_READ},
        ROWS(dout, SSA_READ, a.heads, out),
        ROWS(dq, ssa_output(true), a.heads, dq),
        ROWS(dk, ssa_output(true), a.kv_heads, dk),
        ROWS(dv, ssa_output(true), a.kv_heads, dv),
        {0}}));
    TRY(ssa_check_plan_data(device, op, a.plan, a.plan_data));
done:
    return err;
}

/* Tiles of the example that has the most; see tile_of() in cl/attention_tile.h. */
static int count_tiles(const struct ssa_plan *plan, int tile)
{
    int most = 0;
    for (int e = 0; e < plan->examples; e++) {
        const int32_t *data = plan->data + plan->stride * (size_t)e;
        int tiles = data[PLAN_BLOCKS] * ((data[PLAN_BLOCK] + tile - 1) / tile);
        most = tiles > most ? tiles : most;
    }
    return most;
}

static size_t plan_stride(const struct ssa_plan *plan)
{
    return plan->examples > 1 ? plan->stride : 0;
}

/* Builds for the width are several times faster, and right only if the device's compiler is. */
static struct ssa_constant specialised(struct ssa_device *device, const char *file, bool backward, int width)
{
    struct ssa_constant none = {0}, for_width = {"D", width};
    return ssa_attention_trusted(device, file, backward, width, (struct attention_tile){0}) ? for_width : none;
}

/* Work-items of a head in forward: tiles of one item bring each other's rows into the cache, but items must be many
 * enough to share out evenly. */
static int forward_items(const struct ssa_device *device, const struct ssa_attention_fwd *a, int tiles)
{
    long long all = (long long)tiles * a->batch * a->heads, wanted = 16LL * device->info.units;
    int span = all < 2 * wanted ? 1 : all > 8 * wanted ? 8 : (int)(all / wanted);
    return (tiles + span - 1) / span;
}

int ssa_attention_fwd_run(struct ssa_device *device, const struct ssa_attention_fwd *given)
{
    struct ssa_attention_fwd a = forward_defaults(given);
    if (device->info.gpu_shape)
        return ssa_attention_fwd_gpu(device, &a);
    int tiles = count_tiles(a.plan, ssa_tuned(device, "attention_fwd", "TILE"));
    int items = forward_items(device, &a, tiles);
    struct ssa_launch l = {
        .kernel = "attention_fwd",
        .constants = {specialised(device, "attention_fwd", false, a.width)},
        .args = {ARG_TENSOR(a.q), ARG_TENSOR(a.k), ARG_TENSOR(a.v), ARG_TENSOR(a.out), ARG_TENSOR(a.lse),
                 ARG_TENSOR(a.plan_data), ARG_ULONG(plan_stride(a.plan)), ARG_INT(a.length), ARG_INT(a.heads),
                 ARG_INT(a.heads / a.kv_heads), ARG_INT(a.width), ARG_INT(a.q_stride), ARG_INT(a.k_stride),
                 ARG_INT(a.v_stride), ARG_INT(a.out_stride), ARG_INT(a.causal != 0), ARG_FLOAT(a.scale),
                 ARG_INT(tiles), ARG_INT(items)},
        .global = {(size_t)items, (size_t)a.batch * (size_t)a.heads},
        .local = {1, 1, 1},
    };
    return ssa_launch(device, &l);
}

static int clear_keys(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    struct ssa_launch l = {
        .file = "attention_bwd",
        .kernel = "attention_clear",
        .constants = {specialised(device, "attention_bwd", true, a->width)},
        .args = {ARG_TENSOR(a->dk), ARG_TENSOR(a->dv), ARG_INT(a->kv_heads * a->width), ARG_INT(a->dk_stride),
                 ARG_INT(a->dv_stride)},
        .global = {(size_t)a->batch * (size_t)a->length},
    };
    return ssa_launch(device, &l);
}

/* Whether the main launch clears dk and dv by itself, see cl/attention_bwd.cl. */
static int clears_as_it_goes(const struct ssa_attention_bwd *a, int parts)
{
    return a->causal && parts == 1;
}

/* One launch per phase, see cl/attention_bwd.cl; `own` where it adds the own keys. */
static int backward_phase(struct ssa_device *device, const struct ssa_attention_bwd *a, int parts, int phase, int own)
{
    struct ssa_launch l = {
        .kernel = "attention_bwd",
        .constants = {specialised(device, "attention_bwd", true, a->width)},
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->dout), ARG_TENSOR(a->dq), ARG_TENSOR(a->dk), ARG_TENSOR(a->dv),
                 ARG_TENSOR(a->plan_data), ARG_ULONG(plan_stride(a->plan)), ARG_INT(a->length), ARG_INT(a->heads),
                 ARG_INT(a->heads / a->kv_heads), ARG_INT(a->width), ARG_INT(a->q_stride), ARG_INT(a->k_stride),
                 ARG_INT(a->v_stride), ARG_INT(a->out_stride), ARG_INT(a->dq_stride), ARG_INT(a->dk_stride),
                 ARG_INT(a->dv_stride), ARG_INT(a->causal != 0), ARG_FLOAT(a->scale), ARG_INT(parts), ARG_INT(phase),
                 ARG_INT(own), ARG_INT(clears_as_it_goes(a, parts))},
        .global = {(size_t)parts, (size_t)a->batch * (size_t)a->kv_heads},
        .local = {1, 1, 1},
    };
    return ssa_launch(device, &l);
}

/* Into how many ranges a head's tiles and sources are cut: one where there are heads enough to keep the units busy,
 * for every further range costs a launch and packs its tiles once more. */
static int choose_parts(const struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    long long units = device->info.units, items = (long long)a->batch * a->kv_heads;
    long long most = ssa_tuned(device, "attention_bwd", "PARTS") * units;
    int tiles = count_tiles(a->plan, ssa_tuned(device, "attention_bwd", "TILE"));
    if (items >= most || items % units == 0)
        return 1;
    long long parts = (most + items - 1) / items;
    return parts < tiles ? (int)parts : tiles;
}

int ssa_attention_bwd_run(struct ssa_device *device, const struct ssa_attention_bwd *given)
{
    struct ssa_attention_bwd a = backward_defaults(given);
    int err;
    if (device->info.gpu_shape)
        return ssa_attention_bwd_gpu(device, &a);
    int parts = choose_parts(device, &a);
    if (!clears_as_it_goes(&a, parts))
        TRY(clear_keys(device, &a));
    for (int phase = 0; phase < parts; phase++)
        TRY(backward_phase(device, &a, parts, phase, parts == 1));
    if (parts > 1)
        TRY(backward_phase(device, &a, parts, -1, 1));
done:
    return err;
}
