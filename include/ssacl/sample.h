/**
 * @file sample.h
 * Sampling: which keys each query attends to. A *plan* is drawn on the host, in integers, from a counter-based
 * generator (Philox4x32-10 keyed by the seed), so that (seed, step, layer, example) gives the same plan on every
 * machine. All heads of a layer share it.
 *
 * Source: Hussain et al., "The Information Pathways Hypothesis", KDD 2023, figure 3 (unbiased: uniform shuffle of the
 * sources, cut after k; locally biased: a shuffle that moves sources only a little, cut into slices of w, slice b seen
 * by query block b). What the paper leaves open is chosen here: the biased shuffle sorts i + sigma*n_i, n_i ~ N(0,1).
 *
 * Locally biased in two dimensions, of a grid of points (r, c), each with `channels` positions side by side. Cells of
 * a x b points divide the grid:
 *     keys sorted by r + sigma a n, n ~ N(0,1), are cut into bands, each of as many as a rows have;
 *     those of a band, sorted by c + sigma b n', into cells of a b channels keys;
 *     a query at (r, c) sees cell (r div a, c div b), and with look_back that above it, (r div a - 1, c div b).
 * So queries see equally many keys, but for those of the first a rows with look_back, and keys are seen by equally many
 * queries. No jitter is fixed windows, a large one uniform; one cell is dense. Positions before the grid, as a class
 * token, see all keys and are seen by all queries. Kernels take queries that lie side by side, here b channels, in
 * tiles of up to 64: narrow cells cost up to what so wide ones do. This rule is chosen here too.
 *
 * Locally biased with permute_queries is Stochastic Attention (Jin and Sui, arXiv 2604.00754, 2026; there with a uniform
 * permutation): queries are shuffled as the keys are, and attention is dense within windows of what was shuffled. So a
 * query sees the slice that its own key is in. Rotary positions and causality are those from before the shuffle.
 */
#ifndef SSACL_SAMPLE_H
#define SSACL_SAMPLE_H

#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum ssa_sampling {
    SSA_DENSE,    /**< every query sees every key */
    SSA_UNBIASED, /**< every query sees the same k keys, drawn uniformly without replacement; or, with `independent`, the
                       same ones of which each was drawn on its own */
    SSA_LOCAL     /**< query block b of w queries sees slice b of the locally shuffled keys, or cell of a grid */
};

#define SSA_MAX_LENGTH (1 << 22) /**< the longest sequence that can be sampled */

/** How to draw. Zero means the default everywhere; what a kind does not use is ignored. */
struct ssa_sample {
    int kind;               /**< enum ssa_sampling */
    int length;             /**< N, the sequence length, keys. 1..SSA_MAX_LENGTH */
    int queries;            /**< T; 0 means as many as keys. Fewer are the last of the sequence: query i stands at the
                                 position of key N - T + i. More have no positions among the keys: DENSE and UNBIASED
                                 only, without own_key and lengths */
    int batch;              /**< examples, 0 means 1; counts only with `per_example` or `lengths` (else one block of
                                 the plan serves any batch) */
    int keys;               /**< UNBIASED: k, 1..N. LOCAL: keys each query sees, w (look-back: w = 2*slice), 1..N */
    float ratio;            /**< UNBIASED: 0, or in (0, 1], whatever keys is: k = ceil(ratio r) of an example with r real
                                 positions that are not kept, exactly: 5 of 9 by 0.5, all by 1. It stands for what
                                 rounds to it: 0.1f, a little above a tenth, is 1 of 10 */
    float sigma;            /**< LOCAL: standard deviation of the jitter in units of the slice, at most 16*N/slice, or
                                 of a cell's rows and columns, at most 16 times the grid's; 0 means 1; SSA_NONE: none,
                                 as `fixed_windows` */
    int fixed_windows;      /**< LOCAL: 1: no shuffle at all (plain block-local attention) */
    int look_back;          /**< LOCAL: 1: slices of w/2; block b (of w/2 queries) sees slices b-1 and b */
    int own_key;            /**< 1: a query whose own key is not in its set sees it as one more column */
    int per_example;        /**< 1: every example of the batch draws its own plan */
    const int *lengths;     /**< NULL, or `batch` real lengths (0..N), kept positions included: later ones are padding,
                                 never sampled and never answered, kept or not. By keys, k of an example is then
                                 ceil(keys r / (N - keep_count)), r as of ratio */
    const int *keep;        /**< NULL, or positions that every query sees, outside k; sorted, distinct, in [0, N).
                                 UNBIASED draws its k from the others; LOCAL takes them out of their slices */
    int keep_count;
    int rows, columns;      /**< LOCAL: 0, or of a grid, row by row at the sequence's end: local in both directions, as
                                 above; its cells have `keys` keys (look_back: half). Not with lengths */
    int channels;           /**< of a point of the grid; 0 means 1 */
    int cell_rows;          /**< a, dividing rows; 0: of the cells that divide the grid the one nearest to a square, of
                                 two the wider one */
    int permute_queries;    /**< LOCAL: 1: a query sees the slice that its own key is in; slices are those of the same
                                 draw without it. The largest sigma, 16*N/slice, is a uniform permutation in all but
                                 name. Not with look_back, keep or a grid. Operators take such a plan, slowly, for
                                 queries side by side see different keys, and backward on a GPU launches once for each
                                 key of a slice; models bring positions into the order of slices (ssa_plan.window) */
    uint64_t seed;
    const uint64_t *seeds;  /**< NULL, or [batch] instead of it: each example has a plan, as with its seed in a batch of
                                 one. Not with lengths */
    uint64_t step;          /**< below 2^48 */
    uint32_t layer;         /**< below 2^15 */
    uint32_t first_example; /**< number of the batch's first example (micro-batches draw what the whole would) */
    int independent;        /**< UNBIASED: 1: instead of exactly k, each real position that is not kept is drawn on its
                                 own, with probability ratio, or keys / (N - keep_count), at most 1: source dropout as
                                 in TGT (Hussain et al. 2024), shared by the queries and heads of an example. How many
                                 keys there are is then another number in every draw and example, 0 to all, and the
                                 room of a plan is that of all. Of none, queries see what is kept, their own key by
                                 own_key, or nothing, and answer 0 */
    size_t reserved[1];
};

/** A drawn plan, on the host; its layout is the library's. Threads: draws change it, one at a time; while none does,
 *  any number may read it, operators of several devices included. */
struct ssa_plan {
    int32_t *data;    /**< `examples` blocks of `stride` int32 */
    size_t stride;
    int examples;     /**< 1 when the batch shares one draw */
    int length;       /**< N, keys */
    int queries;      /**< T */
    int block;        /**< positions of queries per block: block b is [b*block - lack, min((b+1)*block - lack, N)) */
    int lack;         /**< by how many the first block, from 0, is shorter */
    int runs;         /**< the most runs of blocks, side by side, that see one slice: 1 where there are no cells */
    int blocks;       /**< of queries, in an example */
    int slices;       /**< of keys, in an example */
    int max_slice;    /**< the most keys of a slice */
    int max_keys;     /**< the most keys any query sees (without its own extra column) */
    int window;       /**< of permute_queries: the keys of a slice, where all have as many, there are several, every
                           position is a query and there are no lengths; else 0. Brought into the order of slices, in
                           each of which they increase, positions attend densely within windows of so many */
    size_t capacity;  /**< int32 allocated; the plan grows it as needed and keeps it for the next draw */
    double pairs;     /**< (query, key) pairs over the plan's `examples` (a shared draw counts once), own columns
                           included, before causal masking: cost is 4*H*D flop each */
    double pairs_causal; /**< the same with only keys at or before the query */
};

/** Draws a plan. `plan` must be zeroed or hold an earlier plan, whose memory is reused.
 *  SSA_EINVAL names the field that is wrong. Cost O(N log N) per example. */
SSA_API int ssa_plan_draw(struct ssa_plan *plan, const struct ssa_sample *how);

/** Puts a plan where operators take it from, their `plan_data`: after every draw.
 *
 *    struct ssa_tensor plan_data = {0};
 *    ssa_plan_draw(&plan, &how);
 *    ssa_plan_upload(device, &plan, &plan_data);
 *    ssa_attention_fwd(device, &(struct ssa_attention_fwd){.attention = {..., .plan = &plan, .plan_data = plan_data}});
 *    ...
 *    ssa_buffer_destroy(plan_data.buffer);
 *
 *  @param data int32, examples * stride. Zeroed: a buffer is made, which the caller destroys, and its type set; else it
 *              must hold the plan (SSA_EINVAL): ssa_plan_bound() says what any draw takes.
 *  Enqueued, as ssa_tensor_write(). */
SSA_API int ssa_plan_upload(struct ssa_device *device, const struct ssa_plan *plan, struct ssa_tensor *data);

/** Frees the plan's memory; the struct may be used again. */
SSA_API void ssa_plan_finish(struct ssa_plan *plan);

/** The int32 that a plan drawn this way takes, whatever the draw (examples * stride), so that device memory can be
 *  planned ahead. 0 on bad input. */
SSA_API size_t ssa_plan_bound(const struct ssa_sample *how);

/** The permutation of an unbiased (sigma < 0) or locally biased (sigma in positions, at most 16 n) shuffle of n
 *  sources: the raw draw under a plan, for tests and for other layouts. order[s] is the original position of the
 *  source in slot s. */
SSA_API int ssa_shuffle(int32_t *order, int n, double sigma, uint64_t seed, uint64_t step, uint32_t layer,
                        uint32_t example);

/** A plan from an explicit order: slice s is order[slice_start[s] .. slice_start[s+1]), and query block b, the
 *  queries [b*block, (b+1)*block), sees slices [first[b], end[b]); first and end never step back. Sources within a
 *  slice get sorted; no source may be in two slices, and some may be in none. For golden cases and for layouts of
 *  one's own. */
struct ssa_layout {
    int length, block, slices;
    const int32_t *order, *slice_start; /**< slice_start: slices + 1 values */
    const int32_t *first, *end;         /**< ceil(length / block) values each */
    int own_key;
    size_t reserved[4];
};
SSA_API int ssa_plan_from_layout(struct ssa_plan *plan, const struct ssa_layout *layout);

/** Of a plan of as many queries as keys, what is left for queries at the last `queries` of the first `keys` positions
 *  when no key past these is there: a causal pass over `whole` is that over its beginning, and then, with the keys and
 *  values of what has passed in a cache, over one query after another, each with ssa_plan_head(plan, whole, t + 1, 1).
 *  `plan`, another than `whole`, must be zeroed or hold an earlier one, whose memory is reused. Cost O(keys).
 *  SSA_EINVAL. */
SSA_API int ssa_plan_head(struct ssa_plan *plan, const struct ssa_plan *whole, int keys, int queries);

/** The keys that `query` (0..T-1) of `example` sees, in increasing order, its own extra key included; returns how many,
 *  or SSA_EINVAL. `keys` holds at least max_keys + 1. For tests and for people who want to look. */
SSA_API int ssa_plan_keys(const struct ssa_plan *plan, int example, int query, int32_t *keys);

/** Plans drawn ahead: a thread draws the plans of step s + 1 while step s runs. Threads: calls on a queue come from one
 *  at a time. */
struct ssa_plan_queue;

/** Says how plan `index` of `step` is drawn: fills the zeroed `how`, `how->step` being set already, and returns SSA_OK
 *  or the status of ssa's last error. Called from the queue's thread, for steps past the last one too: it must depend
 *  on its arguments and on what never changes. Arrays that `how` points to must stay. */
typedef int (*ssa_plan_settings)(void *cookie, uint64_t step, int index, struct ssa_sample *how);

/** A queue of `count` plans a step (one a layer; or one a layer and micro-batch). */
SSA_API int ssa_plan_queue_create(struct ssa_plan_queue **queue, int count, ssa_plan_settings settings, void *cookie);

/** Plan `index` of `step`, as ssa_plan_draw() would draw it; NULL on error. Valid until a plan of another step is
 *  taken. Steps may come in any order; only step + 1 is drawn ahead. One thread at a time. */
SSA_API const struct ssa_plan *ssa_plan_queue_take(struct ssa_plan_queue *queue, uint64_t step, int index);

/** Ends the thread and frees the plans. NULL is fine. */
SSA_API void ssa_plan_queue_destroy(struct ssa_plan_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
