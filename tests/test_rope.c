#include "harness.h"
#include "oracle/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Turns, compares everything the tensor holds (gaps between rows too), turns back. */
static void check_rope(struct ssa_device *dev, struct oracle_rope r, float base)
{
    const size_t used = (size_t)(r.heads * r.width), n = (size_t)(r.rows - 1) * r.stride + used;
    float *x = test_values(n, 1, -1, 1);
    double *want = test_doubles(x, n), *back = test_doubles(x, n);
    struct ssa_tensor t = test_from(dev, x, n);
    struct ssa_rope a = {.x = t, .rows = r.rows, .length = r.length, .heads = r.heads, .width = r.width,
                         .stride = r.stride == used ? 0 : (int)r.stride, .first_position = r.first_position,
                         .base = base};
    oracle_rope(&r, want);
    OK(ssa_rope(dev, &a));
    test_compare("x", t, want, n, 4e-7, 0, "rows %d length %d heads %d width %d first %d", r.rows, r.length, r.heads,
                 r.width, r.first_position);
    a.inverse = 1;
    OK(ssa_rope(dev, &a));
    test_compare("back", t, back, n, 6e-7, 0, "rows %d heads %d width %d", r.rows, r.heads, r.width);
    r.inverse = true;
    oracle_rope(&r, back);
    OK(ssa_rope(dev, &a));
    test_compare("inverse", t, back, n, 1e-6, 0, "rows %d heads %d width %d", r.rows, r.heads, r.width);
    test_free(t, n);
    free(x);
    free(want);
    free(back);
}

START_TEST(matches_oracle)
{
    /* rows, length, heads, width, extra stride */
    static const int shapes[][5] = {{1, 1, 1, 2, 0},   {3, 2, 1, 6, 1},    {17, 17, 3, 8, 0},  {33, 16, 1, 30, 5},
                                    {16, 9, 8, 32, 0}, {63, 21, 4, 34, 3}, {65, 64, 8, 64, 0}, {15, 15, 2, 126, 7},
                                    {5, 5, 2, 256, 0}, {3, 3, 1, 512, 0}, {1009, 500, 1, 16, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int *s = shapes[i];
        struct oracle_rope r = {.rows = s[0], .length = s[1], .heads = s[2], .width = s[3], .base = i % 2 ? 500 : 10000,
                                .first_position = (int)i * 10, .stride = (size_t)(s[2] * s[3] + s[4])};
        FOR_DEVICES (dev)
            check_rope(dev, r, i % 2 ? 500 : 0);
    }
}
END_TEST

/* The error must not grow with the position. */
START_TEST(far_positions)
{
    static const int firsts[] = {-5, 4095, 100003, 999983, 16777259};
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        struct oracle_rope r = {.rows = 40, .length = 40, .heads = 2, .width = 64, .base = 10000,
                                .first_position = firsts[i], .stride = 128};
        FOR_DEVICES (dev)
            check_rope(dev, r, 0);
    }
}
END_TEST

/* What rotary positions are for: q . k depends on the distance of the two alone. */
START_TEST(relative)
{
    enum { WIDTH = 64 };
    FOR_DEVICES (dev) {
        float *q = test_values(WIDTH, 1, -1, 1), *k = test_values(WIDTH, 2, -1, 1), dots[2] = {0};
        for (int i = 0; i < 2; i++) {
            struct ssa_tensor tq = test_from(dev, q, WIDTH), tk = test_from(dev, k, WIDTH);
            struct ssa_rope a = {.x = tq, .rows = 1, .length = 1, .heads = 1, .width = WIDTH,
                                 .first_position = i ? 123456 : 19};
            OK(ssa_rope(dev, &a));
            a.x = tk;
            a.first_position -= 12;
            OK(ssa_rope(dev, &a));
            float *rq = test_read(tq, WIDTH), *rk = test_read(tk, WIDTH);
            for (int c = 0; c < WIDTH; c++)
                dots[i] += rq[c] * rk[c];
            free(rq);
            free(rk);
            test_free(tq, WIDTH);
            test_free(tk, WIDTH);
        }
        ck_assert_float_eq_tol(dots[0], dots[1], 2e-5f);
        free(q);
        free(k);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64);
        struct ssa_rope good = {.x = t, .rows = 2, .length = 2, .heads = 4, .width = 8};
        REFUSES(rope, good, rows, 0, "rows is 0");
        REFUSES(rope, good, length, 0, "length is 0");
        REFUSES(rope, good, heads, 0, "heads is 0");
        REFUSES(rope, good, heads, INT32_MAX, "heads is 2147483647");
        REFUSES(rope, good, width, 0, "width is 0");
        REFUSES(rope, good, width, 7, "width is 7");
        REFUSES(rope, good, width, 514, "width is 514");
        REFUSES(rope, good, stride, 31, "stride is 31");
        REFUSES(rope, good, stride, -1, "stride is -1");
        REFUSES(rope, good, base, 1, "base is 1");
        REFUSES(rope, good, base, NAN, "base is nan");
        REFUSES(rope, good, base, INFINITY, "base is inf");
        REFUSES_ABSENT(rope, good, x);
        REFUSES(rope, good, stride, 4096, "x needs 4128");
        test_free(t, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("rope", (const TTest *const[]){matches_oracle, far_positions, relative, bad_arguments, NULL});
}
