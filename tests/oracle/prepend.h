/* Rows before every sequence and learned positions, in double precision. */
#ifndef SSA_ORACLE_PREPEND_H
#define SSA_ORACLE_PREPEND_H

struct oracle_prepend {
    int batch, lead, length, width;
};
/* positions may be NULL. */
void oracle_prepend_fwd(const struct oracle_prepend *s, const double *first, const double *x, const double *positions,
                        double *out);
/* Adds to dfirst and dpositions, writes dx. */
void oracle_prepend_bwd(const struct oracle_prepend *s, const double *dout, double *dfirst, double *dx,
                        double *dpositions);

#endif
