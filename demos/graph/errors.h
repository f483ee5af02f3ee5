/* What there is to know of a model's numbers besides their mean error: root of the mean square, how far the passes of
 * an ensemble are apart, and each molecule's as a csv. All in the target's unit. */
#ifndef GRAPH_ERRORS_H
#define GRAPH_ERRORS_H

#include "run/program.h"

extern const char *errors_csv; /* NULL, or where `eval` writes a line a molecule */
extern const struct judge errors_judge;

/* Whether that may be written, before anything is measured for it. */
int errors_check(const struct settings *settings);
void errors_finish(void);

/* Of one molecule: sums over passes. */
struct answers {
    int count;
    double sum, squares;
};
void answers_add(struct answers *a, double value);
double answers_mean(const struct answers *a);
double answers_spread(const struct answers *a); /* deviation of single passes; 0: of one */
/* A text between quotes where a csv needs them. */
void write_quoted(FILE *file, const char *text, size_t size);

#endif
