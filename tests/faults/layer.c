/* An OpenCL layer (cl_khr_icd's extension for layers; ocl-icd: OPENCL_LAYERS=this file) between the loader and the
 * drivers: calls that fail or hang, devices that are slow, compute wrongly or have little memory, objects that stay
 * alive. Rules say which (rules.c, README.md); here are the functions, and what the loader calls.
 *
 * To have another function fail: a line in INT_FUNCTIONS (those that return their code) or OBJECT_FUNCTIONS (those
 * that return an object and have their code as the last parameter). */
#include "layer.h"

#include <math.h>
#include <string.h>

#define WAIT_LIST cl_uint waits, const cl_event *wait, cl_event *event

/* name, device, parameters, arguments. */
#define INT_FUNCTIONS(X) \
    X(clGetPlatformIDs, ANY, (cl_uint n, cl_platform_id *ids, cl_uint *count), (n, ids, count)) \
    X(clGetDeviceIDs, ANY, (cl_platform_id p, cl_device_type type, cl_uint n, cl_device_id *ids, cl_uint *count), \
      (p, type, n, ids, count)) \
    X(clGetCommandQueueInfo, object_device(q), \
      (cl_command_queue q, cl_command_queue_info what, size_t size, void *value, size_t *got), \
      (q, what, size, value, got)) \
    X(clGetMemObjectInfo, object_device(m), \
      (cl_mem m, cl_mem_info what, size_t size, void *value, size_t *got), (m, what, size, value, got)) \
    X(clBuildProgram, object_device(p), (cl_program p, cl_uint n, const cl_device_id *ids, const char *options, \
                                         void(CL_CALLBACK * notify)(cl_program, void *), void *data), \
      (p, n, ids, options, notify, data)) \
    X(clGetProgramInfo, object_device(p), (cl_program p, cl_program_info what, size_t size, void *value, size_t *got), \
      (p, what, size, value, got)) \
    X(clGetProgramBuildInfo, object_device(p), (cl_program p, cl_device_id d, cl_program_build_info what, size_t size, \
                                                void *value, size_t *got), (p, d, what, size, value, got)) \
    X(clGetKernelWorkGroupInfo, object_device(k), \
      (cl_kernel k, cl_device_id d, cl_kernel_work_group_info what, size_t size, void *value, size_t *got), \
      (k, d, what, size, value, got)) \
    X(clWaitForEvents, n ? object_device(events[0]) : ANY, (cl_uint n, const cl_event *events), (n, events)) \
    X(clGetEventInfo, object_device(e), (cl_event e, cl_event_info what, size_t size, void *value, size_t *got), \
      (e, what, size, value, got)) \
    X(clGetEventProfilingInfo, object_device(e), \
      (cl_event e, cl_profiling_info what, size_t size, void *value, size_t *got), (e, what, size, value, got)) \
    X(clFlush, object_device(q), (cl_command_queue q), (q)) \
    X(clFinish, object_device(q), (cl_command_queue q), (q))

/* Those with a wait list and an event. */
#define COMMANDS(X) \
    X(clEnqueueReadBuffer, (cl_command_queue q, cl_mem m, cl_bool block, size_t at, size_t size, void *to, WAIT_LIST), \
      (q, m, block, at, size, to, waits, wait, event)) \
    X(clEnqueueWriteBuffer, (cl_command_queue q, cl_mem m, cl_bool block, size_t at, size_t size, const void *from, \
                             WAIT_LIST), (q, m, block, at, size, from, waits, wait, event)) \
    X(clEnqueueCopyBuffer, (cl_command_queue q, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t size, \
                            WAIT_LIST), (q, from, to, from_at, to_at, size, waits, wait, event)) \
    X(clEnqueueFillBuffer, (cl_command_queue q, cl_mem m, const void *pattern, size_t pattern_size, size_t at, \
                            size_t size, WAIT_LIST), (q, m, pattern, pattern_size, at, size, waits, wait, event)) \
    X(clEnqueueUnmapMemObject, (cl_command_queue q, cl_mem m, void *p, WAIT_LIST), (q, m, p, waits, wait, event)) \
    X(clEnqueueBarrierWithWaitList, (cl_command_queue q, WAIT_LIST), (q, waits, wait, event)) \
    X(clEnqueueMarkerWithWaitList, (cl_command_queue q, WAIT_LIST), (q, waits, wait, event))

/* name, kind of object, device, parameters, arguments. */
#define OBJECT_FUNCTIONS(X) \
    X(clCreateContext, cl_context, CONTEXT, n ? device_number(ids[0]) : ANY, \
      (const cl_context_properties *properties, cl_uint n, const cl_device_id *ids, \
       void(CL_CALLBACK * notify)(const char *, const void *, size_t, void *), void *data, cl_int *code), \
      (properties, n, ids, notify, data, code)) \
    X(clCreateCommandQueue, cl_command_queue, QUEUE, device_number(d), \
      (cl_context c, cl_device_id d, cl_command_queue_properties properties, cl_int *code), (c, d, properties, code)) \
    X(clCreateProgramWithSource, cl_program, PROGRAM, object_device(c), \
      (cl_context c, cl_uint n, const char **texts, const size_t *lengths, cl_int *code), \
      (c, n, texts, lengths, code)) \
    X(clCreateProgramWithBinary, cl_program, PROGRAM, object_device(c), \
      (cl_context c, cl_uint n, const cl_device_id *ids, const size_t *lengths, const unsigned char **binaries, \
       cl_int *status, cl_int *code), (c, n, ids, lengths, binaries, status, code)) \
    X(clCreateUserEvent, cl_event, EVENT, object_device(c), (cl_context c, cl_int *code), (c, code))

/* Written out below. */
#define OTHER_FUNCTIONS(X) \
    X(clGetPlatformInfo, ) X(clGetDeviceInfo, ) X(clCreateBuffer, ) X(clCreateKernel, ) X(clSetKernelArg, ) \
    X(clEnqueueNDRangeKernel, ) X(clEnqueueMapBuffer, )

/* Retain and release move the count of what is alive; they are never made to fail. */
#define COUNTED(X) \
    X(Context, cl_context) X(CommandQueue, cl_command_queue) X(MemObject, cl_mem) X(Program, cl_program) \
    X(Kernel, cl_kernel) X(Event, cl_event)

enum {
#define NUMBER(name, ...) AT_##name,
    INT_FUNCTIONS(NUMBER) COMMANDS(NUMBER) OBJECT_FUNCTIONS(NUMBER) OTHER_FUNCTIONS(NUMBER) FUNCTIONS
#undef NUMBER
};
_Static_assert((int)FUNCTIONS <= (int)FUNCTIONS_MAX, "counts of rules.c");
const int function_count = FUNCTIONS;
const char *const function_names[] = {
#define NAME(name, ...) #name,
    INT_FUNCTIONS(NAME) COMMANDS(NAME) OBJECT_FUNCTIONS(NAME) OTHER_FUNCTIONS(NAME)
#undef NAME
};

const cl_icd_dispatch *next;
static cl_icd_dispatch table;

static void *refuse(cl_int *code, cl_int fault)
{
    if (code)
        *code = fault;
    return NULL;
}

#define WRAP_INT(name, device, parameters, arguments) \
    static cl_int CL_API_CALL wrap_##name parameters \
    { \
        cl_int fault = called(AT_##name, device); \
        return fault ? fault : next->name arguments; \
    }
INT_FUNCTIONS(WRAP_INT)

#define WRAP_COMMAND(name, parameters, arguments) \
    static cl_int CL_API_CALL wrap_##name parameters \
    { \
        int device = object_device(q); \
        cl_int result = called(AT_##name, device); \
        if (!result) \
            result = next->name arguments; \
        if (!result && event) \
            object_new(EVENT, *event, device, 0); \
        return result; \
    }
COMMANDS(WRAP_COMMAND)

#define WRAP_OBJECT(name, type, kind, device, parameters, arguments) \
    static type CL_API_CALL wrap_##name parameters \
    { \
        int number = device; \
        cl_int fault = called(AT_##name, number); \
        if (fault) \
            return refuse(code, fault); \
        type object = next->name arguments; \
        object_new(kind, object, number, 0); \
        return object; \
    }
OBJECT_FUNCTIONS(WRAP_OBJECT)

#define WRAP_COUNTED(Name, type) \
    static cl_int CL_API_CALL wrap_clRetain##Name(type object) \
    { \
        object_retain(object); \
        return next->clRetain##Name(object); \
    } \
    static cl_int CL_API_CALL wrap_clRelease##Name(type object) \
    { \
        object_release(object); \
        return next->clRelease##Name(object); \
    }
COUNTED(WRAP_COUNTED)

/* ---- what devices say of themselves ---- */

static cl_int answer(const char *bytes, size_t size, void *value, size_t *got)
{
    size_t needed = strlen(bytes) + 1;
    if (value && size < needed)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, bytes, needed);
    if (got)
        *got = needed;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL wrap_clGetPlatformInfo(cl_platform_id p, cl_platform_info what, size_t size, void *value,
                                                 size_t *got)
{
    char bytes[64];
    cl_int fault = called(AT_clGetPlatformInfo, ANY);
    if (!fault && what == CL_PLATFORM_NAME && says("platform", ANY, bytes))
        return answer(bytes, size, value, got);
    return fault ? fault : next->clGetPlatformInfo(p, what, size, value, got);
}

static const char *text_name(cl_device_info what)
{
    return what == CL_DEVICE_NAME      ? "name"
           : what == CL_DEVICE_VENDOR  ? "vendor"
           : what == CL_DRIVER_VERSION ? "driver"
           : what == CL_DEVICE_VERSION ? "version"
                                       : "";
}

static cl_int CL_API_CALL wrap_clGetDeviceInfo(cl_device_id d, cl_device_info what, size_t size, void *value, size_t *got)
{
    int device = device_number(d);
    cl_int code = called(AT_clGetDeviceInfo, device);
    char bytes[64];
    if (!code && says(text_name(what), device, bytes))
        return answer(bytes, size, value, got);
    if (!code)
        code = next->clGetDeviceInfo(d, what, size, value, got);
    cl_ulong claim = claimed_memory(device), truth;
    if (code || !claim || !value || (what != CL_DEVICE_GLOBAL_MEM_SIZE && what != CL_DEVICE_MAX_MEM_ALLOC_SIZE))
        return code;
    memcpy(&truth, value, sizeof truth);
    if (claim < truth)
        memcpy(value, &claim, sizeof claim);
    return CL_SUCCESS;
}

/* ---- memory ---- */

static cl_mem CL_API_CALL wrap_clCreateBuffer(cl_context c, cl_mem_flags flags, size_t size, void *host, cl_int *code)
{
    int device = object_device(c);
    cl_int fault = called(AT_clCreateBuffer, device);
    if (!fault && !has_room(device, object_bytes(device), size))
        fault = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    if (fault)
        return refuse(code, fault);
    cl_mem m = next->clCreateBuffer(c, flags, size, host, code);
    object_new(BUFFER, m, device, size);
    return m;
}

static void *CL_API_CALL wrap_clEnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool block, cl_map_flags flags, size_t at,
                                                 size_t size, WAIT_LIST, cl_int *code)
{
    int device = object_device(q);
    cl_int fault = called(AT_clEnqueueMapBuffer, device);
    if (fault)
        return refuse(code, fault);
    void *p = next->clEnqueueMapBuffer(q, m, block, flags, at, size, waits, wait, event, code);
    if (p && event)
        object_new(EVENT, *event, device, 0);
    return p;
}

/* ---- kernels ---- */

static cl_kernel CL_API_CALL wrap_clCreateKernel(cl_program p, const char *name, cl_int *code)
{
    int device = object_device(p);
    cl_int fault = called(AT_clCreateKernel, device);
    if (fault)
        return refuse(code, fault);
    cl_kernel k = next->clCreateKernel(p, name, code);
    object_new(KERNEL, k, device, 0);
    object_name(k, name);
    return k;
}

static cl_int CL_API_CALL wrap_clSetKernelArg(cl_kernel k, cl_uint i, size_t size, const void *value)
{
    cl_int fault = called(AT_clSetKernelArg, object_device(k));
    if (fault)
        return fault;
    parameter_set(k, i, size, value);
    return next->clSetKernelArg(k, i, size, value);
}

/* Some values of the buffer that parameter `i` is, from where the parameter behind it says, as in the library's kernels. */
static cl_int spoil(cl_command_queue q, cl_kernel k, int i, enum spoil how)
{
    enum { VALUES = 16 };
    float values[VALUES];
    cl_mem m;
    cl_ulong at;
    size_t bytes = 0;
    if (!parameter_get(k, i, sizeof m, &m) || !parameter_get(k, i + 1, sizeof at, &at) ||
        next->clGetMemObjectInfo(m, CL_MEM_SIZE, sizeof bytes, &bytes, NULL) || at >= bytes / 4)
        return CL_INVALID_ARG_VALUE; /* the rule names no such parameter: not to be overlooked */
    size_t n = bytes / 4 - at < VALUES ? bytes / 4 - at : VALUES;
    cl_int code = next->clEnqueueReadBuffer(q, m, CL_TRUE, at * 4, n * 4, values, 0, NULL, NULL);
    for (size_t j = 0; j < n; j++)
        values[j] = how == SPOIL_NAN ? NAN : 1 - values[j];
    return code ? code : next->clEnqueueWriteBuffer(q, m, CL_TRUE, at * 4, n * 4, values, 0, NULL, NULL);
}

/* A slowed device's kernel is waited for, and the time that a slower one would take beside it is slept here: the
 * processor is free for others, the device busy. */
static cl_int CL_API_CALL wrap_clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint axes, const size_t *offset,
                                                      const size_t *global, const size_t *local, WAIT_LIST)
{
    char name[64];
    int device = object_device(q), parameter = 0;
    cl_event own = NULL;
    cl_int code = called(AT_clEnqueueNDRangeKernel, device);
    if (code)
        return code;
    kernel_name(k, name, sizeof name);
    double factor = slowness(device), start = now();
    enum spoil how = spoilt(name, device, &parameter);
    cl_event *done = event ? event : factor > 1 ? &own : NULL;
    code = next->clEnqueueNDRangeKernel(q, k, axes, offset, global, local, waits, wait, done);
    if (!code && event)
        object_new(EVENT, *event, device, 0);
    if (!code && factor > 1) {
        code = next->clWaitForEvents(1, done);
        slow_down(device, now() - start, factor);
    }
    if (own)
        next->clReleaseEvent(own);
    return !code && how ? spoil(q, k, parameter, how) : code;
}

/* ---- what the loader calls ---- */

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t size, void *value, size_t *got)
{
    static const char name[] = "ssacl faults";
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    const void *from = what == CL_LAYER_API_VERSION ? (const void *)&version : name;
    size_t needed = what == CL_LAYER_API_VERSION ? sizeof version : sizeof name;
    if ((what != CL_LAYER_API_VERSION && what != CL_LAYER_NAME) || (value && size < needed))
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, from, needed);
    if (got)
        *got = needed;
    return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint entries, const cl_icd_dispatch *target, cl_uint *count,
                                            const cl_icd_dispatch **layer)
{
    const cl_uint all = sizeof table / sizeof(void *);
    if (!target || !count || !layer)
        return CL_INVALID_VALUE;
    next = target;
    if (!rules_from_environment())
        return CL_INVALID_VALUE;
#define ENTER(name, ...) table.name = wrap_##name;
    INT_FUNCTIONS(ENTER)
    COMMANDS(ENTER)
    OBJECT_FUNCTIONS(ENTER)
    OTHER_FUNCTIONS(ENTER)
#define ENTER_COUNTED(Name, type) \
    table.clRetain##Name = wrap_clRetain##Name; \
    table.clRelease##Name = wrap_clRelease##Name;
    COUNTED(ENTER_COUNTED)
    *layer = &table; /* what is NULL in it falls through */
    *count = entries < all ? entries : all;
    return CL_SUCCESS;
}

/* The Khronos loader asks for these two since 2025; ocl-icd for the one above. */
CL_API_ENTRY cl_int CL_API_CALL clInitLayerWithProperties(cl_uint entries, const cl_icd_dispatch *target,
                                                          cl_uint *count, const cl_icd_dispatch **layer,
                                                          const cl_ulong *properties);
CL_API_ENTRY cl_int CL_API_CALL clInitLayerWithProperties(cl_uint entries, const cl_icd_dispatch *target,
                                                          cl_uint *count, const cl_icd_dispatch **layer,
                                                          const cl_ulong *properties)
{
    (void)properties;
    return clInitLayer(entries, target, count, layer);
}

CL_API_ENTRY cl_int CL_API_CALL clDeinitLayer(void);
CL_API_ENTRY cl_int CL_API_CALL clDeinitLayer(void)
{
    return CL_SUCCESS;
}
