/* Token and position embedding, forward and backward.
 *
 *   out[t,:] = table[ids[t],:] + positions[t mod length,:]
 *   dtable[v,:] (+)= sum of dout[t,:] over ids[t] = v;  dpositions[n,:] (+)= sum over t = n mod length
 *
 * Shapes  ids int [rows]; table, dtable [vocabulary, width]; positions, dpositions [length, width]; out, dout
 *         [rows, width]. An id outside [0, vocabulary) counts nowhere.
 * Grid    embedding_fwd: a row of out each. embedding_bwd_positions: a row of dpositions each.
 *         embedding_bwd_table: the rows of dtable whose number is the work-item's modulo `classes`, a power of two.
 *         It walks all ids in order and adds the rows that are its own: no atomics, a fixed order, and every row of
 *         dout is read by one owner in whole cache lines.
 * Macros  those of common.h.
 *
 * Lab book (8192 tokens x 256, vocabulary 256, two threads, machine shared with others)
 *   embedding_bwd_table with groups the driver chooses   PoCL 0.80 ms: all 8 classes in one group, on one core
 *   a group each                                         PoCL 0.42 ms, host 0.28 ms (30 GB/s of dout, add had 45)
 */
#include "common.h"

__kernel void embedding_fwd(TENSOR(const int, ids), TENSOR(const float, table), TENSOR(const float, positions),
                            TENSOR(float, out), const int length, const int width, const int vocabulary)
{
    BIND(const int, ids);
    BIND(const float, table);
    BIND(const float, positions);
    BIND(float, out);
    const int id = ids[ROW];
    const int known = id >= 0 && id < vocabulary;
    table += known ? id * (size_t)width : 0;
    positions += positions ? ROW % (size_t)length * (size_t)width : 0;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = vec_set(0.0f);
        if (known)
            v = LOAD(table + c, part);
        if (positions)
            v = v + LOAD(positions + c, part);
        STORE(out + c, v, part);
    }
}

__kernel void embedding_bwd_table(TENSOR(const int, ids), TENSOR(const float, dout), TENSOR(float, dtable),
                                  const int rows, const int width, const int vocabulary, const int classes,
                                  const int accumulate)
{
    BIND(const int, ids);
    BIND(const float, dout);
    BIND(float, dtable);
    const int own = (int)ROW;
    for (int v = own; !accumulate && v < vocabulary; v += classes)
        FOR_ROW (c, part, width)
            STORE(dtable + v * (size_t)width + c, vec_set(0.0f), part);
    for (int t = 0; t < rows; t++) {
        const int id = ids[t];
        if ((id & (classes - 1)) != own || id < 0 || id >= vocabulary)
            continue;
        __global float *to = dtable + id * (size_t)width;
        __global const float *from = dout + t * (size_t)width;
        FOR_ROW (c, part, width)
            STORE(to + c, LOAD(to + c, part) + LOAD(from + c, part), part);
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
