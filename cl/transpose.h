#ifndef SSA_TRANSPOSE_H
#define SSA_TRANSPOSE_H
#include "common.h"

/* Transposes VW vecs in place: each round deals the two halves out like cards. */
SSA_INLINE void transpose(vec *rows)
{
    UNROLL for (int round = 1; round < VW; round *= 2)
    {
        vec dealt[VW];
        UNROLL for (int i = 0; i < VW / 2; i++)
        {
            dealt[2 * i] = vec_zip_low(rows[i], rows[i + VW / 2]);
            dealt[2 * i + 1] = vec_zip_high(rows[i], rows[i + VW / 2]);
        }
        UNROLL for (int i = 0; i < VW; i++) rows[i] = dealt[i];
    }
}

#endif
