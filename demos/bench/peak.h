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
int peak_fma(struct peak *peak);   /* samples float32 multiply-adds, two operations each */
int peak_triad(struct peak *peak); /* samples x = y + s*z out of cache, 12 bytes an element */

/* The best of all samples so far: others may disturb a sample, but none can make it better. */
double peak_gflops(const struct peak *peak);
double peak_bandwidth(const struct peak *peak); /* GB/s */

/* How one kind of device runs the two loops. `rounds` is chosen by peak.c so that a sample takes long enough. */
struct peak_backend {
    int (*open)(void **state, const struct ssa_device_info *info, size_t triad_count);
    void (*close)(void *state);
    int (*fma)(void *state, int rounds, double *operations);
    int (*triad)(void *state, double *bytes);
};
extern const struct peak_backend peak_host, peak_opencl;

#endif
