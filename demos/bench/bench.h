/* What the suites of ssacl-bench share: the request, cases, timing, and what becomes of a result. */
#ifndef BENCH_H
#define BENCH_H

#include "args.h"
#include "signals.h"

#include <ssacl/ssacl.h>

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

enum { BENCH_SCHEMA = 2 }; /* of the JSON rows: raised when a field changes its name or meaning; see rows_load() */

struct peak;
struct output;
struct preset;

/* What was asked for. Zero means that the suite's own cases are taken. */
struct bench {
    struct ssa_device_info info; /* of the device at hand; info.id opens it again */
    struct peak *peak;
    struct output *output;
    const char *closed;   /* name of the fixed set, or NULL */
    int reps;             /* samples of a case and direction; 0: the suite's */
    double seconds;       /* after which no more samples are taken, once there are LEAST_REPS */
    int quick, own_key, build_times;
    struct arg_list filters;
    const char *only;     /* the name of one case, or NULL */
    json_t *builds;       /* of the case at hand, see build_times(), or NULL */
    int batch, heads, width, length;
    double ratio;
    int precision; /* enum ssa_precision, of the gemm, the attention and the step suite */
    const struct preset *preset; /* of the step suite, or NULL */
};
enum { LEAST_REPS = 5, MAX_REPS = 1000 };

/* The error that is allowed: `rounded` where products are of operands rounded to bf16. */
static inline double tolerated(const struct bench *b, double usual, double rounded)
{
    return b->precision == SSA_BFLOAT16 ? rounded : usual;
}

/* ---- cases ---- */

/* One case of a suite, as listed before anything runs. */
struct bench_case {
    char name[96];             /* the same on every machine: results are matched by it */
    const char *const *fields; /* names of the shape's numbers; ends with NULL */
    int shape[8];
    int kind;                  /* the suite's own: which plan, which operator */
    const char *directions;    /* "fwd|bwd" */
    double flops, moved;       /* of one round of all directions */
    double memory, largest;    /* bytes the device must have, in all and in one buffer */
    double check_flops;        /* of the reference, on one core */
};
struct case_list {
    struct bench_case *items;
    int count, capacity;
};
int case_add(struct case_list *list, const struct bench_case *c);

struct suite {
    const char *name;
    int reps; /* samples of a case, unless told */
    int (*list)(const struct bench *b, struct case_list *list);
    /* Runs the directions that bench_wants() and gives a result for each to emit(). Returns a status of the library. */
    int (*run)(const struct bench *b, const struct bench_case *c);
};
extern const struct suite attention_suite, gemm_suite, operators_suite, peak_suite, step_suite;

bool bench_wants(const struct bench *b, const char *suite, const char *name, const char *direction);

/* Suites over devices: what is too large is skipped with its reason, what fails is said, and the rest goes on. Returns
 * an exit status: 0 if every row is right (skipped ones do not count), EXIT_INTERRUPTED after Ctrl-C. */
enum { MAX_SUITES = 8 };
struct selection {
    const struct suite *suites[MAX_SUITES];
    int suite_count;
    const char *devices; /* names with commas between; "all" is every one */
    int list_only;
};
int run_selection(struct bench *b, const struct selection *s);

/* {"fwd": {"cold": seconds, "warm": seconds}, ...} of each direction; NULL if it cannot be found out, which is said. */
json_t *build_times(const struct bench *b, const struct suite *suite, const struct bench_case *c);

/* ---- timing ---- */

/* Times are of one call. */
struct timing {
    double first;                     /* the very first call, kernels built */
    double samples[MAX_REPS];         /* in the order they were taken */
    int count, calls;                 /* of samples, and calls in each */
    double median, least, most, q1, q3;
    double peak, bandwidth;           /* GFLOP/s and GB/s, the best of the run's samples so far */
    double bandwidth_set;             /* bytes that the bandwidth was measured over */
    double busy;                      /* share of the processors' time that this process got: on CPUs, low where others
                                         ran besides and no figure can be trusted */
    double processor_seconds;         /* of all threads, the mean of a call: others change it little */
};
typedef int (*bench_work)(void *context);
/* A thread with stack enough for a driver's compiler, whatever the system's default is. */
bool start_thread(pthread_t *thread, void *(*run)(void *), void *argument);
/* The first call, after which the device's peak of memory counts from what is held. */
int measure_first(struct ssa_device *device, bench_work work, void *context, struct timing *t);
/* Calls work repeatedly, measuring in between what the device can do at most, its bandwidth over `moved` bytes. */
int measure(const struct bench *b, struct ssa_device *device, bench_work work, void *context, double moved,
            struct timing *t);
void timing_summarise(struct timing *t); /* of the samples: median and so on */

/* ---- results ---- */

struct result {
    const char *direction;
    struct timing time;        /* of a wrong result: only `first` */
    double error, tolerance;   /* relative to the largest reference; NaN: no number */
    double flops, flops_dense; /* of one call: done, and what dense attention would take (0: the same) */
    double moved;              /* bytes that one call must read and write at least; 0: unknown */
    double held;               /* bytes of device memory */
    double tokens;             /* of one call, or 0 */
    char note[128];            /* for people */
    char path[192];            /* how the operator ran */
    char tuning[256];          /* the file whose tile sizes it ran with, or empty */
    json_t *plan, *more;       /* released by emit() */
};
/* What the device says of the path that an operator took the last time. */
void result_path(struct result *r, const struct ssa_device *device, const char *op);
bool is_wrong(const struct result *r);
void emit(const struct bench *b, const struct suite *suite, const struct bench_case *c, struct result *r);
/* A case without a result. `status`: "skipped", "failed". */
void emit_absence(const struct bench *b, const struct suite *suite, const struct bench_case *c, const char *status,
                  const char *reason);

/* ---- small things ---- */

/* The device's largest number of bytes since ssa_device_reset_peak(), above `base`. */
double bench_peak_bytes(const struct ssa_device *device, size_t base);
int bench_out_of_memory(void);

#endif
