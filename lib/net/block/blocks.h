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
    int stream;      /* of random numbers: one for each place of a net that drops, below 2^16 */
    float path;      /* of the whole branch, by sequence (drop path), after dropout */
    int path_stream;
    double in_deviation, out_deviation; /* of its first and its last matrix at the start; 0: SSA_START_NORMAL and
                                           SSA_START_BRANCH_END, */
    double in_bound, out_bound;         /* unless they start uniform in these */
};
void ssa_branch_draft(struct ssa_branch *b, struct ssa_draft *d);
/* How its first matrix starts, and its last one. */
struct ssa_start ssa_branch_start_in(const struct ssa_branch *b);
struct ssa_start ssa_branch_start_out(const struct ssa_branch *b);
/* out = x + drop(in w^T + bias): one fused operator where nothing is dropped. */
struct ssa_branch_end {
    struct ssa_tensor in, w, bias, x, out;
    int width; /* of `in` */
};
int ssa_branch_forward_end(const struct ssa_branch *b, const struct ssa_run *r, struct ssa_branch_end e);
/* The gradient that enters the branch from its end: dx itself, or through dropout in the BRANCH slot. */
int ssa_branch_backward_end(const struct ssa_branch *b, const struct ssa_run *r, struct ssa_tensor *d);

/* Dropout in `r`'s pass of `count` elements a position; p is 0 where it is off. */
float ssa_dropout_now(const struct ssa_run *r, float p);
/* The operator's number of a stream in this step. */
uint64_t ssa_stream_now(const struct ssa_run *r, int stream);
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

/* x = drop(sqrt(C) P_b E_b[id - where band b begins] + sinusoid(n)): words in bands by frequency, of narrower tables the
 * rarer they are */
struct ssa_embed_words_block {
    struct ssa_block block;
    struct ssa_bands bands;
    int widths[SSA_BANDS]; /* of E_b */
    int width;
    float dropout;
    /* draft */
    int tables[SSA_BANDS], projections[SSA_BANDS], tokens;
    int length; /* of the longest sequence */
    struct ssa_place sinusoids;
};
extern const struct ssa_block_kind ssa_embed_words_kind;

/* x = drop([class, patch(pixels)] + position[n]): a class token, or none, and the patches of an image; or with a norm
 * x = drop(norm(patch(pixels))) */
struct ssa_embed_patches_block {
    struct ssa_block block;
    int rows, columns, channels, patch, width;
    bool class_token;
    float dropout;
    struct ssa_norm_part norm; /* without a name: positions instead */
    /* draft */
    int count, each; /* patches of an image, elements of a patch */
    int w, bias, first, position, pixels;
};
extern const struct ssa_block_kind ssa_embed_patches_kind;

/* x = start (+ label[class]) at position 0, and at t that of element t - 1 of a grid:
 * embed[value] + row[r] + column[c] + channel[k] */
struct ssa_embed_pixels_block {
    struct ssa_block block;
    int rows, columns, channels, values, width;
    int classes;      /* 0: no labels are taken */
    double deviation; /* of tables and start at the beginning; of positions' tables that by sqrt(3) */
    /* draft */
    int table, row, column, channel, start, label_table, tokens, labels;
};
extern const struct ssa_block_kind ssa_embed_pixels_kind;

/* A graph: x = [virtual; sum of node[id] + encoding], e = frame(hop[distance] + sum of edge[id], virtual edges) */
struct ssa_embed_graph_block {
    struct ssa_block block;
    int width, edge_width, lead; /* lead: virtual nodes */
    int node_ids, node_values, edge_ids, edge_values, hops, encodings;
    /* draft */
    int node, encoding, encoding_bias, first, hop, edge, frame;
    int lengths, node_in, encoding_in, hop_in, edge_in;
    struct ssa_place edges_at;
};
extern const struct ssa_block_kind ssa_embed_graph_kind;

/* x += drop(proj(attention(rope(qkv(norm(x)))))) */
struct ssa_attention_block {
    struct ssa_block block;
    struct ssa_branch branch;
    int heads, kv_heads;
    int key_width, value_width; /* of a head's queries and keys, and of its values; 0: width / heads */
    bool causal, bias;
    float rope_base; /* 0: no rotary positions */
    float dropout, drop_keys; /* of probabilities, of logits: one of both at most */
    int dropout_stream;
    /* draft */
    int layer, width, qkv, qkv_bias, proj, proj_bias;
    struct ssa_place qkv_at, lse, att, cache;
};
extern const struct ssa_block_kind ssa_attention_kind;

/* x += drop(proj(attention(qkv(norm(x))))), in windows of a grid (struct ssa_windows), with a bias for the distance of
 * two positions (struct ssa_window_bias_fwd) */
struct ssa_window_attention_block {
    struct ssa_block block;
    struct ssa_branch branch;
    int rows, columns; /* of the grid */
    int window, shift, heads;
    float dropout, drop_keys; /* of probabilities, of logits */
    int dropout_stream;
    /* draft */
    int layer, width, qkv, qkv_bias, proj, proj_bias, table;
    struct ssa_place qkv_at, lse, att;
};
extern const struct ssa_block_kind ssa_window_attention_kind;

/* x = norm(cells of 2 x 2 positions of a grid, joined column by column) w^T: a quarter of the positions, of twice the
 * width */
struct ssa_merge_block {
    struct ssa_block block;
    int rows, columns; /* of the grid below */
    struct ssa_norm_part norm;
    /* draft */
    int width, w;
};
extern const struct ssa_block_kind ssa_merge_kind;

/* x += drop(proj(degrees(attention(qkv(norm(x)), E, G)))), and of edges, where they are updated, e += drop(edge.proj(
 * scores)), with E, G = edge.pair(edge.norm(e)). Of the stream of nodes; it sees edges. Biases start in the bounds of
 * their matrices. */
struct ssa_edge_attention_block {
    struct ssa_block block;
    struct ssa_branch branch, edges;
    int heads, lead;    /* virtual nodes in front, whose rows the sums of gates do not scale */
    float clip;         /* of scores before E; 0: none */
    float dropout, drop_keys; /* of probabilities, of logits */
    int dropout_stream;
    bool updates;       /* edges; else they are only read */
    bool cells;         /* only edges that the layer's plan samples are taken, and where they are updated left as the
                           stream of cells */
    bool scale_degrees; /* sums of gates as if the plan had sampled all */
    /* draft */
    int layer, width, edge_width, qkv, qkv_bias, proj, proj_bias, pair, pair_bias, edge_proj, edge_proj_bias;
    struct ssa_place qkv_at, lse, sums, att, pairs_at, scores_at, edges_in, edges_out, cells_at;
};
extern const struct ssa_block_kind ssa_edge_attention_kind;

/* The stream of cells back into that of edges, which the block is of. */
struct ssa_write_cells_block {
    struct ssa_block block;
    /* draft */
    int width;
    struct ssa_place cells_at;
};
extern const struct ssa_block_kind ssa_write_cells_kind;

/* x += drop(down(drop(act(up(norm(x)))))); gated: x += drop(down(drop(act(g) u))), [g, u] = up(norm(x)), twice as
 * wide */
struct ssa_mlp_block {
    struct ssa_block block;
    struct ssa_branch branch;
    int hidden, activation;
    bool bias, gated;
    bool bound_bias; /* biases start uniform in the bounds of their matrices, as PyTorch's linear layers do */
    float dropout;   /* of what the activation gives */
    int dropout_stream;
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
    const char *tied; /* whose matrix it takes, or NULL: one of its own, "head.weight", */
    bool zero;        /* which starts at 0 */
    /* draft */
    int width, w, targets, chunk;
    struct ssa_place losses;
};
extern const struct ssa_block_kind ssa_head_tokens_kind;

/* An adaptive softmax, tied to an embed_words below: of h = drop(x) a softmax over [E_0 h; C h], the words of the first
 * band and the other bands, and over E_b z, z = drop(P_b^T h), the words of band b. In chunks of rows, and z of the rows
 * alone whose targets are in the band. With one band E_0 h is all there is. Answers are log-probabilities. */
struct ssa_head_words_block {
    struct ssa_block block;
    struct ssa_bands bands;
    int widths[SSA_BANDS];
    float dropout;
    int dropout_stream; /* of h; that of band b's z is b more */
    /* draft */
    int width, tables[SSA_BANDS], projections[SSA_BANDS], tails, targets;
    int chunks[SSA_BANDS]; /* rows at a time of each softmax */
    size_t pieces[5];      /* of the BRANCH slot */
    struct ssa_place losses;
};
extern const struct ssa_block_kind ssa_head_words_kind;

/* logits = head(pool(norm(x))), a row and a loss a sequence; targets are classes, or weights of all of them. */
struct ssa_head_classes_block {
    struct ssa_block block;
    struct ssa_norm_part norm;
    int classes;
    bool mean; /* pool: the mean over all positions; else the first one's row */
    /* draft */
    int width, w, bias, targets, soft;
    struct ssa_place losses, pooled;
};
extern const struct ssa_block_kind ssa_head_classes_kind;

/* values = layers(pool(norm(x))), so many a sequence, each with a loss: linear layers with an activation between them.
 * Pool: the first `lead` rows of a sequence side by side; with lead 0 the mean over its real positions. */
enum { SSA_HEAD_LAYERS = 3 };
struct ssa_head_values_block {
    struct ssa_block block;
    struct ssa_norm_part norm;
    int lead, layers, values;
    int activation, loss; /* enum ssa_loss */
    float start;          /* of the last layer's bias; 0: as others */
    /* draft */
    int width, w[SSA_HEAD_LAYERS], bias[SSA_HEAD_LAYERS], lengths, targets;
    struct ssa_place out[SSA_HEAD_LAYERS], pre[SSA_HEAD_LAYERS], losses, dvalues, pooled;
};
extern const struct ssa_block_kind ssa_head_values_kind;

#endif
