#include "harness.h"
#include "oracle/adamw.h"

#include <math.h>
#include <stdlib.h>

/* Three steps of the library and of the oracle from the same start. `given` is the call without tensors, `want` the
 * same with defaults spelt out. */
static void check_steps(struct ssa_device *dev, size_t n, struct ssa_adamw given, struct oracle_adamw want)
{
    float *w = test_values(n, 1, -1, 1), *m = calloc(n, sizeof *m), sumsq = (float)want.sumsq;
    double *wd = test_doubles(w, n), *md = calloc(n, sizeof *md), *vd = calloc(n, sizeof *vd);
    struct ssa_tensor one = test_from(dev, &sumsq, 1);
    given.w = test_from(dev, w, n);
    given.m = test_from(dev, m, n);
    given.v = test_from(dev, m, n);
    given.count = n;
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
        test_free(given.g, n);
        free(g);
        free(gd);
    }
    test_free(given.w, n);
    test_free(given.m, n);
    test_free(given.v, n);
    test_free(one, 1);
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
                                          .grad_scale = 1, .sumsq = -1};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            check_steps(dev, counts[i], (struct ssa_adamw){.lr = 0.01f}, standard);
}
END_TEST

START_TEST(options)
{
    const struct ssa_adamw given = {.lr = 0.02f, .beta1 = 0.8f, .beta2 = 0.95f, .eps = 1e-3f, .decay = 0.1f,
                                    .clip = 0.5f, .grad_scale = 0.25f};
    const struct oracle_adamw want = {.lr = (double)0.02f, .beta1 = (double)0.8f, .beta2 = (double)0.95f,
                                      .eps = (double)1e-3f, .decay = (double)0.1f, .grad_scale = 0.25};
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
    return test_run("adamw", (const TTest *const[]){matches_oracle, options, bad_arguments, NULL});
}
