/* What a classifier's answers are worth besides their loss: how often the right class is the likeliest, how often among
 * the five likeliest, and which are taken for which; of single passes and of their self-ensemble, the mean of their
 * probabilities. */
#ifndef IMAGE_CLASSES_H
#define IMAGE_CLASSES_H

#include "run/program.h"

extern int classes_confusion; /* whether people are told what is taken for what */
extern const struct judge classes_judge;

void classes_finish(void);

/* The likeliest of `count` classes by their logits, of equals the first, and its probability. */
int classes_answer(const float *logits, int count, double *p);

#endif
