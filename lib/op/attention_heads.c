#include "attention.h"
#include "launch.h"
#include "plan.h"

/* cl/attention_heads.cl, in the CPU shape. */

enum { FEW_HEADS = 4, /* fewer fill no lanes of a row */
       FASTER = 4 };  /* than the kernels of tiles: so a work-item for that many units is enough */

#define OPERANDS(a) ATTENTION_SIZES(a), ARG_INT((a)->keys)
#define PAIRS_OF(p) ARG_TENSOR((p).tensor), ATTENTION_PAIR_STRIDES(p)

/* Whether the heads of a tensor of pairs, if it is there at all, lie side by side. */
static bool by_heads(const struct ssa_pairs *p)
{
    return !ssa_present(p->tensor) || (p->head == 1 && p->query && p->key);
}

/* Whether every pair has a value of its own, to be written at once. */
static bool apart(const struct ssa_pairs *p, const struct ssa_attention *a)
{
    return !ssa_present(p->tensor) || (by_heads(p) && p->batch && p->repeat == a->batch);
}

static bool any_own(const struct ssa_plan *plan, int positions)
{
    for (int e = 0; e < plan->examples; e++) {
        const int32_t *p = plan->data + plan->stride * (size_t)e, *own = p + p[PLAN_OWN_AT];
        for (int i = 0; i < positions; i++)
            if (own[i])
                return true;
    }
    return false;
}

static bool is_one_list(const struct ssa_attention *a)
{
    const struct ssa_plan *plan = a->plan;
    return plan->blocks == 1 && plan->slices == 1 && !plan->data[PLAN_COMMON] &&
           !any_own(plan, a->queries > a->keys ? a->queries : a->keys);
}

static bool serves(const struct ssa_device *device, const struct ssa_attention *a)
{
    return !device->info.gpu_shape && !a->causal && a->heads >= FEW_HEADS && a->kv_heads == a->heads &&
           a->width <= HEADS_WIDTH && a->value_width == a->width &&
           (ssa_present(a->bias.tensor) || ssa_present(a->gate.tensor)) && by_heads(&a->bias) && by_heads(&a->gate) &&
           is_one_list(a);
}

static size_t tiles_of(const struct ssa_attention *a)
{
    return ((size_t)a->queries - 1) / HEADS_TILE + 1;
}

bool ssa_attention_heads_serve(const struct ssa_device *device, const struct ssa_attention *a)
{
    return by_heads(&a->scores) && FASTER * (size_t)a->batch * tiles_of(a) >= (size_t)device->info.units &&
           serves(device, a);
}

bool ssa_attention_heads_serve_bwd(const struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    const struct ssa_attention *a = &b->attention;
    return FASTER * (long long)a->batch >= device->info.units && by_heads(&b->dscores) && apart(&b->dbias, a) &&
           apart(&b->dgate, a) && serves(device, a);
}

int ssa_attention_heads_fwd(struct ssa_device *device, const struct ssa_attention *a)
{
    return ssa_launch(device, &(struct ssa_launch){
        .file = "attention_heads",
        .constants = {ssa_attention_constant(device, a)},
        .kernel = "attention_heads_fwd",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->plan_data), OPERANDS(a), ATTENTION_STRIDES(a->q_strides),
                 ATTENTION_STRIDES(a->k_strides), ATTENTION_STRIDES(a->v_strides), ATTENTION_STRIDES(a->out_strides),
                 ATTENTION_PAIRS(a), ARG_TENSOR(a->gate_sum), PAIRS_OF(a->scores)},
        .global = {tiles_of(a), (size_t)a->batch},
        .local = {1, 1, 1},
    });
}

int ssa_attention_heads_bwd(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    const struct ssa_attention *a = &b->attention;
    return ssa_launch(device, &(struct ssa_launch){
        .file = "attention_heads",
        .constants = {ssa_attention_constant(device, a)},
        .kernel = "attention_heads_bwd",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(b->dout), ARG_TENSOR(b->dq), ARG_TENSOR(b->dk), ARG_TENSOR(b->dv), ARG_TENSOR(a->plan_data),
                 OPERANDS(a), ATTENTION_STRIDES(a->q_strides), ATTENTION_STRIDES(a->k_strides),
                 ATTENTION_STRIDES(a->v_strides), ATTENTION_STRIDES(a->out_strides), ATTENTION_STRIDES(b->dout_strides),
                 ATTENTION_STRIDES(b->dq_strides), ATTENTION_STRIDES(b->dk_strides), ATTENTION_STRIDES(b->dv_strides),
                 ATTENTION_PAIRS(a), ARG_TENSOR(b->dgate_sum), PAIRS_OF(b->dscores), PAIRS_OF(b->dbias),
                 PAIRS_OF(b->dgate)},
        .global = {(size_t)a->batch},
        .local = {1, 1, 1},
    });
}
