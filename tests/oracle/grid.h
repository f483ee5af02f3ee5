/* Learned positions of a grid in double precision. */
#ifndef SSA_ORACLE_GRID_H
#define SSA_ORACLE_GRID_H

struct oracle_grid {
    int first, count; /* elements */
    int rows, columns, channels, width;
};

/* Tables of {rows, columns, channels}; NULL: absent. */
void oracle_grid_fwd(const struct oracle_grid *g, const double *const tables[3], double *out);
/* Adds to dtables. */
void oracle_grid_bwd(const struct oracle_grid *g, const double *dout, double *const dtables[3]);

#endif
