/* `sample`: what a checkpoint writes. */
#ifndef TEXT_SAMPLE_H
#define TEXT_SAMPLE_H

#include "run/program.h"

int sample_main(const struct program *program, int argc, char **argv);

#endif
