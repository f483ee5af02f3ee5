/* Several models that answer together: a dense pass of each, their probabilities averaged in log space as those of
 * passes are (values: the values), which is what a self-ensemble is to be compared with. */
#ifndef RUN_TOGETHER_H
#define RUN_TOGETHER_H

#include "settings.h"

/* Whether those are there and of the loaded model's kind, before anything is measured. Says what is wrong and returns
 * non-zero. */
int together_check(const struct loaded *loaded, const struct arg_list *names);

/* The loaded model and those of `names`, which must be of its kind: `loss` in nats is theirs together, `single` the
 * mean of theirs alone; the judge (or NULL) counts them as it does passes. How the data are read and what is shown is
 * `how`'s; without `raw` each has the average of its weights where it keeps one. Afterwards the model has the weights of
 * the last one. Says what is wrong and returns non-zero. */
int together_measure(const struct loaded *loaded, const struct settings *settings, const struct arg_list *names,
                     const struct judge *judge, const struct ssa_evaluate *how, bool raw, double *loss, double *single);

#endif
