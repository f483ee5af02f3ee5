/* Pictures of the pages: what is better by how much, with its error; losses in training; ensembles by their size. Each
 * draws an SVG and returns whether there is anything to see. */
#ifndef REPRO_PICTURES_H
#define REPRO_PICTURES_H

#include "results.h"

#include <stdio.h>

enum { FOREST_ROWS = 256 };
/* Gains as shares of what they are compared with, each with two standard errors to either side. */
struct forest {
    const char *title;
    int count;
    struct {
        char label[96];
        struct gain gain;
        int kind; /* enum arm_kind: the colour */
    } rows[FOREST_ROWS];
};
void forest_add(struct forest *forest, const struct arm_results *arm, const char *behind, struct gain gain);
bool draw_forest(FILE *out, const void *forest);

/* Validation, a dense pass, against steps, mean over seeds: of a struct task_results. */
bool draw_curves(FILE *out, const void *task);
/* Test loss of self-ensembles against how many passes they have, before and after the fine-tune; lines: the same
 * weights' dense pass, and the control. Of a struct task_results. */
bool draw_ensembles(FILE *out, const void *task);

#endif
