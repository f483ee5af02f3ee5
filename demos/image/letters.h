/* Words on a page of pictures, in a font of one size. */
#ifndef IMAGE_LETTERS_H
#define IMAGE_LETTERS_H

#include "picture.h"

enum { LETTER_ROWS = 10, LETTER_COLUMNS = 6 };

/* Writes at most so many signs on a page of three channels, from the pixel at the upper left on; what is over its edge
 * is left out, and what is not ASCII is a box. */
void letters_put(struct picture *page, size_t top, size_t left, size_t most, const char *text,
                 const unsigned char colour[3]);

#endif
