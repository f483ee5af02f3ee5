/**
 * @file sample.h
 * Sampling: which keys each query attends to. A *plan* is drawn on the host, in integers, from a counter-based
 * generator, so that (seed, step, layer, example) gives the same plan on every machine.
 *
 * Source: Hussain et al., "The Information Pathways Hypothesis", KDD 2023, figure 3 (unbiased: uniform shuffle of the
 * sources, cut after k; locally biased: a shuffle that moves sources only a little, cut into slices of w, slice b seen
 * by query block b). What the paper leaves open is chosen here: the biased shuffle sorts i + sigma*n_i, n_i ~ N(0,1).
 */
#ifndef SSACL_SAMPLE_H
#define SSACL_SAMPLE_H

#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum ssa_sampling {
    SSA_DENSE,    /**< every query sees every key */
    SSA_UNBIASED, /**< every query sees the same k keys, drawn uniformly without replacement */
    SSA_LOCAL     /**< query block b of w queries sees slice b of the locally shuffled keys */
};

/** How to draw. Zero means the default everywhere. */
struct ssa_sample {
    int kind;               /**< enum ssa_sampling */
    int length;             /**< N, the sequence length: queries and keys */
    int batch;              /**< examples; 0 or 1 unless `per_example` or `lengths` */
    int keys;               /**< UNBIASED: k, 1..N. LOCAL: keys each query sees, w (look-back: w = 2*slice), 1..N */
    float sigma;            /**< LOCAL: standard deviation of the jitter in units of the slice; 0 means 1. Use
                                 `fixed_windows` for none */
    int fixed_windows;      /**< LOCAL: 1: no shuffle at all (plain block-local attention) */
    int look_back;          /**< LOCAL: 1: slices of w/2; block b (of w/2 queries) sees slices b-1 and b */
    int own_key;            /**< 1: a query whose own key is not in its set sees it as one more column */
    int per_example;        /**< 1: every example of the batch draws its own plan */
    const int *lengths;     /**< NULL, or `batch` real lengths (0..N): later positions are padding, never sampled and
                                 never answered. k of an example is then ceil(k * length / N) */
    const int *keep;        /**< NULL, or positions that every query sees, outside k; sorted, distinct, in [0, N) */
    int keep_count;
    uint64_t seed;
    uint64_t step;
    uint32_t layer;
    uint32_t first_example; /**< number of the batch's first example (micro-batches draw what the whole would) */
    size_t reserved[4];
};

/** A drawn plan, on the host. See cl/plan.h for its layout. */
struct ssa_plan {
    int32_t *data;    /**< `examples` blocks of `stride` int32 */
    size_t stride;
    int examples;     /**< 1 when the batch shares one draw */
    int length;       /**< N */
    int block;        /**< queries per block: block b is [b*block, min((b+1)*block, N)) */
    int max_keys;     /**< the most keys any query sees (without its own extra column) */
    size_t capacity;  /**< int32 allocated; the plan grows it as needed and keeps it for the next draw */
    double pairs;     /**< (query, key) pairs over all examples, before causal masking: cost is 4*H*D flop each */
    double pairs_causal; /**< the same with only keys at or before the query */
};

/** Draws a plan. `plan` must be zeroed or hold an earlier plan, whose memory is reused.
 *  SSA_EINVAL names the field that is wrong. Cost O(N log N) per example. */
SSA_API int ssa_plan_draw(struct ssa_plan *plan, const struct ssa_sample *how);

/** Frees the plan's memory; the struct may be used again. */
SSA_API void ssa_plan_finish(struct ssa_plan *plan);

/** The most int32 that any plan of this kind takes, so that device memory can be planned ahead. 0 on bad input. */
SSA_API size_t ssa_plan_bound(const struct ssa_sample *how);

/** The permutation of an unbiased (sigma < 0) or locally biased (sigma in positions) shuffle of n sources: the raw
 *  draw under a plan, for tests and for other layouts. order[s] is the original position of the source in slot s. */
SSA_API int ssa_shuffle(int32_t *order, int n, double sigma, uint64_t seed, uint64_t step, uint32_t layer,
                        uint32_t example);

/** A plan from an explicit order: slice s is order[slice_start[s] .. slice_start[s+1]), and query block b, the
 *  queries [b*block, (b+1)*block), sees slices [first[b], end[b]); first and end never step back. Sources within a
 *  slice are sorted. For golden cases and for layouts of one's own. */
struct ssa_layout {
    int length, block, slices;
    const int32_t *order, *slice_start; /**< slice_start: slices + 1 values */
    const int32_t *first, *end;         /**< ceil(length / block) values each */
    int own_key;
    size_t reserved[4];
};
SSA_API int ssa_plan_from_layout(struct ssa_plan *plan, const struct ssa_layout *layout);

/** The keys that `query` of `example` sees, in increasing order, its own extra key included; returns how many.
 *  `keys` holds at least max_keys + 1. For tests and for people who want to look. */
SSA_API int ssa_plan_keys(const struct ssa_plan *plan, int example, int query, int32_t *keys);

#ifdef __cplusplus
}
#endif
#endif
