#include "impl.h"

#include <math.h>

/* 0 stands for the default, SSA_NONE for 0. */
static double beta(float given, double standard)
{
    return given > 0 ? (double)given : given < 0 ? 0 : standard;
}

static int check_numbers(const struct ssa_adamw *a)
{
    int err = SSA_OK;
    REQUIRE(isfinite(a->lr) && a->lr >= 0, "adamw: lr is %g, must be finite and not negative", (double)a->lr);
    REQUIRE((a->beta1 >= 0 && a->beta1 < 1) || a->beta1 == SSA_NONE, "adamw: beta1 is %g, must be in [0, 1) or SSA_NONE",
            (double)a->beta1);
    REQUIRE((a->beta2 >= 0 && a->beta2 < 1) || a->beta2 == SSA_NONE, "adamw: beta2 is %g, must be in [0, 1) or SSA_NONE",
            (double)a->beta2);
    REQUIRE(a->eps >= 0, "adamw: eps is %g, must not be negative", (double)a->eps);
    REQUIRE(isfinite(a->decay) && a->decay >= 0, "adamw: decay is %g, must be finite and not negative",
            (double)a->decay);
    REQUIRE(a->clip >= 0, "adamw: clip is %g, must not be negative", (double)a->clip);
    REQUIRE(isfinite(a->grad_scale) && a->grad_scale >= 0, "adamw: grad_scale is %g, must be finite and not negative",
            (double)a->grad_scale);
    REQUIRE(a->ema >= 0 && a->ema < 1, "adamw: ema is %g, must be in [0, 1)", (double)a->ema);
    REQUIRE(a->ema == 0 || ssa_present(a->average), "adamw: ema is %g, and there is no average", (double)a->ema);
done:
    return err;
}

int ssa_adamw_check(struct ssa_device *device, const struct ssa_adamw *a)
{
    int err;
    REQUIRE(a->count > 0, "adamw: count is 0");
    TRY(ssa_check_positive("adamw", "step", a->step));
    TRY(check_numbers(a));
    TRY(ssa_check_operands(device, "adamw", (const struct ssa_operand[]){
        VECTOR(w, ssa_output(true), a->count),
        VECTOR(g, SSA_READ, a->count),
        VECTOR(m, ssa_output(true), a->count),
        VECTOR(v, ssa_output(true), a->count),
        VECTOR(sumsq, SSA_READ | SSA_OPTIONAL, 1),
        VECTOR(average, ssa_output(true) | SSA_OPTIONAL, a->count),
        {0}}));
done:
    return err;
}

int ssa_adamw_run(struct ssa_device *device, const struct ssa_adamw *a)
{
    const double beta1 = beta(a->beta1, 0.9), beta2 = beta(a->beta2, 0.999);
    const double rate = (double)a->lr / (1 - pow(beta1, a->step)), correct2 = 1 / (1 - pow(beta2, a->step));
    const double keep = 1 - (double)a->lr * (double)a->decay;
    struct ssa_launch l = {
        .kernel = "adamw",
        .constants = {{"AVERAGE", ssa_present(a->average)}},
        .args = {ARG_TENSOR(a->w), ARG_TENSOR(a->g), ARG_TENSOR(a->m), ARG_TENSOR(a->v), ARG_TENSOR(a->sumsq),
                 ARG_TENSOR(a->average), ARG_ULONG(a->count), ARG_FLOAT((float)beta1),
                 ARG_FLOAT_AS(rest1, (float)(1 - beta1)), ARG_FLOAT((float)beta2),
                 ARG_FLOAT_AS(rest2, (float)(1 - beta2)), ARG_FLOAT((float)rate), ARG_FLOAT((float)correct2),
                 ARG_FLOAT(a->eps > 0 ? a->eps : 1e-8f), ARG_FLOAT((float)keep), ARG_FLOAT(a->clip),
                 ARG_FLOAT(a->grad_scale > 0 ? a->grad_scale : 1),
                 ARG_FLOAT_AS(rest_ema, (float)(1 - (double)a->ema))},
    };
    return ssa_launch_chunks(device, &l, a->count);
}
