/* ssacl-graph predict: what a checkpoint says of molecules, as a csv. */
#ifndef GRAPH_PREDICT_H
#define GRAPH_PREDICT_H

#include "run/program.h"

int predict_main(const struct program *program, int argc, char **argv);

#endif
