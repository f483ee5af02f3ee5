#include "impl.h"

#include <math.h>

enum { LARGEST = 128 }; /* window whose pairs an int counts */

static int check_windows(const char *op, int rows, int columns, int window, int shift)
{
    int err;
    TRY(ssa_check_positive(op, "rows", rows));
    TRY(ssa_check_positive(op, "columns", columns));
    TRY(ssa_check_positive(op, "window", window));
    REQUIRE(rows % window == 0 && columns % window == 0, "%s: windows of %d do not divide a grid of %d x %d", op,
            window, rows, columns);
    REQUIRE(shift >= 0 && shift < window, "%s: shift is %d, must be in [0, %d), the window", op, shift, window);
    REQUIRE(ssa_times((size_t)rows, (size_t)columns) <= (size_t)1 << 30, "%s: a grid of %d x %d, must have at most "
            "2^30 positions", op, rows, columns);
done:
    return err;
}

int ssa_windows_check(struct ssa_device *device, const struct ssa_windows *a)
{
    static const char op[] = "windows";
    const size_t positions = ssa_times((size_t)a->batch, ssa_times((size_t)a->rows, (size_t)a->columns));
    int err;
    TRY(ssa_check_positive(op, "batch", a->batch));
    TRY(check_windows(op, a->rows, a->columns, a->window, a->shift));
    TRY(ssa_check_positive(op, "width", a->width));
    REQUIRE(a->width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, a->width);
    TRY(ssa_check_operands(device, op, (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, ssa_times(positions, (size_t)a->width)),
        VECTOR(out, SSA_WRITE, ssa_times(positions, (size_t)a->width)),
        {0}}));
done:
    return err;
}

int ssa_windows_run(struct ssa_device *device, const struct ssa_windows *a)
{
    struct ssa_launch l = {
        .kernel = "windows",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->out), ARG_INT(a->rows), ARG_INT(a->columns), ARG_INT(a->width),
                 ARG_INT(a->window), ARG_INT(a->shift), ARG_INT_AS(by_columns, a->by_columns != 0),
                 ARG_INT_AS(inverse, a->inverse != 0)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)a->rows * (size_t)a->columns);
}

/* ---- the bias ---- */

static int check_bias(const char *op, int window, int heads)
{
    int err;
    TRY(ssa_check_positive(op, "window", window));
    REQUIRE(window <= LARGEST, "%s: window is %d, must be at most %d", op, window, LARGEST);
    TRY(ssa_check_positive(op, "heads", heads));
    REQUIRE(ssa_times((size_t)heads, 4 * (size_t)window * (size_t)window) <= INT32_MAX, "%s: heads is %d, with windows "
            "of %d a table past 2^31", op, heads, window);
done:
    return err;
}

static size_t table_count(int window, int heads)
{
    return (size_t)(2 * window - 1) * (size_t)(2 * window - 1) * (size_t)heads;
}

/* Rows of `out`, of window^2 elements. */
static size_t bias_rows(const struct ssa_window_bias_fwd *a)
{
    const size_t area = (size_t)a->window * (size_t)a->window;
    const size_t windows = a->shift ? (size_t)a->rows * (size_t)a->columns / area : 1;
    return ssa_times(windows * area, (size_t)a->heads);
}

int ssa_window_bias_fwd_check(struct ssa_device *device, const struct ssa_window_bias_fwd *a)
{
    static const char op[] = "window_bias_fwd";
    int err;
    TRY(check_bias(op, a->window, a->heads));
    TRY(check_windows(op, a->rows, a->columns, a->window, a->shift));
    REQUIRE(a->apart <= 0, "%s: apart is %g, must not be positive (0 means -100)", op, (double)a->apart);
    TRY(ssa_check_operands(device, op, (const struct ssa_operand[]){
        VECTOR(table, SSA_READ, table_count(a->window, a->heads)),
        VECTOR(out, SSA_WRITE, ssa_times(bias_rows(a), (size_t)a->window * (size_t)a->window)),
        {0}}));
done:
    return err;
}

int ssa_window_bias_fwd_run(struct ssa_device *device, const struct ssa_window_bias_fwd *a)
{
    struct ssa_launch l = {
        .file = "windows",
        .kernel = "window_bias_fwd",
        .args = {ARG_TENSOR(a->table), ARG_TENSOR(a->out), ARG_INT(a->rows), ARG_INT(a->columns), ARG_INT(a->window),
                 ARG_INT(a->shift), ARG_INT(a->heads), ARG_FLOAT_AS(apart, a->apart < 0 ? a->apart : -100)},
    };
    return ssa_launch_rows(device, &l, bias_rows(a));
}

int ssa_window_bias_bwd_check(struct ssa_device *device, const struct ssa_window_bias_bwd *a)
{
    static const char op[] = "window_bias_bwd";
    const size_t area = (size_t)a->window * (size_t)a->window;
    int err;
    TRY(check_bias(op, a->window, a->heads));
    TRY(ssa_check_loops(device, op, area + (size_t)a->window));
    TRY(ssa_check_operands(device, op, (const struct ssa_operand[]){
        VECTOR(dout, SSA_READ, ssa_times((size_t)a->heads, area * area)),
        VECTOR(dtable, ssa_output(a->accumulate), table_count(a->window, a->heads)),
        {0}}));
done:
    return err;
}

int ssa_window_bias_bwd_run(struct ssa_device *device, const struct ssa_window_bias_bwd *a)
{
    return ssa_launch(device, &(struct ssa_launch){
        .file = "windows",
        .kernel = "window_bias_bwd",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR(a->dtable), ARG_INT(a->window), ARG_INT(a->heads),
                 ARG_INT_AS(accumulate, a->accumulate != 0)},
        .global = {(size_t)a->heads, table_count(a->window, 1)},
    });
}
