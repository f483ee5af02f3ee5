#include "impl.h"

static int check_shape(const char *op, int batch, int lead, int length, int width)
{
    int err;
    TRY(ssa_check_positive(op, "batch", batch));
    TRY(ssa_check_positive(op, "length", length));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(lead >= 0 && lead < 1 << 30 && length <= 1 << 30, "%s: lead is %d, length %d, must be in [0, 2^30)", op,
            lead, length);
    REQUIRE(width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, width);
    REQUIRE((size_t)batch * (size_t)(lead + length) < (size_t)1 << 31, "%s: batch %d of %d rows, must be below 2^31 "
            "rows", op, batch, lead + length);
done:
    return err;
}

int ssa_prepend_fwd_check(struct ssa_device *device, const struct ssa_prepend_fwd *a)
{
    const size_t batch = (size_t)a->batch, lead = (size_t)a->lead, length = (size_t)a->length, width = (size_t)a->width;
    int err;
    TRY(check_shape("prepend_fwd", a->batch, a->lead, a->length, a->width));
    TRY(ssa_check_operands(device, "prepend_fwd", (const struct ssa_operand[]){
        VECTOR(first, lead ? SSA_READ : SSA_UNUSED, lead * width),
        VECTOR(x, lead ? SSA_READ : SSA_READ | SSA_PLACE, ssa_times(batch * length, width)),
        VECTOR(positions, SSA_READ | SSA_OPTIONAL, (lead + length) * width),
        VECTOR(out, lead ? SSA_WRITE : SSA_WRITE | SSA_PLACE, ssa_times(batch * (lead + length), width)),
        {0}}));
done:
    return err;
}

int ssa_prepend_fwd_run(struct ssa_device *device, const struct ssa_prepend_fwd *a)
{
    struct ssa_launch l = {
        .file = "prepend",
        .kernel = "prepend_fwd",
        .args = {ARG_TENSOR(a->first), ARG_TENSOR(a->x), ARG_TENSOR(a->positions), ARG_TENSOR(a->out), ARG_INT(a->lead),
                 ARG_INT(a->length), ARG_INT(a->width)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)(a->lead + a->length));
}

int ssa_prepend_bwd_check(struct ssa_device *device, const struct ssa_prepend_bwd *a)
{
    const size_t batch = (size_t)a->batch, lead = (size_t)a->lead, length = (size_t)a->length, width = (size_t)a->width;
    const int sum = ssa_output(a->accumulate) | SSA_OPTIONAL;
    int err;
    TRY(check_shape("prepend_bwd", a->batch, a->lead, a->length, a->width));
    TRY(ssa_check_operands(device, "prepend_bwd", (const struct ssa_operand[]){
        VECTOR(dout, SSA_READ, ssa_times(batch * (lead + length), width)),
        VECTOR(dfirst, lead ? sum : SSA_UNUSED, lead * width),
        VECTOR(dx, SSA_WRITE | SSA_OPTIONAL, ssa_times(batch * length, width)),
        VECTOR(dpositions, sum, (lead + length) * width),
        {0}}));
done:
    return err;
}

/* Sums over the batch, of its first `count` positions. */
static int sum(struct ssa_device *device, const struct ssa_prepend_bwd *a, struct ssa_tensor to, int count)
{
    const int all = a->lead + a->length;
    struct ssa_launch l = {
        .file = "embedding",
        .kernel = "embedding_bwd_positions",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR_AS(dpositions, to), ARG_INT_AS(rows, a->batch * all),
                 ARG_INT_AS(length, all), ARG_INT(a->width), ARG_INT(a->accumulate != 0)},
    };
    return ssa_launch_rows(device, &l, (size_t)count);
}

int ssa_prepend_bwd_run(struct ssa_device *device, const struct ssa_prepend_bwd *a)
{
    struct ssa_launch l = {
        .file = "prepend",
        .kernel = "prepend_bwd",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR(a->dx), ARG_INT(a->lead), ARG_INT(a->length), ARG_INT(a->width)},
    };
    int err = SSA_OK;
    if (ssa_present(a->dx))
        TRY(ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)a->length));
    if (ssa_present(a->dfirst) && a->lead)
        TRY(sum(device, a, a->dfirst, a->lead));
    if (ssa_present(a->dpositions))
        TRY(sum(device, a, a->dpositions, a->lead + a->length));
done:
    return err;
}
