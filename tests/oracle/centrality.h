/* Heads of positions scaled by the logarithm of their sums of gates, in double precision. */
#ifndef SSA_ORACLE_CENTRALITY_H
#define SSA_ORACLE_CENTRALITY_H

struct oracle_centrality {
    int batch, length, heads, width, lead;
    double ratio;
};
/* x, out [batch, length, heads, width]; sums [batch, heads, length]. */
void oracle_centrality_fwd(const struct oracle_centrality *s, const double *x, const double *sums, double *out);
void oracle_centrality_bwd(const struct oracle_centrality *s, const double *x, const double *sums, const double *dout,
                           double *dx, double *dsums);

#endif
