#include "attention.h"

/* cl/plain.cl: a work-item a query, or a key. */

#define INPUTS(a) \
    ARG_TENSOR((a)->q), ARG_TENSOR((a)->k), ARG_TENSOR((a)->v), ARG_TENSOR((a)->plan_data), ATTENTION_SIZES(a), \
        ARG_INT((a)->kv_heads), ATTENTION_STRIDES((a)->q_strides), ATTENTION_STRIDES((a)->k_strides), \
        ATTENTION_STRIDES((a)->v_strides), ATTENTION_PAIRS(a)
#define GRADIENTS(b) \
    INPUTS(&(b)->attention), ARG_TENSOR((b)->attention.out), ATTENTION_STRIDES((b)->attention.out_strides), \
        ARG_TENSOR((b)->attention.lse), ARG_TENSOR((b)->dout), ATTENTION_STRIDES((b)->dout_strides)

int ssa_attention_fwd_plain(struct ssa_device *device, const struct ssa_attention *a)
{
    return ssa_launch(device, &(struct ssa_launch){
        .file = "plain",
        .constants = {ssa_attention_constant(device, a)},
        .kernel = "attention_fwd_plain",
        .args = {INPUTS(a), ARG_TENSOR(a->out), ATTENTION_STRIDES(a->out_strides), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->gate_sum)},
        .global = {(size_t)a->queries, (size_t)a->heads, (size_t)a->batch},
    });
}

int ssa_attention_bwd_plain(struct ssa_device *device, const struct ssa_attention_bwd *b)
{
    const struct ssa_attention *a = &b->attention;
    int err;
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "plain",
        .constants = {ssa_attention_constant(device, a)},
        .kernel = "attention_dq_plain",
        .args = {GRADIENTS(b), ARG_TENSOR(b->dq), ATTENTION_STRIDES(b->dq_strides)},
        .global = {(size_t)a->queries, (size_t)a->heads, (size_t)a->batch},
    }));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "plain",
        .constants = {ssa_attention_constant(device, a)},
        .kernel = "attention_dkv_plain",
        .args = {GRADIENTS(b), ARG_TENSOR(b->dk), ATTENTION_STRIDES(b->dk_strides), ARG_TENSOR(b->dv),
                 ATTENTION_STRIDES(b->dv_strides)},
        .global = {(size_t)a->keys, (size_t)a->kv_heads, (size_t)a->batch},
    }));
done:
    return err;
}
