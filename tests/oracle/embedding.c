#include "embedding.h"

#include <stddef.h>

/* The row of the table that is the m-th of row t; NULL: none. */
static const double *row_of(const struct oracle_embedding *e, const double *table, int t, int m)
{
    const int32_t id = e->ids[t * e->each + m];
    return id >= e->dead && id < e->vocabulary ? table + id * e->width : NULL;
}

void oracle_embedding_fwd(const struct oracle_embedding *e, const double *table, const double *positions, double *out)
{
    for (int t = 0; t < e->rows; t++)
        for (int c = 0; c < e->width; c++) {
            double sum = 0;
            for (int m = 0; m < e->each; m++)
                sum += row_of(e, table, t, m) ? row_of(e, table, t, m)[c] : 0;
            out[t * e->width + c] = e->scale * sum + (positions ? positions[t % e->length * e->width + c] : 0);
        }
}

void oracle_embedding_bwd(const struct oracle_embedding *e, const double *dout, double *dtable, double *dpositions)
{
    for (int t = 0; t < e->rows; t++)
        for (int c = 0; c < e->width; c++) {
            for (int m = 0; m < e->each; m++)
                if (row_of(e, dtable, t, m))
                    dtable[row_of(e, dtable, t, m) - dtable + c] += e->scale * dout[t * e->width + c];
            dpositions[t % e->length * e->width + c] += dout[t * e->width + c];
        }
}
