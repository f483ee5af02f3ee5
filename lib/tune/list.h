/* What may differ from device to device in kernels, a line a parameter:
 *
 *   X(kernel, name, who has it, constant, standard, trait, values...)
 *
 * of the table in tuning.c, which says what these mean. A name that is not here does not compile. */
#ifndef SSA_TUNED_LIST_H
#define SSA_TUNED_LIST_H

#define SSA_TUNED_LIST(X) \
    /* TILE: queries of a tile; KEYS: of a block; VW: floats of a vec; PARTS: work-items a unit, at least. */ \
    X(attention_fwd, TILE, CPU_SHAPE, true, 128, NULL, 32, 64, 128, 256) \
    X(attention_fwd, KEYS, CPU_SHAPE, true, 0, NULL, 0, 16, 32, 64, 128) \
    X(attention_fwd, VW, CPU_SHAPE, true, 16, NULL, 8, 16) \
    X(attention_bwd, TILE, CPU_SHAPE, true, 64, NULL, 32, 64, 128) \
    X(attention_bwd, KEYS, CPU_SHAPE, true, 0, NULL, 0, 16, 32, 64, 128) \
    X(attention_bwd, VW, CPU_SHAPE, true, 16, NULL, 8, 16) \
    X(attention_bwd, PARTS, HOST_TOO, false, 4, NULL, 1, 2, 4, 8) \
    /* MR x NV: the register tile; KC, MB, NB: the block that gemm_ta packs; ITEMS: work-items a unit, at least; \
     * ROWS of a work-item, at most; PANELS: KiB of b's packed panels that a work-item goes through, about. */ \
    X(gemm, MR, CPU_SHAPE, true, 0, NULL, 0, 4, 6, 8) \
    X(gemm, NV, CPU_SHAPE, true, 2, NULL, 1, 2, 4) \
    X(gemm, VW, CPU_SHAPE, true, 16, NULL, 8, 16) \
    X(gemm, KC, CPU_SHAPE, true, 128, NULL, 64, 128, 256) \
    X(gemm, MB, CPU_SHAPE, true, 256, NULL, 128, 256, 512) \
    X(gemm, NB, CPU_SHAPE, true, 512, NULL, 256, 512, 1024) \
    X(gemm, ITEMS, HOST_TOO, false, 4, NULL, 2, 4, 8) \
    X(gemm, ROWS, HOST_TOO, false, 144, NULL, 48, 96, 144, 192, 288) \
    X(gemm, PANELS, HOST_TOO, false, 1024, NULL, 256, 512, 1024, 8192) \
    /* SIDE x SIDE work-items of EACH rows and four columns; CHUNK rows are staged at a time. Short blocks take less. \
     * REGISTERS: what a work-item may count on. */ \
    X(attention_fwd_gpu, SIDE, GPU_SHAPE, false, 16, side, 8, 16) \
    X(attention_fwd_gpu, EACH, GPU_SHAPE, false, 0, NULL, 0, 4, 8) \
    X(attention_fwd_gpu, CHUNK, GPU_SHAPE, true, 0, NULL, 0, 4, 8, 16, 32) \
    X(attention_fwd_gpu, REGISTERS, GPU_SHAPE, true, 256, registers, 128, 256) \
    X(attention_bwd_gpu, SIDE, GPU_SHAPE, false, 16, side, 8, 16) \
    X(attention_bwd_gpu, EACH, GPU_SHAPE, false, 0, NULL, 0, 4, 8) \
    X(attention_bwd_gpu, CHUNK, GPU_SHAPE, true, 0, NULL, 0, 4, 8, 16, 32) \
    X(attention_bwd_gpu, REGISTERS, GPU_SHAPE, true, 256, registers, 128, 256) \
    /* A work-group of SIDE x SIDE owns TILE x TILE of c and stages DEPTH of k. */ \
    X(gemm_gpu, TILE, GPU_SHAPE, true, 64, gemm_tile, 32, 64, 128) \
    X(gemm_gpu, SIDE, GPU_SHAPE, true, 16, side, 8, 16) \
    X(gemm_gpu, DEPTH, GPU_SHAPE, true, 16, NULL, 8, 16, 32)

/* SSA_TUNED(attention_fwd, TILE) */
#define SSA_TUNED(kernel, name) SSA_TUNED_##kernel##_##name
#define SSA_TUNED_NUMBER(kernel, name, ...) SSA_TUNED(kernel, name),
enum ssa_tuned { SSA_TUNED_LIST(SSA_TUNED_NUMBER) SSA_TUNED_COUNT };

#endif
