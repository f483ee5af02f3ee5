/* How long a step of each arm's stages takes, for runs of equal seconds: steps x median step time, never a clock that
 * others' work disturbs. Measured by `plan` of the task's program, the arms in turn, again and again; kept in
 * results/TASK/times.json, from which --stages' seconds=N become steps, on every machine the same. */
#ifndef REPRO_TIMES_H
#define REPRO_TIMES_H

#include "table.h"

enum { STAGE_COUNT = 8 };

struct arm_times {
    int stages;
    double seconds[STAGE_COUNT]; /* of a step, median; NAN: not measured */
    double low[STAGE_COUNT], high[STAGE_COUNT]; /* quartiles */
    int rounds;
};
/* NAN where there is no file or no such arm. */
void times_read(struct arm_times *times, const char *results, const struct task *task, const struct arm *arm);

/* Whether an arm's stages have seconds=N. */
bool stages_timed(const char *stages);
enum { STAGES_ROOM = 1024 };
/* Its stages with steps=N instead of them. Says what is missing and returns non-zero. */
int stages_in_steps(const struct arm *arm, const struct arm_times *times, const struct task *task,
                    char text[STAGES_ROOM]);

struct session;
/* Measures a task's arms in that many rounds, and writes the file. */
int times_measure(const struct session *session, const struct task *task, int rounds);
/* Attention alone, by ssacl-bench, that many samples of each case: results/attention.json. */
int times_attention(const struct session *session, const char *options, int rounds);

#endif
