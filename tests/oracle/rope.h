/* Rotary positions in double precision, in place: row t has position first + t mod length; inverse turns back. */
#ifndef SSA_ORACLE_ROPE_H
#define SSA_ORACLE_ROPE_H

#include <stdbool.h>
#include <stddef.h>

struct oracle_rope {
    int rows, length, heads, width, first_position;
    size_t stride;
    double base;
    bool inverse;
};

void oracle_rope(const struct oracle_rope *r, double *x);

#endif
