/* What the suites of ssacl-bench share: the request, timing, and rows of results. */
#ifndef BENCH_H
#define BENCH_H

#include <ssacl/ssacl.h>

#include <jansson.h>
#include <stdbool.h>

struct peak;

/* What was asked for. Zero means that the suite's own cases are taken. */
struct bench {
    struct ssa_device_info info; /* of the device; info.id opens it again */
    struct peak *peak;
    int reps;
    int quick, json, own_key;
    int batch, heads, width, length;
    double ratio;
};

/* Calls work repeatedly, measuring what the device can do at most in between. Times are of one call. */
struct timing {
    double seconds, seconds_min; /* median, least */
    double peak;                 /* GFLOP/s, the best of the run's samples so far */
    double bandwidth;            /* GB/s */
    double busy;                 /* share of the processors' time that this process got: on CPUs, low where others
                                    ran besides and no figure can be trusted */
    double processor_seconds;    /* of all threads, the mean of a call: others change it little */
};
typedef int (*bench_work)(void *context);
int measure(const struct bench *b, struct ssa_device *device, bench_work work, void *context, struct timing *t);

/* One line of results. `more` (or NULL) is merged into the JSON object and released. */
struct row {
    const char *suite, *direction;
    char name[128];
    char note[96]; /* at the end of the line, for people */
    struct timing time;
    double flops, error, bytes; /* of one call; error relative to the largest reference; bytes of device memory */
    double tokens;              /* of one call, or 0 */
    json_t *more;
};
const char *bench_backend(const struct bench *b); /* "host" or "opencl" */
void report_begin(const struct bench *b);
void report_row(const struct bench *b, struct row *row);
void report_json(json_t *object); /* a line; released */
/* A line for people, after the rows; silent with --json. */
void report_note(const struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each suite returns a status of the library. */
int bench_attention(const struct bench *b);
int bench_gemm(const struct bench *b);
int bench_step(const struct bench *b);
int bench_peak(const struct bench *b);

/* ---- small things ---- */

/* A buffer of `count` elements, filled from `values` if given. */
int bench_tensor(struct ssa_tensor *t, struct ssa_device *device, size_t count, const void *values);
/* Repeatable values, uniform in [-1, 1). free() it. */
float *bench_values(size_t count, uint64_t seed);
/* The device's largest number of bytes since ssa_device_reset_peak(), above `base`. */
double bench_peak_bytes(const struct ssa_device *device, size_t base);
int bench_out_of_memory(void);

#endif
