/* Precision `fast`: which engine serves, that an emulated one computes the same bits, and what happens where there is
 * none, or one that is wrong. That it is right is tested by test_linear.c, which runs on it too. */
#include "harness.h"
#include "op/gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 131, IN = 97, OUT = 70 };

int __real_ssa_gemm_parts_run(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e);
int __wrap_ssa_gemm_parts_run(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e);

/* An engine that is wrong in one element. */
static bool wrong;
static int products;

int __wrap_ssa_gemm_parts_run(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e)
{
    int err = __real_ssa_gemm_parts_run(device, g, e);
    products++;
    if (!err && wrong)
        err = ssa_tensor_fill(g->c, 0.25f, 1);
    return err;
}

static struct ssa_device *open_fast(const char *engine)
{
    struct ssa_device *device;
    if (engine)
        setenv("SSACL_MATRIX", engine, 1);
    else
        unsetenv("SSACL_MATRIX");
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_device_set_precision(device, SSA_FAST));
    unsetenv("SSACL_MATRIX");
    return device;
}

/* y and the gradients of a layer, one behind the other. */
struct results {
    float y[ROWS * OUT], dx[ROWS * IN], dw[OUT * IN], dbias[OUT];
    char path[128];
};
enum { FLOATS = ROWS * OUT + ROWS * IN + OUT * IN + OUT };

static void run_layer(struct ssa_device *dev, const float *image, size_t count, struct results *r)
{
    struct ssa_tensor t = test_from(dev, image, count), out = test_new(dev, FLOATS);
    const struct ssa_tensor x = t, w = ssa_tensor_add(x, ROWS * IN), bias = ssa_tensor_add(w, OUT * IN),
                            dy = ssa_tensor_add(bias, OUT);
    const struct ssa_tensor y = out, dx = ssa_tensor_add(y, ROWS * OUT), dw = ssa_tensor_add(dx, ROWS * IN),
                            dbias = ssa_tensor_add(dw, OUT * IN);
    OK(ssa_linear_fwd(dev, &(struct ssa_linear_fwd){.x = x, .w = w, .bias = bias, .y = y, .rows = ROWS, .in = IN,
                                                    .out = OUT}));
    OK(ssa_linear_bwd(dev, &(struct ssa_linear_bwd){.x = x, .w = w, .dy = dy, .dx = dx, .dw = dw, .dbias = dbias,
                                                    .rows = ROWS, .in = IN, .out = OUT}));
    OK(ssa_tensor_read(out, r, FLOATS));
    OK(ssa_device_path(dev, "linear_fwd", r->path, sizeof r->path));
    test_free(t, count);
    test_free(out, FLOATS);
}

static void run_on(struct ssa_device *dev, struct results *r)
{
    enum { COUNT = ROWS * IN + OUT * IN + OUT + ROWS * OUT };
    float *image = test_values(COUNT, 5, -1, 1);
    run_layer(dev, image, COUNT, r);
    free(image);
}

static double largest_difference(const struct results *a, const struct results *b)
{
    double largest = 0;
    const float *one = (const float *)a, *other = (const float *)b;
    for (size_t i = 0; i < FLOATS; i++)
        largest = fmax(largest, fabs((double)one[i] - (double)other[i]));
    return largest;
}

static struct results *results_of(struct ssa_device *dev)
{
    struct results *r = calloc(1, sizeof *r);
    ck_assert_ptr_nonnull(r);
    run_on(dev, r);
    return r;
}

START_TEST(near_float32)
{
    struct ssa_device *dev = open_fast("emulate");
    struct results *fast = results_of(dev), *again = results_of(dev);
    ck_assert_ptr_nonnull(strstr(fast->path, "PARTS=2"));
    ck_assert(!memcmp(fast, again, sizeof *fast));
    OK(ssa_device_set_precision(dev, SSA_FLOAT32));
    products = 0;
    struct results *exact = results_of(dev);
    ck_assert_int_eq(products, 0);
    ck_assert_ptr_null(strstr(exact->path, "PARTS"));
    const double difference = largest_difference(fast, exact);
    ck_assert_msg(difference > 0 && difference < 1e-4, "fast differs from float32 by %g", difference);
    free(fast);
    free(again);
    free(exact);
    ssa_device_close(dev);
}
END_TEST

START_TEST(emulation_computes_the_same_bits)
{
    struct ssa_device *dev = open_fast(NULL);
    if (dev->engine) {
        struct ssa_device *emulated = open_fast("emulate");
        struct results *a = results_of(dev), *b = results_of(emulated);
        ck_assert_ptr_nonnull(strstr(a->path, dev->engine));
        ck_assert(!memcmp(a, b, FLOATS * sizeof(float)));
        free(a);
        free(b);
        ssa_device_close(emulated);
    } else {
        fprintf(stderr, "no matrix engine here\n");
    }
    ssa_device_close(dev);
}
END_TEST

static char warnings[1024];
static int warned;

static void keep_warning(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level > SSA_LOG_WARNING)
        return;
    snprintf(warnings, sizeof warnings, "%s", line);
    warned++;
}

START_TEST(without_an_engine)
{
    ssa_set_log(keep_warning, NULL);
    warned = products = 0;
    struct ssa_device *dev = open_fast("0");
    ck_assert_int_eq(warned, 1);
    ck_assert_ptr_nonnull(strstr(warnings, "turned off by $SSACL_MATRIX"));
    ck_assert_ptr_nonnull(strstr(warnings, "float32 serves"));
    struct results *r = results_of(dev);
    OK(ssa_device_set_precision(dev, SSA_FLOAT32));
    struct results *exact = results_of(dev);
    ck_assert(!memcmp(r, exact, sizeof *r));
    ck_assert_int_eq(products, 0);
    ck_assert_int_eq(warned, 1);
    free(r);
    free(exact);
    ssa_device_close(dev);
    ssa_set_log(NULL, NULL);
}
END_TEST

START_TEST(an_engine_that_is_wrong)
{
    ssa_set_log(keep_warning, NULL);
    warned = 0;
    wrong = true;
    struct ssa_device *dev = open_fast("emulate");
    struct results *r = results_of(dev);
    wrong = false;
    ck_assert_int_eq(warned, 3); /* of each transposition one */
    ck_assert_ptr_nonnull(strstr(warnings, "is quarantined after its self-test; float32 serves"));
    OK(ssa_device_set_precision(dev, SSA_FLOAT32));
    struct results *exact = results_of(dev);
    ck_assert(!memcmp(r, exact, FLOATS * sizeof(float)));
    free(r);
    free(exact);
    ssa_device_close(dev);
    ssa_set_log(NULL, NULL);
}
END_TEST

START_TEST(bad_arguments)
{
    struct ssa_device *dev = open_fast("emulate");
    FAILS(ssa_device_set_precision(dev, 7), SSA_EINVAL, "7 is no precision");
    FAILS(ssa_device_set_precision(NULL, SSA_FAST), SSA_EINVAL, "device");
    ssa_device_close(dev);
}
END_TEST

int main(void)
{
    return test_run("precision", (const TTest *const[]){near_float32, emulation_computes_the_same_bits, without_an_engine,
                                                        an_engine_that_is_wrong, bad_arguments, NULL});
}
