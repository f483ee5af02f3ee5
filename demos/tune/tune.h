/* ssacl-bench tune: the work that is timed (work.c), the search (search.c), the command (command.c). */
#ifndef TUNE_H
#define TUNE_H

#include "signals.h"

#include <ssacl/ssacl.h>

#include <jansson.h>
#include <stdbool.h>

/* ---- work: what a kernel family is timed on ---- */

struct work_case {
    const char *family; /* "attention_fwd", "attention_bwd" or "gemm": what its kernels' names start with */
    char name[64];
    int (*run)(const struct work_case *); /* enqueues it once */
    struct ssa_device *device;
    struct work_data *data;
    double flops;
    int outputs;
    struct ssa_tensor output[3];
    size_t count[3];
    float *want[3]; /* what the untuned kernels answered, themselves checked in double precision */
};

struct work_options {
    const char *device;
    const char *kernel; /* only those whose names start so; "" for all */
    int width; /* of a head */
    bool quick;
};

enum { MAX_CASES = 8, MAX_DATA = 4, MAX_TUNABLES = 64 };
struct work {
    struct ssa_device *device;
    struct work_data *data[MAX_DATA];
    struct work_case cases[MAX_CASES];
    int count, data_count;
    struct ssa_tunable found[MAX_TUNABLES]; /* as the device came, tuned by a file or not */
    int found_count;
    const char *wrong; /* a case that the untuned kernels get wrong */
    bool library;      /* a library multiplies matrices here: our kernels wait for where it is missing */
};

/* Opens the device and prepares every case with untuned kernels. Returns a status of the library; SSA_EDEVICE if the
 * device computes wrong results even so. Close it in either case. */
int work_open(struct work *work, const struct work_options *options);
void work_close(struct work *work);
/* Runs it once and says how far it is from what is wanted, relative to the largest value: a result within rounding is
 * below 1e-4. */
int work_check(const struct work_case *c, double *error);

/* ---- search ---- */

struct search {
    struct work_options options;
    struct work work;
    struct ssa_tunable list[MAX_TUNABLES]; /* `value` is the best so far */
    int count;
    double least_gain;    /* a candidate must be faster by this share */
    bool busy;            /* others use the processors: judge by the time that this process had, shared by all units */
    int units;
    double start, end;    /* of the search, by now_seconds() */
    double limit;         /* when the comparison after it should be over, too */
    const char *output;   /* path; the search starts from what is there */
    const char *state;    /* path: written after each candidate */
    json_t *tried;        /* by configuration: the speed against the best then, or "does not fit" */
    int done, skipped;    /* candidates of this run; those that did not fit */
    uint64_t random;
    struct ssa_tuning_speed speeds[MAX_CASES]; /* of the defaults and of the best, by search_confirm() */
    int speed_count;
};

/* Starts from the device's values in use, or goes on from the state file where there is one of the same kernels. */
int search_begin(struct search *s, bool fresh, bool *resumed);
/* Searches the kernels, each with its share of the time. SSA_ESTOPPED on Ctrl-C, with the best so far in `list`. */
int search_run(struct search *s);
/* Times the best against the defaults once more; a kernel that gained nothing goes back to its defaults. */
int search_confirm(struct search *s);
void search_end(struct search *s);
/* The first kernel of `list` that is tuned here, after the one at `at` (-1: the first); s->count past the last. */
int next_kernel(const struct search *s, int at);
/* Puts the best so far on the device. */
int search_apply(struct search *s);

#endif
