/* Gradients of a model against central differences. */
#ifndef SSA_TEST_DIFFERENCES_H
#define SSA_TEST_DIFFERENCES_H

#include "harness.h"
#include "ssacl/model.h"

/* The gradient of the sum of a pass's losses by each parameter, along a random direction in it: within a hundredth of the
 * slope, and of the gradient's length and `absolute`. Zero means the default. */
struct differences {
    struct ssa_model *model;
    const struct ssa_pass *pass; /* of which `training` is 1 and grad_scale 0 or 1 */
    size_t losses;               /* that it has */
    const char *what;            /* the case, for messages */
    double step;                 /* over the square root of a parameter's elements; 0: 4e-3 */
    double share, absolute;      /* of the gradient's length; 0: 3e-3 both */
    bool may_vanish;             /* a gradient of 0 is no failure */
};
void check_differences(const struct differences *d);

/* The sum of the losses of a forward pass. */
double differences_objective(const struct differences *d);
/* Those of a pass forward and back, by number of the parameter; differences_free() them. */
float **differences_gradients(const struct differences *d);
void differences_free(const struct differences *d, float **gradients);

#endif
