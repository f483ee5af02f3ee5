#include "harness.h"
#include "oracle/adamw.h"

#include <math.h>
#include <stdlib.h>

/* Three steps of the library and of the oracle from the same start. `given` is the call without tensors, `want` the
 * same with defaults spelt out; with its `ema`, an average besides, from another start than w's. */
static void check_steps(struct ssa_device *dev, size_t n, struct ssa_adamw given, struct oracle_adamw want)
{
    float *w = test_values(n, 1, -1, 1), *m = calloc(n, sizeof *m), sumsq = (float)want.sumsq;
    double *wd = test_doubles(w, n), *md = calloc(n, sizeof *md), *vd = calloc(n, sizeof *vd);
    struct ssa_tensor one = test_from(dev, &sumsq, 1);
    given.w = test_from(dev, w, n);
    given.m = test_from(dev, m, n);
    given.v = test_from(dev, m, n);
    given.count = n;
    float *average = test_values(n, 2, -1, 1);
    double *averaged = test_doubles(average, n);
    if (want.ema >= 0) {
        given.average = test_from(dev, average, n);
        given.ema = (float)want.ema;
        want.average = averaged;
    }
    if (sumsq >= 0)
        given.sumsq = one;
    for (int step = 1; step <= 3; step++) {
        float *g = test_values(n, 10 + (uint64_t)step, -1, 1);
        double *gd = test_doubles(g, n);
        g[0] = 0; /* 0/(0 + eps) */
        gd[0] = 0;
        given.g = test_from(dev, g, n);
        given.step = want.step = step;
        OK(ssa_adamw(dev, &given));
        oracle_adamw(&want, wd, gd, md, vd, n);
        test_compare("m", given.m, md, n, 1e-7, 2e-6, "n %zu step %d", n, step);
        test_compare("v", given.v, vd, n, 1e-8, 4e-6, "n %zu step %d", n, step);
        test_compare("w", given.w, wd, n, 1e-6, 1e-6, "n %zu step %d", n, step);
        if (want.average)
            test_compare("average", given.average, averaged, n, 1e-6, 1e-6, "n %zu step %d", n, step);
        test_free(given.g, n);
        free(g);
        free(gd);
    }
    test_free(given.w, n);
    test_free(given.m, n);
    test_free(given.v, n);
    test_free(one, 1);
    if (want.average)
        test_free(given.average, n);
    free(average);
    free(averaged);
    free(w);
    free(m);
    free(wd);
    free(md);
    free(vd);
}

START_TEST(matches_oracle)
{
    static const size_t counts[] = {1, 2, 15, 16, 17, 63, 64, 65, 1009, 1024, 5003};
    const struct oracle_adamw standard = {.lr = (double)0.01f, .beta1 = 0.9, .beta2 = 0.999, .eps = (double)1e-8f,
                                          .grad_scale = 1, .sumsq = -1, .ema = -1};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            check_steps(dev, counts[i], (struct ssa_adamw){.lr = 0.01f}, standard);
}
END_TEST

START_TEST(average)
{
    static const size_t counts[] = {1, 13, 16, 65, 1009, 5003};
    static const double emas[] = {0, 0.5, (double)0.9f, (double)0.9999f};
    struct oracle_adamw want = {.lr = 0.5, .beta1 = 0.9, .beta2 = 0.999, .eps = (double)1e-3f, .grad_scale = 1,
                                .clip = 1, .sumsq = 9};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (size_t k = 0; k < sizeof emas / sizeof *emas; k++) {
                want.ema = emas[k];
                check_steps(dev, counts[i], (struct ssa_adamw){.lr = 0.5f, .eps = 1e-3f, .clip = 1}, want);
            }
}
END_TEST

/* Where nothing changes, the average of what is there stays it, bit for bit; and w, m and v are those of no average. */
START_TEST(average_of_the_same)
{
    enum { COUNT = 103 };
    float *w = test_values(COUNT, 4, -1, 1), *g = test_values(COUNT, 5, -1, 1), zero[COUNT] = {0};
    FOR_DEVICES (dev) {
        struct ssa_adamw a = {.w = test_from(dev, w, COUNT), .g = test_from(dev, zero, COUNT),
                              .m = test_from(dev, zero, COUNT), .v = test_from(dev, zero, COUNT),
                              .average = test_from(dev, w, COUNT), .count = COUNT, .lr = 0.1f, .ema = 0.999f};
        struct ssa_adamw plain = {.w = test_from(dev, w, COUNT), .g = a.g, .m = test_from(dev, zero, COUNT),
                                  .v = test_from(dev, zero, COUNT), .count = COUNT, .lr = 0.1f};
        for (a.step = plain.step = 1; a.step <= 3; a.step++, plain.step++) {
            OK(ssa_adamw(dev, &a));
            OK(ssa_adamw(dev, &plain));
        }
        test_same_bits("average", a.average, a.w, COUNT);
        OK(ssa_tensor_write(a.g, g, COUNT));
        OK(ssa_adamw(dev, &a));
        OK(ssa_adamw(dev, &plain));
        test_same_bits("w", a.w, plain.w, COUNT);
        test_same_bits("m", a.m, plain.m, COUNT);
        test_same_bits("v", a.v, plain.v, COUNT);
        test_free(a.w, COUNT), test_free(a.g, COUNT), test_free(a.m, COUNT), test_free(a.v, COUNT);
        test_free(a.average, COUNT), test_free(plain.w, COUNT), test_free(plain.m, COUNT), test_free(plain.v, COUNT);
    }
    free(w);
    free(g);
}
END_TEST

START_TEST(options)
{
    const struct ssa_adamw given = {.lr = 0.02f, .beta1 = 0.8f, .beta2 = 0.95f, .eps = 1e-3f, .decay = 0.1f,
                                    .clip = 0.5f, .grad_scale = 0.25f};
    const struct oracle_adamw want = {.lr = (double)0.02f, .beta1 = (double)0.8f, .beta2 = (double)0.95f,
                                      .eps = (double)1e-3f, .decay = (double)0.1f, .grad_scale = 0.25, .ema = -1};
    FOR_DEVICES (dev) {
        struct ssa_adamw a = given;
        struct oracle_adamw o = want;
        o.sumsq = -1;
        check_steps(dev, 65, a, o); /* clip without sumsq: none */
        o.clip = 0.5;
        o.sumsq = 100; /* norm 2.5: clipped to a fifth */
        check_steps(dev, 65, a, o);
        o.sumsq = 1; /* norm 0.25: as it is */
        check_steps(dev, 65, a, o);
        o.sumsq = 0;
        check_steps(dev, 65, a, o);
        a.beta1 = a.beta2 = SSA_NONE; /* 0: sign descent */
        a.clip = 0;
        o.beta1 = o.beta2 = o.clip = 0;
        check_steps(dev, 65, a, o);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 8);
        struct ssa_adamw good = {.w = t, .g = t, .m = t, .v = t, .count = 8, .lr = 1e-3f, .step = 1};
        REFUSES(adamw, good, count, 0, "count is 0");
        REFUSES(adamw, good, step, 0, "step is 0");
        REFUSES(adamw, good, lr, NAN, "lr is nan");
        REFUSES(adamw, good, lr, -1, "lr is -1");
        REFUSES(adamw, good, beta1, 1, "beta1 is 1");
        REFUSES(adamw, good, beta1, -0.5f, "beta1 is -0.5");
        REFUSES(adamw, good, beta2, NAN, "beta2 is nan");
        REFUSES(adamw, good, eps, -1, "eps is -1");
        REFUSES(adamw, good, decay, INFINITY, "decay is inf");
        REFUSES(adamw, good, clip, -1, "clip is -1");
        REFUSES(adamw, good, grad_scale, -1, "grad_scale is -1");
        REFUSES(adamw, good, ema, 0.5f, "ema is 0.5, and there is no average");
        REFUSES(adamw, good, ema, 1, "ema is 1, must be in [0, 1)");
        REFUSES(adamw, good, ema, NAN, "ema is nan");
        REFUSES(adamw, good, average, ssa_tensor_at(t.buffer, t.buffer->bytes / 4 - 7), "average needs 8");
        REFUSES_ABSENT(adamw, good, w);
        REFUSES_SMALL(adamw, good, g, 8);
        REFUSES_SMALL(adamw, good, m, 8);
        REFUSES_ABSENT(adamw, good, v);
        REFUSES(adamw, good, sumsq, ssa_tensor_at(t.buffer, t.buffer->bytes / 4), "sumsq needs 1");
        test_free(t, 8);
    }
}
END_TEST

int main(void)
{
    return test_run("adamw", (const TTest *const[]){matches_oracle, average, average_of_the_same, options, bad_arguments, NULL});
}
