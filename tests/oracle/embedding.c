#include "embedding.h"

#include <stdbool.h>
#include <stddef.h>

static bool known(const struct oracle_embedding *e, int t)
{
    return e->ids[t] >= 0 && e->ids[t] < e->vocabulary;
}

void oracle_embedding_fwd(const struct oracle_embedding *e, const double *table, const double *positions, double *out)
{
    for (int t = 0; t < e->rows; t++)
        for (int c = 0; c < e->width; c++) {
            double x = known(e, t) ? table[e->ids[t] * e->width + c] : 0;
            out[t * e->width + c] = x + (positions ? positions[t % e->length * e->width + c] : 0);
        }
}

void oracle_embedding_bwd(const struct oracle_embedding *e, const double *dout, double *dtable, double *dpositions)
{
    for (int t = 0; t < e->rows; t++)
        for (int c = 0; c < e->width; c++) {
            if (known(e, t))
                dtable[e->ids[t] * e->width + c] += dout[t * e->width + c];
            dpositions[t % e->length * e->width + c] += dout[t * e->width + c];
        }
}
