/* What every operator's test is made of: devices, guarded tensors, comparison with the double-precision oracle.
 *
 *   static void check_add(struct test_device *d, int n) { ... }
 *   START_TEST(matches_oracle) { for (each device) for (each shape) check_add(...); } END_TEST
 *   int main(void) { return test_run("add", (const TTest *const[]){matches_oracle, NULL}); }
 *
 * Devices: the host backend and every OpenCL device present, or those of $SSA_TEST_DEVICES ("cpu,opencl:0:0").
 * Each test is a test case of its name: CK_RUN_CASE=forward runs one alone.
 * A PoCL device does not survive a fork: tests run without forking, one executable per operator.
 */
#ifndef SSA_TEST_HARNESS_H
#define SSA_TEST_HARNESS_H

#include "impl.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

/* Check writes a line to a file for each assertion that holds, to tell the last one before a crash. Here millions hold,
 * and the writes were up to half of a test's time. */
#define _mark_point(file, line) ((void)(file), (void)(line))

/* Runs the tests of one executable and returns its exit status. `tests` ends with NULL. */
int test_run(const char *name, const TTest *const *tests);
/* The same without opening devices: for tests of opening them. */
int test_run_alone(const char *name, const TTest *const *tests);

int test_device_count(void);
struct ssa_device *test_device(int i); /* opened once, closed at the end */
#define FOR_DEVICES(dev) \
    for (int dev##_i = 0; dev##_i < test_device_count(); dev##_i++) \
        for (struct ssa_device *dev = test_device(dev##_i); dev; dev = NULL)

/* False where a case of about `work` multiplications is more than $SSA_TEST_WORK allows: on oclgrind, an interpreter
 * of some million a second, only small shapes are tested. Without the variable everything fits. $SSA_TEST_MOST is
 * the same, but for one test: meson.build's. */
bool test_fits(size_t work);

/* A launch on rusticl takes about a hundred times what it takes on PoCL (0.7 ms of processor time for 3072 elements of
 * add), most of it in Mesa's compiler, whatever is cached. Cases that differ on the host's side alone, and are run on
 * other devices, are left out there. */
bool test_launches_slowly(const struct ssa_device *device);

/* Bytes of scratch that operators have left with a device, and of all else that it holds. */
size_t test_scratch(const struct ssa_device *device);
size_t test_held(const struct ssa_device *device);

/* Fails the test with the library's error text. */
#define OK(call) \
    do { \
        int status_ = (call); \
        ck_assert_msg(status_ == SSA_OK, "%s: %s: %s", #call, ssa_status_name(status_), ssa_last_error()); \
    } while (0)
/* The call must fail with `status`, and the error text must contain `words`. */
#define FAILS(call, status, words) test_fails((call), (status), (words), #call, __FILE__, __LINE__)
/* Operator `op` refuses `good`, its arguments, with `value` in `field`. */
#define REFUSES(op, good, field, value, words) \
    do { \
        struct ssa_##op changed_ = (good); \
        changed_.field = (value); \
        FAILS(ssa_##op(dev, &changed_), SSA_EINVAL, #op ": " words); \
    } while (0)
/* It refuses them without operand `field`, and where less is left of it than the `count` elements that it needs. */
#define REFUSES_ABSENT(op, good, field) REFUSES(op, good, field, (struct ssa_tensor){0}, #field " is absent")
#define REFUSES_SMALL(op, good, field, count) \
    REFUSES(op, good, field, test_too_small((good).field), #field " needs " #count)
void test_fails(int got, int status, const char *words, const char *call, const char *file, int line);

/* ---- tensors with guards ---- */

/* A tensor in the middle of a larger buffer: the elements around it hold a pattern that test_free() checks, and an
 * odd offset that catches kernels which assume alignment. New ones are full of NaN: what an operator leaves
 * unwritten is seen. */
struct ssa_tensor test_new(struct ssa_device *dev, size_t count);
struct ssa_tensor test_from(struct ssa_device *dev, const float *values, size_t count);
struct ssa_tensor test_from_ints(struct ssa_device *dev, const int32_t *values, size_t count);
struct ssa_tensor test_too_small(struct ssa_tensor t); /* three elements of t's buffer */
struct ssa_tensor test_plan(struct ssa_device *dev, const struct ssa_plan *plan);
/* Checks the guards, then frees. Absent tensors are fine. */
void test_free(struct ssa_tensor t, size_t count);
float *test_read(struct ssa_tensor t, size_t count); /* free() it */

/* ---- files ---- */

/* At most `capacity` bytes of a file that must be there; returns how many. */
size_t test_load_file(const char *path, void *bytes, size_t capacity);
void test_save_file(const char *path, const void *bytes, size_t size);

/* ---- values ---- */

/* A repeatable stream of values: uniform in [low, high). */
float *test_values(size_t count, uint64_t seed, float low, float high); /* free() it */
double *test_doubles(const float *values, size_t count);                /* free() it */

/* slopes[i] = the derivative by x[i] of the sum of `term`, an expression of j below `terms`, by central differences of
 * step h; `forward` is a statement that makes what the terms are of. All in double precision. */
#define SLOPES(slopes, x, count, h, forward, terms, term) \
    for (size_t i_ = 0; i_ < (size_t)(count); i_++) { \
        double sums_[2] = {0}, kept_ = (x)[i_]; \
        for (int side_ = 0; side_ < 2; side_++) { \
            (x)[i_] = kept_ + (side_ ? (h) : -(h)); \
            forward; \
            for (size_t j = 0; j < (size_t)(terms); j++) \
                sums_[side_] += (term); \
        } \
        (x)[i_] = kept_; \
        (slopes)[i_] = (sums_[1] - sums_[0]) / (2 * (h)); \
    }

/* ---- comparison ---- */

/* |got - want| <= atol + rtol |want| everywhere, no NaN. Prints the first wrong coordinate, the worst error and
 * `context` (printf-style: the shape, so that the failure can be repeated). */
bool test_close_to(const char *what, const float *got, const double *want, size_t count, double atol, double rtol,
                   char *message, size_t message_size);
void test_compare(const char *what, struct ssa_tensor got, const double *want, size_t count, double atol, double rtol,
                  const char *context, ...) __attribute__((format(printf, 7, 8)));
/* Two tensors hold the same bits. */
void test_same_bits(const char *what, struct ssa_tensor a, struct ssa_tensor b, size_t count);
/* Operator `op`, called as in `given` but with operand `in` as output `out` too, leaves there what given.out holds. */
#define IN_PLACE(op, given, out, in, count) \
    do { \
        struct ssa_##op changed_ = (given); \
        changed_.out = changed_.in; \
        OK(ssa_##op(dev, &changed_)); \
        test_same_bits(#op ": " #out " in place of " #in, changed_.in, (given).out, (count)); \
    } while (0)

/* By what factor more than float32's an error may be in the device's precision. */
double test_looser(const struct ssa_device *dev, double fast, double bf16);

#endif
