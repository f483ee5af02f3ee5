/* Attention over a plan, forward, CPU shape.
 *     out_i = sum_j p_ij v_j,  p_i = softmax_j(scale q_i . k_j),  lse_i = log2 sum_j exp(scale q_i . k_j)
 * over the j that the plan gives query i (j <= i if causal), its own key as one more where the plan says so.
 *
 * Shapes   q, out [batch, length, heads, D]; k, v [batch, length, heads / group, D], rows *_stride apart;
 *          lse [batch, heads, length]; plan: see plan.h, examples plan_stride apart (0: one for all).
 * Grid     (tiles, batch * heads): a work-item owns a tile of TILE queries of one head, walks its keys in blocks with
 *          a running maximum, and answers its rows, padding included.
 * Macros   D: the head width, else the parameter `width`; TILE, KEYS: below and attention_tile.h.
 *
 * Lab book. Percent of the FMA peak (117 GFLOP/s a core), PoCL 3.1 on two cores with AVX-512, H8 D64 N2048 k512 in rows
 * of 3 * 512 floats, forward, not causal / causal. The machine was busy: processor time, best of several, +-1.5.
 *   K and V packed by block into private memory, scores [key][query], tile of 64       70 / 62
 *   a vec as one load instead of vload16 (see vector.h)                                75 / 69
 *   buffers in huge pages: each row of a head lies on a page of its own                76 / 71
 *   tiles transposed by shuffles instead of scalar copies (3 times faster, 2% of all)  76 / 71
 *   the next block's rows prefetched during this one's second product                  78 / 73
 *   tile of 128 instead of 64: each block is packed half as often                      80 / 75
 *   KEYS 32 or 128 instead of 64                                                       the same
 *   heads instead of tiles innermost in the grid, for local plans                      the same
 * The two products run at 98% of peak and take 75% of the time; packing 8%, exp2 and maximum 7%, the tile's own rows
 * 8%. Small local slices (D32, 64 keys a slice, own key) reach 45%: there the tile's own rows and exp2 dominate. */
#ifndef TILE
#define TILE 128 /* queries of a tile; this and KEYS may be tuned: lib/tuning.c */
#endif
#include "attention_tile.h"

/* Scores of one group against `count` keys become probabilities: `certain` keys are at or before every query of the
 * group, the rest are masked one by one. m, l: running maximum and sum; change: what earlier output is scaled by. */
INLINE void soften(float *scores, int count, int certain, __global const int *source, int first, float *m, float *l,
                   float *change)
{
    vec top[GROUP / VW], sum[GROUP / VW], position[GROUP / VW];
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        top[v] = vec_load(m + v * VW);
        position[v] = vec_iota() + (float)(v * VW);
    }
    for (int j = certain; j < count; j++) {
        vec p = vec_set((float)(source[j] - first));
        UNROLL for (int v = 0; v < GROUP / VW; v++)
            vec_store(scores + j * TILE + v * VW, vec_select(p > position[v], vec_set(-1e30f),
                                                             vec_load(scores + j * TILE + v * VW)));
    }
    for (int j = 0; j < count; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++) top[v] = vec_max(vec_load(scores + j * TILE + v * VW), top[v]);
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        vec c = vec_exp2(vec_load(m + v * VW) - top[v]);
        sum[v] = vec_load(l + v * VW) * c;
        vec_store(change + v * VW, c);
        vec_store(m + v * VW, top[v]);
    }
    for (int j = 0; j < certain; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++)
        {
            vec p = vec_exp2(vec_load(scores + j * TILE + v * VW) - top[v]);
            sum[v] += p;
            vec_store(scores + j * TILE + v * VW, p);
        }
    for (int j = certain; j < count; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++)
        {
            vec s = vec_load(scores + j * TILE + v * VW);
            vec p = vec_select(s > vec_set(-1e30f), vec_exp2(s - top[v]), vec_set(0.0f));
            sum[v] += p;
            vec_store(scores + j * TILE + v * VW, p);
        }
    UNROLL for (int v = 0; v < GROUP / VW; v++) vec_store(l + v * VW, sum[v]);
}

__kernel void attention_fwd(TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(float, out),
                            TENSOR(float, lse), TENSOR(const int, plan), const ulong plan_stride, const int length,
                            const int heads, const int group, const int width, const int q_stride, const int k_stride,
                            const int v_stride, const int out_stride, const int causal, const float scale,
                            const int tiles)
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(float, out);
    BIND(float, lse);
    BIND(const int, plan);
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED, answer[TILE * WIDTH_MAX] ALIGNED;
    float keys[KEYS * WIDTH_MAX] ALIGNED, values[KEYS * WIDTH_MAX] ALIGNED, scores[KEYS * TILE] ALIGNED;
    float m[TILE] ALIGNED, l[TILE] ALIGNED, change[TILE] ALIGNED;

    /* Late tiles of a causal head cost most: first. */
    const int id = causal ? tiles - 1 - (int)get_global_id(0) : (int)get_global_id(0);
    const int head = (int)(get_global_id(1) % heads), example = (int)(get_global_id(1) / heads);
    plan += plan_stride * example;
    const struct tile t = tile_of(plan, id, length);
    const ulong row = (ulong)example * length + t.first;
    q += row * q_stride + head * WIDTH;
    out += row * out_stride + head * WIDTH;
    lse += ((ulong)example * heads + head) * length + t.first;
    k += (ulong)example * length * k_stride + head / group * WIDTH;
    v += (ulong)example * length * v_stride + head / group * WIDTH;
    __global const int *source_all = plan + plan[PLAN_SOURCE_AT], *own = plan + plan[PLAN_OWN_AT] + t.first;

    pack_tile(queries, q, q_stride, t.answered, scale * LOG2E, width);
    transpose_tile(queries_t, queries, t.answered, 1.0f, width);
    for (int r = 0; r < TILE; r++) {
        m[r] = -1e30f;
        l[r] = 0.0f;
        if (r >= t.count)
            continue;
        if (r < t.answered && own[r]) {
            m[r] = dot_rows(k + (ulong)(t.first + r) * k_stride, queries + r * PITCH, width);
            l[r] = 1.0f;
            pack_row(answer + r * PITCH, v + (ulong)(t.first + r) * v_stride, 1.0f, width);
        } else {
            clear_rows(answer, r, r + 1, width);
        }
    }

    for (int run = 0, begin, end; run_of(plan, t, run, causal, &begin, &end); run++) {
        if (causal)
            end = begin + visible(source_all + begin, end - begin, t.first + t.answered - 1);
        for (; begin < end; begin += KEYS) {
            __global const int *source = source_all + begin;
            const int count = min(KEYS, end - begin), masked = causal && source[count - 1] > t.first;
            pack_keys(keys, k, k_stride, source, count, width);
            pack_keys(values, v, v_stride, source, count, width);
            for (int g = 0; g < t.answered; g += GROUP) {
                int first = t.first + g;
                int seen = masked ? visible(source, count, first + GROUP - 1) : count;
                int certain = masked ? visible(source, seen, first) : count;
                product_scores(scores + g, keys, queries_t + g, seen, width);
                soften(scores + g, seen, certain, source, first, m + g, l + g, change + g);
            }
            for (int r = 0, seen = masked ? 0 : count; r < t.answered; r += ROWS) {
                while (seen < count && source[seen] <= t.first + r + ROWS - 1)
                    seen++;
                for (int i = r + KEYS; i < min(r + KEYS + ROWS, end - begin); i++) {
                    prefetch_row(k + (ulong)source[i] * k_stride, width);
                    prefetch_row(v + (ulong)source[i] * v_stride, width);
                }
                product_rows(answer + r * PITCH, scores + r, 1, TILE, values, seen, RESCALE, change + r, width);
            }
        }
    }

    for (int r = t.answered; r < t.count; r++)
        l[r] = 0.0f;
    for (int r = 0; r < t.count; r += VW) {
        vec sum = vec_load(l + r), none = vec_set(-INFINITY);
        vec_int seen = sum > vec_set(0.0f);
        vec_store(change + r, vec_select(seen, 1.0f / sum, vec_set(0.0f)));
        sum = vec_select(seen, vec_load(m + r) + vec_log2(sum), none);
        STORE(lse + r, sum, min(VW, t.count - r));
    }
    for (int r = 0; r < t.count; r++)
        store_row(out + (ulong)r * out_stride, answer + r * PITCH, change[r], width);
}
