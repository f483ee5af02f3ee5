#include "attention.h"
#include "launch.h"

/* cl/attention_pairs.cl, in both shapes. */

enum { LANES = 32,     /* that share the keys of a query, on GPUs */
       FEW_KEYS = 16,  /* of its own, the least that are worth its while */
       BUSY = 2 };     /* work-items that keep a unit busy */

#define OPERANDS(a) \
    ARG_TENSOR((a)->q), ARG_TENSOR((a)->k), ARG_TENSOR((a)->plan_data), ATTENTION_SIZES(a), ARG_INT((a)->keys), \
        ARG_INT((a)->kv_heads), ATTENTION_STRIDES((a)->q_strides), ATTENTION_STRIDES((a)->k_strides), ATTENTION_PAIRS(a)
#define PAIRS_OF(p) ARG_TENSOR((p).tensor), ATTENTION_PAIR_STRIDES(p)

static int lanes_of(const struct ssa_device *device)
{
    return device->info.gpu_shape ? LANES : 1;
}

static size_t tiles_of(const struct ssa_attention *a)
{
    return ((size_t)a->queries - 1) / PAIRS_TILE + 1;
}

int ssa_attention_scores(struct ssa_device *device, const struct ssa_attention *a)
{
    if (!device->info.gpu_shape)
        return ssa_launch(device, &(struct ssa_launch){
            .file = "attention_pairs",
            .constants = {ssa_attention_constant(device, a)},
            .kernel = "attention_scores_tiles",
            .args = {OPERANDS(a), PAIRS_OF(a->scores)},
            .global = {tiles_of(a), (size_t)a->heads, (size_t)a->batch},
            .local = {1, 1, 1},
        });
    return ssa_launch(device, &(struct ssa_launch){
        .file = "attention_pairs",
        .kernel = "attention_scores",
        .args = {OPERANDS(a), PAIRS_OF(a->scores), ARG_INT_AS(lanes, LANES)},
        .global = {LANES, (size_t)a->queries, (size_t)a->batch * (size_t)a->heads},
        .local = {LANES, 1, 1},
    });
}

/* Whether tiles of queries can be taken at once: each pair has a value of its own, and all of them see the same. */
static bool in_tiles(const struct ssa_device *device, const struct ssa_attention *a, const struct ssa_pairs *to)
{
    return !device->info.gpu_shape && to->query && to->key &&
           (a->plan->blocks == 1 ||
            (a->plan->block % PAIRS_TILE == 0 && !a->plan->lack && ssa_attention_first(a) % PAIRS_TILE == 0));
}

/* Ranges of keys that a tile's are cut into, where there are too few tiles to share out. */
static int key_ranges(const struct ssa_device *device, const struct ssa_attention *a, size_t tiles)
{
    const size_t wanted = (size_t)BUSY * (size_t)device->info.units, ranges = ssa_divide_up(wanted, tiles);
    const size_t most = (size_t)(a->keys / FEW_KEYS ? a->keys / FEW_KEYS : 1);
    return a->plan->slices > 1 ? 1 : (int)(ranges < most ? ranges : most);
}

/* One of them: the bias's gradient, or the gate's. */
static int pairs_gradient(struct ssa_device *device, const struct ssa_attention_bwd *b, const struct ssa_pairs *to,
                          bool of_gate)
{
    const struct ssa_attention *a = &b->attention;
    const bool tiles = in_tiles(device, a, to);
    const size_t queries = to->query ? (size_t)a->queries : 1, rows = tiles ? (queries - 1) / PAIRS_TILE + 1 : queries;
    const size_t heads = to->head ? (size_t)a->heads : 1, examples = to->batch ? (size_t)to->repeat : 1;
    const int lanes = !to->key ? 1 /* values that keys share are added up by one */
                      : tiles  ? key_ranges(device, a, rows * heads * examples)
                               : lanes_of(device);
    return ssa_launch(device, &(struct ssa_launch){
        .file = "attention_pairs",
        .constants = {ssa_attention_constant(device, a)},
        .kernel = tiles ? "attention_pairs_bwd_tiles" : "attention_pairs_bwd",
        .args = {OPERANDS(a), ARG_TENSOR(a->v), ATTENTION_STRIDES(a->v_strides), ARG_TENSOR(a->out),
                 ATTENTION_STRIDES(a->out_strides), ARG_TENSOR(a->lse), ARG_TENSOR(b->dout),
                 ATTENTION_STRIDES(b->dout_strides), PAIRS_OF(b->dscores), ARG_TENSOR(b->dgate_sum), PAIRS_OF(*to),
                 ARG_INT_AS(to_repeat, to->batch ? to->repeat : 1), ARG_INT(of_gate), ARG_INT(a->batch),
                 ARG_INT(lanes)},
        .global = {(size_t)lanes * rows, heads, examples},
        .local = {tiles ? 1 : (size_t)lanes, 1, 1},
    });
}

int ssa_attention_pairs_bwd(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    int err = SSA_OK;
    if (ssa_present(b->dbias.tensor))
        TRY(pairs_gradient(device, b, &b->dbias, false));
    if (ssa_present(b->dgate.tensor))
        TRY(pairs_gradient(device, b, &b->dgate, true));
done:
    return err;
}

/* dq and dk of a head together, whose tiles one work-item walks: where there are heads enough for all units. */
static int scores_gradient_by_tiles(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    const struct ssa_attention *a = &b->attention;
    return ssa_launch(device, &(struct ssa_launch){
        .file = "attention_pairs",
        .constants = {ssa_attention_constant(device, a)},
        .kernel = "attention_scores_bwd_tiles",
        .args = {OPERANDS(a), PAIRS_OF(b->dscores), ARG_TENSOR(b->dq), ATTENTION_STRIDES(b->dq_strides),
                 ARG_TENSOR(b->dk), ATTENTION_STRIDES(b->dk_strides)},
        .global = {(size_t)a->kv_heads, (size_t)a->batch},
        .local = {1, 1, 1},
    });
}

int ssa_attention_scores_bwd(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    const struct ssa_attention *a = &b->attention;
    int err;
    if (!device->info.gpu_shape && (long long)a->kv_heads * a->batch >= device->info.units)
        return scores_gradient_by_tiles(device, b);
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "attention_pairs",
        .kernel = "attention_scores_dq",
        .args = {OPERANDS(a), PAIRS_OF(b->dscores), ARG_TENSOR(b->dq), ATTENTION_STRIDES(b->dq_strides)},
        .global = {(size_t)a->queries, (size_t)a->heads, (size_t)a->batch},
        .local = {1, 1, 1},
    }));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "attention_pairs",
        .kernel = "attention_scores_dk",
        .args = {OPERANDS(a), PAIRS_OF(b->dscores), ARG_TENSOR(b->dk), ATTENTION_STRIDES(b->dk_strides)},
        .global = {(size_t)a->keys, (size_t)a->kv_heads, (size_t)a->batch},
        .local = {1, 1, 1},
    }));
done:
    return err;
}
