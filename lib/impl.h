/* What the library's parts know of each other: errors, devices, buffers, and launching kernels.
 *
 * An operator (lib/op) checks its arguments, then launches kernels by name. A backend (lib/host, lib/ocl) knows how
 * to hold memory and how to run a kernel: the host compiles the files of cl/ natively, OpenCL builds them on the
 * device. So an operator is written once, and whatever a backend needs to know is in struct ssa_backend.
 */
#ifndef SSA_IMPL_H
#define SSA_IMPL_H

#include "ssacl/device.h"
#include "ssacl/ops.h"
#include "ssacl/tensor.h"
#include "tune/list.h"

#include <stdarg.h>
#include <stdbool.h>

/* a / b, rounded up. */
static inline size_t ssa_divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* ---- errors and log (base.c) ---- */

/* Sets the thread's error text and returns `code`, so that `return ssa_fail(...)` reads well. */
int ssa_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ssa_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of a clock that is never set back (clock.c). */
double ssa_seconds(void);
/* An environment variable, or NULL. In a set-user-id program always NULL: whoever starts one chooses its environment,
 * which must not tell a library of another's rights what to load, or where to write. lib reads no other way. */
const char *ssa_environment(const char *name);

/* The two macros of the error path: both set `err` and jump to the one `done:`. */
#define TRY(call) \
    do { \
        if ((err = (call)) != SSA_OK) \
            goto done; \
    } while (0)
#define REQUIRE(condition, ...) \
    do { \
        if (!(condition)) { \
            err = ssa_fail(SSA_EINVAL, __VA_ARGS__); \
            goto done; \
        } \
    } while (0)

/* ---- devices and buffers ---- */

struct ssa_launch;
struct ssa_gemm;

struct ssa_buffer {
    struct ssa_device *device;
    size_t bytes;
    void *memory;  /* host: its address; OpenCL: cl_mem */
    bool counted;  /* in the device's count of held bytes: not for wrapped memory */
    bool borrowed; /* the caller's, who frees it */
    bool no_write, no_read; /* by kernels: flags of wrapped memory */
    const void *root;       /* what this is a part of: buffers with one root may overlap; */
    size_t origin;          /* where in it this begins, in bytes */
};

/* "float32" and so on. */
const char *ssa_type_name(int type);
/* Bytes that `count` elements of t take; where its first one is in the buffer, and in the buffer's root. */
static inline size_t ssa_bytes(struct ssa_tensor t, size_t count)
{
    return count * ssa_type_size(t.type);
}
static inline size_t ssa_first_byte(struct ssa_tensor t)
{
    return t.offset * ssa_type_size(t.type);
}
static inline size_t ssa_place_of(struct ssa_tensor t)
{
    return t.buffer->origin + ssa_first_byte(t);
}
/* Elements of its type from t to the end of its buffer. */
size_t ssa_tensor_room(struct ssa_tensor t);

enum { SSA_OP_BASE
#define SSA_OP_NUMBER(op) , SSA_OP_##op
       SSA_OPS(SSA_OP_NUMBER)
#undef SSA_OP_NUMBER
       , SSA_OP_COUNT };

/* How an operator ran: the kernel of its first launch; and the faster one that failed its self-test, or NULL. */
struct ssa_path {
    char way[80];
    const char *quarantined;
};
struct ssa_verdict;
struct ssa_variant;

/* A constant is what a kernel may be specialised for: OpenCL builds it with -Dname=value, the host picks the native
 * build with the most constants that all match. A kernel must be right without them (it takes the same values as
 * parameters too), except on OpenCL for those it cannot do without, such as the shape. */
struct ssa_constant {
    const char *name;
    int value;
};

static inline bool ssa_is_precision(size_t precision)
{
    return precision <= SSA_BFLOAT16;
}

/* What ssa_trusted() has said yes to: operators ask at each call, and comparing pointers is cheaper than names. */
enum { SSA_TRUSTED_CALLS = 16, SSA_TRUSTED_CONSTANTS = 7 };
struct ssa_trusted_call {
    const char *name, *identity;
    struct ssa_constant constants[SSA_TRUSTED_CONSTANTS];
};

struct ssa_device {
    const struct ssa_backend *backend;
    unsigned forks; /* when it was opened: see thread.h */
    struct ssa_device_info info;
    int precision;      /* enum ssa_precision, as asked for */
    const char *engine; /* the matrix engine that serves it, "AMX"; NULL: there is none, or it is not asked for */
    bool few_registers; /* some 128 a work-item, not 256: see registers() in tuning.c */
    size_t held, peak;
    size_t loop_limit; /* iterations after which the driver ends the loops of a work-item, all together; 0: none */
    struct ssa_buffer *scratch[2]; /* grows, never shrinks; see ssa_scratch() */
    bool timing;
    double seconds[SSA_OP_COUNT];
    int tuned[SSA_TUNED_COUNT]; /* 0: the default; see tuning.c */
    char tuning_origin[1024];
    /* Self-test before use (verify.h). */
    struct ssa_verdict *verdicts;
    struct ssa_trusted_call trusted[SSA_TRUSTED_CALLS];
    const struct ssa_variant *trial; /* set while a variant runs its test */
    bool trial_taken;                /* and the operator asked for it */
    struct ssa_path path, paths[SSA_OP_COUNT]; /* of the running operator, of each operator's last run */
};

/* The bf16 that an operand of a matrix engine is the sum of (cl/parts.h); 0: no engine serves. */
static inline int ssa_engine_parts(const struct ssa_device *device)
{
    return !device->engine ? 0 : device->precision == SSA_FAST ? 2 : 1;
}

/* What a backend provides. A backend's device struct starts with a struct ssa_device. All slots are required unless
 * said. Copies and launches are in order; `launch` may return before the work is done. */
struct ssa_backend {
    const char *name;
    bool at_once;       /* reading waits for nothing */
    bool survives_fork; /* devices that a process opened go on in its children */
    void (*close)(struct ssa_device *);
    int (*finish)(struct ssa_device *);
    int (*allocate)(struct ssa_device *, struct ssa_buffer *); /* sets memory; limits were checked */
    void (*release)(struct ssa_device *, struct ssa_buffer *);
    void (*wrap)(struct ssa_buffer *); /* completes a buffer of host memory; NULL: cannot work in it */
    int (*write)(struct ssa_device *, struct ssa_tensor, const void *, size_t bytes);
    int (*read)(struct ssa_device *, struct ssa_tensor, void *, size_t bytes);
    int (*fill)(struct ssa_device *, struct ssa_tensor, float, size_t count);
    int (*copy)(struct ssa_device *, struct ssa_tensor to, struct ssa_tensor from, size_t bytes);
    int (*launch)(struct ssa_device *, const struct ssa_launch *);
    /* Both slots or neither: an asynchronous read, ordered after earlier calls only. The wait, which frees the ticket,
     * may be another thread's. */
    int (*fetch)(struct ssa_device *, struct ssa_tensor, void *, size_t bytes, struct ssa_ticket **ticket);
    int (*await)(struct ssa_device *, struct ssa_ticket *);
    /* A library's GEMM where it beats ours (CLBlast on GPUs); NULL slot or SSA_EUNSUPPORTED: use our kernels. */
    int (*gemm)(struct ssa_device *, const struct ssa_gemm *);
    /* NULL slot: no matrix engine. Asks for the device's: its name, or NULL where it has none, and why. */
    const char *(*engine)(struct ssa_device *, const char **why);
    /* For self-tests, both slots or neither; NULL: the backend's kernels are trusted. Text (to be freed) of all that a
     * build of cl/<file>.cl hangs on: device, driver, source; without the source where `file` is NULL. And: from now on
     * (until off) work goes aside, past the caller's queue. */
    int (*identity)(struct ssa_device *, const char *file, char **text);
    int (*aside)(struct ssa_device *, bool on);
};

/* C (+)= op(A) op(B), row-major: op(A) [m, k], op(B) [k, n], leading dimensions in elements. */
struct ssa_gemm {
    struct ssa_tensor a, b, c;
    int m, n, k;
    int lda, ldb, ldc;
    bool trans_a, trans_b, accumulate;
};

/* Scratch of at least `count` elements that the device owns: contents are lost at the next operator. `slot` 0 or 1,
 * for operators that need two. */
int ssa_scratch(struct ssa_device *device, int slot, size_t count, struct ssa_tensor *scratch);

/* Asks the system for huge pages under memory that the host's processors will work in: rows of a head lie a page or
 * more apart, and the translations of 4 KiB pages cost attention 4 to 7% of peak. Only a hint. */
void ssa_prefer_huge_pages(void *memory, size_t bytes);

/* ---- launching a kernel ---- */

enum { SSA_ARG_NONE, SSA_ARG_TENSOR, SSA_ARG_INT, SSA_ARG_FLOAT, SSA_ARG_ULONG };

struct ssa_arg {
    int kind;
    const char *name; /* the expression, or what it is the kernel's: tests compare it with the parameter's name */
    union {
        struct ssa_tensor tensor; /* becomes two parameters, TENSOR(type, name) in cl/common.h; absent is fine */
        int32_t i;
        float f;
        uint64_t u;
    };
};
/* An argument whose expression has the name of the kernel's parameter in it, and one that is given it. */
#define ARG_TENSOR(t) ARG_TENSOR_AS(t, t)
#define ARG_INT(x) ARG_INT_AS(x, x)
#define ARG_FLOAT(x) ARG_FLOAT_AS(x, x)
#define ARG_ULONG(x) ARG_ULONG_AS(x, x)
#define ARG_TENSOR_AS(parameter, t) {.kind = SSA_ARG_TENSOR, .name = #parameter, .tensor = (t)}
#define ARG_INT_AS(parameter, x) {.kind = SSA_ARG_INT, .name = #parameter, .i = (x)}
#define ARG_FLOAT_AS(parameter, x) {.kind = SSA_ARG_FLOAT, .name = #parameter, .f = (x)}
#define ARG_ULONG_AS(parameter, x) {.kind = SSA_ARG_ULONG, .name = #parameter, .u = (x)}

enum { SSA_MAX_ARGS = 80, SSA_MAX_CONSTANTS = 10 };

struct ssa_launch {
    const char *file;   /* cl/<file>.cl; NULL: the kernel's name */
    const char *kernel;
    struct ssa_constant constants[SSA_MAX_CONSTANTS]; /* ends at the first without a name */
    struct ssa_arg args[SSA_MAX_ARGS];                /* ends at the first SSA_ARG_NONE; in the kernel's order */
    size_t global[3];   /* work-items; 0 counts as 1 */
    size_t local[3];    /* work-group; 0: the driver chooses */
};

/* ---- tuned parameters (tuning.c, which has the table of them; ssacl/tuning.h) ---- */

/* The value in use of a parameter of a kernel: ssa_tuned(device, SSA_TUNED(attention_fwd, TILE)). */
int ssa_tuned(const struct ssa_device *device, enum ssa_tuned which);
/* Whether any parameter of it was set. */
bool ssa_is_tuned(const struct ssa_device *device, const char *kernel);
/* Those that builds of cl/<file>.cl take beside what the operator says; returns how many. The launches below add
 * them. */
int ssa_tuned_constants(const struct ssa_device *device, const char *file, struct ssa_constant *constants, int capacity);

int ssa_launch(struct ssa_device *device, const struct ssa_launch *launch);
/* Tests set it, and see every launch: whether its arguments are the kernel's. NULL in programs. */
extern void (*ssa_launch_witness)(const struct ssa_launch *launch);
/* Grids for the two idioms of cl/common.h: a row each (FOR_ROW), a chunk each (FOR_CHUNK). */
int ssa_launch_rows(struct ssa_device *device, struct ssa_launch *launch, size_t rows);
int ssa_launch_chunks(struct ssa_device *device, struct ssa_launch *launch, size_t count);
/* GEMM by the device's best way: the backend's library, else cl/gemm.cl. In lib/op/linear.c. */
int ssa_gemm_run(struct ssa_device *device, const struct ssa_gemm *gemm);

/* ---- checking arguments (lib/op) ---- */

static inline bool ssa_present(struct ssa_tensor t)
{
    return t.buffer != NULL;
}
/* The device's driver had threads in the process that this one was forked from: any call would wait for them for ever,
 * and nothing of it is given back. */
bool ssa_left_behind(const struct ssa_device *device);
/* A device must be there, and not left behind. */
int ssa_check_device(const struct ssa_device *device, const char *op);
/* `operand` of `op` must be present (unless `optional`), on this device, of this type, and hold `count` elements. */
int ssa_check_tensor(const struct ssa_device *device, const char *op, const char *operand, struct ssa_tensor t, int type,
                     size_t count, bool optional);

/* An operand of an operator: rows [rows, width], `stride` elements apart; and that so often again, as `outer` says. */
enum {
    SSA_UNUSED = 0,   /* neither of the next two: whatever is given does not matter */
    SSA_READ = 1,
    SSA_WRITE = 2,
    SSA_OPTIONAL = 4, /* may be absent */
    SSA_PLACE = 8,    /* of an input: an output that has it too may be in its place, exactly */
    SSA_INTS = 16     /* int32; else float32 */
};
struct ssa_operand {
    const char *name;
    struct ssa_tensor tensor;
    size_t rows, width, stride; /* one row: any stride */
    int use;
    struct ssa_dimension {
        size_t count, stride;
    } outer[3]; /* the strides ascend; count 0: not there */
};
/* Sets them for an operand of `dims` dimensions (at most 4), in any order; a stride of 0 is one element for all. */
void ssa_set_dimensions(struct ssa_operand *operand, const struct ssa_dimension *dimensions, int dims);
/* One row, of the field of the arguments `a`. */
#define VECTOR(field, use, count) {#field, a->field, 1, (count), 0, (use)}
/* The use of an output that some device's kernels read back, or add to, in this call. */
static inline int ssa_output(bool read)
{
    return read ? SSA_WRITE | SSA_READ : SSA_WRITE;
}
/* All operands, to the first without a name: each that is used as ssa_check_tensor() does, and in memory that may be
 * written or read as it is (wrapped memory has flags); no output shares an element with another that is used, unless it
 * takes its place. */
int ssa_check_operands(const struct ssa_device *device, const char *op, const struct ssa_operand *operands);
/* `data` holds the plan, where that can be seen without waiting for the device, or $SSACL_CHECK=1 asks for it. */
int ssa_check_plan_data(struct ssa_device *device, const char *op, const struct ssa_plan *plan, struct ssa_tensor data);

/* Sums and products of sizes; SIZE_MAX, more than any buffer has, where no size_t holds them. */
static inline size_t ssa_plus(size_t a, size_t b)
{
    return __builtin_add_overflow(a, b, &a) ? SIZE_MAX : a;
}
static inline size_t ssa_times(size_t a, size_t b)
{
    return __builtin_mul_overflow(a, b, &a) ? SIZE_MAX : a;
}
/* Elements that rows [rows, width], `stride` apart, reach over; more than any buffer has where no size_t holds them. */
size_t ssa_extent(size_t rows, size_t width, size_t stride);
/* Sizes must be positive; `name`d in the text. */
int ssa_check_positive(const char *op, const char *name, int value);
/* Positive, and at most 2^30: kernels count such a size in an int, in blocks, the last of which may end past it. */
int ssa_check_countable(const char *op, const char *name, int value);
/* One of enum ssa_activation, 0 included; and with the shape of what is activated element by element. */
int ssa_check_activation(const char *op, int activation);
int ssa_check_activated(const char *op, int rows, int width, int activation);
/* A work-item of `op` loops at most `loops` times, which the device must let it. */
int ssa_check_loops(const struct ssa_device *device, const char *op, size_t loops);
int ssa_check_reserved(const char *op, const size_t *reserved, int count);

/* ---- operators: each has a check and a run; lib/ops.c makes the public call of the two ---- */

#define SSA_OP_DECLARE(op) \
    int ssa_##op##_check(struct ssa_device *, const struct ssa_##op *); \
    int ssa_##op##_run(struct ssa_device *, const struct ssa_##op *);
SSA_OPS(SSA_OP_DECLARE)
#undef SSA_OP_DECLARE

/* ---- backends ---- */

/* What is to be opened, "auto" and NULL being what $SSACL_DEVICE says, and who said so, in words. */
const char *ssa_device_wanted(const char *name, const char **from);
/* ssa_device_find() of that. */
int ssa_device_choose(const struct ssa_device_info *list, int count, const char *name, int *index);
int ssa_host_open(struct ssa_device **device);
void ssa_host_info(struct ssa_device_info *info);
/* OpenCL: `ssa_ocl_list` writes at most `capacity`, sets `count` to what there is, and `why` to the reason when there
 * is nothing. Both are stubs where OpenCL was compiled out. */
int ssa_ocl_list(struct ssa_device_info *list, int capacity, int *count, char *why, size_t why_size);
int ssa_ocl_open(struct ssa_device **device, const char *id);

#endif
