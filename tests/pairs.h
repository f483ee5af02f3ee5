/* Attention with all that it takes beside q, k and v, as a problem that the oracle solves and a device is held to. */
#ifndef SSA_TEST_PAIRS_H
#define SSA_TEST_PAIRS_H

#include "oracle/attention.h"
#include "plans.h"

/* ---- a case ---- */

enum { BIAS = 1, GATE = 2, CLIP = 4, DROPOUT = 8, GATE_SUM = 16, SCORES = 32, HIDING = 64, /* some biases are -inf */
       ALL = 127, DROP_KEYS = 128 /* in the place of DROPOUT */ };

/* How tensors of heads lie: [B,N,H,D]; [B,H,N,D]; rows and heads apart, the gradients in another way. */
enum heads_lie { BY_POSITION, BY_HEAD, APART };
/* Pairs: [B,H,T,N]; [B,T,N,H], as of EGT's edges; [B,H,N,T]; and those that share values: Swin's table, a head's, a
 * key's, a query's, one for all; those of windows, two an image. */
enum pairs_lie { OF_PAIRS, OF_EDGES, TURNED, OF_TABLE, OF_HEADS, OF_KEYS, OF_QUERIES, OF_ALL, OF_WINDOWS, PAIRS_LIES };

struct shape {
    enum plan_kind kind;
    int batch, keys, queries, heads, kv_heads, width, value_width, causal;
    unsigned has;
    enum heads_lie heads_lie;
    enum pairs_lie bias_lie, gate_lie, scores_lie;
};

/* ---- operands ---- */

enum { Q, K, V, DOUT, BIASES, GATES, DSCORES, DGATE_SUM, INPUTS,
       OUT = INPUTS, LSE, SUMS, LOGITS, DQ, DK, DV, DBIAS, DGATE, OPERANDS };
extern const char *const pairs_names[OPERANDS];

/* [batch, position, head, width] or [batch, head, query, key]. Of stride 0: one for all. */
struct operand {
    bool there;
    size_t size[4], stride[4];
    size_t repeat; /* not 0: examples so far apart share elements */
    double *exact; /* dense: inputs, which are floats, and what outputs must be */
    struct ssa_tensor tensor; /* on the device under test */
};

struct problem {
    struct shape s;
    struct ssa_plan plan;
    struct operand o[OPERANDS];
    float clip, dropout, drop_keys, scale;
    const double *keep, *hidden; /* the oracle's */
};

/* Operands as the shape has them, inputs filled; the plan is still to be drawn. */
void pairs_make(struct problem *p, const struct shape *s);
void pairs_free(struct problem *p);

struct oracle_attention pairs_oracle(struct problem *p);
void pairs_solve(struct problem *p); /* fills in the outputs */

/* ---- a run of it on a device ---- */

struct run {
    struct problem *p;
    struct ssa_tensor plan;
    struct ssa_attention_fwd fwd;
    struct ssa_attention_bwd bwd;
};

void pairs_start(struct run *r, struct ssa_device *dev, struct problem *p);
void pairs_finish(struct run *r);

size_t pairs_count(const struct operand *o); /* of it, dense */
/* Dense; free() it. What lies between must still be NaN. */
float *pairs_read(const struct operand *o);

/* Forward and backward on the device are what the solved problem says. */
void pairs_check_on(struct ssa_device *dev, struct problem *p);

#endif
