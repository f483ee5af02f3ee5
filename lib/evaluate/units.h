/* Work cut into numbered units, which several threads take as they become free.
 *
 * What a unit draws is drawn ahead by threads of their own, as many as there are takers, so that nobody waits for a
 * drawing while a device stands idle. Units are handed out in the order of their numbers; one that its taker could not
 * do is given back and comes next. All calls but create and destroy may come from any thread. */
#ifndef SSA_UNITS_H
#define SSA_UNITS_H

#include "ssacl/sample.h"

#include <stdbool.h>

struct ssa_units;

struct ssa_units_config {
    size_t count;               /* numbers 0..count-1 */
    int takers;
    int layers;                 /* plans a unit; 0: none are drawn */
    ssa_plan_settings settings; /* its `step` is the unit's number; where it says SSA_DENSE no plan is drawn */
    void *cookie;
};

#define SSA_UNIT_NONE ((size_t)-1)
struct ssa_unit {
    size_t number;                       /* SSA_UNIT_NONE: there was none */
    const struct ssa_plan *const *plans; /* a layer each, NULL where dense; NULL: dense throughout */
    int slot;
};

int ssa_units_create(struct ssa_units **units, const struct ssa_units_config *config);
/* Ends the drawing, for one whose memory must stay where it is. */
void ssa_units_stop(struct ssa_units *units);
/* NULL is fine. Nobody may be in a call. */
void ssa_units_destroy(struct ssa_units *units);

/* The next unit. If it is being drawn: waits, or with `wait` off there is none. The error is one of drawing. */
int ssa_units_take(struct ssa_units *units, bool wait, struct ssa_unit *unit);
/* Its plans have been used and may make place for others'. */
void ssa_units_used(struct ssa_units *units, const struct ssa_unit *unit);
/* A unit taken must be done again, by whoever takes the next. */
void ssa_units_again(struct ssa_units *units, size_t number);
/* How many are there to take. */
size_t ssa_units_left(struct ssa_units *units);
/* From now on there are none, and none are drawn. */
void ssa_units_close(struct ssa_units *units);

#endif
