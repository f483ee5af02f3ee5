/* Rotary positions, in place: pair (x[j], x[j + width/2]) of every head turns by position * base^(-2j/width).
 *
 * Shapes  x [rows, heads, width], rows `stride` apart; row t has position first_position + t mod length.
 * Grid    `span` rows each; GPU: lanes share a row's (head, vector of pairs); CPU: all heads turn by one angle.
 * Macros  those of common.h.
 *
 * Lab book (8192 x 256, machine shared with others; share of the GB/s of add in the same minute)
 *   8 heads x 32   host 130-220%, PoCL 84-88% (in place: less memory than add)
 *   4 heads x 64   host 89-170%, PoCL 53-55%: angles serve fewer heads
 *
 * Angles are integers: a pair's frequency in turns per position is a 64-bit fraction (units of 2^-64 turns), so that
 * position * frequency wraps to the fraction of a turn by itself, exactly, at any position: a float angle at position
 * 10^6 would be wrong by 0.06. Frequencies come from `first` = 1/(2 pi) and `power_b` = base^(-2 2^b/width), fractions
 * as well, computed by the host in double: f_j = first * the powers whose bit b is set in j. That leaves an error of
 * 1e-9 at position 10^6.
 */
#include "common.h"

#ifdef __OPENCL_C_VERSION__
#define vec_load_int(p) SSA_CAT(vload, VW)(0, p)
#else
#define vec_load_int(p) (*(const vec_int *)(p))
static inline ulong mul_hi(ulong a, ulong b) /* by halves: 32-bit targets have no type of 128 bits */
{
    const ulong half = 0xffffffffu, low = (a & half) * (b & half), cross = (a >> 32) * (b & half) + (low >> 32);
    return (a >> 32) * (b >> 32) + (cross >> 32) + (((a & half) * (b >> 32) + (cross & half)) >> 32);
}
#endif

#define MAX_PAIRS 256 /* 2^8: a power for each bit of j */

SSA_INLINE ulong frequency(int j, ulong first, ulong p0, ulong p1, ulong p2, ulong p3, ulong p4, ulong p5, ulong p6,
                           ulong p7)
{
    const ulong power[8] = {p0, p1, p2, p3, p4, p5, p6, p7};
    UNROLL
    for (int b = 0; b < 8; b++)
        first = j >> b & 1 ? mul_hi(first, power[b]) : first;
    return first;
}

/* Sine and cosine of an angle in units of 2^-64 turns: the nearest quarter turn exactly, the rest, at most an eighth
 * of a turn, by polynomials fitted for the absolute error (4e-9); 1e-7 in float arithmetic. */
struct rotation {
    vec sine, cosine;
};
SSA_INLINE struct rotation rotation(const ulong *angles)
{
    int quarters[VW], rests[VW];
    UNROLL_ON_GPU
    for (int l = 0; l < VW; l++) {
        const ulong q = (angles[l] + ((ulong)1 << 61)) >> 62;
        quarters[l] = (int)q;
        rests[l] = (int)(uint)((angles[l] - (q << 62)) >> 32);
    }
    vec_int q = vec_load_int(quarters);
    vec r = vec_from_int(vec_load_int(rests)) * 1.46291808e-9f; /* 2 pi / 2^32 */
    vec z = r * r;
    vec s = z * (z * -1.951723415e-4f + 8.332177682e-3f) - 1.666665494e-1f;
    vec c = z * (z * 2.443837888e-5f - 1.388736690e-3f) + 4.166664685e-2f;
    s = r + r * z * s;
    c = z * z * c + (z * -0.5f + 1.0f);
    struct rotation out;
    out.sine = vec_select((q & 1) == 1, c, s);
    out.cosine = vec_select((q & 1) == 1, s, c);
    out.sine = vec_select((q & 2) == 2, -out.sine, out.sine);
    out.cosine = vec_select(((q + 1) & 2) == 2, -out.cosine, out.cosine);
    return out;
}

__kernel void rope(TENSOR(float, x), const int rows, const int length, const int heads, const int width,
                   const int stride, const int first_position, const int inverse, const int span, const ulong first,
                   const ulong p0, const ulong p1, const ulong p2, const ulong p3, const ulong p4, const ulong p5,
                   const ulong p6, const ulong p7)
{
    BIND(float, x);
    const int pairs = width / 2, vecs = (pairs + VW - 1) / VW, begin = (int)ROW * span, end = min(begin + span, rows);
#if !SSA_GPU
    ulong frequencies[MAX_PAIRS];
    for (int j = 0; j < vecs * VW; j++)
        frequencies[j] = frequency(j, first, p0, p1, p2, p3, p4, p5, p6, p7);
#endif
    for (int t = begin; t < end; t++) {
        const ulong position = (ulong)first_position + (ulong)(t % length), turned = inverse ? -position : position;
#if SSA_GPU
        for (int i = LANE; i < vecs * heads; i += LANES) {
            const int first_head = i / vecs, end_head = first_head + 1;
#else
        for (int i = 0; i < vecs; i++) {
            const int first_head = 0, end_head = heads;
#endif
            const int j = i % vecs * VW, part = min(VW, pairs - j);
            ulong angles[VW];
            UNROLL_ON_GPU
            for (int l = 0; l < VW; l++)
#if SSA_GPU
                angles[l] = turned * frequency(j + l, first, p0, p1, p2, p3, p4, p5, p6, p7);
#else
                angles[l] = turned * frequencies[j + l];
#endif
            const struct rotation turn = rotation(angles);
            for (int h = first_head; h < end_head; h++) {
                __global float *at = x + t * (size_t)stride + h * (size_t)width + j;
                vec a = LOAD(at, part), b = LOAD(at + pairs, part);
                STORE(at, a * turn.cosine - b * turn.sine, part);
                STORE(at + pairs, a * turn.sine + b * turn.cosine, part);
            }
        }
    }
}
