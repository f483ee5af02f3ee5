#include "attention.h"

/* cl/plain.cl: a work-item a query, or a key. */

static uint64_t example_stride(const struct ssa_plan *plan)
{
    return plan->examples > 1 ? plan->stride : 0;
}

int ssa_attention_fwd_plain(struct ssa_device *device, const struct ssa_attention_fwd *a)
{
    return ssa_launch(device, &(struct ssa_launch){
        .file = "plain",
        .kernel = "attention_fwd_plain",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->plan_data), ARG_ULONG(example_stride(a->plan)), ARG_INT(a->length), ARG_INT(a->heads),
                 ARG_INT(a->kv_heads), ARG_INT(a->width), ARG_INT(a->q_stride), ARG_INT(a->k_stride),
                 ARG_INT(a->v_stride), ARG_INT(a->out_stride), ARG_INT(a->causal != 0), ARG_FLOAT(a->scale)},
        .global = {(size_t)a->length, (size_t)a->heads, (size_t)a->batch},
    });
}

int ssa_attention_bwd_plain(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    int err;
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "plain",
        .kernel = "attention_dq_plain",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->dout), ARG_TENSOR(a->dq), ARG_TENSOR(a->plan_data), ARG_ULONG(example_stride(a->plan)),
                 ARG_INT(a->length), ARG_INT(a->heads), ARG_INT(a->kv_heads), ARG_INT(a->width), ARG_INT(a->q_stride),
                 ARG_INT(a->k_stride), ARG_INT(a->v_stride), ARG_INT(a->out_stride), ARG_INT(a->dq_stride),
                 ARG_INT(a->causal != 0), ARG_FLOAT(a->scale)},
        .global = {(size_t)a->length, (size_t)a->heads, (size_t)a->batch},
    }));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "plain",
        .kernel = "attention_dkv_plain",
        .args = {ARG_TENSOR(a->q), ARG_TENSOR(a->k), ARG_TENSOR(a->v), ARG_TENSOR(a->out), ARG_TENSOR(a->lse),
                 ARG_TENSOR(a->dout), ARG_TENSOR(a->dk), ARG_TENSOR(a->dv), ARG_TENSOR(a->plan_data),
                 ARG_ULONG(example_stride(a->plan)), ARG_INT(a->length), ARG_INT(a->heads), ARG_INT(a->kv_heads),
                 ARG_INT(a->width), ARG_INT(a->q_stride), ARG_INT(a->k_stride), ARG_INT(a->v_stride),
                 ARG_INT(a->out_stride), ARG_INT(a->dk_stride), ARG_INT(a->dv_stride), ARG_INT(a->causal != 0),
                 ARG_FLOAT(a->scale)},
        .global = {(size_t)a->length, (size_t)a->kv_heads, (size_t)a->batch},
    }));
done:
    return err;
}
