/* Attention over a plan in double precision, one query and one key at a time: what the kernels are held against. */
#ifndef SSA_ORACLE_ATTENTION_H
#define SSA_ORACLE_ATTENTION_H

#include "ssacl/sample.h"

/* Contiguous tensors: q, out, dout, dq [B,N,H,D]; k, v, dk, dv [B,N,kv_heads,D]; lse [B,H,N] to base 2. */
struct oracle_attention {
    const double *q, *k, *v, *dout; /* dout: backward only */
    double *out, *lse;              /* forward writes them */
    double *dq, *dk, *dv;           /* backward writes them */
    const struct ssa_plan *plan;
    int batch, length, heads, kv_heads, width, causal;
    double scale; /* 0 means 1/sqrt(width) */
};

/* The positions `query` of `example` may see, straight from the layout in cl/plan.h; returns how many. `keys` holds
 * length + 1. Causal masking included. */
int oracle_attention_keys(const struct ssa_plan *plan, int example, int query, int causal, int *keys);

void oracle_attention_fwd(const struct oracle_attention *a);
/* From q, k, v and dout alone: it repeats the forward pass for itself. */
void oracle_attention_bwd(const struct oracle_attention *a);

#endif
