/* One step of data-parallel training on alike ranks: compute, all-reduce of buckets while backward still runs, update.
 *
 *   forward and backward of each micro-batch; in the last backward a bucket's gradients (a layer's) are ready once
 *   that layer is passed, and go, in that order and one at a time, from the device, through the all-reduce, back to the
 *   device: three stages that work at once. When all are back: update.
 *
 * An all-reduce of n bytes over R ranks, a seconds a message, b bytes/s a link, s bytes/s of summing:
 *   ring      2 a + 2 (R-1)/R n/b + (R-1)/R n/s
 *   halving   2 log2(R) a for each 16 MiB begun, the rest as the ring: recursive halving, then doubling. Where R is no
 *             power of two each rank collects its R-th from all others and hands out the sum, which costs what the ring
 *             does. This is what the library's MPI engine does.
 */
#ifndef SCALE_SIMULATE_H
#define SCALE_SIMULATE_H

#include <stdbool.h>

enum scale_algorithm { SCALE_HALVING, SCALE_RING };
#define SCALE_ALGORITHMS "halving|ring"

struct scale_link {
    int algorithm;      /* enum scale_algorithm */
    double latency;     /* seconds a message */
    double bandwidth;   /* bytes/s, each way at once */
    double sum;         /* bytes/s of gradients added to others, 0: no time */
    double copy;        /* bytes/s between a device and host memory, each way at once; 0: no time */
    bool alone;         /* the all-reduce needs what computes: it waits for the end of backward */
};

enum { SCALE_BUCKETS = 1002 };
struct scale_job {
    int buckets;                    /* in the order in which backward passes them */
    double bytes[SCALE_BUCKETS];    /* of gradients */
    double backward[SCALE_BUCKETS]; /* seconds of backward until a bucket is ready, since the one before it was */
    double forward;                 /* seconds of a micro-batch */
    int micro_batches;              /* of the rank that has most */
    double update;                  /* seconds */
};

struct scale_step {
    double seconds;
    double compute; /* forward and backward */
    double reduce;  /* all-reduces, were nothing else to do */
    double exposed; /* what of them is left when backward ends */
    double sent;    /* bytes that a rank sends, and receives */
};

double scale_all_reduce(const struct scale_link *link, double bytes, int ranks);
double scale_sent(double bytes, int ranks);
void scale_simulate(const struct scale_job *job, const struct scale_link *link, int ranks, struct scale_step *step);

/* The lowest bandwidth with which, when backward ends, nothing is left but what became ready at its very end. INFINITY
 * if latency, summing or copies alone take too long; 0 for one rank. `link`'s own bandwidth does not count. */
double scale_hiding_bandwidth(const struct scale_job *job, const struct scale_link *link, int ranks);

#endif
