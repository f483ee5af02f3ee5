#include "impl.h"

static int check_shape(const char *op, int batch, int lead, int length, int width)
{
    int err;
    TRY(ssa_check_positive(op, "batch", batch));
    TRY(ssa_check_positive(op, "length", length));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(lead >= 0 && lead < 1 << 30 && length <= 1 << 30, "%s: lead is %d, length %d, must be in [0, 2^30)", op,
            lead, length);
    REQUIRE(ssa_times((size_t)(lead + length), (size_t)width) <= (size_t)1 << 30,
            "%s: %d pairs of a position, %d wide, must be at most 2^30 elements", op, lead + length, width);
    REQUIRE(ssa_times((size_t)batch, (size_t)(lead + length)) < (size_t)1 << 31,
            "%s: batch %d of %d positions, must be below 2^31 positions", op, batch, lead + length);
done:
    return err;
}

/* Elements of a batch of pairs of `positions`. */
static size_t pairs(int batch, int positions, int width)
{
    return ssa_times((size_t)batch * (size_t)positions, (size_t)positions * (size_t)width);
}

int ssa_frame_fwd_check(struct ssa_device *device, const struct ssa_frame_fwd *a)
{
    const size_t lead = (size_t)a->lead, width = (size_t)a->width;
    const int place = lead ? 0 : SSA_PLACE;
    int err;
    TRY(check_shape("frame_fwd", a->batch, a->lead, a->length, a->width));
    TRY(ssa_check_loops(device, "frame_fwd", (lead + (size_t)a->length) * (width / 256 + 2)));
    TRY(ssa_check_operands(device, "frame_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | place, pairs(a->batch, a->length, a->width)),
        VECTOR(vectors, lead ? SSA_READ : SSA_UNUSED, lead * width),
        VECTOR(out, SSA_WRITE | place, pairs(a->batch, a->lead + a->length, a->width)),
        {0}}));
done:
    return err;
}

int ssa_frame_fwd_run(struct ssa_device *device, const struct ssa_frame_fwd *a)
{
    struct ssa_launch l = {
        .file = "frame",
        .kernel = "frame_fwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->vectors), ARG_TENSOR(a->out), ARG_INT(a->lead), ARG_INT(a->length),
                 ARG_INT(a->width)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)(a->lead + a->length));
}

int ssa_frame_bwd_check(struct ssa_device *device, const struct ssa_frame_bwd *a)
{
    const size_t lead = (size_t)a->lead, width = (size_t)a->width, loops = lead + (size_t)a->length + (size_t)a->batch;
    int err;
    TRY(check_shape("frame_bwd", a->batch, a->lead, a->length, a->width));
    TRY(ssa_check_loops(device, "frame_bwd", loops * (width / 256 + 1)));
    TRY(ssa_check_operands(device, "frame_bwd", (const struct ssa_operand[]){
        VECTOR(dout, SSA_READ, pairs(a->batch, a->lead + a->length, a->width)),
        VECTOR(dx, SSA_WRITE | SSA_OPTIONAL, pairs(a->batch, a->length, a->width)),
        VECTOR(dvectors, lead ? ssa_output(a->accumulate) | SSA_OPTIONAL : SSA_UNUSED, lead * width),
        {0}}));
done:
    return err;
}

/* Of each example by itself. */
static int sum_pairs(struct ssa_device *device, const struct ssa_frame_bwd *a, struct ssa_tensor partial)
{
    struct ssa_launch l = {
        .file = "frame",
        .kernel = "frame_bwd_vectors",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR(partial), ARG_INT(a->lead), ARG_INT(a->length), ARG_INT(a->width)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)a->lead);
}

static int sum_batch(struct ssa_device *device, const struct ssa_frame_bwd *a, struct ssa_tensor partial)
{
    struct ssa_launch l = {
        .file = "embedding",
        .kernel = "embedding_bwd_positions",
        .args = {ARG_TENSOR_AS(dout, partial), ARG_TENSOR_AS(dpositions, a->dvectors),
                 ARG_INT_AS(rows, a->batch * a->lead), ARG_INT_AS(length, a->lead), ARG_INT(a->width),
                 ARG_INT(a->accumulate != 0)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->lead);
}

static int x_backward(struct ssa_device *device, const struct ssa_frame_bwd *a)
{
    struct ssa_launch l = {
        .file = "frame",
        .kernel = "frame_bwd",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR(a->dx), ARG_INT(a->lead), ARG_INT(a->length), ARG_INT(a->width)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)a->length);
}

int ssa_frame_bwd_run(struct ssa_device *device, const struct ssa_frame_bwd *a)
{
    struct ssa_tensor partial;
    int err = SSA_OK;
    if (ssa_present(a->dx))
        TRY(x_backward(device, a));
    if (!ssa_present(a->dvectors) || !a->lead)
        return SSA_OK;
    TRY(ssa_scratch(device, 0, (size_t)a->batch * (size_t)a->lead * (size_t)a->width, &partial));
    TRY(sum_pairs(device, a, partial));
    TRY(sum_batch(device, a, partial));
done:
    return err;
}
