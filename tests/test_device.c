/* Finding, choosing and opening devices, and what they refuse. One case a process, named by the argument: the loader is
 * looked for once, and drivers read their environment once. tests/meson.build sets each case's environment. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SKIPPED = 77, MAX = 64 };

static char log_text[65536];
static const char *argument; /* the program's second */

static void keep_log(void *cookie, int level, const char *line)
{
    (void)cookie, (void)level;
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
}

static void expect_log(const char *words)
{
    ck_assert_msg(strstr(log_text, words), "the log has no \"%s\": %s", words, log_text);
}

/* ---- choosing ---- */

START_TEST(list)
{
    struct ssa_device_info all[MAX], one, open;
    int n = 0, again = 0;
    OK(ssa_device_list(all, MAX, &n));
    ck_assert_int_ge(n, 1);
    OK(ssa_device_list(NULL, 0, &again));
    ck_assert_int_eq(again, n);
    OK(ssa_device_list(&one, 1, &again));
    ck_assert_int_eq(again, n);
    ck_assert_str_eq(one.id, all[0].id);
    ck_assert_str_eq(all[n - 1].id, "cpu");
    for (int i = 0; i < n; i++) {
        struct ssa_device *device;
        size_t held = 1, peak = 1;
        ck_assert(all[i].units > 0 && all[i].memory && all[i].max_allocation && *all[i].name && *all[i].platform);
        ck_assert_int_eq(all[i].kind == SSA_DEVICE_HOST, i == n - 1);
        OK(ssa_device_open(&device, all[i].id));
        OK(ssa_device_info(device, &open));
        ck_assert_str_eq(open.id, all[i].id);
        ck_assert_str_eq(open.name, all[i].name);
        ssa_device_memory(device, &held, &peak);
        ck_assert(!held && !peak);
        ssa_device_close(device);
    }
    ssa_device_close(NULL);
}
END_TEST

/* Without OpenCL, for whatever reason (the argument), the host backend serves and says why. */
START_TEST(host_alone)
{
    struct ssa_device_info all[MAX];
    struct ssa_device *device;
    int n = 0;
    OK(ssa_device_list(all, MAX, &n));
    ck_assert_int_eq(n, 1);
    ck_assert_str_eq(all[0].id, "cpu");
    expect_log("no OpenCL device: ");
    expect_log(argument);
    static const char *const names[] = {NULL, "auto", "cpu"};
    for (int i = 0; i < 3; i++) {
        OK(ssa_device_open(&device, names[i]));
        ck_assert_int_eq(device->info.kind, SSA_DEVICE_HOST);
        ssa_device_close(device);
    }
    expect_log("device cpu: ");
    FAILS(ssa_device_open(&device, "opencl"), SSA_ENODEVICE, "no device \"opencl\"; there are: cpu (");
    ck_assert_ptr_null(device);
    FAILS(ssa_device_open(&device, "opencl:0:0"), SSA_ENODEVICE, "no device \"opencl:0:0\"; there are: cpu (");
}
END_TEST

START_TEST(unknown)
{
    static const char *const names[] = {"no such thing", "opencl:99:0", "opencl:0:99", "opencl:", "opencl:x", "",
                                        ("a name that is longer than any field that a device has: "
                                         "................................................................")};
    struct ssa_device_info all[MAX];
    struct ssa_device *device;
    int n = 0;
    OK(ssa_device_list(all, MAX, &n));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        device = (struct ssa_device *)&n;
        FAILS(ssa_device_open(&device, names[i]), SSA_ENODEVICE, "no device \"");
        ck_assert_ptr_null(device);
        for (int d = 0; d < n; d++) /* the text lists them all */
            ck_assert_ptr_nonnull(strstr(ssa_last_error(), all[d].id));
    }
}
END_TEST

START_TEST(by_name)
{
    struct ssa_device_info all[MAX];
    int n = 0;
    OK(ssa_device_list(all, MAX, &n));
    for (int i = 0; i < n; i++) {
        struct ssa_device *device;
        char part[64];
        snprintf(part, sizeof part, "%s", all[i].platform);
        int alike = 0;
        for (int j = 0; j < n; j++)
            alike += !strcmp(all[j].platform, all[i].platform);
        if (alike > 1)
            continue;
        for (char *c = part; *c; c++)
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c); /* any case */
        OK(ssa_device_open(&device, part));
        ck_assert_str_eq(device->info.platform, all[i].platform);
        ssa_device_close(device);
    }
}
END_TEST

/* Of a list that is made up: part by part. */
START_TEST(parts)
{
    static const struct ssa_device_info list[] = {
        {.kind = SSA_DEVICE_GPU, .id = "opencl:0:0", .name = "Tesla V100", .platform = "NVIDIA CUDA",
         .memory = 1 << 30},
        {.kind = SSA_DEVICE_GPU, .id = "opencl:0:1", .name = "Tesla V100-SXM2 1", .platform = "NVIDIA CUDA"},
        {.kind = SSA_DEVICE_CPU, .id = "opencl:1:0", .name = "pthread-AMD EPYC 7B13", .platform = "PoCL"},
        {.kind = SSA_DEVICE_HOST, .id = "cpu", .name = "AMD EPYC 7B13", .platform = "ssacl"}};
    static const struct {
        const char *name;
        int index; /* -1: `words` are said */
        const char *words;
    } cases[] = {
        {"auto", 0, ""}, {"opencl", 0, ""}, {"opencl:0:1", 1, ""}, {"cpu", 3, ""}, {"sxm2", 1, ""}, {"pocl", 2, ""},
        {"tesla v100", 0, ""}, /* the whole name of one */
        {"SSACL", 3, ""}, {"amd epyc 7b13", 3, ""}, {"pthread", 2, ""},
        {"tesla", -1, "device \"tesla\" may be one of several, give its id or more of its name: opencl:0:0 (Tesla V100), "
                      "opencl:0:1 (Tesla V100-SXM2 1)"},
        {"cuda", -1, "may be one of several"}, {"epyc", -1, "opencl:1:0 (pthread-AMD EPYC 7B13), cpu (AMD"},
        {"1", -1, "no device \"1\", which is no part of a name that means one; there are: opencl:0:0 (Tesla V100), "},
        {"100", -1, "no device \"100\""}, {"0:1", -1, "no device \"0:1\""}, {" ", -1, "no device \" \""},
        {"a", -1, "no device \"a\""}, {"", -1, "no device \"\"; there are"},
        {"opencl:0", -1, "no device \"opencl:0\""},
        {"teapot", -1, "no device \"teapot\"; there are: opencl:0:0 (Tesla V100), "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int at = 99, err = ssa_device_find(list, 4, cases[i].name, &at);
        ck_assert_msg(at == cases[i].index, "\"%s\" is device %d: %s", cases[i].name, at, ssa_last_error());
        if (at < 0)
            FAILS(err, SSA_ENODEVICE, cases[i].words);
        else
            OK(err);
    }
}
END_TEST

START_TEST(variable)
{
    struct ssa_device *device;
    setenv("SSACL_DEVICE", "cpu", 1);
    static const char *const names[] = {NULL, "auto"};
    for (int i = 0; i < 2; i++) {
        *log_text = 0;
        OK(ssa_device_open(&device, names[i]));
        ck_assert_str_eq(device->info.id, "cpu");
        ssa_device_close(device);
        expect_log("device cpu");
        expect_log("$SSACL_DEVICE");
    }
    setenv("SSACL_DEVICE", "warp drive", 1);
    FAILS(ssa_device_open(&device, "auto"), SSA_ENODEVICE, "$SSACL_DEVICE: no device \"warp drive\"");
    setenv("SSACL_DEVICE", "1", 1);
    FAILS(ssa_device_open(&device, NULL), SSA_ENODEVICE, "$SSACL_DEVICE: no device \"1\"");
    *log_text = 0;
    OK(ssa_device_open(&device, "cpu")); /* a name that is asked for goes first */
    ssa_device_close(device);
    expect_log("asked for");
    setenv("SSACL_DEVICE", "", 1); /* as if not set */
    OK(ssa_device_open(&device, NULL));
    ssa_device_close(device);
    expect_log("auto: ");
}
END_TEST

START_TEST(threads)
{
    static const struct {
        const char *value;
        int units;
    } cases[] = {{"1", 1}, {"3", 3}};
    for (int i = 0; i < 2; i++) {
        struct ssa_device *device;
        setenv("SSACL_THREADS", cases[i].value, 1);
        OK(ssa_device_open(&device, "cpu"));
        ck_assert_int_eq(device->info.units, cases[i].units);
        ssa_device_close(device);
    }
}
END_TEST

/* The devices that are listed, each open until the next. */
static struct ssa_device *next_device(struct ssa_device *before)
{
    static int at;
    struct ssa_device_info all[MAX];
    struct ssa_device *device = NULL;
    int n = 0;
    at = before ? at + 1 : 0;
    ssa_device_close(before);
    OK(ssa_device_list(all, MAX, &n));
    if (at < n)
        OK(ssa_device_open(&device, all[at].id));
    return device;
}
#define FOR_LISTED(dev) for (struct ssa_device *dev = next_device(NULL); dev; dev = next_device(dev))

/* ---- memory ---- */

static int expect_refusal(struct ssa_device *device, size_t bytes, const char *words)
{
    struct ssa_buffer *b = (struct ssa_buffer *)&bytes;
    FAILS(ssa_buffer_create(&b, device, bytes), SSA_ENOMEM, words);
    ck_assert_ptr_null(b);
    return 0;
}

START_TEST(memory_limits)
{
    FOR_LISTED (device) {
        struct ssa_buffer *one, *two;
        size_t held, peak;
        char numbers[128];
        snprintf(numbers, sizeof numbers, "%s allows %.1f MiB in one allocation", device->info.id,
                 (double)device->info.max_allocation / 1048576);
        expect_refusal(device, device->info.max_allocation + 1, numbers);
        expect_refusal(device, SIZE_MAX, numbers);
        FAILS(ssa_buffer_create(&one, device, 0), SSA_EINVAL, "0 bytes");
        OK(ssa_buffer_create(&one, device, 4000));
        OK(ssa_buffer_create(&two, device, 2000));
        ssa_buffer_destroy(one);
        ssa_device_memory(device, &held, &peak);
        ck_assert_uint_eq(held, 2000);
        ck_assert_uint_eq(peak, 6000);
        ssa_device_reset_peak(device);
        ssa_device_memory(device, NULL, &peak);
        ck_assert_uint_eq(peak, 2000);
        ssa_buffer_destroy(two);
        ssa_buffer_destroy(NULL);
    }
}
END_TEST

/* On a device of 1 GiB: the buffer that would pass what it has is refused, and fits once another has gone. */
START_TEST(memory_full)
{
    struct ssa_device *device;
    struct ssa_buffer *b[64] = {0}, *more;
    int n = 0;
    size_t count, held;
    OK(ssa_device_open(&device, "Portable Computing Language"));
    ck_assert_uint_eq(device->info.memory, (size_t)1 << 30);
    count = device->info.max_allocation;
    while ((size_t)n < device->info.memory / count)
        OK(ssa_buffer_create(&b[n++], device, count));
    ssa_device_memory(device, &held, NULL);
    ck_assert_uint_eq(held, (size_t)n * count);
    FAILS(ssa_buffer_create(&more, device, count), SSA_ENOMEM, "has 1024.0 MiB of which 1024.0 are held");
    ssa_buffer_destroy(b[--n]);
    OK(ssa_buffer_create(&more, device, count));
    ssa_buffer_destroy(more);
    while (n)
        ssa_buffer_destroy(b[--n]);
    ssa_device_close(device);
}
END_TEST

/* ---- tensors ---- */

START_TEST(tensors)
{
    FOR_LISTED (device) {
        struct ssa_buffer *b, *c;
        float x[10], y[10];
        for (int j = 0; j < 10; j++)
            x[j] = (float)j;
        OK(ssa_buffer_create(&b, device, sizeof x));
        OK(ssa_buffer_create(&c, device, sizeof x));
        ck_assert_uint_eq(ssa_buffer_bytes(b), 40);
        struct ssa_tensor t = ssa_tensor_at(b, 0), u = ssa_tensor_at(c, 0);
        OK(ssa_tensor_write(t, x, 10));
        OK(ssa_tensor_fill(u, -1, 10));
        OK(ssa_tensor_copy(ssa_tensor_add(u, 3), ssa_tensor_add(t, 1), 4));
        OK(ssa_tensor_copy(ssa_tensor_add(t, 8), ssa_tensor_add(t, 1), 2)); /* within one buffer */
        OK(ssa_tensor_read(u, y, 10));
        ck_assert_mem_eq(y, ((float[]){-1, -1, -1, 1, 2, 3, 4, -1, -1, -1}), sizeof y);
        OK(ssa_tensor_read(ssa_tensor_add(t, 7), y, 3));
        ck_assert_mem_eq(y, ((float[]){7, 1, 2}), 12);
        OK(ssa_tensor_read(ssa_tensor_add(t, 10), y, 0));
        FAILS(ssa_tensor_read(t, y, 11), SSA_EINVAL, "tensor_read: 11 elements at offset 0 reach past the buffer's 10");
        FAILS(ssa_tensor_write(ssa_tensor_add(t, 9), x, 2), SSA_EINVAL, "tensor_write: 2 elements at offset 9");
        FAILS(ssa_tensor_fill(ssa_tensor_add(t, 11), 0, 0), SSA_EINVAL, "tensor_fill: 0 elements at offset 11");
        FAILS(ssa_tensor_fill(ssa_tensor_at(b, SIZE_MAX), 0, 2), SSA_EINVAL, "tensor_fill");
        FAILS(ssa_tensor_copy(t, ssa_tensor_add(t, 2), 3), SSA_EINVAL, "overlap");
        FAILS(ssa_tensor_copy(t, ssa_tensor_add(u, 8), 3), SSA_EINVAL, "source");
        FAILS(ssa_tensor_copy((struct ssa_tensor){0}, t, 3), SSA_EINVAL, "target: the tensor is absent");
        OK(ssa_device_finish(device));
        ssa_buffer_destroy(b);
        ssa_buffer_destroy(c);
    }
}
END_TEST

/* Elements of other types are moved as they are, at offsets of their own; operators take those that they say. */
START_TEST(types)
{
    FOR_LISTED (device) {
        struct ssa_buffer *b;
        const uint16_t halves[6] = {1, 2, 3, 4, 5, 65535};
        uint16_t got[6];
        OK(ssa_buffer_create(&b, device, 64));
        const struct ssa_tensor f = {b, 0}, ints = {b, 8, SSA_I32}, bf16 = {b, 10, SSA_BF16}, f16 = {b, 20, SSA_F16};
        OK(ssa_tensor_write(bf16, halves, 6));
        OK(ssa_tensor_read(bf16, got, 6));
        ck_assert_mem_eq(got, halves, sizeof got);
        OK(ssa_tensor_read(ssa_tensor_as(f, SSA_F16), got, 6));
        OK(ssa_tensor_write(f16, halves, 6));
        OK(ssa_tensor_copy(ssa_tensor_as(f, SSA_F16), ssa_tensor_add(f16, 1), 5));
        OK(ssa_tensor_read(ssa_tensor_as(f, SSA_F16), got, 5));
        ck_assert_mem_eq(got, halves + 1, 10);
        ck_assert_uint_eq(ssa_tensor_as((struct ssa_tensor){b, 6, SSA_BF16}, SSA_F32).offset, 3);
        FAILS(ssa_tensor_read(f16, got, 13), SSA_EINVAL, "13 elements at offset 20 reach past the buffer's 32");
        FAILS(ssa_tensor_copy(f, bf16, 2), SSA_EINVAL, "target is float32, source bfloat16");
        FAILS(ssa_tensor_fill(ints, 1, 2), SSA_EINVAL, "tensor_fill: the tensor is int32, must be float32");
        FAILS(ssa_tensor_read((struct ssa_tensor){b, 0, 9}, got, 1), SSA_EINVAL, "9 is no type");
        struct ssa_add add = {.x = bf16, .y = f, .out = f, .count = 2};
        FAILS(ssa_add(device, &add), SSA_EINVAL, "add: x is bfloat16, must be float32 (no operator takes half");
        add.x = ints;
        FAILS(ssa_add(device, &add), SSA_EINVAL, "add: x is int32, must be float32");
        const struct ssa_gather_rows gather = {.x = f, .rows = f, .out = ssa_tensor_add(f, 8), .count = 1,
                                               .source_rows = 2, .width = 2};
        FAILS(ssa_gather_rows(device, &gather), SSA_EINVAL, "gather_rows: rows is float32, must be int32");
        ssa_buffer_destroy(b);
    }
}
END_TEST

/* The caller's memory on the host backend, no copy: what an operator leaves is there when it returns. */
START_TEST(wrapped)
{
    struct ssa_device_info all[MAX];
    struct ssa_device *device;
    struct ssa_buffer *x, *y, *part;
    float a[16] = {1, 2, 3, 4}, b[16] = {0};
    size_t held;
    int n = 0;
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_buffer_wrap(&x, device, a, sizeof a));
    OK(ssa_buffer_wrap(&y, device, b, sizeof b));
    OK(ssa_buffer_wrap(&part, device, a + 2, 8));
    ssa_device_memory(device, &held, NULL);
    ck_assert_uint_eq(held, 0);
    ck_assert_uint_eq(ssa_buffer_bytes(part), 8);
    OK(ssa_add(device, &(struct ssa_add){.x = {x, 0}, .y = {x, 1}, .out = {y, 0}, .count = 3}));
    ck_assert_mem_eq(b, ((float[]){3, 5, 7, 0}), 16);
    OK(ssa_add(device, &(struct ssa_add){.x = {x, 2}, .y = {x, 0}, .out = {part, 0}, .count = 2})); /* in place of x */
    ck_assert_mem_eq(a, ((float[]){1, 2, 4, 6}), 16);
    FAILS(ssa_add(device, &(struct ssa_add){.x = {x, 1}, .y = {x, 1}, .out = {part, 0}, .count = 2}), SSA_EINVAL,
          "add: out overlaps x");
    FAILS(ssa_add(device, &(struct ssa_add){.x = {part, 0}, .y = {x, 0}, .out = {y, 0}, .count = 3}), SSA_EINVAL,
          "x needs 3 elements");
    ssa_buffer_destroy(part);
    FAILS(ssa_buffer_wrap(&part, device, (char *)a + 2, 8), SSA_EINVAL, "must be aligned to 4 bytes");
    ck_assert_ptr_null(part);
    FAILS(ssa_buffer_wrap(&part, device, NULL, 8), SSA_EINVAL, "memory is NULL");
    FAILS(ssa_buffer_wrap(&part, device, a, 0), SSA_EINVAL, "0 bytes");
    ssa_buffer_destroy(x);
    ssa_buffer_destroy(y);
    ssa_device_close(device);
    OK(ssa_device_list(all, MAX, &n));
    for (int i = 0; i < n; i++) {
        if (!strcmp(all[i].id, "cpu"))
            continue;
        OK(ssa_device_open(&device, all[i].id));
        FAILS(ssa_buffer_wrap(&x, device, a, sizeof a), SSA_EUNSUPPORTED, "ssa_ocl_buffer_wrap");
        ssa_device_close(device);
    }
}
END_TEST

/* A read in two halves. */
START_TEST(fetched)
{
    FOR_LISTED (device) {
        struct ssa_buffer *b;
        struct ssa_ticket *ticket;
        float x[4] = {0};
        OK(ssa_buffer_create(&b, device, 64));
        OK(ssa_tensor_fill((struct ssa_tensor){b, 0}, 7, 16));
        OK(ssa_tensor_fetch((struct ssa_tensor){b, 4}, x, 4, &ticket));
        OK(ssa_tensor_fill((struct ssa_tensor){b, 8}, 8, 8));
        OK(ssa_tensor_await(device, ticket));
        ck_assert_mem_eq(x, ((float[]){7, 7, 7, 7}), sizeof x);
        OK(ssa_tensor_await(device, NULL));
        FAILS(ssa_tensor_fetch((struct ssa_tensor){b, 14}, x, 4, &ticket), SSA_EINVAL, "tensor_fetch: 4 elements");
        ck_assert_ptr_null(ticket);
        ssa_buffer_destroy(b);
    }
}
END_TEST

START_TEST(two_devices)
{
    struct ssa_device *one, *two;
    struct ssa_buffer *b, *c;
    OK(ssa_device_open(&one, "cpu"));
    OK(ssa_device_open(&two, "cpu"));
    OK(ssa_buffer_create(&b, one, 32));
    OK(ssa_buffer_create(&c, two, 32));
    struct ssa_tensor x = ssa_tensor_at(b, 0), y = ssa_tensor_at(c, 0);
    FAILS(ssa_tensor_copy(x, y, 8), SSA_EINVAL, "two devices");
    FAILS(ssa_add(one, &(struct ssa_add){.x = x, .y = y, .out = x, .count = 8}), SSA_EINVAL, "y is on another device");
    ssa_buffer_destroy(b);
    ssa_buffer_destroy(c);
    ssa_device_close(one);
    ssa_device_close(two);
}
END_TEST

/* ---- kernels that do not build ---- */

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static int try_add(struct ssa_device *device)
{
    struct ssa_buffer *b;
    OK(ssa_buffer_create(&b, device, 64));
    struct ssa_tensor t = ssa_tensor_at(b, 0);
    int err = ssa_add(device, &(struct ssa_add){.x = t, .y = t, .out = t, .count = 16});
    ssa_buffer_destroy(b);
    return err;
}

/* $SSACL_CL_DIR is where kernels come from: none, a broken one, one without the kernel; then the library's own. */
static void check_broken(struct ssa_device *device, const char *folder)
{
    char path[600];
    FAILS(try_add(device), SSA_EIO, "cannot read");
    ck_assert_ptr_nonnull(strstr(ssa_last_error(), "add.cl"));
    *log_text = 0;
    write_file(folder, "add.cl", "__kernel void add(__global float *x) { x[0] = not_there; }\n");
    FAILS(try_add(device), SSA_EBUILD, "cl/add.cl does not build on ");
    ck_assert_msg(strstr(ssa_last_error(), "not_there"), "the compiler's words are missing: %s", ssa_last_error());
    expect_log("not_there");
    write_file(folder, "add.cl", "__kernel void subtract(__global float *x) { x[0] = 1; }\n");
    FAILS(try_add(device), SSA_EDEVICE, "cl/add.cl: clCreateKernel(add): CL_INVALID_KERNEL_NAME");
    snprintf(path, sizeof path, "%s/add.cl", folder);
    unlink(path);
}

START_TEST(broken_kernel)
{
    struct ssa_device_info all[MAX];
    char folder[] = "/tmp/ssacl-test-XXXXXX";
    int n = 0;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    OK(ssa_device_list(all, MAX, &n));
    for (int i = 0; i < n - 1; i++) { /* all but the host backend, which compiles nothing */
        struct ssa_device *device;
        OK(ssa_device_open(&device, all[i].id));
        setenv("SSACL_CL_DIR", folder, 1);
        check_broken(device, folder);
        ssa_device_close(device); /* a program that built stays until then */
        unsetenv("SSACL_CL_DIR");
        OK(ssa_device_open(&device, all[i].id));
        OK(try_add(device));
        ssa_device_close(device);
    }
    rmdir(folder);
}
END_TEST

static bool has_platform(const char *part)
{
    struct ssa_device_info all[MAX];
    int n = 0;
    ssa_device_list(all, MAX, &n);
    for (int i = 0; i < n - 1; i++) /* the last is the host backend */
        if (strstr(all[i].platform, part))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        const TTest *test;
        const char *needs; /* a platform whose name contains this */
    } cases[] = {
        {"list", list, NULL},
        {"host_alone", host_alone, NULL},
        {"unknown", unknown, NULL},
        {"by_name", by_name, NULL},
        {"parts", parts, NULL},
        {"variable", variable, NULL},
        {"threads", threads, NULL},
        {"memory_limits", memory_limits, NULL},
        {"memory_full", memory_full, "Portable Computing Language"},
        {"tensors", tensors, NULL},
        {"types", types, NULL},
        {"wrapped", wrapped, NULL},
        {"fetched", fetched, NULL},
        {"two_devices", two_devices, NULL},
        {"broken_kernel", broken_kernel, ""},
    };
    argument = argc > 2 ? argv[2] : "";
    ssa_set_log(keep_log, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc > 1 && !strcmp(cases[i].name, argv[1])) {
            if (cases[i].needs && !has_platform(cases[i].needs))
                return SKIPPED;
            return test_run_alone(argv[1], (const TTest *const[]){cases[i].test, NULL});
        }
    fprintf(stderr, "no case \"%s\"\n", argc > 1 ? argv[1] : "");
    return EXIT_FAILURE;
}
