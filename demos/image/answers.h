/* `answers`: test pictures on a page, with what classifiers take them for. */
#ifndef IMAGE_ANSWERS_H
#define IMAGE_ANSWERS_H

#include "run/program.h"

int answers_main(const struct program *program, int argc, char **argv);

#endif
