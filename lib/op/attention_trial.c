/* Attention's self-test (verify.h): two plans, each with what the other lacks, on lengths that fill no tile. */
#include "attention.h"
#include "tune/verify.h"
#include "ssacl/tuning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 133, HEADS = 2, GAP = 3, ROWS = BATCH * LENGTH };

/* Where the operands lie in the problem's memory: rows GAP wider than they need be, GAP between operands. What there is
 * of pairs, all examples share. */
struct layout {
    struct ssa_sample sample;
    int width, value_width, causal;
    bool backward, pairs, drop_keys;
    int q_stride, k_stride; /* of q, out and dout; of k and v */
    size_t q, k, v, out, lse, dout, dq, dk, dv, bias, gate, plan, count;
};

static size_t place(size_t *at, size_t count)
{
    size_t here = *at;
    *at += count + GAP;
    return here;
}

static struct layout make_layout(const struct ssa_sample *sample, const struct layout *kind)
{
    struct layout l = *kind;
    l.sample = *sample;
    l.q_stride = HEADS * l.width + GAP;
    l.k_stride = l.width + GAP;
    size_t at = GAP, wide = (size_t)ROWS * (size_t)l.q_stride, narrow = (size_t)ROWS * (size_t)l.k_stride;
    l.plan = place(&at, ssa_plan_bound(sample));
    l.q = place(&at, wide);
    l.k = place(&at, narrow);
    l.v = place(&at, narrow);
    l.out = place(&at, wide);
    l.lse = place(&at, (size_t)ROWS * HEADS);
    if (l.backward) {
        l.dout = place(&at, wide);
        l.dq = place(&at, wide);
        l.dk = place(&at, narrow);
        l.dv = place(&at, narrow);
    }
    if (l.pairs) {
        l.bias = place(&at, HEADS * LENGTH * LENGTH);
        l.gate = place(&at, HEADS * LENGTH * LENGTH);
    }
    l.count = at;
    return l;
}

static struct ssa_attention attention(struct ssa_buffer *m, const struct layout *l, const struct ssa_plan *plan)
{
    const struct ssa_strides wide = {.position = (size_t)l->q_stride, .batch = (size_t)LENGTH * (size_t)l->q_stride};
    const struct ssa_strides narrow = {.position = (size_t)l->k_stride, .batch = (size_t)LENGTH * (size_t)l->k_stride};
    struct ssa_attention a = {
        .q = {m, l->q}, .k = {m, l->k}, .v = {m, l->v}, .out = {m, l->out}, .lse = {m, l->lse}, .plan = plan,
        .plan_data = {m, l->plan, SSA_I32}, .batch = BATCH, .keys = LENGTH, .heads = HEADS, .kv_heads = 1,
        .width = l->width, .value_width = l->value_width, .q_strides = wide, .k_strides = narrow, .v_strides = narrow,
        .out_strides = wide, .causal = l->causal};
    if (l->pairs) {
        a.bias = (struct ssa_pairs){{m, l->bias}, 0, LENGTH * LENGTH, LENGTH, 1};
        a.gate = (struct ssa_pairs){{m, l->gate}, 0, 1, HEADS, HEADS * LENGTH};
        a.clip = 0.3f;
        *(l->drop_keys ? &a.drop_keys : &a.dropout) = 0.2f;
        a.seed = 7;
        a.stream = 8;
    }
    return a;
}

static int run(struct ssa_device *device, struct ssa_buffer *m, const void *how)
{
    const struct layout *l = how;
    struct ssa_plan plan = {0};
    int err = ssa_plan_draw(&plan, &l->sample);
    if (!err && !l->backward)
        err = ssa_attention_fwd_run(device, &(struct ssa_attention_fwd){attention(m, l, &plan)});
    if (!err && l->backward)
        err = ssa_attention_bwd_run(device, &(struct ssa_attention_bwd){
            .attention = attention(m, l, &plan), .dout = {m, l->dout}, .dq = {m, l->dq}, .dk = {m, l->dk},
            .dv = {m, l->dv}});
    ssa_plan_finish(&plan);
    return err;
}

/* Rows of values, the gaps left as they are. */
static void fill_rows(float *image, size_t at, int width, int stride, unsigned seed)
{
    for (size_t r = 0; r < ROWS; r++)
        ssa_problem_fill(image + at + r * (size_t)stride, (size_t)width, seed + (unsigned)r);
}

/* For backward, `out` and `lse` are the host's: a wrong forward is no fault of the backward under test. */
static int fill_image(struct ssa_device *host, const struct layout *l, float *image)
{
    struct ssa_plan plan = {0};
    struct ssa_buffer *m = NULL;
    int err;
    for (size_t i = 0; i < l->count; i++)
        image[i] = NAN;
    fill_rows(image, l->q, HEADS * l->width, l->q_stride, 1000);
    fill_rows(image, l->k, l->width, l->k_stride, 2000);
    fill_rows(image, l->v, l->value_width, l->k_stride, 3000);
    if (l->pairs) {
        ssa_problem_fill(image + l->bias, HEADS * LENGTH * LENGTH, 5000);
        ssa_problem_fill(image + l->gate, HEADS * LENGTH * LENGTH, 6000);
    }
    TRY(ssa_plan_draw(&plan, &l->sample));
    memcpy(image + l->plan, plan.data, plan.stride * (size_t)plan.examples * sizeof *image);
    if (l->backward) {
        fill_rows(image, l->dout, HEADS * l->value_width, l->q_stride, 4000);
        TRY(ssa_buffer_create(&m, host, l->count * sizeof *image));
        TRY(ssa_tensor_write(ssa_tensor_at(m, 0), image, l->count));
        TRY(ssa_attention_fwd_run(host, &(struct ssa_attention_fwd){attention(m, l, &plan)}));
        TRY(ssa_tensor_read(ssa_tensor_at(m, 0), image, l->count));
    }
done:
    ssa_buffer_destroy(m);
    ssa_plan_finish(&plan);
    return err;
}

static int try_plan(struct ssa_device *device, struct ssa_device *host, const struct ssa_sample *sample,
                    const struct layout *kind, double *error)
{
    struct layout l = make_layout(sample, kind);
    struct ssa_problem p = {.image = malloc(l.count * sizeof(float)), .count = l.count, .how = &l, .run = run};
    int err;
    if (!p.image)
        TRY(ssa_fail(SSA_ENOMEM, "self-test: out of host memory"));
    TRY(fill_image(host, &l, p.image));
    TRY(ssa_problem_compare(device, host, &p, error));
done:
    free(p.image);
    return err;
}

/* One block of all queries and long slices take a large tile, short blocks a small one: a build for one of them is
 * tried on what it will get. */
static int test(struct ssa_device *device, struct ssa_device *host, const struct ssa_variant *v, bool backward,
                double *error)
{
    static const int kept[] = {0, 50};
    const struct ssa_sample whole = {.kind = SSA_UNBIASED, .length = LENGTH, .keys = 67, .own_key = 1, .seed = 5,
                                     .batch = BATCH, .per_example = 1, .keep = kept, .keep_count = 2};
    const struct ssa_sample blocks = {.kind = SSA_LOCAL, .length = LENGTH, .keys = 38, .look_back = 1, .seed = 6};
    const int width = ssa_variant_constant(v, "D", 64), small = ATTENTION_SMALL_ROWS;
    const int tall = ssa_variant_constant(v, "TALL", ssa_variant_constant(v, "SIDE", 0));
    const int tile = tall * ssa_variant_constant(v, "EACH", 0);
    const bool exact = ssa_variant_constant(v, "EXACT", 1);
    const int pairs = ssa_variant_constant(v, "PAIRS", tile ? ATTENTION_NO_PAIRS : ATTENTION_PAIRS_KEPT);
    struct layout kind = {.width = width, .value_width = exact ? width : width - 4, .backward = backward,
                          .pairs = pairs, .drop_keys = pairs == ATTENTION_KEYS_DROPPED};
    int err = SSA_OK;
    if (!tile || tile > small) {
        kind.causal = 1;
        TRY(try_plan(device, host, &whole, &kind, error));
    }
    if (!tile || tile <= small) {
        kind.causal = 0;
        TRY(try_plan(device, host, &blocks, &kind, error));
    }
done:
    return err;
}

static int test_forward(struct ssa_device *device, struct ssa_device *host, const struct ssa_variant *v, double *error)
{
    return test(device, host, v, false, error);
}

static int test_backward(struct ssa_device *device, struct ssa_device *host, const struct ssa_variant *v,
                         double *error)
{
    return test(device, host, v, true, error);
}

bool ssa_attention_trusted(struct ssa_device *device, const char *file, bool backward, const struct ssa_attention *a,
                           int width, struct attention_tile tile)
{
    const bool large = tile.side * tile.tall > 64;
    struct ssa_variant v = {
        .name = file,
        .constants = {{"D", width}},
        .instead = large       ? "a smaller tile"
                   : tile.rows ? "the plain kernel"
                               : "the unspecialised kernel",
        .test = backward ? test_backward : test_forward,
    };
    ssa_attention_constants(v.constants + 1, a, tile);
    if (ssa_trusted(device, &v))
        return true;
    const struct ssa_tuning_setting settings[] = {{file, "SIDE", 8}, {file, "EACH", 4}};
    if (!large || device->trial || ssa_tuning_set(device, settings, 2))
        return false;
    tile = ssa_attention_tile(device, file, 1, width, ssa_attention_has_pairs(a));
    return ssa_attention_trusted(device, file, backward, a, width, tile);
}

bool ssa_attention_engine_trusted(struct ssa_device *device, const char *file, bool backward,
                                  const struct ssa_attention *a)
{
    const struct ssa_variant v = {
        .name = file,
        .constants = {{"PARTS", ssa_engine_parts(device)}, {"D", a->width}, {"PAIRS", ATTENTION_NO_PAIRS}},
        .parts = ssa_engine_parts(device),
        .instead = "float32",
        .test = backward ? test_backward : test_forward,
    };
    return ssa_trusted(device, &v);
}
