/* What a device can do at most, measured: multiply-adds in registers, and a triad through memory.
 *
 * The host backend is measured by native code on as many threads, an OpenCL device by kernels of its own; both run
 * a few milliseconds a sample, so that samples fit between the repetitions of what is being judged.
 */
#ifndef PEAK_H
#define PEAK_H

#include <ssacl/device.h>

struct peak;

/* On a device of its own, so that it does not count in the memory of the one under test. */
int peak_open(struct peak **peak, const struct ssa_device_info *info);
void peak_close(struct peak *peak);
/* What a sample took: operations, or bytes. */
struct peak_sample {
    double amount, seconds;
};
int peak_fma(struct peak *peak, struct peak_sample *sample); /* float32 multiply-adds, two operations each */

/* Bandwidth depends on how many bytes are gone through, since caches hold some: it is measured over sets of a few
 * sizes, and `bytes` of a case belong to the smallest set that is not smaller. */
enum { PEAK_SETS = 6 };
int peak_set(const struct peak *peak, double bytes);
double peak_set_bytes(const struct peak *peak, int set);
int peak_triad(struct peak *peak, int set, struct peak_sample *sample); /* x = y + s*z, 12 bytes an element */

/* The best of all samples so far: others may disturb a sample, but none can make it better. */
double peak_gflops(const struct peak *peak);
double peak_bandwidth(const struct peak *peak, int set); /* GB/s; 0: not sampled yet */

/* How one kind of device runs the two loops. `rounds` is chosen by peak.c so that a sample takes long enough. */
struct peak_backend {
    int (*open)(void **state, const struct ssa_device_info *info, size_t triad_count);
    void (*close)(void *state);
    int (*fma)(void *state, int rounds, double *operations);
    /* Over the first `count` elements of the three arrays, `rounds` times. */
    int (*triad)(void *state, size_t count, int rounds, double *bytes);
};
extern const struct peak_backend peak_host, peak_opencl;

#endif
