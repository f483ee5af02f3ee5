/* Windows of a grid in double precision. */
#ifndef SSA_ORACLE_WINDOWS_H
#define SSA_ORACLE_WINDOWS_H

struct oracle_windows {
    int batch, rows, columns, width; /* of the bias: heads instead of a width, and no batch */
    int window, shift, by_columns, inverse;
};

void oracle_windows(const struct oracle_windows *s, const double *x, double *out);

/* out [windows, heads, key, query], of one window where there is no shift; `apart`: what is added to a pair of
 * different regions. */
void oracle_window_bias_fwd(const struct oracle_windows *s, double apart, const double *table, double *out);
/* Adds to dtable; dout [heads, key, query]. */
void oracle_window_bias_bwd(const struct oracle_windows *s, const double *dout, double *dtable);

#endif
