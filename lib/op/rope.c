#include "impl.h"

#include <math.h>

enum { MAX_WIDTH = 512 }; /* MAX_PAIRS of cl/rope.cl */

static size_t stride(const struct ssa_rope *a)
{
    return a->stride ? (size_t)a->stride : (size_t)a->heads * (size_t)a->width;
}

int ssa_rope_check(struct ssa_device *device, const struct ssa_rope *a)
{
    const size_t used = (size_t)a->heads * (size_t)a->width;
    int err;
    TRY(ssa_check_countable("rope", "rows", a->rows));
    TRY(ssa_check_positive("rope", "length", a->length));
    TRY(ssa_check_positive("rope", "heads", a->heads));
    TRY(ssa_check_positive("rope", "width", a->width));
    REQUIRE(a->width % 2 == 0 && a->width <= MAX_WIDTH, "rope: width is %d, must be even and at most %d", a->width,
            MAX_WIDTH);
    REQUIRE(a->heads <= 1 << 20, "rope: heads is %d, must be at most 2^20", a->heads);
    REQUIRE(a->stride >= 0 && stride(a) >= used, "rope: stride is %d, a row's heads and width take %zu", a->stride,
            used);
    REQUIRE(a->base == 0 || (a->base > 1 && isfinite(a->base)), "rope: base is %g, must be finite and above 1",
            (double)a->base);
    TRY(ssa_check_operands(device, "rope", (const struct ssa_operand[]){
        {"x", a->x, (size_t)a->rows, used, stride(a), ssa_output(true)},
        {0}}));
done:
    return err;
}

/* base^(-2n/width) as a fraction of 2^64. */
static uint64_t power(const struct ssa_rope *a, int n)
{
    const double base = a->base > 0 ? (double)a->base : 10000;
    return (uint64_t)(pow(base, -2.0 * n / a->width) * 18446744073709551616.0);
}

int ssa_rope_run(struct ssa_device *device, const struct ssa_rope *a)
{
    const int span = device->info.gpu_shape ? 1 : 16;
    const double turns = 0.15915494309189533577; /* 1/(2 pi) */
    struct ssa_launch l = {
        .kernel = "rope",
        .args = {ARG_TENSOR(a->x), ARG_INT(a->rows), ARG_INT(a->length), ARG_INT(a->heads), ARG_INT(a->width),
                 ARG_INT((int)stride(a)), ARG_INT(a->first_position), ARG_INT(a->inverse != 0), ARG_INT(span),
                 ARG_ULONG_AS(first, (uint64_t)(turns * 18446744073709551616.0)), ARG_ULONG_AS(p0, power(a, 1)),
                 ARG_ULONG_AS(p1, power(a, 2)), ARG_ULONG_AS(p2, power(a, 4)), ARG_ULONG_AS(p3, power(a, 8)),
                 ARG_ULONG_AS(p4, power(a, 16)), ARG_ULONG_AS(p5, power(a, 32)), ARG_ULONG_AS(p6, power(a, 64)),
                 ARG_ULONG_AS(p7, power(a, 128))},
    };
    return ssa_launch_rows(device, &l, ((size_t)a->rows + (size_t)span - 1) / (size_t)span);
}
