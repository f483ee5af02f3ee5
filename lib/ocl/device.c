/* OpenCL devices: listing, opening, memory, launches. */
#include "ocl.h"
#include "machine.h"
#include "thread.h"
#include "tune/tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 32, MAX_PLATFORM_DEVICES = 32 };

/* What a driver says may be any bytes: here, as it enters the library, it becomes plain. */
static void take_text(cl_int code, const char *said, const char *otherwise, char *text, size_t size)
{
    snprintf(text, size, "%s", code == CL_SUCCESS ? said : otherwise);
    ssa_plain_text(text, strlen(text)); /* a character that was cut in two, too */
}

static void text_info(cl_device_id id, cl_device_info what, char *text, size_t size)
{
    char said[1024] = "";
    cl_int code = clGetDeviceInfo(id, what, sizeof said - 1, said, NULL);
    take_text(code, said, "", text, size);
}

static void platform_name(cl_platform_id id, char *text, size_t size)
{
    char said[1024] = "";
    cl_int code = clGetPlatformInfo(id, CL_PLATFORM_NAME, sizeof said - 1, said, NULL);
    take_text(code, said, "OpenCL", text, size);
}

/* Memory that is the host's: drivers know the machine's, and not what a container leaves of it. */
static void limit_memory(struct ssa_device_info *d)
{
    struct ssa_machine machine;
    ssa_machine_read(&machine, "");
    d->memory = machine.memory < d->memory ? machine.memory : d->memory;
    d->max_allocation = machine.memory < d->max_allocation ? machine.memory : d->max_allocation;
}

static int describe(cl_platform_id platform, cl_device_id id, struct ssa_device_info *d)
{
    cl_device_type type = 0;
    cl_uint units = 0, floats = 0;
    cl_bool unified = CL_FALSE;
    cl_ulong memory = 0, largest = 0, local = 0;
    size_t group = 0;
    const struct {
        cl_device_info what;
        size_t size;
        void *value;
    } queries[] = {{CL_DEVICE_TYPE, sizeof type, &type},
                   {CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units},
                   {CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory},
                   {CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof largest, &largest},
                   {CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local},
                   {CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof floats, &floats},
                   {CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group}};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        int err = ssa_ocl_check(clGetDeviceInfo(id, queries[i].what, queries[i].size, queries[i].value, NULL),
                                "device: clGetDeviceInfo");
        if (err)
            return err;
    }
    clGetDeviceInfo(id, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof unified, &unified, NULL); /* old, and may be gone */
    d->unified = unified == CL_TRUE;
    bool cpu = type & CL_DEVICE_TYPE_CPU; /* oclgrind claims every type: take the CPU's */
    d->kind = cpu ? SSA_DEVICE_CPU : type & CL_DEVICE_TYPE_GPU ? SSA_DEVICE_GPU : SSA_DEVICE_ACCELERATOR;
    /* A CPU device whose native vector is one float runs work-items in lanes, as GPUs do (llvmpipe, which takes minutes
     * to compile the CPU shape's long vectors). $SSACL_SHAPE runs one shape on the other's device, for tests. */
    const char *shape = ssa_environment("SSACL_SHAPE");
    d->gpu_shape = shape && !strncmp(shape, "gpu", 3) ? 1 : shape && !strcmp(shape, "cpu") ? 0 : !cpu || floats == 1;
    d->units = (int)units;
    d->memory = (size_t)memory;
    d->max_allocation = (size_t)largest;
    if (cpu || d->unified)
        limit_memory(d);
    d->local_memory = (size_t)local;
    d->max_group = group;
    text_info(id, CL_DEVICE_NAME, d->name, sizeof d->name);
    text_info(id, CL_DEVICE_VENDOR, d->vendor, sizeof d->vendor);
    text_info(id, CL_DRIVER_VERSION, d->driver, sizeof d->driver);
    platform_name(platform, d->platform, sizeof d->platform);
    return SSA_OK;
}

/* Calls visit for every device until it returns true. `why` says what is missing where there is none. */
static bool each_device(bool (*visit)(void *, int, int, cl_platform_id, cl_device_id), void *cookie, char *why,
                        size_t why_size)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n = 0;
    if (ssa_cl_load()) {
        snprintf(why, why_size, "%s", ssa_last_error());
        return false;
    }
    cl_int code = clGetPlatformIDs(MAX_PLATFORMS, platforms, &n);
    if (code != CL_SUCCESS || !n) {
        snprintf(why, why_size, "the loader finds no platform (%s): install a driver's .icd, such as pocl-opencl-icd",
                 ssa_ocl_code_name(code));
        return false;
    }
    snprintf(why, why_size, "%u platform(s), none with a device", n);
    for (cl_uint p = 0; p < n && p < MAX_PLATFORMS; p++) {
        cl_device_id devices[MAX_PLATFORM_DEVICES];
        cl_uint m = 0; /* some drivers leave it untouched when they fail */
        if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_PLATFORM_DEVICES, devices, &m) != CL_SUCCESS)
            continue;
        for (cl_uint i = 0; i < m && i < MAX_PLATFORM_DEVICES; i++)
            if (visit(cookie, (int)p, (int)i, platforms[p], devices[i]))
                return true;
    }
    return false;
}

struct listing {
    struct ssa_device_info *list;
    int capacity, count;
};

static bool list_one(void *cookie, int p, int i, cl_platform_id platform, cl_device_id id)
{
    struct listing *l = cookie;
    struct ssa_device_info d = {0};
    snprintf(d.id, sizeof d.id, "opencl:%d:%d", p, i);
    if (describe(platform, id, &d)) {
        ssa_log(SSA_LOG_WARNING, "%s left out: %s", d.id, ssa_last_error());
        return false;
    }
    if (l->count < l->capacity)
        l->list[l->count] = d;
    l->count++;
    return false;
}

int ssa_ocl_list(struct ssa_device_info *list, int capacity, int *count, char *why, size_t why_size)
{
    struct listing l = {list, capacity, 0};
    each_device(list_one, &l, why, why_size);
    *count = l.count;
    return SSA_OK;
}

/* ---- memory and order ---- */

static int ocl_finish(struct ssa_device *device)
{
    struct ocl_watch *watch = ssa_ocl_watch_first_run(ocl(device));
    cl_int code = clFinish(ocl(device)->queue);
    ssa_ocl_watch_end(watch);
    return ssa_ocl_check(code, "finish: an earlier operator failed: clFinish");
}

/* A buffer of a CPU device is host memory, which mapping shows. Failing to map costs speed only. The map is waited for:
 * on a queue of its own, since the caller may hold back the device's with an event. */
static void prefer_huge_pages(struct ocl_device *d, cl_mem memory, size_t bytes)
{
    cl_int code;
    cl_command_queue queue = clCreateCommandQueue(d->context, d->id, 0, &code);
    if (code != CL_SUCCESS)
        return;
    void *p = clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, bytes, 0, NULL, NULL,
                                 &code);
    if (code == CL_SUCCESS) {
        ssa_prefer_huge_pages(p, bytes);
        clEnqueueUnmapMemObject(queue, memory, p, 0, NULL, NULL);
        clFinish(queue);
    }
    clReleaseCommandQueue(queue);
}

static int ocl_allocate(struct ssa_device *device, struct ssa_buffer *b)
{
    char what[96];
    cl_int code;
    b->memory = clCreateBuffer(ocl(device)->context, CL_MEM_READ_WRITE, b->bytes, NULL, &code);
    if (code == CL_SUCCESS && device->info.kind == SSA_DEVICE_CPU && b->bytes >= 1 << 20)
        prefer_huge_pages(ocl(device), b->memory, b->bytes);
    snprintf(what, sizeof what, "buffer of %zu bytes: clCreateBuffer", b->bytes);
    return ssa_ocl_check(code, what);
}

static void ocl_release(struct ssa_device *device, struct ssa_buffer *b)
{
    (void)device;
    clReleaseMemObject(b->memory);
}

static int ocl_read(struct ssa_device *device, struct ssa_tensor t, void *target, size_t bytes)
{
    struct ocl_device *d = ocl(device);
    struct ocl_watch *watch = ssa_ocl_watch_first_run(d);
    cl_int code = clEnqueueReadBuffer(d->queue, ocl_memory(t), CL_TRUE, ssa_first_byte(t), bytes, target, 0, NULL, NULL);
    ssa_ocl_watch_end(watch);
    return ssa_ocl_check(code, "tensor_read: clEnqueueReadBuffer");
}

/* A queue of its own: in the order of the device's queue the next kernel would wait for the copy. */
static int ocl_fetch(struct ssa_device *device, struct ssa_tensor t, void *target, size_t bytes,
                     struct ssa_ticket **ticket)
{
    struct ocl_device *d = ocl(device);
    cl_event before = NULL, event = NULL;
    cl_int code = CL_SUCCESS;
    int err;
    if (!d->reads)
        d->reads = clCreateCommandQueue(d->context, d->id, 0, &code);
    TRY(ssa_ocl_check(code, "tensor_fetch: clCreateCommandQueue"));
    TRY(ssa_ocl_check(clEnqueueMarkerWithWaitList(d->queue, 0, NULL, &before),
                      "tensor_fetch: clEnqueueMarkerWithWaitList"));
    TRY(ssa_ocl_check(clFlush(d->queue), "tensor_fetch: clFlush"));
    TRY(ssa_ocl_check(clEnqueueReadBuffer(d->reads, ocl_memory(t), CL_FALSE, ssa_first_byte(t), bytes, target, 1,
                                          &before, &event),
                      "tensor_fetch: clEnqueueReadBuffer"));
    *ticket = (struct ssa_ticket *)event;
    TRY(ssa_ocl_check(clFlush(d->reads), "tensor_fetch: clFlush"));
done:
    if (before)
        clReleaseEvent(before);
    return err;
}

static int ocl_await(struct ssa_device *device, struct ssa_ticket *ticket)
{
    cl_event event = (cl_event)ticket;
    struct ocl_watch *watch = ssa_ocl_watch_first_run(ocl(device));
    int err = ssa_ocl_check(clWaitForEvents(1, &event), "tensor_await: clWaitForEvents");
    ssa_ocl_watch_end(watch);
    clReleaseEvent(event);
    return err;
}

static int ocl_fill(struct ssa_device *device, struct ssa_tensor t, float value, size_t count)
{
    struct ocl_device *d = ocl(device);
    return ssa_ocl_ordered(d, clEnqueueFillBuffer(d->queue, ocl_memory(t), &value, 4, ssa_first_byte(t),
                                                  ssa_bytes(t, count), 0, NULL, NULL),
                           "tensor_fill: clEnqueueFillBuffer");
}

static int ocl_copy(struct ssa_device *device, struct ssa_tensor to, struct ssa_tensor from, size_t bytes)
{
    struct ocl_device *d = ocl(device);
    return ssa_ocl_ordered(d, clEnqueueCopyBuffer(d->queue, ocl_memory(from), ocl_memory(to), ssa_first_byte(from),
                                                  ssa_first_byte(to), bytes, 0, NULL, NULL),
                           "tensor_copy: clEnqueueCopyBuffer");
}

/* ---- launches ---- */

/* One argument is one or two parameters: a tensor is a buffer and an offset (ABSENT where there is none). */
static cl_int set_argument(struct ocl_device *d, cl_kernel kernel, cl_uint *index, const struct ssa_arg *a)
{
    const bool there = a->kind == SSA_ARG_TENSOR && a->tensor.buffer;
    cl_ulong at = there ? a->tensor.offset : ~(cl_ulong)0;
    cl_mem memory = there ? a->tensor.buffer->memory : d->absent;
    cl_int code;
    switch (a->kind) {
    case SSA_ARG_TENSOR:
        code = clSetKernelArg(kernel, (*index)++, sizeof memory, &memory);
        return code ? code : clSetKernelArg(kernel, (*index)++, sizeof at, &at);
    case SSA_ARG_INT:
        return clSetKernelArg(kernel, (*index)++, sizeof a->i, &a->i);
    case SSA_ARG_FLOAT:
        return clSetKernelArg(kernel, (*index)++, sizeof a->f, &a->f);
    default:
        return clSetKernelArg(kernel, (*index)++, sizeof a->u, &a->u);
    }
}

/* Of a launch that leaves it open; 0: the driver's choice. A driver of CPUs (PoCL) takes all work-items into one group,
 * that is on one core, and compiles the kernel anew for every size: there it is 1, 2, 4 or 8. */
static size_t group_size(const struct ocl_device *d, size_t items)
{
    size_t size = 1;
    if (d->base.info.kind != SSA_DEVICE_CPU)
        return 0;
    while (size < 8 && items % (2 * size) == 0)
        size *= 2;
    return size;
}

static int ocl_launch(struct ssa_device *device, const struct ssa_launch *l)
{
    struct ocl_device *d = ocl(device);
    char what[160];
    size_t global[3];
    cl_uint index = 0;
    cl_kernel kernel;
    int err;

    TRY(ssa_ocl_kernel(d, l, &kernel));
    for (int i = 0; i < SSA_MAX_ARGS && l->args[i].kind; i++) {
        cl_int code = set_argument(d, kernel, &index, &l->args[i]);
        if (code) {
            snprintf(what, sizeof what, "%s: clSetKernelArg(%u)", l->kernel, index - 1);
            TRY(ssa_ocl_check(code, what));
        }
    }
    for (int i = 0; i < 3; i++)
        global[i] = l->global[i] ? l->global[i] : 1;
    size_t local[3] = {l->local[0] ? l->local[0] : group_size(d, global[0]), l->local[1] ? l->local[1] : 1,
                       l->local[2] ? l->local[2] : 1};
    cl_int code = clEnqueueNDRangeKernel(d->queue, kernel, 3, NULL, global, local[0] ? local : NULL, 0, NULL, NULL);
    snprintf(what, sizeof what, "%s: clEnqueueNDRangeKernel(%zu, %zu, %zu)", l->kernel, global[0], global[1],
             global[2]);
    TRY(ssa_ocl_ordered(d, code, what));
done:
    return err;
}

/* A self-test waits for its results: on a queue that the caller holds back with an event it would wait for ever. */
static int ocl_aside(struct ssa_device *device, bool on)
{
    struct ocl_device *d = ocl(device);
    cl_int code;
    if (!on) {
        clReleaseCommandQueue(d->queue);
        d->queue = d->set_aside;
        d->out_of_order = d->set_aside_order;
        return SSA_OK;
    }
    cl_command_queue queue = clCreateCommandQueue(d->context, d->id, 0, &code);
    if (code != CL_SUCCESS)
        return ssa_ocl_check(code, "self-test: clCreateCommandQueue");
    d->set_aside = d->queue;
    d->set_aside_order = d->out_of_order;
    d->queue = queue;
    d->out_of_order = false;
    return SSA_OK;
}

/* ---- opening and closing ---- */

static void ocl_close(struct ssa_device *device)
{
    struct ocl_device *d = ocl(device);
    ssa_ocl_gemm_forget(d);
    ssa_ocl_programs_release(d);
    ssa_ocl_uploads_release(d);
    if (d->absent)
        clReleaseMemObject(d->absent);
    if (d->reads)
        clReleaseCommandQueue(d->reads);
    if (d->queue)
        clReleaseCommandQueue(d->queue);
    if (d->context)
        clReleaseContext(d->context);
    free(d);
}

static const struct ssa_backend ocl_backend = {
    .name = "opencl",
    .close = ocl_close,
    .finish = ocl_finish,
    .allocate = ocl_allocate,
    .release = ocl_release,
    .write = ssa_ocl_write,
    .read = ocl_read,
    .fill = ocl_fill,
    .copy = ocl_copy,
    .launch = ocl_launch,
    .fetch = ocl_fetch,
    .await = ocl_await,
    .gemm = ssa_ocl_gemm,
    .identity = ssa_ocl_identity,
    .aside = ocl_aside,
};

struct finding {
    const char *id;
    struct ssa_device_info info;
    cl_platform_id platform;
    cl_device_id device;
    int err; /* of describing it */
};

static bool find_one(void *cookie, int p, int i, cl_platform_id platform, cl_device_id id)
{
    struct finding *f = cookie;
    char name[32];
    snprintf(name, sizeof name, "opencl:%d:%d", p, i);
    if (strcmp(name, f->id))
        return false;
    f->info = (struct ssa_device_info){0};
    snprintf(f->info.id, sizeof f->info.id, "%s", name);
    f->err = describe(platform, id, &f->info);
    f->platform = platform;
    f->device = id;
    return true;
}

/* The least number of work-items in a hardware thread that a kernel may ask for; 0 where it may not ask. */
static int least_sub_group(cl_device_id id)
{
    enum { SUB_GROUP_SIZES = 0x4108 }; /* CL_DEVICE_SUB_GROUP_SIZES_INTEL of cl_intel_required_subgroup_size */
    char extensions[8192] = "";
    size_t sizes[16], bytes = 0, least = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, sizeof extensions - 1, extensions, NULL) != CL_SUCCESS ||
        !strstr(extensions, "cl_intel_required_subgroup_size") ||
        clGetDeviceInfo(id, SUB_GROUP_SIZES, sizeof sizes, sizes, &bytes) != CL_SUCCESS)
        return 0;
    for (size_t i = 0; i < bytes / sizeof *sizes; i++)
        least = !least || sizes[i] < least ? sizes[i] : least;
    return (int)least;
}

/* A device around a context and a queue, which it takes over (also when it fails). */
static int adopt(struct ssa_device **device, const struct ssa_device_info *info, cl_context context,
                 cl_platform_id platform, cl_device_id id, cl_command_queue queue)
{
    cl_command_queue_properties properties = 0;
    cl_int code;
    int err;
    struct ocl_device *d = calloc(1, sizeof *d);
    if (!d) {
        clReleaseCommandQueue(queue);
        clReleaseContext(context);
        return ssa_fail(SSA_ENOMEM, "device %s: out of host memory", info->id);
    }
    d->base.backend = &ocl_backend;
    d->base.forks = ssa_forks();
    d->base.info = *info;
    d->context = context;
    d->id = id;
    d->queue = queue;
    d->sub_group = info->gpu_shape ? least_sub_group(id) : 0;
    const char *shape = ssa_environment("SSACL_SHAPE"); /* "gpu128": for tests */
    /* A hardware thread's registers are shared by the work-items in it: 128 for each. */
    d->base.few_registers = d->sub_group > 0 || (shape && !strcmp(shape, "gpu128"));
    TRY(ssa_ocl_check(clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL),
                      "device: clGetCommandQueueInfo"));
    d->out_of_order = properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE;
    ssa_ocl_identify(d, platform);
    d->absent = clCreateBuffer(context, CL_MEM_READ_WRITE, 64, NULL, &code);
    TRY(ssa_ocl_check(code, "device: clCreateBuffer"));
    if (info->kind == SSA_DEVICE_CPU && info->gpu_shape) /* the only kind that was seen to need it */
        TRY(ssa_ocl_probe_loops(&d->base));
done:
    if (err) {
        ocl_close(&d->base);
        d = NULL;
    }
    *device = d ? &d->base : NULL;
    return err;
}

int ssa_ocl_open(struct ssa_device **device, const char *id)
{
    struct finding f = {.id = id};
    char why[256], what[96];
    cl_int code;
    *device = NULL;
    if (!each_device(find_one, &f, why, sizeof why))
        return ssa_fail(SSA_ENODEVICE, "device %s: not found", id);
    if (f.err)
        return f.err;
    snprintf(what, sizeof what, "device %s: clCreateContext", id);
    cl_context context = clCreateContext(NULL, 1, &f.device, NULL, NULL, &code);
    if (code != CL_SUCCESS)
        return ssa_ocl_check(code, what);
    cl_command_queue queue = clCreateCommandQueue(context, f.device, 0, &code);
    if (code != CL_SUCCESS) {
        clReleaseContext(context);
        snprintf(what, sizeof what, "device %s: clCreateCommandQueue", id);
        return ssa_ocl_check(code, what);
    }
    return adopt(device, &f.info, context, f.platform, f.device, queue);
}

/* ---- ocl.h: the caller's own objects ---- */

#include "ssacl/ocl.h"

static int check_queue(cl_context context, cl_device_id id, cl_command_queue queue)
{
    enum { ON_DEVICE = 1 << 2 }; /* CL_QUEUE_ON_DEVICE of OpenCL 2.0: only kernels may fill it */
    static const char what[] = "ocl_device_wrap: clGetCommandQueueInfo";
    cl_command_queue_properties properties = 0;
    cl_context its_context = NULL;
    cl_device_id its_device = NULL;
    int err;
    TRY(ssa_ocl_check(clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof its_context, &its_context, NULL), what));
    TRY(ssa_ocl_check(clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof its_device, &its_device, NULL), what));
    TRY(ssa_ocl_check(clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL), what));
    REQUIRE(its_context == context, "ocl_device_wrap: queue is of another context");
    REQUIRE(its_device == id, "ocl_device_wrap: queue is of another device than id");
    REQUIRE(!(properties & ON_DEVICE), "ocl_device_wrap: queue is one on the device, which the host cannot use");
done:
    return err;
}

int ssa_ocl_device_wrap(struct ssa_device **device, cl_context context, cl_device_id id, cl_command_queue queue)
{
    struct ssa_device_info info = {0};
    cl_platform_id platform = NULL;
    cl_int code;
    int err;
    *device = NULL;
    TRY(ssa_cl_load());
    REQUIRE(context && id && queue, "ocl_device_wrap: context, id and queue must not be NULL");
    TRY(ssa_ocl_check(clGetDeviceInfo(id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL),
                      "ocl_device_wrap: clGetDeviceInfo"));
    TRY(describe(platform, id, &info));
    snprintf(info.id, sizeof info.id, "opencl:wrapped");
    TRY(check_queue(context, id, queue));
    TRY(ssa_ocl_check(clRetainContext(context), "ocl_device_wrap: clRetainContext"));
    code = clRetainCommandQueue(queue);
    if (code) {
        clReleaseContext(context);
        TRY(ssa_ocl_check(code, "ocl_device_wrap: clRetainCommandQueue"));
    }
    TRY(adopt(device, &info, context, platform, id, queue));
    ssa_tuning_find(*device);
done:
    return err;
}

static int require_ocl(const struct ssa_device *device, const char *what)
{
    return device->backend != &ocl_backend
               ? ssa_fail(SSA_EUNSUPPORTED, "%s: %s is no OpenCL device", what, device->info.id)
               : ssa_check_device(device, what);
}

/* Memory that the caller allocated (CL_MEM_USE_HOST_PTR) is a part of the host's, at its address: two buffers over one
 * array share it. */
static int find_in_host_memory(struct ssa_buffer *b, cl_mem whole)
{
    static const char all_of_it;
    cl_mem_flags flags = 0;
    void *start = NULL;
    int err;
    TRY(ssa_ocl_check(clGetMemObjectInfo(whole, CL_MEM_FLAGS, sizeof flags, &flags, NULL),
                      "ocl_buffer_wrap: clGetMemObjectInfo"));
    if (!(flags & CL_MEM_USE_HOST_PTR))
        return SSA_OK;
    TRY(ssa_ocl_check(clGetMemObjectInfo(whole, CL_MEM_HOST_PTR, sizeof start, &start, NULL),
                      "ocl_buffer_wrap: clGetMemObjectInfo"));
    if (start) {
        b->root = &all_of_it;
        b->origin += (uintptr_t)start;
    }
done:
    return err;
}

/* What of a cl_mem its buffer remembers. A sub-buffer is a part of another, and so are its neighbours. */
static int describe_memory(struct ssa_buffer *b, cl_context context, cl_mem memory)
{
    cl_mem_object_type type = 0;
    cl_mem_flags flags = 0;
    cl_context its_context = NULL;
    cl_mem whole = NULL;
    size_t bytes = 0, origin = 0;
    const struct {
        cl_mem_info what;
        size_t size;
        void *value;
    } queries[] = {{CL_MEM_TYPE, sizeof type, &type},
                   {CL_MEM_CONTEXT, sizeof its_context, &its_context},
                   {CL_MEM_FLAGS, sizeof flags, &flags},
                   {CL_MEM_SIZE, sizeof bytes, &bytes},
                   {CL_MEM_ASSOCIATED_MEMOBJECT, sizeof whole, &whole},
                   {CL_MEM_OFFSET, sizeof origin, &origin}};
    int err;
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        TRY(ssa_ocl_check(clGetMemObjectInfo(memory, queries[i].what, queries[i].size, queries[i].value, NULL),
                          "ocl_buffer_wrap: clGetMemObjectInfo"));
    REQUIRE(type == CL_MEM_OBJECT_BUFFER, "ocl_buffer_wrap: memory is an image or the like, must be a buffer");
    REQUIRE(its_context == context, "ocl_buffer_wrap: memory is of another context than the device's");
    REQUIRE(bytes >= 4, "ocl_buffer_wrap: memory has %zu bytes, an element takes 4", bytes);
    REQUIRE(origin % 4 == 0, "ocl_buffer_wrap: memory begins %zu bytes into its buffer, must be a multiple of 4", origin);
    b->bytes = bytes;
    b->no_write = flags & CL_MEM_READ_ONLY;
    b->no_read = flags & CL_MEM_WRITE_ONLY;
    b->root = whole ? whole : memory;
    b->origin = origin;
    TRY(find_in_host_memory(b, whole ? whole : memory));
done:
    return err;
}

int ssa_ocl_buffer_wrap(struct ssa_buffer **buffer, struct ssa_device *device, cl_mem memory)
{
    struct ssa_buffer *b = NULL, described = {.device = device, .memory = memory};
    int err;
    *buffer = NULL;
    TRY(require_ocl(device, "ocl_buffer_wrap"));
    REQUIRE(memory, "ocl_buffer_wrap: memory is NULL");
    TRY(describe_memory(&described, ocl(device)->context, memory));
    TRY(ssa_ocl_check(clRetainMemObject(memory), "ocl_buffer_wrap: clRetainMemObject"));
    b = calloc(1, sizeof *b);
    if (!b) {
        clReleaseMemObject(memory);
        TRY(ssa_fail(SSA_ENOMEM, "ocl_buffer_wrap: out of host memory"));
    }
    *b = described;
    *buffer = b;
done:
    return err;
}

int ssa_ocl_wait(struct ssa_device *device, cl_uint count, const cl_event *events)
{
    int err = require_ocl(device, "ocl_wait");
    return err || !count ? err
                         : ssa_ocl_check(clEnqueueBarrierWithWaitList(ocl(device)->queue, count, events, NULL),
                                         "ocl_wait: clEnqueueBarrierWithWaitList");
}

int ssa_ocl_event(struct ssa_device *device, cl_event *event)
{
    int err;
    TRY(require_ocl(device, "ocl_event"));
    TRY(ssa_ocl_check(clEnqueueMarkerWithWaitList(ocl(device)->queue, 0, NULL, event),
                      "ocl_event: clEnqueueMarkerWithWaitList"));
    TRY(ssa_ocl_check(clFlush(ocl(device)->queue), "ocl_event: clFlush"));
done:
    return err;
}

int ssa_ocl_objects(const struct ssa_device *device, cl_context *context, cl_device_id *id, cl_command_queue *queue)
{
    int err = require_ocl(device, "ocl_get");
    if (err)
        return err;
    if (context)
        *context = ocl(device)->context;
    if (id)
        *id = ocl(device)->id;
    if (queue)
        *queue = ocl(device)->queue;
    return SSA_OK;
}

int ssa_ocl_buffer_memory(const struct ssa_buffer *buffer, cl_mem *memory)
{
    int err = require_ocl(buffer->device, "ocl_buffer_get");
    if (!err)
        *memory = buffer->memory;
    return err;
}
