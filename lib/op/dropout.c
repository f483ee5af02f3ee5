#include "impl.h"

#include <math.h>

enum { PIECE = 4096 }; /* as in cl/dropout.cl */

static int check(const char *op, size_t count, float p, size_t first, size_t run)
{
    int err = SSA_OK;
    REQUIRE(count > 0, "%s: count is 0", op);
    REQUIRE(p >= 0 && p < 1, "%s: p is %g, must be in [0, 1)", op, (double)p);
    REQUIRE(first <= SIZE_MAX - count, "%s: first is %zu, first + count overflows", op, first);
    REQUIRE(!run || (count % run == 0 && first % run == 0), "%s: run is %zu, must divide count %zu and first %zu", op,
            run, count, first);
done:
    return err;
}

int ssa_dropout_fwd_check(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    int err;
    TRY(check("dropout_fwd", a->count, a->p, a->first, a->run));
    TRY(ssa_check_operands(device, "dropout_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, a->count),
        VECTOR(residual, SSA_READ | SSA_OPTIONAL | SSA_PLACE, a->count),
        VECTOR(out, SSA_WRITE | SSA_PLACE, a->count),
        {0}}));
done:
    return err;
}

static bool same(struct ssa_tensor a, struct ssa_tensor b)
{
    return a.buffer == b.buffer && a.offset == b.offset;
}

/* p = 0: nothing to draw. */
static int keep_all(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    if (ssa_present(a->residual))
        return ssa_add_run(device, &(struct ssa_add){.x = a->x, .y = a->residual, .out = a->out, .count = a->count});
    return same(a->x, a->out) ? SSA_OK : ssa_tensor_copy(a->out, a->x, a->count);
}

static int threshold_of(float p)
{
    return (int)ceil((double)p * 16777216.0);
}

/* Runs are cut into pieces, so that there is work for a device that has few of them. */
static int drop_runs(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    const size_t pieces = (a->run - 1) / PIECE + 1;
    struct ssa_launch l = {
        .file = "dropout",
        .kernel = "dropout_runs",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->residual), ARG_TENSOR(a->out), ARG_ULONG(a->run), ARG_ULONG(pieces),
                 ARG_ULONG(a->seed), ARG_ULONG(a->stream), ARG_ULONG_AS(first, a->first / a->run),
                 ARG_INT_AS(threshold, threshold_of(a->p)), ARG_FLOAT_AS(scale, (float)(1 / (1 - (double)a->p)))},
    };
    return ssa_launch_rows(device, &l, a->count / a->run * pieces);
}

int ssa_dropout_fwd_run(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    const size_t lead = a->first % 4;
    struct ssa_launch l = {
        .kernel = "dropout",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->residual), ARG_TENSOR(a->out), ARG_ULONG(a->count),
                 ARG_INT((int)lead), ARG_ULONG(a->seed), ARG_ULONG(a->stream), ARG_ULONG_AS(counter, a->first / 4),
                 ARG_INT_AS(threshold, threshold_of(a->p)), ARG_FLOAT_AS(scale, (float)(1 / (1 - (double)a->p)))},
    };
    if (a->p > 0 && a->run > 1)
        return drop_runs(device, a);
    return a->p > 0 ? ssa_launch_chunks(device, &l, lead + a->count) : keep_all(device, a);
}

int ssa_dropout_bwd_check(struct ssa_device *device, const struct ssa_dropout_bwd *a)
{
    int err;
    TRY(check("dropout_bwd", a->count, a->p, a->first, a->run));
    TRY(ssa_check_operands(device, "dropout_bwd", (const struct ssa_operand[]){
        VECTOR(dy, SSA_READ | SSA_PLACE, a->count),
        VECTOR(dx, ssa_output(a->accumulate) | SSA_PLACE, a->count),
        {0}}));
done:
    return err;
}

int ssa_dropout_bwd_run(struct ssa_device *device, const struct ssa_dropout_bwd *a)
{
    struct ssa_dropout_fwd same_mask = {.x = a->dy, .out = a->dx, .count = a->count, .p = a->p, .seed = a->seed,
                                        .stream = a->stream, .first = a->first, .run = a->run};
    if (a->accumulate)
        same_mask.residual = a->dx;
    return ssa_dropout_fwd_run(device, &same_mask);
}
