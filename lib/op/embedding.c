#include "impl.h"

#include <math.h>

/* What 0 stands for. */
static int each_of(int each)
{
    return each ? each : 1;
}
static float scale_of(float scale)
{
    return scale < 0 || scale > 0 ? scale : 1;
}

static int check_shape(const char *op, int rows, int length, int width, int vocabulary, bool positions)
{
    int err;
    TRY(ssa_check_positive(op, "rows", rows));
    TRY(ssa_check_positive(op, "width", width));
    TRY(ssa_check_positive(op, "vocabulary", vocabulary));
    REQUIRE(width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, width);
    REQUIRE(vocabulary <= 1 << 30, "%s: vocabulary is %d, must be at most 2^30", op, vocabulary);
    REQUIRE(!positions || length > 0, "%s: length is %d, must be positive where there are positions", op, length);
done:
    return err;
}

static int check_sum(const char *op, int each, float scale, int dead)
{
    int err = SSA_OK;
    REQUIRE(each >= 0 && each <= 1 << 16, "%s: each is %d, must be in [0, 2^16]", op, each);
    REQUIRE(isfinite(scale), "%s: scale is %g, must be finite", op, (double)scale);
    REQUIRE(dead == 0 || dead == 1, "%s: dead is %d, must be 0 or 1", op, dead);
done:
    return err;
}

int ssa_embedding_fwd_check(struct ssa_device *device, const struct ssa_embedding_fwd *a)
{
    const size_t rows = (size_t)a->rows, width = (size_t)a->width, each = (size_t)each_of(a->each);
    int err;
    TRY(check_shape("embedding_fwd", a->rows, a->length, a->width, a->vocabulary, ssa_present(a->positions)));
    TRY(check_sum("embedding_fwd", a->each, a->scale, a->dead));
    TRY(ssa_check_loops(device, "embedding_fwd", (each + 1) * (width / 256 + 1)));
    TRY(ssa_check_operands(device, "embedding_fwd", (const struct ssa_operand[]){
        VECTOR(ids, SSA_READ | SSA_INTS, ssa_times(rows, each)),
        VECTOR(table, SSA_READ, (size_t)a->vocabulary * width),
        VECTOR(positions, SSA_READ | SSA_OPTIONAL, (size_t)a->length * width),
        VECTOR(out, SSA_WRITE, rows * width),
        {0}}));
done:
    return err;
}

int ssa_embedding_fwd_run(struct ssa_device *device, const struct ssa_embedding_fwd *a)
{
    struct ssa_launch l = {
        .file = "embedding",
        .kernel = "embedding_fwd",
        .args = {ARG_TENSOR(a->ids), ARG_TENSOR(a->table), ARG_TENSOR(a->positions), ARG_TENSOR(a->out),
                 ARG_INT(a->length), ARG_INT(a->width), ARG_INT(a->vocabulary), ARG_FLOAT(scale_of(a->scale)),
                 ARG_INT(a->dead)},
    };
    if (each_of(a->each) > 1) {
        l.kernel = "embedding_fwd_sum";
        l.args[9] = (struct ssa_arg)ARG_INT(a->each);
    }
    return ssa_launch_rows(device, &l, (size_t)a->rows);
}

int ssa_embedding_bwd_check(struct ssa_device *device, const struct ssa_embedding_bwd *a)
{
    const size_t rows = (size_t)a->rows, width = (size_t)a->width, ids = ssa_times(rows, (size_t)each_of(a->each));
    int err;
    TRY(check_shape("embedding_bwd", a->rows, a->length, a->width, a->vocabulary, ssa_present(a->dpositions)));
    TRY(check_sum("embedding_bwd", a->each, a->scale, a->dead));
    TRY(ssa_check_loops(device, "embedding_bwd",
                        ssa_plus(ids, ssa_times(ssa_plus(ids, (size_t)a->vocabulary), width / 256 + 1))));
    TRY(ssa_check_operands(device, "embedding_bwd", (const struct ssa_operand[]){
        VECTOR(ids, ssa_present(a->dtable) ? SSA_READ | SSA_INTS : SSA_UNUSED, ids),
        VECTOR(dout, SSA_READ, rows * width),
        VECTOR(dtable, ssa_output(true) | SSA_OPTIONAL, (size_t)a->vocabulary * width),
        VECTOR(dpositions, ssa_output(a->accumulate) | SSA_OPTIONAL, (size_t)a->length * width),
        {0}}));
done:
    return err;
}

/* Every class reads all ids, so there are only as many as keep the device busy when some tokens are frequent. */
static int class_count(const struct ssa_device *device)
{
    int classes = 8;
    while (classes < 4 * device->info.units && classes < 1024)
        classes *= 2;
    return classes;
}

int ssa_embedding_bwd_run(struct ssa_device *device, const struct ssa_embedding_bwd *a)
{
    const int classes = class_count(device), accumulate = a->accumulate != 0;
    struct ssa_launch table = {
        .file = "embedding",
        .kernel = "embedding_bwd_table",
        .args = {ARG_TENSOR(a->ids), ARG_TENSOR(a->dout), ARG_TENSOR(a->dtable), ARG_INT(a->rows), ARG_INT(a->width),
                 ARG_INT(a->vocabulary), ARG_INT(classes), ARG_INT(accumulate), ARG_INT(each_of(a->each)),
                 ARG_FLOAT(scale_of(a->scale)), ARG_INT(a->dead)},
    };
    struct ssa_launch positions = {
        .file = "embedding",
        .kernel = "embedding_bwd_positions",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR(a->dpositions), ARG_INT(a->rows), ARG_INT(a->length),
                 ARG_INT(a->width), ARG_INT(accumulate)},
    };
    int err = SSA_OK;
    if (ssa_present(a->dtable))
        TRY(ssa_launch_rows(device, &table, (size_t)classes));
    if (ssa_present(a->dpositions))
        TRY(ssa_launch_rows(device, &positions, (size_t)a->length));
done:
    return err;
}
