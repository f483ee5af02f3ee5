/* Self-test before use. A variant is a way of running an operator that is not its portable one: a build specialised by
 * constants, tuned parameters, kernels of work-groups and local memory, a vendor's library. Before an operator takes
 * one it asks ssa_trusted(). The first time on a device the variant runs a small problem of awkward shape, and the host
 * backend's portable kernels run it too: made by another compiler than the device's, they share none
 * of its mistakes, and cost no second build there. The verdict is kept in the store (store.h), so that a second start
 * asks nothing. A variant that is wrong, fails or does not build is quarantined: one warning says so,
 * and the portable way serves.
 *
 * $SSACL_SELFTEST=0 trusts everything, $SSACL_PORTABLE=1 nothing. */
#ifndef SSA_VERIFY_H
#define SSA_VERIFY_H

#include "impl.h"

struct ssa_variant {
    const char *name; /* its kernel file in cl/, or the library; static */
    struct ssa_constant constants[SSA_MAX_CONSTANTS];
    const char *identity; /* of a library: what tells its versions apart. NULL: a kernel, whose source does */
    int parts;            /* on a matrix engine, of operands in so many: to be tested on the host backend too; else 0 */
    const char *instead;  /* what serves where it fails, for the warning */
    /* Runs the operator on both devices, where it asks ssa_trusted() for this very variant again, and is told yes;
     * `error` becomes the largest error. */
    int (*test)(struct ssa_device *device, struct ssa_device *host, const struct ssa_variant *variant, double *error);
};

/* Cheap after the first time. The tuned parameters that a kernel is built with (ssa_tuned_constants()) belong to its
 * variant: where it fails with them they are put back to the standard ones, and it is asked again. A kernel without any
 * constants is portable. On the host backend always true, but for matrix engines: its builds are made
 * and tested with the library. */
bool ssa_trusted(struct ssa_device *device, const struct ssa_variant *variant);
void ssa_verdicts_free(struct ssa_device *device);

/* The value of a variant's constant, or `otherwise`. */
int ssa_variant_constant(const struct ssa_variant *variant, const char *name, int otherwise);

/* One problem for a test: `image` (count elements, outputs and gaps NaN) is copied to both devices, `run` works on it,
 * and all of it is compared: what lies between the operands must have stayed. */
struct ssa_problem {
    float *image;
    size_t count;
    const void *how; /* the test's own */
    int (*run)(struct ssa_device *device, struct ssa_buffer *memory, const void *how);
};
int ssa_problem_compare(struct ssa_device *device, struct ssa_device *host, const struct ssa_problem *problem,
                        double *error);
/* For matrix multiplication, whose ways do not all lie in one file. `name` and `identity` as above. A library is asked
 * for by the transpositions and by the size of the product, since either chooses other kernels of it. */
bool ssa_gemm_trusted(struct ssa_device *device, const struct ssa_gemm *gemm, const char *name, const char *identity,
                      const char *instead);

/* The same of our kernel on a matrix engine, instead of which float32 serves. */
bool ssa_gemm_engine_trusted(struct ssa_device *device, const struct ssa_gemm *gemm, int parts);

/* Puts tuned parameters of cl/gemm.cl that fail back to the standard ones; to be called before they are read. */
void ssa_gemm_settle(struct ssa_device *device);

/* Repeatable values in [-1, 1). */
void ssa_problem_fill(float *values, size_t count, unsigned seed);

#endif
