#include "impl.h"

#include <math.h>

/* What the rate has grown by since the last step. */
static double growth(const struct ssa_nag *a)
{
    return a->last_lr > 0 ? (double)a->lr / (double)a->last_lr : 1;
}

static int check_numbers(const struct ssa_nag *a)
{
    int err = SSA_OK;
    REQUIRE(isfinite(a->lr) && a->lr >= 0, "nag: lr is %g, must be finite and not negative", (double)a->lr);
    REQUIRE(isfinite(a->last_lr) && a->last_lr >= 0, "nag: last_lr is %g, must be finite and not negative",
            (double)a->last_lr);
    REQUIRE(growth(a) < 1e30, "nag: lr is %g, too far from last_lr, %g", (double)a->lr, (double)a->last_lr);
    REQUIRE((a->momentum >= 0 && a->momentum < 1) || a->momentum == SSA_NONE,
            "nag: momentum is %g, must be in [0, 1) or SSA_NONE", (double)a->momentum);
    REQUIRE(isfinite(a->decay) && a->decay >= 0, "nag: decay is %g, must be finite and not negative", (double)a->decay);
    REQUIRE(a->clip >= 0, "nag: clip is %g, must not be negative", (double)a->clip);
    REQUIRE(isfinite(a->grad_scale) && a->grad_scale >= 0, "nag: grad_scale is %g, must be finite and not negative",
            (double)a->grad_scale);
    REQUIRE(a->ema >= 0 && a->ema < 1, "nag: ema is %g, must be in [0, 1)", (double)a->ema);
    REQUIRE(a->ema == 0 || ssa_present(a->average), "nag: ema is %g, and there is no average", (double)a->ema);
done:
    return err;
}

int ssa_nag_check(struct ssa_device *device, const struct ssa_nag *a)
{
    int err;
    REQUIRE(a->count > 0, "nag: count is 0");
    TRY(check_numbers(a));
    TRY(ssa_check_operands(device, "nag", (const struct ssa_operand[]){
        VECTOR(w, ssa_output(true), a->count),
        VECTOR(g, SSA_READ, a->count),
        VECTOR(m, ssa_output(true), a->count),
        VECTOR(sumsq, SSA_READ | SSA_OPTIONAL, 1),
        VECTOR(average, ssa_output(true) | SSA_OPTIONAL, a->count),
        {0}}));
done:
    return err;
}

int ssa_nag_run(struct ssa_device *device, const struct ssa_nag *a)
{
    const double momentum = a->momentum > 0 ? (double)a->momentum : a->momentum < 0 ? 0 : 0.99;
    const double carry = momentum * growth(a);
    const double keep = 1 - (double)a->lr * (double)a->decay;
    struct ssa_launch l = {
        .kernel = "nag",
        .args = {ARG_TENSOR(a->w), ARG_TENSOR(a->g), ARG_TENSOR(a->m), ARG_TENSOR(a->sumsq), ARG_TENSOR(a->average),
                 ARG_ULONG(a->count), ARG_FLOAT(a->lr), ARG_FLOAT((float)carry), ARG_FLOAT((float)momentum),
                 ARG_FLOAT((float)keep), ARG_FLOAT(a->clip), ARG_FLOAT(a->grad_scale > 0 ? a->grad_scale : 1),
                 ARG_FLOAT_AS(rest_ema, (float)(1 - (double)a->ema))},
    };
    return ssa_launch_chunks(device, &l, a->count);
}
