/* Token and position embedding, forward and backward.
 *
 *   out[t,:] = scale * sum over m < each of table[ids[t each + m],:] + positions[t mod length,:]
 *   dtable[v,:] (+)= scale * sum of dout[t,:] over ids[t each + m] = v;  dpositions[n,:] (+)= sum over t = n mod length
 *
 * Shapes  ids int [rows, each]; table, dtable [vocabulary, width]; positions, dpositions [length, width]; out, dout
 *         [rows, width]. An id outside [dead, vocabulary) counts nowhere.
 * Grid    embedding_fwd, which is for each = 1, and embedding_fwd_sum: a row of out each. embedding_bwd_positions: a
 *         row of dpositions each.
 *         embedding_bwd_table: the rows of dtable whose number is the work-item's modulo `classes`, a power of two.
 *         It walks all ids in order and adds the rows that are its own: no atomics, a fixed order, and every row of
 *         dout is read, once for each of its ids, by one owner in whole cache lines.
 * Macros  those of common.h.
 *
 * Lab book (8192 tokens x 256, vocabulary 256, two threads, machine shared with others)
 *   embedding_bwd_table with groups the driver chooses   PoCL 0.80 ms: all 8 classes in one group, on one core
 *   a group each                                         PoCL 0.42 ms, host 0.28 ms (30 GB/s of dout, add had 45)
 *   each = 1 by embedding_fwd_sum                        host 1.7 times as long, so it has a kernel of its own
 *   a loop of its own over the ids of a row              host 1.3 times as long (rows of 64: 1.4) as one over all ids
 *   atoms (1152 x 768, 9 ids a row, 1153 rows), one thread: 0.55 ms forward, 0.64 ms backward, 50 GB/s of dout
 */
#include "common.h"

__kernel void embedding_fwd(TENSOR(const int, ids), TENSOR(const float, table), TENSOR(const float, positions),
                            TENSOR(float, out), const int length, const int width, const int vocabulary,
                            const float scale, const int dead)
{
    BIND(const int, ids);
    BIND(const float, table);
    BIND(const float, positions);
    BIND(float, out);
    const int id = ids[ROW];
    const int known = id >= dead && id < vocabulary;
    table += known ? id * (size_t)width : 0;
    positions += positions ? ROW % (size_t)length * (size_t)width : 0;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = vec_set(0.0f);
        if (known)
            v = LOAD(table + c, part) * scale;
        if (positions)
            v = v + LOAD(positions + c, part);
        STORE(out + c, v, part);
    }
}

__kernel void embedding_fwd_sum(TENSOR(const int, ids), TENSOR(const float, table), TENSOR(const float, positions),
                                TENSOR(float, out), const int length, const int width, const int vocabulary,
                                const float scale, const int dead, const int each)
{
    BIND(const int, ids);
    BIND(const float, table);
    BIND(const float, positions);
    BIND(float, out);
    ids += ROW * (size_t)each;
    positions += positions ? ROW % (size_t)length * (size_t)width : 0;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = vec_set(0.0f);
        for (int m = 0; m < each; m++) {
            const int id = ids[m];
            if (id >= dead && id < vocabulary)
                v = v + LOAD(table + id * (size_t)width + c, part);
        }
        v = v * scale;
        if (positions)
            v = v + LOAD(positions + c, part);
        STORE(out + c, v, part);
    }
}

__kernel void embedding_bwd_table(TENSOR(const int, ids), TENSOR(const float, dout), TENSOR(float, dtable),
                                  const int rows, const int width, const int vocabulary, const int classes,
                                  const int accumulate, const int each, const float scale, const int dead)
{
    BIND(const int, ids);
    BIND(const float, dout);
    BIND(float, dtable);
    const int own = (int)ROW;
    const ulong count = (ulong)rows * (uint)each;
    for (int v = own; !accumulate && v < vocabulary; v += classes)
        FOR_ROW (c, part, width)
            STORE(dtable + v * (size_t)width + c, vec_set(0.0f), part);
    for (ulong i = 0; i < count; i++) {
        const int id = ids[i];
        if ((id & (classes - 1)) != own || id < dead || id >= vocabulary)
            continue;
        __global float *to = dtable + id * (size_t)width;
        __global const float *from = dout + (each > 1 ? i / (uint)each : i) * (size_t)width;
        FOR_ROW (c, part, width)
            STORE(to + c, LOAD(to + c, part) + LOAD(from + c, part) * scale, part);
    }
}

__kernel void embedding_bwd_positions(TENSOR(const float, dout), TENSOR(float, dpositions), const int rows,
                                      const int length, const int width, const int accumulate)
{
    BIND(const float, dout);
    BIND(float, dpositions);
    dpositions += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec sum = vec_set(0.0f);
        if (accumulate)
            sum = LOAD(dpositions + c, part);
        for (size_t t = ROW; t < (size_t)rows; t += (size_t)length)
            sum += LOAD(dout + t * (size_t)width + c, part);
        STORE(dpositions + c, sum, part);
    }
}
