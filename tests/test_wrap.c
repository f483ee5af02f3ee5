/* What ocl.h takes of a program's own objects, and what it refuses in a sentence: queues and memory of other contexts,
 * images, memory that kernels may not write or read, parts of one memory that overlap. On every OpenCL device here. */
#include "harness.h"
#include "ocl_devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4096, MAX = 16 };

static cl_device_id ids[MAX];
static cl_uint id_count;

static cl_context make_context(cl_device_id id)
{
    cl_int code;
    cl_context context = clCreateContext(NULL, 1, &id, NULL, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return context;
}

static cl_mem make_memory(cl_context context, cl_mem_flags flags, size_t bytes)
{
    cl_int code;
    cl_mem memory = clCreateBuffer(context, flags, bytes, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return memory;
}

static struct ssa_tensor wrap(struct ssa_device *dev, cl_mem memory)
{
    struct ssa_buffer *b;
    OK(ssa_ocl_buffer_wrap(&b, dev, memory));
    return ssa_tensor_at(b, 0);
}

static int add(struct ssa_device *dev, struct ssa_tensor x, struct ssa_tensor out, size_t count)
{
    return ssa_add(dev, &(struct ssa_add){.x = x, .y = x, .out = out, .count = count});
}

static void check_memory(struct ssa_device *dev, cl_context context, cl_context foreign)
{
    struct ssa_buffer *b = (struct ssa_buffer *)&dev;
    cl_mem its = make_memory(foreign, CL_MEM_READ_WRITE, N), tiny = make_memory(context, CL_MEM_READ_WRITE, 3);
    cl_mem in = make_memory(context, CL_MEM_READ_ONLY, N), out = make_memory(context, CL_MEM_WRITE_ONLY, N);
    FAILS(ssa_ocl_buffer_wrap(&b, dev, its), SSA_EINVAL, "ocl_buffer_wrap: memory is of another context");
    ck_assert_ptr_null(b);
    FAILS(ssa_ocl_buffer_wrap(&b, dev, tiny), SSA_EINVAL, "ocl_buffer_wrap: memory has 3 bytes");
    struct ssa_tensor x = wrap(dev, in), y = wrap(dev, out);
    OK(ssa_tensor_write(x, (float[]){1, 2, 3, 4}, 4));
    OK(add(dev, x, y, 4));
    FAILS(add(dev, x, x, 4), SSA_EINVAL, "add: out is in memory that kernels may not write");
    FAILS(add(dev, y, y, 4), SSA_EINVAL, "add: x is in memory that kernels may not read");
    OK(ssa_device_finish(dev));
    ssa_buffer_destroy(x.buffer);
    ssa_buffer_destroy(y.buffer);
    clReleaseMemObject(its);
    clReleaseMemObject(tiny);
    clReleaseMemObject(in);
    clReleaseMemObject(out);
}

/* `memory` is refused by the flag that forbids: reading or writing. */
static void one_way(int code, const char *operand, struct ssa_tensor memory, struct ssa_tensor no_write)
{
    const bool write = memory.buffer == no_write.buffer;
    char text[128];
    snprintf(text, sizeof text, "%s is in memory that kernels may not %s", operand, write ? "write" : "read");
    FAILS(code, SSA_EINVAL, text);
}

/* What operators both read and write, in memory that kernels may only do one of. */
static void check_updated(struct ssa_device *dev, cl_context context)
{
    cl_mem flagged[2] = {make_memory(context, CL_MEM_READ_ONLY, N), make_memory(context, CL_MEM_WRITE_ONLY, N)};
    struct ssa_tensor in = wrap(dev, flagged[0]), only[2] = {in, wrap(dev, flagged[1])};
    struct ssa_plan plan = {0};
    struct ssa_tensor data = {0};
    struct ssa_buffer *b;
    OK(ssa_plan_draw(&plan, &(struct ssa_sample){.length = 4}));
    OK(ssa_plan_upload(dev, &plan, &data));
    OK(ssa_buffer_create(&b, dev, N));
    OK(ssa_tensor_fill(ssa_tensor_at(b, 0), 0, N / 4));
#define AT(n) ssa_tensor_at(b, 64 * (n))
#define INTS(n) ssa_tensor_as(AT(n), SSA_I32)
#define ONE_WAY(op, operand, ...) \
    one_way(ssa_##op(dev, &(struct ssa_##op){.operand = only[i], __VA_ARGS__}), #op ": " #operand, only[i], in)
    for (int i = 0; i < 2; i++) {
        ONE_WAY(rope, x, .rows = 4, .length = 4, .heads = 1, .width = 8);
        ONE_WAY(sum, out, .x = AT(0), .count = 8, .accumulate = 1);
        ONE_WAY(adamw, w, .g = AT(0), .m = AT(1), .v = AT(2), .count = 8, .step = 1);
        ONE_WAY(adamw, m, .g = AT(0), .w = AT(1), .v = AT(2), .count = 8, .step = 1);
        ONE_WAY(adamw, v, .g = AT(0), .m = AT(1), .w = AT(2), .count = 8, .step = 1);
        ONE_WAY(adamw, average, .g = AT(0), .m = AT(1), .v = AT(2), .w = AT(3), .count = 8, .step = 1, .ema = 0.5f);
        ONE_WAY(nag, w, .g = AT(0), .m = AT(1), .count = 8);
        ONE_WAY(nag, m, .g = AT(0), .w = AT(1), .count = 8);
        ONE_WAY(nag, average, .g = AT(0), .m = AT(1), .w = AT(2), .count = 8, .ema = 0.5f);
        ONE_WAY(dropout_bwd, dx, .dy = AT(0), .count = 8, .p = 0.5f, .accumulate = 1);
        ONE_WAY(scatter_rows, out, .x = AT(0), .rows = INTS(1), .count = 1, .target_rows = 4, .width = 8,
                .accumulate = 1);
        ONE_WAY(cross_entropy, dlogits, .logits = AT(0), .targets = INTS(1), .rows = 4, .vocabulary = 8);
        ONE_WAY(cross_entropy, dlogits, .logits = AT(0), .soft_targets = AT(1), .rows = 4, .vocabulary = 8);
        ONE_WAY(mean_bwd, dx, .dout = AT(0), .batch = 1, .length = 2, .width = 8, .accumulate = 1);
        ONE_WAY(prepend_bwd, dfirst, .dout = AT(0), .batch = 1, .lead = 1, .length = 2, .width = 8, .accumulate = 1);
        ONE_WAY(prepend_bwd, dpositions, .dout = AT(0), .batch = 1, .lead = 1, .length = 2, .width = 8,
                .accumulate = 1);
        ONE_WAY(frame_bwd, dvectors, .dout = AT(0), .batch = 1, .lead = 1, .length = 1, .width = 8, .accumulate = 1);
        ONE_WAY(window_bias_bwd, dtable, .dout = AT(0), .window = 2, .heads = 2, .accumulate = 1);
        ONE_WAY(embedding_bwd, dtable, .ids = INTS(0), .dout = AT(1), .rows = 4, .length = 4, .width = 8,
                .vocabulary = 8);
        ONE_WAY(embedding_bwd, dpositions, .dout = AT(1), .rows = 4, .length = 4, .width = 8, .vocabulary = 8,
                .accumulate = 1);
        ONE_WAY(grid_bwd, drow, .dout = AT(0), .count = 4, .rows = 2, .columns = 2, .channels = 1, .width = 8,
                .accumulate = 1);
#define NORM .x = AT(0), .stats = AT(1), .dy = AT(2), .rows = 4, .width = 8
        ONE_WAY(norm_bwd, dx, NORM, .accumulate_dx = 1);
        ONE_WAY(norm_bwd, dgain, NORM, .dx = AT(3), .accumulate = 1);
        ONE_WAY(norm_bwd, dbias, NORM, .dx = AT(3), .accumulate = 1);
#define LINEAR .rows = 8, .in = 8, .out = 8
        ONE_WAY(linear_fwd, pre, .x = AT(0), .w = AT(1), .y = AT(2), LINEAR);
        ONE_WAY(linear_fwd, y, .x = AT(0), .w = AT(1), .bias = AT(2), LINEAR);
        ONE_WAY(linear_bwd, dw, .x = AT(0), .dy = AT(1), LINEAR);
        ONE_WAY(linear_bwd, dbias, .dy = AT(1), LINEAR, .accumulate = 1);
        ONE_WAY(linear_bwd, dx, .w = AT(0), .dy = AT(1), LINEAR, .accumulate_dx = 1);
        ONE_WAY(linear_bwd, dx, .w = AT(0), .dy = AT(1), .x_pre = AT(2), LINEAR, .activation = SSA_ACT_GELU);
        const struct ssa_attention attention = {.q = AT(0), .k = AT(1), .v = AT(2), .out = AT(4), .lse = AT(3),
            .plan = &plan, .plan_data = data, .batch = 1, .keys = 4, .heads = 1, .width = 8};
        struct ssa_attention_fwd forward = {attention};
        forward.attention.out = only[i];
        one_way(ssa_attention_fwd(dev, &forward), "attention_fwd: out", only[i], in);
        ONE_WAY(attention_bwd, dq, .attention = attention, .dout = AT(5), .dk = AT(6), .dv = AT(7));
        ONE_WAY(attention_bwd, dk, .attention = attention, .dout = AT(5), .dq = AT(6), .dv = AT(7));
        ONE_WAY(attention_bwd, dv, .attention = attention, .dout = AT(5), .dq = AT(6), .dk = AT(7));
    }
    OK(ssa_sum(dev, &(struct ssa_sum){.x = AT(0), .out = only[1], .count = 8})); /* written only */
    OK(ssa_norm_bwd(dev, &(struct ssa_norm_bwd){NORM, .dx = only[1]}));
    OK(ssa_device_finish(dev));
    ssa_buffer_destroy(data.buffer);
    ssa_plan_finish(&plan);
    ssa_buffer_destroy(b);
    for (int i = 0; i < 2; i++) {
        ssa_buffer_destroy(only[i].buffer);
        clReleaseMemObject(flagged[i]);
    }
}

/* Two buffers over one array of the host's, and a part of one. */
static void check_host_memory(struct ssa_device *dev, cl_context context)
{
    const size_t half = N / 2, count = half / 4;
    const cl_buffer_region second = {half, half};
    char *array = aligned_alloc(4096, 2 * N);
    cl_mem memory[3];
    struct ssa_tensor t[3];
    cl_int code;
    memset(array, 0, 2 * N);
    for (size_t i = 0; i < 2; i++) {
        memory[i] = clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, N, array + i * half, &code);
        ck_assert_int_eq(code, CL_SUCCESS);
    }
    memory[2] = clCreateSubBuffer(memory[0], 0, CL_BUFFER_CREATE_TYPE_REGION, &second, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    for (int i = 0; i < 3; i++)
        t[i] = wrap(dev, memory[i]);
    FAILS(add(dev, t[0], t[1], count + 1), SSA_EINVAL, "add: out overlaps x");
    FAILS(add(dev, t[2], ssa_tensor_add(t[1], 1), 8), SSA_EINVAL, "add: out overlaps x");
    FAILS(ssa_tensor_copy(t[1], ssa_tensor_add(t[0], 1), count), SSA_EINVAL, "overlap");
    OK(add(dev, t[0], t[1], count)); /* side by side */
    OK(ssa_device_finish(dev));
    for (int i = 2; i >= 0; i--) {
        ssa_buffer_destroy(t[i].buffer);
        clReleaseMemObject(memory[i]);
    }
    free(array);
}

static void check_image(struct ssa_device *dev, cl_context context)
{
    const cl_image_format format = {CL_RGBA, CL_FLOAT};
    const cl_image_desc size = {.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 8, .image_height = 8};
    struct ssa_buffer *b;
    cl_int code;
    cl_mem image = clCreateImage(context, CL_MEM_READ_WRITE, &format, &size, NULL, &code);
    if (code != CL_SUCCESS)
        return; /* the device has none */
    FAILS(ssa_ocl_buffer_wrap(&b, dev, image), SSA_EINVAL, "ocl_buffer_wrap: memory is an image");
    clReleaseMemObject(image);
}

/* One memory, wrapped twice, and parts of it. */
static void check_parts(struct ssa_device *dev, cl_context context)
{
    const size_t part = N / 4;
    cl_buffer_region region[2] = {{0, 2 * part}, {part, 2 * part}};
    cl_mem whole = make_memory(context, CL_MEM_READ_WRITE, N), parts[2];
    struct ssa_tensor t[2], again[2];
    cl_int code;
    for (int i = 0; i < 2; i++) {
        parts[i] = clCreateSubBuffer(whole, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region[i], &code);
        ck_assert_int_eq(code, CL_SUCCESS);
        t[i] = wrap(dev, parts[i]);
        again[i] = wrap(dev, whole);
    }
    const size_t count = part / 4; /* elements of a part */
    OK(ssa_tensor_fill(again[0], 1, 4 * count));
    FAILS(add(dev, again[0], ssa_tensor_add(again[1], 1), count), SSA_EINVAL, "add: out overlaps x");
    OK(add(dev, again[0], again[1], count));
    OK(add(dev, again[0], ssa_tensor_add(again[1], count), count));
    FAILS(add(dev, t[0], t[1], 2 * count), SSA_EINVAL, "add: out overlaps x");
    OK(add(dev, t[0], t[1], count)); /* the first half of one, the second of the other begins behind it */
    OK(add(dev, ssa_tensor_add(t[0], count), t[1], count)); /* the same elements */
    FAILS(add(dev, ssa_tensor_add(again[0], count + 1), t[1], count), SSA_EINVAL, "add: out overlaps x");
    FAILS(ssa_tensor_copy(t[1], ssa_tensor_add(again[0], count + 1), count), SSA_EINVAL, "overlap");
    OK(ssa_device_finish(dev));
    for (int i = 0; i < 2; i++) {
        ssa_buffer_destroy(t[i].buffer);
        ssa_buffer_destroy(again[i].buffer);
        clReleaseMemObject(parts[i]);
    }
    clReleaseMemObject(whole);
}

START_TEST(wraps)
{
    for (cl_uint i = 0; i < id_count; i++) {
        struct ssa_device *dev = (struct ssa_device *)&i;
        cl_context context = make_context(ids[i]), foreign = make_context(ids[i]);
        cl_int code;
        cl_command_queue queue = clCreateCommandQueue(context, ids[i], 0, &code);
        ck_assert_int_eq(code, CL_SUCCESS);
        FAILS(ssa_ocl_device_wrap(&dev, foreign, ids[i], queue), SSA_EINVAL,
              "ocl_device_wrap: queue is of another context");
        ck_assert_ptr_null(dev);
        if (id_count > 1)
            FAILS(ssa_ocl_device_wrap(&dev, context, ids[!i], queue), SSA_EINVAL,
                  "ocl_device_wrap: queue is of another device than id");
        OK(ssa_ocl_device_wrap(&dev, context, ids[i], queue));
        check_memory(dev, context, foreign);
        check_updated(dev, context);
        check_host_memory(dev, context);
        check_image(dev, context);
        check_parts(dev, context);
        ssa_device_close(dev);
        clReleaseCommandQueue(queue);
        clReleaseContext(context);
        clReleaseContext(foreign);
    }
}
END_TEST

int main(void)
{
    id_count = test_ocl_devices(ids, MAX);
    return test_run_alone("wrap", (const TTest *const[]){wraps, NULL});
}
