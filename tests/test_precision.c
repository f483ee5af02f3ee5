/* Precisions `fast` and `bf16`: which engine serves, that an emulated one computes the same bits, how far a model's
 * gradients are from float32's, and what happens where there is no engine, or one that is wrong. That products and
 * attention are right is tested by test_linear.c, test_attention.c and test_masked.c, which run on it too. */
#include "harness.h"
#include "ssacl/model.h"
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

/* ---- a model: heads that the engine's attention serves ---- */

enum { LENGTH = 96, BATCH = 2, VOCABULARY = 61 };

/* All gradients of a GPT, one behind the other. */
static float *gradients_of(struct ssa_device *dev, size_t *count)
{
    const struct ssa_model_config c = {.gpt = {.layers = 2, .heads = 2, .width = 64, .vocabulary = VOCABULARY,
                                               .length = LENGTH}};
    int32_t ids[BATCH * LENGTH + 1];
    struct ssa_plan plan = {0};
    struct ssa_model *model;
    for (int i = 0; i <= BATCH * LENGTH; i++)
        ids[i] = i * i % VOCABULARY;
    OK(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = LENGTH, .keys = LENGTH / 2,
                                                 .own_key = 1, .seed = 3}));
    const struct ssa_plan *plans[] = {NULL, &plan};
    OK(ssa_model_create(&model, dev, &c, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    OK(ssa_model_initialise(model, 5));
    OK(ssa_model_forward(model, &(struct ssa_pass){.tokens = ids, .targets = ids + 1, .batch = BATCH, .training = 1,
                                                   .plans = plans}));
    OK(ssa_model_backward(model));
    *count = 0;
    for (int i = 0; i < ssa_model_part_count(model); i++)
        *count += ssa_model_part(model, i).count;
    float *all = malloc(*count * sizeof *all), *to = all;
    for (int i = 0; i < ssa_model_part_count(model); to += ssa_model_part(model, i).count, i++)
        OK(ssa_tensor_read(ssa_model_part(model, i).grad, to, ssa_model_part(model, i).count));
    ssa_model_destroy(model);
    ssa_plan_finish(&plan);
    return all;
}

static double cosine(const float *a, const float *b, size_t count)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

START_TEST(gradients_near_float32)
{
    static const int precisions[] = {SSA_FAST, SSA_BFLOAT16};
    static const double least[] = {1 - 1e-9, 0.999};
    struct ssa_device *dev = open_fast("emulate"), *engine = open_fast(NULL);
    size_t count;
    OK(ssa_device_set_precision(dev, SSA_FLOAT32));
    float *exact = gradients_of(dev, &count);
    for (int i = 0; i < 2; i++) {
        setenv("SSACL_MATRIX", "emulate", 1);
        OK(ssa_device_set_precision(dev, precisions[i]));
        unsetenv("SSACL_MATRIX");
        OK(ssa_device_set_precision(engine, precisions[i]));
        float *near = gradients_of(dev, &count), *again = gradients_of(dev, &count);
        const double c = cosine(near, exact, count);
        ck_assert_msg(c > least[i] && memcmp(near, exact, count * sizeof *near), "cosine %.12f", c);
        ck_assert(!memcmp(near, again, count * sizeof *near));
        free(again);
        again = gradients_of(engine, &count);
        ck_assert_msg(!engine->engine || cosine(near, again, count) > least[i], "%s is another engine", engine->engine);
        free(near);
        free(again);
    }
    free(exact);
    ssa_device_close(dev);
    ssa_device_close(engine);
}
END_TEST

/* ---- no engine, and a wrong one ---- */

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
    return test_run("precision", (const TTest *const[]){near_float32, emulation_computes_the_same_bits,
                                                        gradients_near_float32, without_an_engine,
                                                        an_engine_that_is_wrong, bad_arguments, NULL});
}
