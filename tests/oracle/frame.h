/* Pairs of positions with learned rows and columns before them, in double precision. */
#ifndef SSA_ORACLE_FRAME_H
#define SSA_ORACLE_FRAME_H

struct oracle_frame {
    int batch, lead, length, width;
};
/* x [batch, length, length, width]; out [batch, lead+length, lead+length, width]. */
void oracle_frame_fwd(const struct oracle_frame *s, const double *x, const double *vectors, double *out);
/* Sets dx, adds to dvectors. */
void oracle_frame_bwd(const struct oracle_frame *s, const double *dout, double *dx, double *dvectors);

#endif
