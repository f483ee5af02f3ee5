/* One call of an operator: its operands, and what its results must become.
 *
 * Each operator of SSA_OPS has three functions: describe_OP() names the operands and counts the work, call_OP() calls
 * it, want_OP() has the oracle work out the results, from the operands as they were before the call. A call is either
 * at the sizes of a training step, to be timed, or `thorough`: small, over every variant that the operator has, with
 * edges on all sides and numbers that are out of range. */
#ifndef OPERATORS_H
#define OPERATORS_H

#include <ssacl/ops.h>

#include <stdbool.h>

/* READ is made of values in [-1, 1); IDS of numbers below `limit`; DISTINCT of different ones. UPDATED is read too. */
enum role { READ, IDS, DISTINCT, WRITTEN, UPDATED };
struct operand {
    const char *name;
    enum role role;
    size_t count, moved; /* elements there are, and those that a call reads and writes */
    int limit;
    float low, high;     /* of thorough values */
    double cancels;      /* what the sums of a result may cancel from, against 1 */
    struct ssa_tensor tensor;
    void *before;        /* float, or int32_t where numbers */
    double *exact;       /* the same; of results what they must become, NaN where nobody worked it out */
    float *after;        /* of results; `guard` elements before and behind */
};

enum { MAX_OPERANDS = 12 };
struct op_case {
    struct ssa_device *device;
    bool thorough;
    int variant, variants; /* this one, and how many there are: thorough */
    char name[96];         /* of the variant, or empty */
    int batch, length, width, heads, layers, vocabulary; /* of a model */
    int head, kv_heads;    /* width of a head, heads of keys and values */
    int rows, hidden;      /* batch*length, 4*width */
    int in, out, causal;   /* of linear layers, of attention */
    size_t parameters;     /* of the whole model */
    size_t guard;          /* elements around every operand, NaN before the call and after it */
    int op, count;         /* of operators[]; of operands */
    struct operand operands[MAX_OPERANDS];
    double flops;          /* of one call; an exponential and the like count as one */
    double check_flops;    /* of want_OP(), about */
    struct ssa_plan plan;  /* of attention */
    int (*prepare)(struct op_case *c); /* NULL, or makes operands that others determine */
};

extern const struct operator {
    const char *name;
    void (*describe)(struct op_case *c);
    int (*call)(struct op_case *c);
    void (*want)(const struct op_case *c);
} operators[];
extern const int operator_count;

/* The operands of operator `op`, of a model whose `batch` to `vocabulary` are given; or thorough, of attention with
 * heads that wide. */
void op_describe(struct op_case *c, int op);
void op_describe_thorough(struct op_case *c, int op, int variant, int head);
/* Makes them on c->device. op_finish() in any case. */
int op_make(struct op_case *c);
int op_call(void *c); /* a struct op_case */
/* After a first call: `exact` and `after` of the results. */
int op_judge(struct op_case *c);
void op_finish(struct op_case *c);

/* ---- for those three functions ---- */

struct operand *add_operand(struct op_case *c, enum role role, const char *name, size_t count);
struct operand *add_numbers(struct op_case *c, enum role role, const char *name, size_t count, int limit);
/* Gives the device what `exact` holds. */
int put_exact(struct op_case *c, int operand);
/* The rows of a result that are worth the time: all if thorough, else some, the first and the last among them. */
size_t judged_rows(const struct op_case *c, size_t rows);
size_t judged_row(const struct op_case *c, size_t i, size_t rows);

static inline struct ssa_tensor tensor(const struct op_case *c, int operand)
{
    return c->operands[operand].tensor;
}
static inline double *exact(const struct op_case *c, int operand)
{
    return c->operands[operand].exact;
}
static inline const int32_t *numbers(const struct op_case *c, int operand)
{
    return c->operands[operand].before;
}

#define DECLARE(op) \
    void describe_##op(struct op_case *c); \
    int call_##op(struct op_case *c); \
    void want_##op(const struct op_case *c);
SSA_OPS(DECLARE)
#undef DECLARE

#endif
