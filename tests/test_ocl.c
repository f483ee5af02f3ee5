/* ocl.h from the side of a program that has its own context, queues and buffers, on every OpenCL device here. */
#include "harness.h"
#include "ocl_devices.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 200000, DOUBLINGS = 40, MAX = 16 };

static cl_device_id ids[MAX];
static cl_uint id_count;

/* The caller's own objects. */
struct caller {
    cl_context context;
    cl_command_queue queue, other;
    cl_mem x, y;
    float *values;
};

/* False where the device has no queue of this kind. */
static bool setup(struct caller *c, cl_device_id id, cl_command_queue_properties properties)
{
    cl_int code;
    c->context = clCreateContext(NULL, 1, &id, NULL, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    c->queue = clCreateCommandQueue(c->context, id, properties, &code);
    if (code == CL_INVALID_QUEUE_PROPERTIES) {
        clReleaseContext(c->context);
        return false;
    }
    ck_assert_int_eq(code, CL_SUCCESS);
    c->other = clCreateCommandQueue(c->context, id, 0, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    c->values = test_values(N, 5, -1, 1);
    c->x = clCreateBuffer(c->context, CL_MEM_COPY_HOST_PTR, N * 4, c->values, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    c->y = clCreateBuffer(c->context, CL_MEM_COPY_HOST_PTR, N * 4, c->values, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return true;
}

/* ---- memory that is gone ---- */

static pthread_mutex_t gone_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gone_changed = PTHREAD_COND_INITIALIZER;

static void CL_CALLBACK note_gone(cl_mem memory, void *gone)
{
    (void)memory;
    pthread_mutex_lock(&gone_lock);
    *(bool *)gone = true;
    pthread_cond_signal(&gone_changed);
    pthread_mutex_unlock(&gone_lock);
}

/* It goes with the caller's reference. Drivers let go of a finished command's memory on threads of their own, which may
 * be after clFinish(): it is waited for, and for ever if the library still has it. */
static void release_last(cl_mem memory)
{
    bool gone = false;
    ck_assert_int_eq(clSetMemObjectDestructorCallback(memory, note_gone, &gone), CL_SUCCESS);
    ck_assert_int_eq(clReleaseMemObject(memory), CL_SUCCESS);
    pthread_mutex_lock(&gone_lock);
    while (!gone)
        pthread_cond_wait(&gone_changed, &gone_lock);
    pthread_mutex_unlock(&gone_lock);
}

/* Everything must be the caller's alone again. */
static void teardown(struct caller *c)
{
    release_last(c->x);
    release_last(c->y);
    clReleaseCommandQueue(c->other);
    clReleaseCommandQueue(c->queue);
    clReleaseContext(c->context);
    free(c->values);
}

/* ---- calls ---- */

/* Doubles x and y forty times: every command needs the one before it, whatever the queue's order. */
static void add_up(struct ssa_device *device, struct ssa_tensor x, struct ssa_tensor y)
{
    for (int i = 0; i < DOUBLINGS; i++) {
        OK(ssa_add(device, &(struct ssa_add){.x = x, .y = y, .out = x, .count = N - 1}));
        OK(ssa_tensor_copy(y, x, N - 1));
    }
}

/* An operator whose variants are tested before their first use, on memory that a CPU device maps: neither must wait
 * behind the shut gate. */
static void multiply(struct ssa_device *device)
{
    struct ssa_buffer *b;
    OK(ssa_buffer_create(&b, device, 1 << 20));
    OK(ssa_linear_fwd(device, &(struct ssa_linear_fwd){.x = {b, 0}, .w = {b, 64}, .y = {b, 128}, .rows = 8, .in = 8,
                                                      .out = 8}));
    ssa_buffer_destroy(b);
}

/* The first element is left alone: the tensors start at 1. */
static void expect_result(const float *got, const float *values)
{
    ck_assert(got[0] == values[0]);
    for (int i = 1; i < N; i++)
        ck_assert_msg(got[i] == ldexpf(values[i], DOUBLINGS), "element %d is %g, not %g", i, (double)got[i],
                      ldexp((double)values[i], DOUBLINGS));
}

static cl_int status_of(cl_event event)
{
    cl_int status = -1;
    ck_assert_int_eq(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL),
                     CL_SUCCESS);
    return status;
}

/* Behind the shut gate: the write does not wait for it, and its source is the caller's again at once. */
static void write_again(const struct caller *c, struct ssa_tensor y)
{
    float *source = malloc(N * sizeof *source);
    memcpy(source, c->values, N * sizeof *source);
    OK(ssa_tensor_fill(y, 0, N - 1));
    OK(ssa_tensor_write(y, source + 1, N - 1));
    memset(source, 0, N * sizeof *source);
    free(source);
}

/* Held back by an event of the caller, waited for through the library's, read on another queue. */
static void check_events(struct caller *c, struct ssa_device *device, struct ssa_tensor x, struct ssa_tensor y)
{
    struct ssa_device *second;
    cl_device_id id;
    float *got = malloc(N * sizeof *got);
    cl_event gate, done;
    cl_int code;
    gate = clCreateUserEvent(c->context, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    OK(ssa_ocl_wait(device, 0, NULL));
    OK(ssa_ocl_wait(device, 1, &gate));
    multiply(device);
    OK(ssa_ocl_objects(device, NULL, &id, NULL));
    OK(ssa_ocl_device_wrap(&second, c->context, id, c->queue));
    write_again(c, y);
    add_up(device, x, y);
    OK(ssa_ocl_event(device, &done));
    ck_assert_int_ne(status_of(done), CL_COMPLETE); /* the gate is shut */
    ck_assert_int_eq(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
    ck_assert_int_eq(clEnqueueReadBuffer(c->other, c->x, CL_TRUE, 0, N * 4, got, 1, &done, NULL), CL_SUCCESS);
    ck_assert_int_eq(status_of(done), CL_COMPLETE);
    expect_result(got, c->values);
    ssa_device_close(second);
    clReleaseEvent(done);
    clReleaseEvent(gate);
    free(got);
}

static void check_wrapped(struct caller *c, cl_device_id id)
{
    struct ssa_device *device;
    struct ssa_buffer *x, *y;
    cl_context context;
    cl_command_queue queue;
    cl_device_id same;
    cl_mem memory;
    size_t held;
    OK(ssa_ocl_device_wrap(&device, c->context, id, c->queue));
    OK(ssa_ocl_buffer_wrap(&x, device, c->x));
    OK(ssa_ocl_buffer_wrap(&y, device, c->y));
    ck_assert_uint_eq(ssa_buffer_bytes(x), 4 * N);
    ssa_device_memory(device, &held, NULL);
    ck_assert_uint_eq(held, 0); /* the caller's memory is not counted */
    OK(ssa_ocl_objects(device, &context, &same, &queue));
    OK(ssa_ocl_objects(device, NULL, NULL, NULL));
    OK(ssa_ocl_buffer_memory(x, &memory));
    ck_assert(context == c->context && queue == c->queue && same == id && memory == c->x);
    check_events(c, device, ssa_tensor_at(x, 1), ssa_tensor_at(y, 1));
    ssa_buffer_destroy(x);
    ssa_buffer_destroy(y);
    ssa_device_close(device);
}

static int check_queues(cl_command_queue_properties properties)
{
    int checked = 0;
    for (cl_uint i = 0; i < id_count; i++) {
        struct caller c;
        if (!setup(&c, ids[i], properties))
            continue;
        check_wrapped(&c, ids[i]);
        teardown(&c);
        checked++;
    }
    return checked;
}

START_TEST(in_order)
{
    ck_assert_uint_eq((cl_uint)check_queues(0), id_count);
}
END_TEST

START_TEST(out_of_order)
{
    int checked = check_queues(CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE); /* not every device has such queues */
    fprintf(stderr, "out-of-order queues on %d of %u devices\n", checked, id_count);
}
END_TEST

/* A device that the library opened gives its objects away, for kernels of one's own. */
START_TEST(own_device)
{
    FOR_DEVICES (device) {
        struct ssa_buffer *b;
        cl_context context;
        cl_command_queue queue;
        cl_mem memory;
        cl_event event;
        float x[4];
        OK(ssa_buffer_create(&b, device, 16));
        if (device->info.kind == SSA_DEVICE_HOST) {
            FAILS(ssa_ocl_objects(device, &context, NULL, &queue), SSA_EUNSUPPORTED, "cpu is no OpenCL device");
            FAILS(ssa_ocl_buffer_memory(b, &memory), SSA_EUNSUPPORTED, "ocl_buffer_get");
            FAILS(ssa_ocl_event(device, &event), SSA_EUNSUPPORTED, "ocl_event");
            FAILS(ssa_ocl_wait(device, 0, NULL), SSA_EUNSUPPORTED, "ocl_wait");
        } else {
            OK(ssa_ocl_objects(device, &context, NULL, &queue));
            OK(ssa_ocl_buffer_memory(b, &memory));
            OK(ssa_tensor_fill(ssa_tensor_at(b, 0), 1, 4));
            ck_assert_int_eq(clEnqueueWriteBuffer(queue, memory, CL_TRUE, 4, 4, (float[]){7}, 0, NULL, NULL), CL_SUCCESS);
            OK(ssa_tensor_read(ssa_tensor_at(b, 0), x, 4));
            ck_assert_mem_eq(x, ((float[]){1, 7, 1, 1}), sizeof x);
        }
        ssa_buffer_destroy(b);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    for (cl_uint i = 0; i < id_count; i++) {
        struct ssa_device *device = NULL;
        struct ssa_buffer *b;
        struct caller c;
        ck_assert(setup(&c, ids[i], 0));
        FAILS(ssa_ocl_device_wrap(&device, NULL, ids[i], c.queue), SSA_EINVAL, "must not be NULL");
        FAILS(ssa_ocl_device_wrap(&device, c.context, NULL, c.queue), SSA_EINVAL, "must not be NULL");
        FAILS(ssa_ocl_device_wrap(&device, c.context, ids[i], NULL), SSA_EINVAL, "must not be NULL");
        ck_assert_ptr_null(device);
        OK(ssa_ocl_device_wrap(&device, c.context, ids[i], c.queue));
        FAILS(ssa_ocl_buffer_wrap(&b, device, NULL), SSA_EINVAL, "ocl_buffer_wrap: memory is NULL");
        ck_assert_ptr_null(b);
        ssa_device_close(device);
        teardown(&c);
    }
}
END_TEST

int main(void)
{
    setenv("SSACL_CACHE", "0", 1); /* no verdict from an earlier run: every device tests its variants here */
    id_count = test_ocl_devices(ids, MAX);
    return test_run("ocl", (const TTest *const[]){in_order, out_of_order, own_device, bad_arguments, NULL});
}
