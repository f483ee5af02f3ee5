/* Attention over a plan in double precision, one query and one key at a time: what the kernels are held against. */
#ifndef SSA_ORACLE_ATTENTION_H
#define SSA_ORACLE_ATTENTION_H

#include "ssacl/sample.h"

/* Contiguous tensors: q, dq [B,T,H,D]; out, dout [B,T,H,E]; k, dk [B,N,kv_heads,D]; v, dv [B,N,kv_heads,E]; lse, to
 * base 2, gate_sum, dgate_sum [B,H,T]; what there is of pairs [B,H,T,N]. Of pairs, and gate_sum, NULL means none. */
struct oracle_attention {
    const double *q, *k, *v, *dout; /* dout: backward only */
    double *out, *lse;              /* forward writes them */
    double *dq, *dk, *dv;           /* backward writes them */
    const struct ssa_plan *plan;
    int batch, keys, queries; /* queries 0 means as many as keys */
    int heads, kv_heads, width, value_width, causal; /* value_width 0 means width */
    double scale, clip; /* scale 0 means 1/sqrt(width), clip 0 none */
    const double *bias, *gate;
    double *scores, *gate_sum; /* forward writes them */
    const double *dscores, *dgate_sum;
    double *dbias, *dgate; /* backward writes them */
    float dropout, drop_keys;
    uint64_t seed, stream, first_example;
    const double *keep;   /* what probabilities are multiplied by, instead of dropout; the operator has it not */
    const double *hidden; /* not 0: a pair that is not seen, whatever the plan; the operator has it not */
};

/* The positions that the query at position `query` of `example` may see, straight from the layout in cl/plan.h; returns
 * how many. `keys` holds the plan's length + 1. Causal masking included. */
int oracle_attention_keys(const struct ssa_plan *plan, int example, int query, int causal, int *keys);

void oracle_attention_fwd(const struct oracle_attention *a);
/* From the inputs and the gradients given alone: it repeats the forward pass for itself. */
void oracle_attention_bwd(const struct oracle_attention *a);

#endif
