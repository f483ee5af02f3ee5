/* One call of an operator at the sizes of a training step: its operands, and what a few of its results must be.
 *
 * Each operator of SSA_OPS has three functions: describe_OP() names the operands and counts the work, call_OP() calls
 * it, want_OP() gives element i of a result in double precision, from the operands as they were before the call. */
#ifndef BENCH_OPERATORS_H
#define BENCH_OPERATORS_H

#include <ssacl/ops.h>

#include <math.h>
#include <stdbool.h>

/* READ is made of values in [-1, 1); IDS of numbers below `limit`; DISTINCT of different ones. UPDATED is read too. */
enum role { READ, IDS, DISTINCT, WRITTEN, UPDATED };
struct operand {
    enum role role;
    size_t count, moved; /* elements there are, and those that a call reads and writes */
    int limit;
    struct ssa_tensor tensor;
    void *before;        /* float, or int32_t where numbers */
    float *after;
};

struct step_sizes {
    int batch, length, width, heads, layers, vocabulary;
};
enum { MAX_OPERANDS = 10 };
struct op_case {
    struct ssa_device *device;
    int batch, length, width, heads, layers, vocabulary;
    int rows, hidden;     /* batch*length, 4*width */
    size_t parameters;    /* of the whole model */
    int count;            /* of operands */
    struct operand operands[MAX_OPERANDS];
    double flops;         /* of one call; an exponential and the like count as one */
    double check_flops;   /* of want_OP(), for one element, about */
    struct ssa_plan plan; /* of attention */
    int (*prepare)(struct op_case *c); /* NULL, or makes operands that others determine, on the device */
};

void add_operand(struct op_case *c, enum role role, size_t count);
void add_numbers(struct op_case *c, enum role role, size_t count, int limit);
void set_moved(struct op_case *c, int operand, size_t elements); /* where not all of it is gone through */

static inline struct ssa_tensor tensor(const struct op_case *c, int operand)
{
    return c->operands[operand].tensor;
}
static inline double value(const struct op_case *c, int operand, size_t i)
{
    return (double)((const float *)c->operands[operand].before)[i];
}
static inline int number(const struct op_case *c, int operand, size_t i)
{
    return ((const int32_t *)c->operands[operand].before)[i];
}
/* tanh form, and its derivative. */
double gelu(double x);
double gelu_slope(double x);

#define DECLARE(op) \
    void describe_##op(struct op_case *c); \
    int call_##op(struct op_case *c); \
    double want_##op(const struct op_case *c, int operand, size_t i);
SSA_OPS(DECLARE)
#undef DECLARE

#endif
