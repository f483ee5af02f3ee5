/* How launches of cl/gemm_parts.cl are cut. */
#ifndef SSA_GEMM_PARTS_H
#define SSA_GEMM_PARTS_H

#define PARTS_PANEL 32 /* rows of a packed panel of a, columns of one of b */
#define PARTS_DEPTH 32 /* of k, up to a multiple of which panels are filled with zeros */
#define PARTS_SHARE (512 << 10) /* bytes of a, packed, that a work-item has at a time: of the second cache */

#endif
