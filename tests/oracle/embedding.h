/* Token and position embedding in double precision. Ids outside [dead, vocabulary) count nowhere. */
#ifndef SSA_ORACLE_EMBEDDING_H
#define SSA_ORACLE_EMBEDDING_H

#include <stdint.h>

struct oracle_embedding {
    const int32_t *ids;
    int rows, length, width, vocabulary;
    int each, dead; /* ids of a row; id 0 is padding */
    double scale;
};

/* positions may be NULL. */
void oracle_embedding_fwd(const struct oracle_embedding *e, const double *table, const double *positions, double *out);
/* Adds to dtable and dpositions. */
void oracle_embedding_bwd(const struct oracle_embedding *e, const double *dout, double *dtable, double *dpositions);

#endif
