/* The figures of runs that `report` puts into a table: those of every program, of each unit that its losses may be in,
 * and its own. */
#ifndef RUN_FIGURES_H
#define RUN_FIGURES_H

#include "program.h"
#include "run.h"

/* One line: how it is called, and printed. */
struct figure_line {
    char key[48], name[64]; /* in JSON, for people */
    const char *format;
    double scale;           /* of what is printed */
    char in_log[64];        /* "event.path"; "": `compute` */
    double (*compute)(const struct run *r);
    const struct unit *unit; /* that the losses of a run must be in to have it; NULL: any */
};

/* All lines of a program's table. Returns how many they are; they live until the next call. */
int figures_make(const struct program *program, const struct figure_line **lines);
/* NAN: the run has no such. */
double figure_of(const struct program *program, const struct run *r, const struct figure_line *line);

/* The unit that a run's losses are in; NULL: none of the program's. */
const struct unit *figures_unit(const struct program *program, const struct run *r);
/* Of training. */
double figures_seconds(const struct run *r);

#endif
