/* Where the time of a training step goes: a few passes with every operator waited for, nothing updated. */
#ifndef RUN_PROFILE_H
#define RUN_PROFILE_H

#include "settings.h"

/* For each stage of the run, `passes` passes forward and backward of the model's micro-batch over the start of its data.
 * `profile` becomes {"passes", "batch", "stages": [{"pattern", "steps", "seconds" (a step, all operators),
 * "attention_seconds" (a step), "score_bytes"}], "attention_seconds", "seconds"}: the last two are the whole run's,
 * estimated from the passes. score_bytes: what storing the scores of a micro-batch would take, of a layer (the mean of
 * all), forward; the fused operators never store them. Gradients are overwritten. The library's status, SSA_ESTOPPED
 * after Ctrl-C. */
int profile_run(const struct settings *s, struct ssa_model *model, int passes, json_t **profile);

#endif
