#include "harness.h"
#include "arguments.h"
#include "rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 16, GUARD = 37 }; /* odd on purpose */
static const float guard_value = -7.25e11f;

static struct ssa_device *devices[MAX_DEVICES];
static int device_count;

static void print_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level <= SSA_LOG_WARNING || getenv("SSA_TEST_VERBOSE"))
        fprintf(stderr, "%s\n", line);
}

static void add_device(const char *name)
{
    int err = ssa_device_open(&devices[device_count], name);
    if (err) {
        fprintf(stderr, "device %s: %s\n", name, ssa_last_error());
        exit(1);
    }
    const char *precision = getenv("SSA_TEST_PRECISION");
    if (precision)
        ssa_device_set_precision(devices[device_count], !strcmp(precision, "bf16") ? SSA_BFLOAT16 : SSA_FAST);
    fprintf(stderr, "on %s: %s (%s)\n", devices[device_count]->info.id, devices[device_count]->info.name,
            devices[device_count]->info.platform);
    device_count++;
}

static void open_devices(void)
{
    const char *wanted = getenv("SSA_TEST_DEVICES");
    char names[512];
    if (wanted && *wanted) {
        snprintf(names, sizeof names, "%s", wanted);
        for (char *name = strtok(names, ","); name && device_count < MAX_DEVICES; name = strtok(NULL, ","))
            add_device(name);
        return;
    }
    struct ssa_device_info list[MAX_DEVICES];
    int n = 0;
    ssa_device_list(list, MAX_DEVICES, &n);
    for (int i = 0; i < n && i < MAX_DEVICES; i++)
        if (!strstr(list[i].platform, "Oclgrind")) /* an interpreter: only when asked for */
            add_device(list[i].id);
}

/* Whether a list, "learns,resumed", has the name. */
static bool is_listed(const char *list, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = list; at && (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ',') && (!at[length] || at[length] == ','))
            return true;
    return false;
}

/* All tests, or those of $SSA_TEST_CASES, without those of $SSA_TEST_WITHOUT. False: a case is not there. */
static bool add_cases(Suite *suite, const TTest *const *tests)
{
    const char *cases = getenv("SSA_TEST_CASES"), *without = getenv("SSA_TEST_WITHOUT");
    int wanted = cases != NULL;
    for (const char *c = cases; c && *c; c++)
        wanted += *c == ',';
    for (int i = 0; tests[i]; i++) {
        if (is_listed(without, tests[i]->name) || (cases && !is_listed(cases, tests[i]->name)))
            continue;
        TCase *tcase = tcase_create(tests[i]->name);
        tcase_add_test(tcase, tests[i]);
        suite_add_tcase(suite, tcase);
        wanted--;
    }
    return !cases || wanted == 0;
}

int test_run_alone(const char *name, const TTest *const *tests)
{
    setenv("SSACL_CACHE_DIR", SSA_TEST_CACHE, 0); /* not the user's */
    setenv("SSACL_TUNING", "", 0);
    Suite *suite = suite_create(name);
    const bool all = add_cases(suite, tests);
    if (!all)
        fprintf(stderr, "%s: has not all tests of $SSA_TEST_CASES\n", name);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed || !all ? EXIT_FAILURE : EXIT_SUCCESS;
}

int test_run(const char *name, const TTest *const *tests)
{
    ssa_set_log(print_log, NULL);
    arguments_watch();
    setenv("SSACL_CACHE_DIR", SSA_TEST_CACHE, 0);
    setenv("SSACL_TUNING", "", 0);
    open_devices();
    int failed = test_run_alone(name, tests);
    for (int i = 0; i < device_count; i++) {
        size_t held = 0;
        ssa_device_finish(devices[i]);
        for (int s = 0; s < 2; s++) /* what a device keeps for itself is no leak */
            held += devices[i]->scratch[s] ? devices[i]->scratch[s]->bytes : 0;
        if (!failed && devices[i]->held != held) {
            fprintf(stderr, "%s: %zu bytes leaked\n", devices[i]->info.id, devices[i]->held - held);
            failed = EXIT_FAILURE;
        }
        ssa_device_close(devices[i]);
    }
    return failed;
}

int test_device_count(void)
{
    return device_count;
}

struct ssa_device *test_device(int i)
{
    return devices[i];
}

static bool is_within(const char *variable, size_t work)
{
    const char *limit = getenv(variable);
    return !limit || !*limit || work <= strtoull(limit, NULL, 10);
}

bool test_fits(size_t work)
{
    return is_within("SSA_TEST_WORK", work) && is_within("SSA_TEST_MOST", work);
}

bool test_launches_slowly(const struct ssa_device *device)
{
    return !strcmp(device->info.platform, "rusticl");
}

size_t test_scratch(const struct ssa_device *device)
{
    size_t sum = 0;
    for (size_t i = 0; i < sizeof device->scratch / sizeof *device->scratch; i++)
        sum += device->scratch[i] ? device->scratch[i]->bytes : 0;
    return sum;
}

size_t test_held(const struct ssa_device *device)
{
    size_t bytes;
    ssa_device_memory(device, &bytes, NULL);
    return bytes - test_scratch(device);
}

void test_fails(int got, int status, const char *words, const char *call, const char *file, int line)
{
    if (got != status || !strstr(ssa_last_error(), words))
        ck_abort_msg("%s:%d: %s: %s, \"%s\"; expected %s with \"%s\"", file, line, call, ssa_status_name(got),
                     ssa_last_error(), ssa_status_name(status), words);
}

/* ---- tensors with guards ---- */

static struct ssa_tensor make(struct ssa_device *dev, const void *values, size_t count)
{
    struct ssa_buffer *b;
    size_t total = count + 2 * GUARD;
    float *all = malloc(total * 4);
    OK(ssa_buffer_create(&b, dev, total * sizeof *all));
    for (size_t i = 0; i < total; i++)
        all[i] = i < GUARD || i >= GUARD + count ? guard_value : NAN;
    if (values)
        memcpy(all + GUARD, values, count * 4);
    OK(ssa_tensor_write(ssa_tensor_at(b, 0), all, total));
    free(all);
    return ssa_tensor_at(b, GUARD);
}

struct ssa_tensor test_new(struct ssa_device *dev, size_t count)
{
    return make(dev, NULL, count);
}

struct ssa_tensor test_from(struct ssa_device *dev, const float *values, size_t count)
{
    return make(dev, values, count);
}

struct ssa_tensor test_from_ints(struct ssa_device *dev, const int32_t *values, size_t count)
{
    struct ssa_tensor t = make(dev, values, count);
    t.type = SSA_I32;
    return t;
}

struct ssa_tensor test_too_small(struct ssa_tensor t)
{
    t.offset = t.buffer->bytes / 4 - 3;
    return t;
}

struct ssa_tensor test_plan(struct ssa_device *dev, const struct ssa_plan *plan)
{
    return test_from_ints(dev, plan->data, plan->stride * (size_t)plan->examples);
}

void test_free(struct ssa_tensor t, size_t count)
{
    if (!t.buffer)
        return;
    const size_t all_count = ssa_buffer_bytes(t.buffer) / 4;
    ck_assert_uint_eq(all_count, count + 2 * GUARD);
    float *all = malloc(all_count * 4);
    OK(ssa_tensor_read(ssa_tensor_at(t.buffer, 0), all, all_count));
    size_t i = 0;
    while (i < all_count && ((i >= GUARD && i < GUARD + count) || all[i] == guard_value))
        i++;
    free(all);
    if (i < all_count)
        ck_abort_msg("guard overwritten: element %td of a tensor of %zu", (ptrdiff_t)i - GUARD, count);
    ssa_buffer_destroy(t.buffer);
}

float *test_read(struct ssa_tensor t, size_t count)
{
    float *x = malloc(count * 4);
    OK(ssa_tensor_read(t, x, count));
    return x;
}

/* ---- values and comparison ---- */

size_t test_load_file(const char *path, void *bytes, size_t capacity)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(bytes, 1, capacity, f);
    fclose(f);
    return n;
}

void test_save_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

float *test_values(size_t count, uint64_t seed, float low, float high)
{
    float *x = malloc((count + 4) * sizeof *x);
    for (size_t i = 0; i < count; i += 4) {
        struct ssa_philox r = ssa_philox(seed, i, 0x7e57);
        for (size_t j = 0; j < 4; j++)
            x[i + j] = low + (high - low) * ssa_uniform(r.v[j]);
    }
    return x;
}

double *test_doubles(const float *values, size_t count)
{
    double *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = (double)values[i];
    return x;
}

bool test_close_to(const char *what, const float *got, const double *want, size_t count, double atol, double rtol,
                   char *message, size_t message_size)
{
    size_t wrong = 0, first = 0, worst = 0;
    double worst_error = -1;
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - want[i]);
        if (isinf(want[i])) /* no tolerance is relative to infinity */
            error = (double)got[i] == want[i] ? 0 : INFINITY;
        if (!(error <= atol + (isinf(want[i]) ? 0 : rtol * fabs(want[i]))) && !wrong++)
            first = i;
        if (!(error <= worst_error)) {
            worst_error = error;
            worst = i;
        }
    }
    if (wrong)
        snprintf(message, message_size, "%s: %zu of %zu wrong; first [%zu] is %g, not %g; worst [%zu] is %g, not %g",
                 what, wrong, count, first, (double)got[first], want[first], worst, (double)got[worst], want[worst]);
    return !wrong;
}

void test_compare(const char *what, struct ssa_tensor got, const double *want, size_t count, double atol, double rtol,
                  const char *context, ...)
{
    char message[512], shape[256];
    float *x = test_read(got, count);
    bool close = test_close_to(what, x, want, count, atol, rtol, message, sizeof message);
    free(x);
    if (close)
        return;
    va_list args;
    va_start(args, context);
    vsnprintf(shape, sizeof shape, context, args);
    va_end(args);
    ck_abort_msg("%s (%s on %s)", message, shape, got.buffer->device->info.id);
}

void test_same_bits(const char *what, struct ssa_tensor a, struct ssa_tensor b, size_t count)
{
    float *x = test_read(a, count), *y = test_read(b, count);
    size_t i = 0;
    while (i < count && !memcmp(&x[i], &y[i], 4))
        i++;
    double one = i < count ? (double)x[i] : 0, another = i < count ? (double)y[i] : 0;
    free(x);
    free(y);
    if (i < count)
        ck_abort_msg("%s: element %zu differs: %.9g and %.9g", what, i, one, another);
}

double test_looser(const struct ssa_device *dev, double fast, double bf16)
{
    return dev->precision == SSA_FAST ? fast : dev->precision == SSA_BFLOAT16 ? bf16 : 1;
}
