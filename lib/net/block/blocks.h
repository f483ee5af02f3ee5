/* The kinds of blocks, and what several of them are made of. */
#ifndef SSA_NET_BLOCKS_H
#define SSA_NET_BLOCKS_H

#include "net/block.h"

/* ---- parts (branch.c) ---- */

/* A norm before a branch or a head: y = (x - mean) / sqrt(variance + eps) * gain + bias, into the NORM slot. */
struct ssa_norm_part {
    const char *name;
    int kind;   /* enum ssa_norm_kind */
    float eps;
    bool bias;  /* layer norm only */
    /* draft */
    int gain, shift, width;
    struct ssa_place stats;
};
void ssa_norm_part_draft(struct ssa_norm_part *n, struct ssa_draft *d);
int ssa_norm_part_forward(const struct ssa_norm_part *n, const struct ssa_run *r, struct ssa_tensor x);
/* Its output once more, which backward computes rather than keep it. */
int ssa_norm_part_again(const struct ssa_norm_part *n, const struct ssa_run *r, struct ssa_tensor x);
/* dx (+)= what comes through the norm from the BRANCH slot. */
int ssa_norm_part_backward(const struct ssa_norm_part *n, const struct ssa_run *r, struct ssa_tensor x,
                           bool accumulate_dx);

/* A residual branch: out = x + drop(f(norm(x))). */
struct ssa_branch {
    struct ssa_norm_part norm;
    float dropout;
    int stream; /* of random numbers: one for each place of a net that drops, below 2^16 */
};
void ssa_branch_draft(struct ssa_branch *b, struct ssa_draft *d);
/* out = x + drop(in w^T + bias): one fused operator without dropout. */
struct ssa_branch_end {
    struct ssa_tensor in, w, bias, x, out;
    int width; /* of `in` */
};
int ssa_branch_forward_end(const struct ssa_branch *b, const struct ssa_run *r, struct ssa_branch_end e);
/* The gradient that enters the branch from its end: dx itself, or through dropout in the BRANCH slot. */
int ssa_branch_backward_end(const struct ssa_branch *b, const struct ssa_run *r, struct ssa_tensor *d);

/* Dropout in `r`'s pass of `count` elements a position; p is 0 where it is off. */
float ssa_dropout_now(const struct ssa_run *r, float p);
int ssa_drop_forward(const struct ssa_run *r, float p, int stream, int width, struct ssa_tensor x,
                     struct ssa_tensor residual, struct ssa_tensor out);
int ssa_drop_backward(const struct ssa_run *r, float p, int stream, int width, struct ssa_tensor dy,
                      struct ssa_tensor dx);

/* ---- kinds ---- */

/* x = drop(embed[id] (+ position[n])) */
struct ssa_embed_tokens_block {
    struct ssa_block block;
    int vocabulary, width;
    bool positions; /* learned */
    float dropout;
    /* draft */
    int table, position, tokens;
};
extern const struct ssa_block_kind ssa_embed_tokens_kind;

/* x += drop(proj(attention(rope(qkv(norm(x)))))) */
struct ssa_attention_block {
    struct ssa_block block;
    struct ssa_branch branch;
    int heads, kv_heads;
    bool causal, bias;
    float rope_base; /* 0: no rotary positions */
    /* draft */
    int layer, width, head_width, qkv, qkv_bias, proj, proj_bias;
    struct ssa_place qkv_at, lse, att, cache;
};
extern const struct ssa_block_kind ssa_attention_kind;

/* x += drop(down(act(up(norm(x))))); gated: x += drop(down(act(g) u)), [g, u] = up(norm(x)), twice as wide */
struct ssa_mlp_block {
    struct ssa_block block;
    struct ssa_branch branch;
    int hidden, activation;
    bool bias, gated;
    /* draft */
    int width, up, up_bias, down, down_bias;
    struct ssa_place pre;
};
extern const struct ssa_block_kind ssa_mlp_kind;

/* logits = head(norm(x)), losses by cross-entropy; in chunks of rows, as many as 64 MiB of logits hold. */
struct ssa_head_tokens_block {
    struct ssa_block block;
    struct ssa_norm_part norm;
    int vocabulary;
    const char *tied; /* whose matrix it takes, or NULL: one of its own, "head.weight" */
    /* draft */
    int width, w, targets, chunk;
    struct ssa_place losses;
};
extern const struct ssa_block_kind ssa_head_tokens_kind;

#endif
