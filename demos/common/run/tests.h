/* What `eval --log` measured of runs, as a table: a row for each checkpoint, a column for its dense pass, for a sampled
 * one and for self-ensembles of 2, 5, 10, 25, 50, ... passes; and what the others do better than the best that was
 * trained densely. */
#ifndef RUN_TESTS_H
#define RUN_TESTS_H

#include "program.h"
#include "run.h"

/* `seeds`: runs whose logs have the same name in different folders are one of several seeds each. They share a row, of
 * their means, and are compared seed by seed: mean of the differences, and its standard error s/sqrt(n).
 * With `json` NULL it is printed; else it becomes {"rows": [...], "against": name or null, "differences": [...]}.
 * Says what is wrong and returns non-zero. */
int tests_report(const struct program *program, const struct run *runs, const char *const *logs, int count, bool seeds,
                 json_t **json);

#endif
