/* `draw`: what a model of pixels draws, or completes. */
#ifndef IMAGE_DRAW_H
#define IMAGE_DRAW_H

#include "run/program.h"

int draw_main(const struct program *program, int argc, char **argv);

#endif
