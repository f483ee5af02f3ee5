/* The patches of images as rows, element by element. */
#ifndef SSA_ORACLE_PATCHES_H
#define SSA_ORACLE_PATCHES_H

struct oracle_images {
    int batch, rows, columns, channels, patch;
};
void oracle_patches(const struct oracle_images *s, const double *x, double *out);

#endif
