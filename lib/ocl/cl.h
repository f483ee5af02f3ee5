/* OpenCL through a table that is filled when the first device is looked for: a machine without the ICD loader is a
 * normal case, so the library must start without it. The names below make the code read like any OpenCL code. */
#ifndef SSA_OCL_CL_H
#define SSA_OCL_CL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#define SSA_CL_FUNCTIONS(X) \
    X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) \
    X(clCreateContext) X(clRetainContext) X(clReleaseContext) \
    X(clCreateCommandQueue) X(clRetainCommandQueue) X(clReleaseCommandQueue) X(clGetCommandQueueInfo) \
    X(clCreateBuffer) X(clRetainMemObject) X(clReleaseMemObject) X(clGetMemObjectInfo) \
    X(clCreateProgramWithSource) X(clCreateProgramWithBinary) X(clBuildProgram) X(clGetProgramInfo) \
    X(clGetProgramBuildInfo) X(clReleaseProgram) \
    X(clCreateKernel) X(clReleaseKernel) X(clSetKernelArg) X(clGetKernelWorkGroupInfo) \
    X(clEnqueueNDRangeKernel) X(clEnqueueReadBuffer) X(clEnqueueWriteBuffer) X(clEnqueueCopyBuffer) \
    X(clEnqueueFillBuffer) X(clEnqueueMapBuffer) X(clEnqueueUnmapMemObject) \
    X(clEnqueueBarrierWithWaitList) X(clEnqueueMarkerWithWaitList) \
    X(clFlush) X(clFinish) X(clWaitForEvents) X(clReleaseEvent)

struct ssa_cl_table {
#define SSA_CL_MEMBER(f) __typeof__(f) *f;
    SSA_CL_FUNCTIONS(SSA_CL_MEMBER)
#undef SSA_CL_MEMBER
};
extern struct ssa_cl_table ssa_cl;

/* Fills the table once per process. 0, or SSA_ENODEVICE with the reason as the error text. */
int ssa_cl_load(void);

#ifndef SSA_CL_NO_NAMES
#define clGetPlatformIDs ssa_cl.clGetPlatformIDs
#define clGetPlatformInfo ssa_cl.clGetPlatformInfo
#define clGetDeviceIDs ssa_cl.clGetDeviceIDs
#define clGetDeviceInfo ssa_cl.clGetDeviceInfo
#define clCreateContext ssa_cl.clCreateContext
#define clRetainContext ssa_cl.clRetainContext
#define clReleaseContext ssa_cl.clReleaseContext
#define clCreateCommandQueue ssa_cl.clCreateCommandQueue
#define clRetainCommandQueue ssa_cl.clRetainCommandQueue
#define clReleaseCommandQueue ssa_cl.clReleaseCommandQueue
#define clGetCommandQueueInfo ssa_cl.clGetCommandQueueInfo
#define clCreateBuffer ssa_cl.clCreateBuffer
#define clRetainMemObject ssa_cl.clRetainMemObject
#define clReleaseMemObject ssa_cl.clReleaseMemObject
#define clGetMemObjectInfo ssa_cl.clGetMemObjectInfo
#define clCreateProgramWithSource ssa_cl.clCreateProgramWithSource
#define clCreateProgramWithBinary ssa_cl.clCreateProgramWithBinary
#define clBuildProgram ssa_cl.clBuildProgram
#define clGetProgramInfo ssa_cl.clGetProgramInfo
#define clGetProgramBuildInfo ssa_cl.clGetProgramBuildInfo
#define clReleaseProgram ssa_cl.clReleaseProgram
#define clCreateKernel ssa_cl.clCreateKernel
#define clReleaseKernel ssa_cl.clReleaseKernel
#define clSetKernelArg ssa_cl.clSetKernelArg
#define clGetKernelWorkGroupInfo ssa_cl.clGetKernelWorkGroupInfo
#define clEnqueueNDRangeKernel ssa_cl.clEnqueueNDRangeKernel
#define clEnqueueReadBuffer ssa_cl.clEnqueueReadBuffer
#define clEnqueueWriteBuffer ssa_cl.clEnqueueWriteBuffer
#define clEnqueueCopyBuffer ssa_cl.clEnqueueCopyBuffer
#define clEnqueueFillBuffer ssa_cl.clEnqueueFillBuffer
#define clEnqueueMapBuffer ssa_cl.clEnqueueMapBuffer
#define clEnqueueUnmapMemObject ssa_cl.clEnqueueUnmapMemObject
#define clEnqueueBarrierWithWaitList ssa_cl.clEnqueueBarrierWithWaitList
#define clEnqueueMarkerWithWaitList ssa_cl.clEnqueueMarkerWithWaitList
#define clFlush ssa_cl.clFlush
#define clFinish ssa_cl.clFinish
#define clWaitForEvents ssa_cl.clWaitForEvents
#define clReleaseEvent ssa_cl.clReleaseEvent
#endif

#endif
