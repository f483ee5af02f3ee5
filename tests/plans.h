/* What tests of attention share: plans of every kind, and the devices that there is a point in testing. */
#ifndef SSA_TEST_PLANS_H
#define SSA_TEST_PLANS_H

#include "harness.h"

enum plan_kind { DENSE, UNBIASED, UNBIASED_OWN, LOCAL, LOCAL_OWN, LOOK_BACK, WINDOWS, KEEP, LOCAL_KEEP, PER_EXAMPLE,
                 PER_EXAMPLE_LOCAL, LENGTHS, LENGTHS_LOCAL, RATIO_LENGTHS_KEEP, CELLS, CELLS_BACK, PERMUTED, SOURCES,
                 SOURCES_KEEP, NO_SOURCES, PLAN_KINDS };
extern const char *const test_plan_names[PLAN_KINDS];

/* Of `keys` positions, of which the last `queries` ask (0: all). */
void test_draw(struct ssa_plan *plan, enum plan_kind kind, int batch, int keys, int queries);

/* llvmpipe takes minutes to compile a kernel of CPU shape: there the GPU shape alone is tested. The host has one shape,
 * which a run for the other need not repeat. */
bool test_left_out(const struct ssa_device *dev);
#define FOR_TESTED(dev) \
    FOR_DEVICES (dev) \
        if (!test_left_out(dev))

/* PoCL and llvmpipe take up to half a minute to compile for one head width. So the host has all of them, as has every
 * device with a driver of its own, and these two share the rest: PoCL has the CPU shape, its turn in the GPU shape is
 * when that is asked for. $SSA_TEST_TURNS=all: every turn is everybody's. */
enum { POCL_CPU = 1, POCL_GPU = 2, LLVMPIPE = 4 };
bool test_has_turn(const struct ssa_device *dev, int where);

#endif
