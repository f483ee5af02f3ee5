/* The harness itself: what must be caught is caught. Bad tests run in a Check runner of their own, and each of them has
 * to fail with the right words. "leak" as argument: a test that leaks, which must make the program fail. */
#include "harness.h"
#include "arguments.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1000 };

static struct ssa_device *device;
static struct ssa_tensor tensor, other; /* of the bad test that runs: freed after it */

/* ---- the comparator ---- */

static bool close_to(size_t at, float got, double want, char *message, size_t size)
{
    float x[N];
    double y[N];
    for (size_t i = 0; i < N; i++)
        y[i] = x[i] = 1.0f + (float)i;
    x[at] = got;
    y[at] = want;
    return test_close_to("x", x, y, N, 1e-6, 1e-5, message, size);
}

START_TEST(comparator)
{
    static const struct {
        float got;
        double want;
        bool close;
    } cases[] = {
        {1, 1, true},           {1.00001f, 1, true},   {1.00002f, 1, false},    {5e-7f, 0, true},
        {2e-6f, 0, false},      {NAN, 1, false},       {NAN, NAN, false},       {1, NAN, false},
        {INFINITY, 1, false},   {1, INFINITY, false},  {INFINITY, INFINITY, true},
        {-INFINITY, -INFINITY, true}, {-INFINITY, INFINITY, false}, {-1, 1, false},
    };
    static const size_t places[] = {0, 1, 499, N - 1};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t p = 0; p < 4; p++) {
            char message[512] = "", place[32];
            bool close = close_to(places[p], cases[c].got, cases[c].want, message, sizeof message);
            snprintf(place, sizeof place, "first [%zu]", places[p]);
            ck_assert_msg(close == cases[c].close, "%g for %g at %zu", (double)cases[c].got, cases[c].want, places[p]);
            ck_assert_msg(close == !*message && (close || strstr(message, place)), "it says: %s", message);
        }
}
END_TEST

/* ---- tests that must fail ---- */

/* All are 0.5 in truth; one becomes `value`, and the last `unwritten` stay as in a new tensor. */
static void compare(size_t at, float value, size_t unwritten)
{
    float x[N];
    double want[N];
    for (size_t i = 0; i < N; i++)
        want[i] = x[i] = 0.5f;
    x[at] = value;
    tensor = test_new(device, N);
    OK(ssa_tensor_write(tensor, x, N - unwritten));
    test_compare("x", tensor, want, N, 1e-6, 1e-6, "shape %d", N);
}

START_TEST(one_wrong_element)
{
    compare(700, 3, 0);
}
END_TEST

START_TEST(a_nan)
{
    compare(0, NAN, 0);
}
END_TEST

START_TEST(an_unwritten_element)
{
    compare(5, 0.5f, 1);
}
END_TEST

static void overrun(size_t back, size_t forth)
{
    static const float zeros[N + 8];
    tensor = test_new(device, N);
    struct ssa_tensor t = tensor;
    t.offset -= back;
    OK(ssa_tensor_write(t, zeros, N + back + forth));
    test_free(tensor, N);
}

START_TEST(an_overrun)
{
    overrun(0, 1);
}
END_TEST

START_TEST(an_underrun)
{
    overrun(1, 0);
}
END_TEST

START_TEST(other_bits)
{
    tensor = test_from(device, (float[]){1, 2, 0.0f}, 3);
    other = test_from(device, (float[]){1, 2, -0.0f}, 3);
    test_same_bits("zeros", tensor, other, 3);
}
END_TEST

START_TEST(an_error)
{
    OK(ssa_buffer_create(&tensor.buffer, device, 0));
}
END_TEST

START_TEST(no_error)
{
    FAILS(SSA_OK, SSA_EINVAL, "");
}
END_TEST

START_TEST(another_error)
{
    FAILS(ssa_buffer_create(&tensor.buffer, device, 0), SSA_EINVAL, "a purple buffer");
}
END_TEST

/* Runs one bad test; true if it fails with the words. */
static bool caught(const TTest *test, const char *words)
{
    Suite *suite = suite_create("bad");
    TCase *tcase = tcase_create("bad");
    tcase_add_test(tcase, test);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    bool good = false;
    if (srunner_ntests_failed(runner) == 1) {
        TestResult **failures = srunner_failures(runner);
        good = strstr(tr_msg(failures[0]), words) != NULL;
        if (!good)
            fprintf(stderr, "it says: %s\n", tr_msg(failures[0]));
        free(failures);
    }
    srunner_free(runner);
    ssa_buffer_destroy(tensor.buffer);
    ssa_buffer_destroy(other.buffer);
    tensor = other = (struct ssa_tensor){0};
    return good;
}

START_TEST(leak)
{
    struct ssa_buffer *b;
    OK(ssa_buffer_create(&b, test_device(0), 40));
}
END_TEST

static int missed_failures(void)
{
    const struct {
        const TTest *test;
        const char *words;
    } bad_tests[] = {
        {one_wrong_element, "x: 1 of 1000 wrong; first [700] is 3"},
        {one_wrong_element, "shape 1000 on cpu"},
        {a_nan, "first [0] is nan"},
        {an_unwritten_element, "first [999] is nan"},
        {an_overrun, "guard overwritten: element 1000 of a tensor of 1000"},
        {an_underrun, "guard overwritten: element -1 of a tensor of 1000"},
        {other_bits, "zeros: element 2 differs"},
        {an_error, "a buffer of 0 bytes"},
        {no_error, "expected SSA_EINVAL"},
        {another_error, "a purple buffer"},
    };
    int missed = 0;
    for (size_t i = 0; i < sizeof bad_tests / sizeof *bad_tests; i++)
        if (!caught(bad_tests[i].test, bad_tests[i].words)) {
            fprintf(stderr, "not caught: %s\n", bad_tests[i].words);
            missed++;
        }
    return missed;
}

/* Two of one kind that change places, one of another kind, one too few, one too many. */
START_TEST(arguments)
{
    const struct ssa_launch good = {.kernel = "add", .args = {{SSA_ARG_TENSOR, "a->x"}, {SSA_ARG_TENSOR, "(a)->y"},
        {SSA_ARG_TENSOR, "out"}, {SSA_ARG_ULONG, "a->count > 0 ? a->count : 1"}}};
    struct ssa_launch l = good;
    char why[256];
    ck_assert(arguments_fit(&l, why, sizeof why));
    l.args[0] = good.args[1];
    l.args[1] = good.args[0];
    ck_assert(!arguments_fit(&l, why, sizeof why));
    ck_assert_str_eq(why, "add: argument 0, tensor (a)->y, is given to parameter tensor x");
    l = good;
    l.args[3].kind = SSA_ARG_INT;
    ck_assert(!arguments_fit(&l, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "is given to parameter ulong count"));
    l.args[3].kind = SSA_ARG_NONE;
    ck_assert(!arguments_fit(&l, why, sizeof why));
    ck_assert_str_eq(why, "add: no argument for parameter ulong count");
    l = good;
    l.args[4] = good.args[3];
    ck_assert(!arguments_fit(&l, why, sizeof why));
    ck_assert_str_eq(why, "add: more arguments than parameters");
    l = (struct ssa_launch){.kernel = "loops_gpu", .args = {{SSA_ARG_TENSOR, "out->x"}, {SSA_ARG_INT, "n"}}};
    ck_assert(!arguments_fit(&l, why, sizeof why)); /* the name of a struct is not its member's */
}
END_TEST

int main(int argc, char **argv)
{
    setenv("SSA_TEST_DEVICES", "cpu", 1);
    if (argc > 1 && !strcmp(argv[1], "leak"))
        return test_run("leak", (const TTest *const[]){leak, NULL});
    if (ssa_device_open(&device, "cpu"))
        return EXIT_FAILURE;
    int missed = missed_failures();
    ssa_device_close(device);
    return test_run("harness", (const TTest *const[]){comparator, arguments, NULL}) || missed;
}
