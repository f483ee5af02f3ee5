/* The fifteen operations of RandAugment, on bytes, in place. As timm's "rand-m9-mstd0.5-inc1" has them, on PIL:
 *  autocontrast  each channel: its least value becomes 0, its largest 255, int(v s - lo s), s = 255/(hi - lo)
 *  equalise      each channel: value v becomes (S/2 + count of values below v)/S, whole numbers, S = (count of all -
 *                count of the largest value)/255; nothing if S is 0
 *  invert        255 - v
 *  rotate        by level 3 degrees, either way, about the middle
 *  posterise     keeps the upper 4 - int(level 0.4) bits
 *  solarise      values from 256 - int(level 25.6) on are inverted
 *  solarise-add  int(level 11) is added to values below 128
 *  colour, contrast, brightness, sharpness  v = b + f (v - b) with f = max(0.1, 1 +- 0.09 level), cut to bytes; b is
 *                the pixel's luma; the luma's mean over the picture, rounded; 0; the mean of the 3 x 3 pixels around,
 *                the middle one counted five times (pixels of the edge stay)
 *  shear x, y    by 0.03 level, either way: a pixel comes from (x + f y, y), or (x, y + f x)
 *  translate x, y  by 0.045 level of the side, either way
 * What comes from outside is grey (124, 116, 104). Rotate, shear and translate interpolate bicubically among 4 x 4
 * pixels with a = -1, as PIL's transform() does:
 * v2 + d (v3 - v1 + d (2 (v1 - v2) + v3 - v4 + d (v2 - v1 + v4 - v3))). */
#ifndef IMAGE_OPERATIONS_H
#define IMAGE_OPERATIONS_H

#include <stddef.h>

enum operation {
    OPERATION_AUTOCONTRAST, OPERATION_EQUALISE, OPERATION_INVERT, OPERATION_ROTATE, OPERATION_POSTERISE,
    OPERATION_SOLARISE, OPERATION_SOLARISE_ADD, OPERATION_COLOUR, OPERATION_CONTRAST, OPERATION_BRIGHTNESS,
    OPERATION_SHARPNESS, OPERATION_SHEAR_X, OPERATION_SHEAR_Y, OPERATION_TRANSLATE_X, OPERATION_TRANSLATE_Y, OPERATIONS
};

/* `pixels` [rows, columns, channels]; `aside` has room for as many; level 0 to 10; sign 1 or -1. */
void operation_apply(enum operation operation, double level, int sign, unsigned char *pixels, unsigned char *aside,
                     int rows, int columns, int channels);

#endif
