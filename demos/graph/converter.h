/* convert.py, by Python: of a csv of SMILES it makes a file of graphs. */
#ifndef GRAPH_CONVERTER_H
#define GRAPH_CONVERTER_H

#include "run/program.h"

#include <stdbool.h>

/* Whether a path ends as those of tables do: .csv, .csv.gz, .smi. */
bool converter_is_for(const char *path);

/* Runs it with these arguments, of which the last is NULL; what it says goes to stderr. Says what is wrong, and what to
 * do where Python or RDKit are missing, and returns non-zero. */
int converter_run(const char *const *arguments);

/* Files that are made of a table for the time being. */
struct converted {
    char folder[4096], file[4096 + 16], count[4096 + 16];
    long left_out; /* molecules that cannot become a graph */
};
/* Of `path`, with these columns (NULL: as it finds them; a target only where one is named). */
int converter_make(struct converted *made, const char *path, const char *smiles, const char *target);
void converter_remove(struct converted *made);

/* The command: all of its arguments are convert.py's. */
int convert_main(const struct program *program, int argc, char **argv);

#endif
