#include "impl.h"

#include <math.h>

static int check_shape(const char *op, int batch, int length, int heads, int width, int lead, float ratio)
{
    int err;
    TRY(ssa_check_positive(op, "batch", batch));
    TRY(ssa_check_positive(op, "length", length));
    TRY(ssa_check_positive(op, "heads", heads));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(ssa_times((size_t)heads, (size_t)width) <= (size_t)1 << 28, "%s: %d heads of %d, must be at most 2^28 "
            "elements", op, heads, width);
    REQUIRE(ssa_times((size_t)batch, (size_t)length) < (size_t)1 << 31, "%s: batch %d of %d positions, must be below "
            "2^31 positions", op, batch, length);
    REQUIRE(lead >= 0 && lead <= length, "%s: lead is %d, must be in [0, %d]", op, lead, length);
    REQUIRE(isfinite(ratio) && ratio >= 0, "%s: ratio is %g, must be finite and not negative", op, (double)ratio);
done:
    return err;
}

static float ratio_of(float ratio)
{
    return ratio > 0 ? ratio : 1;
}

int ssa_centrality_fwd_check(struct ssa_device *device, const struct ssa_centrality_fwd *a)
{
    const size_t positions = (size_t)a->batch * (size_t)a->length, heads = (size_t)a->heads, width = (size_t)a->width;
    int err;
    TRY(check_shape("centrality_fwd", a->batch, a->length, a->heads, a->width, a->lead, a->ratio));
    TRY(ssa_check_loops(device, "centrality_fwd", heads * (width / 256 + 2)));
    TRY(ssa_check_operands(device, "centrality_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, ssa_times(positions, heads * width)),
        VECTOR(sums, SSA_READ, ssa_times(positions, heads)),
        VECTOR(out, SSA_WRITE | SSA_PLACE, ssa_times(positions, heads * width)),
        {0}}));
done:
    return err;
}

int ssa_centrality_fwd_run(struct ssa_device *device, const struct ssa_centrality_fwd *a)
{
    struct ssa_launch l = {
        .file = "centrality",
        .kernel = "centrality_fwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->sums), ARG_TENSOR(a->out), ARG_INT(a->length), ARG_INT(a->heads),
                 ARG_INT(a->width), ARG_INT(a->lead), ARG_FLOAT(ratio_of(a->ratio))},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)a->length);
}

int ssa_centrality_bwd_check(struct ssa_device *device, const struct ssa_centrality_bwd *a)
{
    const size_t positions = (size_t)a->batch * (size_t)a->length, heads = (size_t)a->heads, width = (size_t)a->width;
    int err;
    TRY(check_shape("centrality_bwd", a->batch, a->length, a->heads, a->width, a->lead, a->ratio));
    TRY(ssa_check_loops(device, "centrality_bwd", heads * (width / 256 + 32))); /* those of a group's sum among them */
    TRY(ssa_check_operands(device, "centrality_bwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, ssa_times(positions, heads * width)),
        VECTOR(sums, SSA_READ, ssa_times(positions, heads)),
        VECTOR(dout, SSA_READ | SSA_PLACE, ssa_times(positions, heads * width)),
        VECTOR(dx, SSA_WRITE | SSA_PLACE, ssa_times(positions, heads * width)),
        VECTOR(dsums, SSA_WRITE, ssa_times(positions, heads)),
        {0}}));
done:
    return err;
}

int ssa_centrality_bwd_run(struct ssa_device *device, const struct ssa_centrality_bwd *a)
{
    struct ssa_launch l = {
        .file = "centrality",
        .kernel = "centrality_bwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->sums), ARG_TENSOR(a->dout), ARG_TENSOR(a->dx), ARG_TENSOR(a->dsums),
                 ARG_INT(a->length), ARG_INT(a->heads), ARG_INT(a->width), ARG_INT(a->lead),
                 ARG_FLOAT(ratio_of(a->ratio))},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)a->length);
}
