#include "differences.h"

#include <math.h>
#include <stdlib.h>

double differences_objective(const struct differences *d)
{
    double sum = 0;
    OK(ssa_model_forward(d->model, d->pass));
    float *loss = test_read(ssa_model_losses(d->model), d->losses);
    for (size_t i = 0; i < d->losses; i++)
        sum += (double)loss[i];
    free(loss);
    return sum;
}

/* All of them first: the passes of the differences put the head's share into gradients where it works in chunks. */
float **differences_gradients(const struct differences *d)
{
    const int count = ssa_model_tensors(d->model);
    float **all = calloc((size_t)count, sizeof *all);
    differences_objective(d);
    OK(ssa_model_backward(d->model));
    for (int i = 0; i < count; i++)
        all[i] = test_read(ssa_model_parameter(d->model, i)->grad, ssa_model_parameter(d->model, i)->count);
    return all;
}

void differences_free(const struct differences *d, float **gradients)
{
    for (int i = 0; i < ssa_model_tensors(d->model); i++)
        free(gradients[i]);
    free(gradients);
}

/* (objective(x + h direction) - objective(x - h direction)) / 2h */
static double quotient(const struct differences *d, struct ssa_tensor at, size_t count, const float *direction,
                       double h)
{
    float *x = test_read(at, count), *moved = malloc(count * sizeof *moved);
    double value[2];
    for (int side = 0; side < 2; side++) {
        for (size_t e = 0; e < count; e++)
            moved[e] = x[e] + (float)((side ? -h : h) * (double)direction[e]);
        OK(ssa_tensor_write(at, moved, count));
        value[side] = differences_objective(d);
    }
    OK(ssa_tensor_write(at, x, count));
    free(x);
    free(moved);
    return (value[0] - value[1]) / (2 * h);
}

static void check_direction(const struct differences *d, int i, const float *gradient)
{
    const struct ssa_parameter *p = ssa_model_parameter(d->model, i);
    const double share = d->share > 0 ? d->share : 3e-3, absolute = d->absolute > 0 ? d->absolute : 3e-3;
    const char *what = d->what ? d->what : "the model";
    float *direction = test_values(p->count, (uint64_t)i + 50, -1, 1);
    double slope = 0, length = 0;
    for (size_t e = 0; e < p->count; e++) {
        slope += (double)gradient[e] * (double)direction[e];
        length += (double)gradient[e] * (double)gradient[e];
    }
    const double h = (d->step > 0 ? d->step : 4e-3) / sqrt((double)p->count);
    const double got = quotient(d, p->value, p->count, direction, h);
    ck_assert_msg(fabs(got - slope) <= 1e-2 * fabs(slope) + share * sqrt(length) + absolute,
                  "%s of \"%s\": slope %g, difference %g", p->name, what, slope, got);
    ck_assert_msg(d->may_vanish || length > 0, "%s of \"%s\" has no gradient", p->name, what);
    free(direction);
}

void check_differences(const struct differences *d)
{
    float **gradients = differences_gradients(d);
    ck_assert(d->pass->training && (d->pass->grad_scale == 0 || d->pass->grad_scale == 1));
    for (int i = 0; i < ssa_model_tensors(d->model); i++)
        check_direction(d, i, gradients[i]);
    differences_free(d, gradients);
}
