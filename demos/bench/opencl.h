/* The few OpenCL functions that the bench calls itself, from the library that ssacl loaded: found at run time. */
#ifndef BENCH_OPENCL_H
#define BENCH_OPENCL_H

#include <ssacl/device.h>

/* Versions as the driver says them; empty where there is no OpenCL. */
struct opencl_versions {
    char platform[256], device[256];
};
void opencl_versions(const char *device_id, struct opencl_versions *versions);

#ifdef BENCH_OPENCL
#include <ssacl/ocl.h>

#define OPENCL_FUNCTIONS(X) \
    X(clCreateProgramWithSource) X(clBuildProgram) X(clReleaseProgram) X(clCreateKernel) X(clReleaseKernel) \
    X(clSetKernelArg) X(clEnqueueNDRangeKernel) X(clFinish) X(clGetDeviceInfo) X(clGetPlatformInfo)

struct opencl {
    void *library;
#define OPENCL_MEMBER(f) __typeof__(f) *f;
    OPENCL_FUNCTIONS(OPENCL_MEMBER)
#undef OPENCL_MEMBER
};
int opencl_load(struct opencl *cl);
void opencl_unload(struct opencl *cl);
#endif

#endif
