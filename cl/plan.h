/* The layout of a plan: int32, one block of `stride` per example. Written by lib/sample/sample.c, read by the kernels.
 *
 *   [PLAN_LENGTH]    real length: queries and keys at or past it are padding (queries answer 0)
 *   [PLAN_BLOCK]     positions of queries per block: block b is [b * block, min((b + 1) * block, N)), where there is no
 *                    `lack`; fewer queries than keys are those at the last positions, of more queries N is their number
 *                    here and for `own`
 *   [PLAN_BLOCKS]    number of query blocks
 *   [PLAN_COMMON]    1 if slice 0 is seen by every block in addition to its own range (positions always kept), else 0
 *   [PLAN_SLICES]    number of slices of sources
 *   [PLAN_RANGE_AT]  where range[2 * blocks] begins: {first slice, end slice} of each block
 *   [PLAN_SLICE_AT]  where slice_start[slices + 1] begins; slice s is source[slice_start[s] .. slice_start[s + 1])
 *   [PLAN_SOURCE_AT] where source[] begins: positions of the sampled keys, increasing within a slice
 *   [PLAN_OWN_AT]    where own[N] begins: 1 where the query sees its own key as one more column, else 0
 *   [PLAN_LACK]      positions by which the first block is shorter: block b begins at b * block - lack, block 0 at 0
 *   [PLAN_CELLS]     1 if ranges may step back from one block to the next, as those of cells of a grid do, and those of
 *                    blocks of one query that sees the slice of its own key, else 0
 *
 * The slices of a block's range lie side by side in source[], so a block sees
 * source[slice_start[first] .. slice_start[end]), increasing within each slice. But for PLAN_CELLS ranges never step
 * back, so that the blocks that see a slice lie side by side too. With PLAN_COMMON the block sees
 * slice 0, too, and no range holds slice 0. No position is listed twice in source[], so that a key's gradient has
 * one slot; slices may be empty. A block wholly past the real length has an empty range.
 * Dense and unbiased plans are one block of N queries and one slice (kept positions are merged into it).
 */
#ifndef SSA_PLAN_H
#define SSA_PLAN_H
#define PLAN_LENGTH 0
#define PLAN_BLOCK 1
#define PLAN_BLOCKS 2
#define PLAN_COMMON 3
#define PLAN_SLICES 4
#define PLAN_RANGE_AT 5
#define PLAN_SLICE_AT 6
#define PLAN_SOURCE_AT 7
#define PLAN_OWN_AT 8
#define PLAN_LACK 9
#define PLAN_CELLS 10
#define PLAN_HEADER 11
#endif
