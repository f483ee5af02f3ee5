/* An OpenCL layer (cl_khr_icd's extension for layers; ocl-icd: OPENCL_LAYERS=this file) that makes chosen calls fail
 * and counts the objects that are alive. The test that loads it steers it through the functions of fault.h.
 *
 * To have another function fail: a line in INT_FUNCTIONS (those that return their code) or OBJECT_FUNCTIONS (those
 * that return an object and have their code as the last parameter). */
#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_layer.h>

#include "fault.h"

#include <pthread.h>
#include <string.h>

#define WAIT_LIST cl_uint waits, const cl_event *wait, cl_event *event

#define INT_FUNCTIONS(X) \
    X(clGetPlatformIDs, (cl_uint n, cl_platform_id *ids, cl_uint *count), (n, ids, count)) \
    X(clGetPlatformInfo, (cl_platform_id p, cl_platform_info what, size_t size, void *value, size_t *got), \
      (p, what, size, value, got)) \
    X(clGetDeviceIDs, (cl_platform_id p, cl_device_type type, cl_uint n, cl_device_id *ids, cl_uint *count), \
      (p, type, n, ids, count)) \
    X(clGetDeviceInfo, (cl_device_id d, cl_device_info what, size_t size, void *value, size_t *got), \
      (d, what, size, value, got)) \
    X(clGetCommandQueueInfo, (cl_command_queue q, cl_command_queue_info what, size_t size, void *value, size_t *got), \
      (q, what, size, value, got)) \
    X(clGetMemObjectInfo, (cl_mem m, cl_mem_info what, size_t size, void *value, size_t *got), \
      (m, what, size, value, got)) \
    X(clBuildProgram, (cl_program p, cl_uint n, const cl_device_id *ids, const char *options, \
                       void(CL_CALLBACK * notify)(cl_program, void *), void *data), \
      (p, n, ids, options, notify, data)) \
    X(clGetProgramInfo, (cl_program p, cl_program_info what, size_t size, void *value, size_t *got), \
      (p, what, size, value, got)) \
    X(clGetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info what, size_t size, void *value, \
                              size_t *got), (p, d, what, size, value, got)) \
    X(clSetKernelArg, (cl_kernel k, cl_uint i, size_t size, const void *value), (k, i, size, value)) \
    X(clGetKernelWorkGroupInfo, (cl_kernel k, cl_device_id d, cl_kernel_work_group_info what, size_t size, \
                                 void *value, size_t *got), (k, d, what, size, value, got)) \
    X(clEnqueueNDRangeKernel, (cl_command_queue q, cl_kernel k, cl_uint axes, const size_t *offset, \
                               const size_t *global, const size_t *local, WAIT_LIST), \
      (q, k, axes, offset, global, local, waits, wait, event)) \
    X(clEnqueueReadBuffer, (cl_command_queue q, cl_mem m, cl_bool block, size_t at, size_t size, void *to, WAIT_LIST), \
      (q, m, block, at, size, to, waits, wait, event)) \
    X(clEnqueueWriteBuffer, (cl_command_queue q, cl_mem m, cl_bool block, size_t at, size_t size, const void *from, \
                             WAIT_LIST), (q, m, block, at, size, from, waits, wait, event)) \
    X(clEnqueueCopyBuffer, (cl_command_queue q, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t size, \
                            WAIT_LIST), (q, from, to, from_at, to_at, size, waits, wait, event)) \
    X(clEnqueueFillBuffer, (cl_command_queue q, cl_mem m, const void *pattern, size_t pattern_size, size_t at, \
                            size_t size, WAIT_LIST), (q, m, pattern, pattern_size, at, size, waits, wait, event)) \
    X(clEnqueueBarrierWithWaitList, (cl_command_queue q, WAIT_LIST), (q, waits, wait, event)) \
    X(clEnqueueMarkerWithWaitList, (cl_command_queue q, WAIT_LIST), (q, waits, wait, event)) \
    X(clFlush, (cl_command_queue q), (q)) \
    X(clFinish, (cl_command_queue q), (q))

#define OBJECT_FUNCTIONS(X) \
    X(clCreateContext, cl_context, \
      (const cl_context_properties *properties, cl_uint n, const cl_device_id *ids, \
       void(CL_CALLBACK * notify)(const char *, const void *, size_t, void *), void *data, cl_int *code), \
      (properties, n, ids, notify, data, code)) \
    X(clCreateCommandQueue, cl_command_queue, \
      (cl_context c, cl_device_id d, cl_command_queue_properties properties, cl_int *code), (c, d, properties, code)) \
    X(clCreateBuffer, cl_mem, (cl_context c, cl_mem_flags flags, size_t size, void *host, cl_int *code), \
      (c, flags, size, host, code)) \
    X(clCreateProgramWithSource, cl_program, \
      (cl_context c, cl_uint n, const char **texts, const size_t *lengths, cl_int *code), \
      (c, n, texts, lengths, code)) \
    X(clCreateProgramWithBinary, cl_program, \
      (cl_context c, cl_uint n, const cl_device_id *ids, const size_t *lengths, const unsigned char **binaries, \
       cl_int *status, cl_int *code), (c, n, ids, lengths, binaries, status, code)) \
    X(clCreateKernel, cl_kernel, (cl_program p, const char *name, cl_int *code), (p, name, code))

/* Retain and release move the count of what is alive; they are never made to fail. */
#define COUNTED(X) \
    X(Context, cl_context) X(CommandQueue, cl_command_queue) X(MemObject, cl_mem) X(Program, cl_program) \
    X(Kernel, cl_kernel)

enum {
#define NUMBER(name, ...) AT_##name,
    INT_FUNCTIONS(NUMBER) OBJECT_FUNCTIONS(NUMBER) FUNCTIONS
#undef NUMBER
};
static const char *const names[] = {
#define NAME(name, ...) #name,
    INT_FUNCTIONS(NAME) OBJECT_FUNCTIONS(NAME)
#undef NAME
};

static const cl_icd_dispatch *next;
static cl_icd_dispatch table;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long counts[FUNCTIONS];
static long alive;
static struct {
    int function, code;
    unsigned long nth;
    bool onwards;
} rule = {.function = -1};

static int find(const char *name)
{
    for (int i = 0; name && i < FUNCTIONS; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

bool fault_arm(const char *function, unsigned long nth, bool onwards, int code)
{
    pthread_mutex_lock(&lock);
    rule.function = find(function);
    rule.nth = nth;
    rule.onwards = onwards;
    rule.code = code;
    memset(counts, 0, sizeof counts);
    bool known = rule.function >= 0;
    pthread_mutex_unlock(&lock);
    return known;
}

unsigned long fault_count(const char *function)
{
    int i = find(function);
    return i < 0 ? 0 : counts[i];
}

long fault_alive(void)
{
    return alive;
}

/* Counts a call; not 0: the code it fails with. */
static cl_int called(int function)
{
    pthread_mutex_lock(&lock);
    unsigned long n = ++counts[function];
    bool hit = rule.function == function && (n == rule.nth || (rule.onwards && n > rule.nth));
    pthread_mutex_unlock(&lock);
    return hit ? rule.code : CL_SUCCESS;
}

static void count_alive(long change)
{
    __atomic_add_fetch(&alive, change, __ATOMIC_RELAXED);
}

#define WRAP_INT(name, parameters, arguments) \
    static cl_int CL_API_CALL wrap_##name parameters \
    { \
        cl_int fault = called(AT_##name); \
        return fault ? fault : next->name arguments; \
    }
INT_FUNCTIONS(WRAP_INT)

#define WRAP_OBJECT(name, type, parameters, arguments) \
    static type CL_API_CALL wrap_##name parameters \
    { \
        cl_int fault = called(AT_##name); \
        if (fault) { \
            if (code) \
                *code = fault; \
            return NULL; \
        } \
        type object = next->name arguments; \
        count_alive(object != NULL); \
        return object; \
    }
OBJECT_FUNCTIONS(WRAP_OBJECT)

#define WRAP_COUNTED(Name, type) \
    static cl_int CL_API_CALL wrap_clRetain##Name(type object) \
    { \
        cl_int code = next->clRetain##Name(object); \
        count_alive(code == CL_SUCCESS); \
        return code; \
    } \
    static cl_int CL_API_CALL wrap_clRelease##Name(type object) \
    { \
        cl_int code = next->clRelease##Name(object); \
        count_alive(code == CL_SUCCESS ? -1 : 0); \
        return code; \
    }
COUNTED(WRAP_COUNTED)

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
#define ENTER(name, ...) table.name = wrap_##name;
    INT_FUNCTIONS(ENTER)
    OBJECT_FUNCTIONS(ENTER)
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
