#include "attention.h"
#include "launch.h"

#include <math.h>

static void set_strides(struct ssa_strides *s, int positions, int heads, int width)
{
    s->head = s->head ? s->head : (size_t)width;
    s->position = s->position ? s->position : ssa_times((size_t)heads, (size_t)width);
    if (!s->batch) {
        const size_t by_position = ssa_times((size_t)positions, s->position), by_head = ssa_times((size_t)heads, s->head);
        s->batch = by_position > by_head ? by_position : by_head;
    }
}

static bool none(struct ssa_strides s)
{
    return !s.batch && !s.position && !s.head;
}

/* No repeat is one as long as the batch. */
static void set_repeat(struct ssa_pairs *p, int batch)
{
    p->repeat = p->repeat && p->repeat < batch ? p->repeat : batch;
}

static struct ssa_attention with_defaults(const struct ssa_attention *given)
{
    struct ssa_attention a = *given;
    a.queries = a.queries ? a.queries : a.keys;
    a.kv_heads = a.kv_heads ? a.kv_heads : a.heads;
    a.value_width = a.value_width ? a.value_width : a.width;
    a.causal = a.causal != 0;
    a.scale = a.scale != 0.0f ? a.scale : 1.0f / sqrtf((float)a.width);
    set_strides(&a.q_strides, a.queries, a.heads, a.width);
    set_strides(&a.k_strides, a.keys, a.kv_heads, a.width);
    set_strides(&a.v_strides, a.keys, a.kv_heads, a.value_width);
    set_strides(&a.out_strides, a.queries, a.heads, a.value_width);
    set_repeat(&a.bias, a.batch);
    set_repeat(&a.gate, a.batch);
    return a;
}

static struct ssa_attention_bwd backward_defaults(const struct ssa_attention_bwd *given)
{
    struct ssa_attention_bwd b = *given;
    const struct ssa_attention a = with_defaults(&given->attention);
    b.attention = a;
    b.dout_strides = none(b.dout_strides) ? a.out_strides : b.dout_strides;
    b.dq_strides = none(b.dq_strides) ? a.q_strides : b.dq_strides;
    b.dk_strides = none(b.dk_strides) ? a.k_strides : b.dk_strides;
    b.dv_strides = none(b.dv_strides) ? a.v_strides : b.dv_strides;
    set_strides(&b.dout_strides, a.queries, a.heads, a.value_width);
    set_strides(&b.dq_strides, a.queries, a.heads, a.width);
    set_strides(&b.dk_strides, a.keys, a.kv_heads, a.width);
    set_strides(&b.dv_strides, a.keys, a.kv_heads, a.value_width);
    set_repeat(&b.dbias, a.batch);
    set_repeat(&b.dgate, a.batch);
    return b;
}

/* ---- checks ---- */

static int check_width(const char *op, const char *name, int width)
{
    int err;
    TRY(ssa_check_positive(op, name, width));
    REQUIRE(width % 4 == 0 && width <= 256, "%s: %s is %d, must be a multiple of 4 up to 256", op, name, width);
done:
    return err;
}

static int check_sizes(const char *op, const struct ssa_attention *a)
{
    int err;
    TRY(ssa_check_positive(op, "batch", a->batch));
    TRY(ssa_check_positive(op, "keys", a->keys));
    TRY(ssa_check_positive(op, "queries", a->queries));
    TRY(ssa_check_positive(op, "heads", a->heads));
    TRY(check_width(op, "width", a->width));
    TRY(check_width(op, "value_width", a->value_width));
    REQUIRE(a->kv_heads > 0 && a->heads % a->kv_heads == 0,
            "%s: kv_heads is %d, must divide heads, %d (0 means as many as heads)", op, a->kv_heads, a->heads);
    REQUIRE((long long)a->heads * (a->width > a->value_width ? a->width : a->value_width) <= INT32_MAX,
            "%s: heads * width is past 2^31", op);
    REQUIRE(a->queries <= a->keys || !a->causal,
            "%s: queries is %d, keys %d: where causal, the last query stands at the last key, so that there must not be "
            "more of them", op, a->queries, a->keys);
    REQUIRE(isfinite(a->scale), "%s: scale is %g, must be a number (0 means 1/sqrt(width))", op, (double)a->scale);
    REQUIRE(isfinite(a->clip) && a->clip >= 0, "%s: clip is %g, must be positive (0 means none)", op, (double)a->clip);
done:
    return err;
}

static int check_dropout(const char *op, const struct ssa_attention *a)
{
    int err = SSA_OK;
    if (a->dropout == 0 && a->drop_keys == 0)
        return SSA_OK;
    REQUIRE(a->dropout >= 0 && a->dropout < 1, "%s: dropout is %g, must be in [0, 1)", op, (double)a->dropout);
    REQUIRE(a->drop_keys >= 0 && a->drop_keys < 1, "%s: drop_keys is %g, must be in [0, 1)", op, (double)a->drop_keys);
    REQUIRE(a->dropout == 0 || a->drop_keys == 0,
            "%s: dropout is %g and drop_keys %g, which draw the same numbers: one of them must be 0", op,
            (double)a->dropout, (double)a->drop_keys);
    REQUIRE(!(a->stream >> 63), "%s: stream must be below 2^63", op);
    REQUIRE(((uint64_t)a->first_example + (uint64_t)a->batch) * (uint64_t)a->heads <= (uint64_t)1 << 22,
            "%s: first_example + batch is %llu, times heads, %d, past 2^22, which the counter of dropout has no room for",
            op, (unsigned long long)a->first_example + (unsigned long long)a->batch, a->heads);
done:
    return err;
}

/* Some three to six times what a work-item of the GPU shape loops, over the keys or, for their gradients, the queries
 * of a head, or of as many as share it. */
static int check_loops(const struct ssa_device *device, const char *op, const struct ssa_attention *a, int sharing)
{
    const int length = a->keys > a->queries ? a->keys : a->queries;
    const int width = a->width > a->value_width ? a->width : a->value_width;
    return ssa_check_loops(device, op, (size_t)length * (size_t)(width / 8 + 8) * (size_t)sharing);
}

static int check_plan(const char *op, const struct ssa_attention *a)
{
    const struct ssa_plan *plan = a->plan;
    int err;
    REQUIRE(plan && plan->data, "%s: plan is absent or not drawn (ssa_plan_draw)", op);
    REQUIRE(plan->length == a->keys, "%s: plan is for length %d, not %d keys", op, plan->length, a->keys);
    REQUIRE(plan->queries == a->queries, "%s: plan is for %d queries, not %d", op, plan->queries, a->queries);
    REQUIRE(plan->examples == 1 || plan->examples == a->batch,
            "%s: plan holds %d examples, must be 1 or the batch, %d", op, plan->examples, a->batch);
    err = SSA_OK;
done:
    return err;
}

static int check_repeat(const char *op, const char *name, const struct ssa_pairs *p)
{
    return p->repeat > 0 ? SSA_OK
                         : ssa_fail(SSA_EINVAL, "%s: %s: repeat is %d, must not be negative", op, name, p->repeat);
}

static int check_shared(struct ssa_device *device, const char *op, const struct ssa_attention *a)
{
    int err;
    TRY(check_sizes(op, a));
    TRY(check_dropout(op, a));
    TRY(check_plan(op, a));
    TRY(check_loops(device, op, a, 1));
    TRY(check_repeat(op, "bias", &a->bias));
    TRY(check_repeat(op, "gate", &a->gate));
    REQUIRE(!ssa_present(a->gate_sum) || ssa_present(a->gate.tensor), "%s: gate_sum is of gate, which is absent", op);
done:
    return err;
}

/* Operands [batch, positions, heads, width]. */
static struct ssa_operand heads_operand(const char *name, struct ssa_tensor t, const struct ssa_attention *a,
                                        struct ssa_strides s, bool of_keys, int width, int use)
{
    struct ssa_operand o = {.name = name, .tensor = t, .use = use};
    ssa_set_dimensions(&o, (const struct ssa_dimension[]){
        {(size_t)width, 1}, {(size_t)(of_keys ? a->kv_heads : a->heads), s.head},
        {(size_t)(of_keys ? a->keys : a->queries), s.position}, {(size_t)a->batch, s.batch}}, 4);
    return o;
}

/* [batch, heads, queries, keys], of which those of stride 0 are one. */
static struct ssa_operand pairs_operand(const char *name, const struct ssa_pairs *p, const struct ssa_attention *a,
                                        int use)
{
    struct ssa_operand o = {.name = name, .tensor = p->tensor, .use = use | SSA_OPTIONAL};
    ssa_set_dimensions(&o, (const struct ssa_dimension[]){{(size_t)a->keys, p->key}, {(size_t)a->queries, p->query},
        {(size_t)a->heads, p->head}, {(size_t)(p->repeat ? p->repeat : a->batch), p->batch}}, 4);
    return o;
}

static struct ssa_operand rows_operand(const char *name, struct ssa_tensor t, const struct ssa_attention *a, int use)
{
    const size_t rows = ssa_times(ssa_times((size_t)a->batch, (size_t)a->heads), (size_t)a->queries);
    return (struct ssa_operand){name, t, 1, rows, 0, use};
}

/* Scores are one value each: two of them in one place would say nothing. */
static int check_scores(const char *op, const struct ssa_pairs *scores, const struct ssa_attention *a)
{
    const struct {
        const char *name;
        size_t stride;
        int count;
    } of[] = {{"batch", scores->batch, a->batch}, {"head", scores->head, a->heads},
              {"query", scores->query, a->queries}, {"key", scores->key, a->keys}};
    int err = SSA_OK;
    REQUIRE(!scores->repeat, "%s: scores: repeat is %d, and every score has a place of its own", op, scores->repeat);
    for (size_t i = 0; ssa_present(scores->tensor) && i < sizeof of / sizeof *of; i++)
        REQUIRE(of[i].stride || of[i].count == 1,
                "%s: scores: the stride of %s is 0, and every score has a place of its own", op, of[i].name);
done:
    return err;
}

int ssa_attention_fwd_check(struct ssa_device *device, const struct ssa_attention_fwd *given)
{
    static const char op[] = "attention_fwd";
    const struct ssa_attention all = with_defaults(&given->attention), *a = &all;
    int err;
    TRY(check_shared(device, op, a));
    TRY(check_scores(op, &a->scores, a));
    TRY(ssa_check_operands(device, op, (const struct ssa_operand[]){
        {"plan_data", a->plan_data, 1, a->plan->stride * (size_t)a->plan->examples, 0, SSA_READ | SSA_INTS},
        heads_operand("q", a->q, a, a->q_strides, false, a->width, SSA_READ),
        heads_operand("k", a->k, a, a->k_strides, true, a->width, SSA_READ),
        heads_operand("v", a->v, a, a->v_strides, true, a->value_width, SSA_READ),
        heads_operand("out", a->out, a, a->out_strides, false, a->value_width, ssa_output(true)),
        rows_operand("lse", a->lse, a, SSA_WRITE),
        pairs_operand("bias", &a->bias, a, SSA_READ),
        pairs_operand("gate", &a->gate, a, SSA_READ),
        pairs_operand("scores", &a->scores, a, SSA_WRITE),
        rows_operand("gate_sum", a->gate_sum, a, SSA_WRITE | SSA_OPTIONAL),
        {0}}));
    TRY(ssa_check_plan_data(device, op, a->plan, a->plan_data));
done:
    return err;
}

int ssa_attention_bwd_check(struct ssa_device *device, const struct ssa_attention_bwd *given)
{
    static const char op[] = "attention_bwd";
    const struct ssa_attention_bwd b = backward_defaults(given);
    const struct ssa_attention *a = &b.attention;
    int err;
    TRY(check_shared(device, op, a));
    TRY(check_loops(device, op, a, a->heads / a->kv_heads));
    TRY(check_repeat(op, "dbias", &b.dbias));
    TRY(check_repeat(op, "dgate", &b.dgate));
    REQUIRE(!b.dscores.repeat, "%s: dscores: repeat is %d, and every score has a place of its own", op,
            b.dscores.repeat);
    REQUIRE(!ssa_present(b.dbias.tensor) || ssa_present(a->bias.tensor), "%s: dbias is of bias, which is absent", op);
    REQUIRE(!ssa_present(b.dgate.tensor) || ssa_present(a->gate.tensor), "%s: dgate is of gate, which is absent", op);
    REQUIRE(!ssa_present(b.dgate_sum) || ssa_present(b.dgate.tensor), "%s: dgate_sum goes to dgate, which is absent", op);
    TRY(ssa_check_operands(device, op, (const struct ssa_operand[]){
        {"plan_data", a->plan_data, 1, a->plan->stride * (size_t)a->plan->examples, 0, SSA_READ | SSA_INTS},
        heads_operand("q", a->q, a, a->q_strides, false, a->width, SSA_READ),
        heads_operand("k", a->k, a, a->k_strides, true, a->width, SSA_READ),
        heads_operand("v", a->v, a, a->v_strides, true, a->value_width, SSA_READ),
        heads_operand("out", a->out, a, a->out_strides, false, a->value_width, SSA_READ),
        rows_operand("lse", a->lse, a, SSA_READ),
        heads_operand("dout", b.dout, a, b.dout_strides, false, a->value_width, SSA_READ),
        heads_operand("dq", b.dq, a, b.dq_strides, false, a->width, ssa_output(true)),
        heads_operand("dk", b.dk, a, b.dk_strides, true, a->width, ssa_output(true)),
        heads_operand("dv", b.dv, a, b.dv_strides, true, a->value_width, ssa_output(true)),
        pairs_operand("bias", &a->bias, a, SSA_READ),
        pairs_operand("gate", &a->gate, a, SSA_READ),
        rows_operand("dgate_sum", b.dgate_sum, a, SSA_READ | SSA_OPTIONAL),
        pairs_operand("dscores", &b.dscores, a, SSA_READ),
        pairs_operand("dbias", &b.dbias, a, ssa_output(true)),
        pairs_operand("dgate", &b.dgate, a, ssa_output(true)),
        {0}}));
    TRY(ssa_check_plan_data(device, op, a->plan, a->plan_data));
done:
    return err;
}

/* ---- what all shapes are launched with ---- */

int ssa_attention_first(const struct ssa_attention *a)
{
    return a->queries < a->keys ? a->keys - a->queries : 0;
}

size_t ssa_attention_plan_stride(const struct ssa_plan *plan)
{
    return plan->examples > 1 ? plan->stride : 0;
}

bool ssa_attention_has_pairs(const struct ssa_attention *a)
{
    return ssa_present(a->bias.tensor) || ssa_present(a->gate.tensor) || a->clip > 0 || a->dropout > 0 ||
           a->drop_keys > 0;
}

int ssa_attention_pairs(const struct ssa_attention *a)
{
    return a->drop_keys > 0             ? ATTENTION_KEYS_DROPPED
           : ssa_attention_has_pairs(a) ? ATTENTION_PAIRS_KEPT
                                        : ATTENTION_NO_PAIRS;
}

float ssa_attention_dropout(const struct ssa_attention *a)
{
    return a->drop_keys > 0 ? -a->drop_keys : a->dropout;
}

void ssa_attention_constants(struct ssa_constant *c, const struct ssa_attention *a, struct attention_tile tile)
{
    const bool gpu = tile.rows > 0;
    const int pairs = ssa_attention_pairs(a);
    if (gpu) {
        *c++ = (struct ssa_constant){"SIDE", tile.side};
        *c++ = (struct ssa_constant){"EACH", tile.each};
    }
    if (gpu && tile.tall != tile.side)
        *c++ = (struct ssa_constant){"TALL", tile.tall};
    if (tile.registers)
        *c++ = (struct ssa_constant){"REGISTERS", tile.registers};
    if (gpu && (a->width != a->value_width || a->width % 8))
        *c++ = (struct ssa_constant){"EXACT", 0};
    if (pairs != (gpu ? ATTENTION_NO_PAIRS : ATTENTION_PAIRS_KEPT)) /* without, it is that */
        *c++ = (struct ssa_constant){"PAIRS", pairs};
}

struct ssa_constant ssa_attention_constant(const struct ssa_device *device, const struct ssa_attention *a)
{
    if (device->info.kind == SSA_DEVICE_HOST)
        return (struct ssa_constant){a->width == a->value_width ? "D" : NULL, a->width};
    return (struct ssa_constant){a->drop_keys > 0 ? "PAIRS" : NULL, ATTENTION_KEYS_DROPPED};
}

/* ---- the CPU shape ---- */

/* Whether a matrix engine does: of heads that it is faster with. */
static bool engine_serves(struct ssa_device *device, const char *file, bool backward, const struct ssa_attention *a)
{
    enum { LEAST = 64 }; /* of queries and keys: one query of generation has no tile */
    const bool built = a->width == 32 || a->width == 64 || a->width == 128;
    return ssa_engine_parts(device) && built && a->value_width == a->width &&
           !ssa_attention_has_pairs(a) && a->queries >= LEAST && a->keys >= LEAST &&
           ssa_attention_engine_trusted(device, file, backward, a);
}

/* Tiles of an example; see tile_of() in cl/attention_tile.h. */
static int count_tiles(struct ssa_device *device, const struct ssa_attention *a, bool backward)
{
    const bool engine = engine_serves(device, backward ? "attention_bwd" : "attention_fwd", backward, a);
    const int tile = engine     ? ATTENTION_PARTS_TILE
                     : backward ? ssa_tuned(device, SSA_TUNED(attention_bwd, TILE))
                                : ssa_tuned(device, SSA_TUNED(attention_fwd, TILE));
    return a->plan->blocks * ((a->plan->block + tile - 1) / tile);
}

/* Builds for the width, and those without pairs, are several times faster; the former right only if the device's
 * compiler is. */
static void specialise(struct ssa_device *device, struct ssa_launch *l, const char *file, bool backward,
                       const struct ssa_attention *a)
{
    const struct attention_tile none = {0};
    int n = 0;
    if (engine_serves(device, file, backward, a))
        l->constants[n++] = (struct ssa_constant){"PARTS", ssa_engine_parts(device)};
    if (a->width == a->value_width && ssa_attention_trusted(device, file, backward, a, a->width, none))
        l->constants[n++] = (struct ssa_constant){"D", a->width};
    ssa_attention_constants(l->constants + n, a, none);
}

/* How many of a head's tiles have queries, about: those before the first one are passed by. */
static int busy_tiles(const struct ssa_attention *a, int tiles)
{
    return a->queries < a->keys ? (int)(((long long)tiles * a->queries + a->keys - 1) / a->keys) : tiles;
}

/* Work-items of a head in forward: tiles of one item bring each other's rows into the cache, but items must be many
 * enough to share out evenly. */
static int forward_items(const struct ssa_device *device, const struct ssa_attention *a, int tiles)
{
    long long all = (long long)tiles * a->batch * a->heads, wanted = 16LL * device->info.units;
    int span = all < 2 * wanted ? 1 : all > 8 * wanted ? 8 : (int)(all / wanted);
    return (tiles + span - 1) / span;
}

static int forward(struct ssa_device *device, const struct ssa_attention *a)
{
    int tiles = count_tiles(device, a, false);
    int items = forward_items(device, a, busy_tiles(a, tiles));
    struct ssa_launch l = {
        .kernel = "attention_fwd",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->plan_data), ATTENTION_SIZES(a), ARG_INT_AS(group, a->heads / a->kv_heads),
                 ATTENTION_STRIDES(a->q_strides), ATTENTION_STRIDES(a->k_strides), ATTENTION_STRIDES(a->v_strides),
                 ATTENTION_STRIDES(a->out_strides), ATTENTION_PAIRS(a), ARG_TENSOR(a->gate_sum), ARG_INT(tiles),
                 ARG_INT(items)},
        .global = {(size_t)items, (size_t)a->batch * (size_t)a->heads},
        .local = {1, 1, 1},
    };
    specialise(device, &l, "attention_fwd", false, a);
    return ssa_launch(device, &l);
}

int ssa_attention_fwd_run(struct ssa_device *device, const struct ssa_attention_fwd *given)
{
    const struct ssa_attention a = with_defaults(&given->attention);
    int err;
    if (ssa_attention_heads_serve(device, &a))
        return ssa_attention_heads_fwd(device, &a);
    TRY(device->info.gpu_shape ? ssa_attention_fwd_gpu(device, &a) : forward(device, &a));
    if (ssa_present(a.scores.tensor))
        TRY(ssa_attention_scores(device, &a));
done:
    return err;
}

static int clear_keys(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    const struct ssa_attention *a = &b->attention;
    struct ssa_launch l = {
        .file = "attention_bwd",
        .kernel = "attention_clear",
        .args = {ARG_TENSOR(b->dk), ARG_TENSOR(b->dv), ARG_INT(a->keys), ARG_INT(a->kv_heads), ARG_INT(a->width),
                 ARG_INT(a->value_width), ATTENTION_STRIDES(b->dk_strides), ATTENTION_STRIDES(b->dv_strides)},
        .global = {(size_t)a->batch * (size_t)a->keys},
    };
    specialise(device, &l, "attention_bwd", true, a);
    return ssa_launch(device, &l);
}

/* Whether the main launch clears dk and dv by itself, see cl/attention_bwd.cl. */
static int clears_as_it_goes(const struct ssa_attention *a, int parts)
{
    return a->causal && parts == 1 && a->queries == a->keys;
}

/* One launch per phase, see cl/attention_bwd.cl; `own` where it adds the own keys. */
static int backward_phase(struct ssa_device *device, const struct ssa_attention_bwd *b, int parts, int phase, int own)
{
    const struct ssa_attention *a = &b->attention;
    struct ssa_launch l = {
        .kernel = "attention_bwd",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(b->dout), ARG_TENSOR(b->dq), ARG_TENSOR(b->dk), ARG_TENSOR(b->dv), ARG_TENSOR(a->plan_data),
                 ATTENTION_SIZES(a), ARG_INT_AS(group, a->heads / a->kv_heads), ATTENTION_STRIDES(a->q_strides),
                 ATTENTION_STRIDES(a->k_strides), ATTENTION_STRIDES(a->v_strides), ATTENTION_STRIDES(a->out_strides),
                 ATTENTION_STRIDES(b->dout_strides), ATTENTION_STRIDES(b->dq_strides), ATTENTION_STRIDES(b->dk_strides),
                 ATTENTION_STRIDES(b->dv_strides), ATTENTION_PAIRS(a), ARG_INT(parts), ARG_INT(phase), ARG_INT(own),
                 ARG_INT_AS(clear, clears_as_it_goes(a, parts))},
        .global = {(size_t)parts, (size_t)a->batch * (size_t)a->kv_heads},
        .local = {1, 1, 1},
    };
    specialise(device, &l, "attention_bwd", true, a);
    return ssa_launch(device, &l);
}

/* Into how many ranges a head's tiles and sources are cut: one where there are heads enough to keep the units busy,
 * for every further range costs a launch and packs its tiles once more. */
static int choose_parts(struct ssa_device *device, const struct ssa_attention *a)
{
    long long units = device->info.units, items = (long long)a->batch * a->kv_heads;
    long long most = ssa_tuned(device, SSA_TUNED(attention_bwd, PARTS)) * units;
    int tiles = count_tiles(device, a, true);
    if (items >= most || items % units == 0)
        return 1;
    long long parts = (most + items - 1) / items;
    return parts < tiles ? (int)parts : tiles;
}

static int backward(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    int parts = choose_parts(device, &b->attention), err;
    if (!clears_as_it_goes(&b->attention, parts))
        TRY(clear_keys(device, b));
    for (int phase = 0; phase < parts; phase++)
        TRY(backward_phase(device, b, parts, phase, parts == 1));
    if (parts > 1)
        TRY(backward_phase(device, b, parts, -1, 1));
done:
    return err;
}

int ssa_attention_bwd_run(struct ssa_device *device, const struct ssa_attention_bwd *given)
{
    const struct ssa_attention_bwd b = backward_defaults(given);
    int err;
    if (ssa_attention_heads_serve_bwd(device, &b))
        return ssa_attention_heads_bwd(device, &b);
    TRY(device->info.gpu_shape ? ssa_attention_bwd_gpu(device, &b) : backward(device, &b));
    if (ssa_present(b.dbias.tensor) || ssa_present(b.dgate.tensor))
        TRY(ssa_attention_pairs_bwd(device, &b));
    if (ssa_present(b.dscores.tensor))
        TRY(ssa_attention_scores_bwd(device, &b));
done:
    return err;
}
