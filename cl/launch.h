/* How launches are cut: what an operator of lib/op makes a grid of, and its kernel takes for given. */
#ifndef SSA_LAUNCH_H
#define SSA_LAUNCH_H

/* common.h, GPU shape: work-items that share a row, a power of two. */
#define ROW_LANES 64
/* Elements that a work-item of an element-wise kernel owns. */
#define CPU_ELEMENTS 1024
#define GPU_ELEMENTS 4
/* sum.cl: of a partial sum, short enough for float accumulators. */
#define SUM_SPAN 16384
/* dropout.cl: elements of a work-item. */
#define DROPOUT_PIECE 4096
/* gemm.cl: columns of a packed panel, whatever the register tile, and depth that a work-item packs of it. */
#define PANEL_COLUMNS 32
#define PACK_K 64
/* linear.cl, linear_few: columns of a work-item, a multiple of VW. */
#define FEW_COLUMNS 16
/* norm.cl, norm_fwd_narrow: the most columns, and rows of a work-item, a multiple of VW. */
#define NARROW_COLUMNS 128
#define NARROW_ROWS 64
/* attention_heads.cl: queries of a work-item of forward, and elements of the widest heads. attention_pairs.cl, CPU
 * shape: queries of a work-item. */
#define HEADS_TILE 64
#define HEADS_WIDTH 32
#define PAIRS_TILE 32
/* attention_parts.h: queries of a tile. */
#define ATTENTION_PARTS_TILE 256
/* attention_bwd_gpu.cl, attention_bwd_prepare: of a work-group, and of a row of that width. */
#define PREPARE_ITEMS 64
#define PREPARE_LANES(width) ((width) <= 64 ? 8 : (width) <= 128 ? 16 : 32)

#endif
