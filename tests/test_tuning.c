/* Tuned parameters: their files, whatever they hold; that they reach the launch; and that every legal value computes
 * the same. */
#include "harness.h"
#include "op/attention.h"
#include "ssacl/tuning.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files in a folder of our own, and what the log says of them ---- */

static char folder[64], path[128];
static int warnings;
static char warning[1024];

static void keep_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level > SSA_LOG_WARNING)
        return;
    warnings++;
    snprintf(warning, sizeof warning, "%s", line);
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/ssacl-tuning-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.json", folder);
    ssa_set_log(keep_log, NULL);
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
    setenv("SSACL_TUNING", "", 1);
    ssa_set_log(NULL, NULL);
}

static struct ssa_device *open_host(const char *tuning)
{
    struct ssa_device *dev;
    setenv("SSACL_TUNING", tuning, 1);
    warnings = 0;
    *warning = 0;
    OK(ssa_device_open(&dev, "cpu"));
    return dev;
}

static void dump(const json_t *root, const char *to)
{
    ck_assert_int_eq(json_dump_file(root, to, JSON_INDENT(1)), 0);
}

/* A good file of the host backend, with gemm's ROWS and attention's PARTS other than the defaults. */
static json_t *good_file(void)
{
    struct ssa_device *dev = open_host("");
    const struct ssa_tuning_setting other[] = {{"gemm", "ROWS", 96}, {"attention_bwd", "PARTS", 2}};
    OK(ssa_tuning_set(dev, other, 2));
    OK(ssa_tuning_save(dev, path, &(struct ssa_tuning_speed){"a case", 1.5, 2.5}, 1));
    ssa_device_close(dev);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(root);
    return root;
}

static json_t *at(json_t *root, const char *one, const char *two, const char *three)
{
    json_t *o = json_object_get(root, one);
    o = two ? json_object_get(o, two) : o;
    o = three ? json_object_get(o, three) : o;
    ck_assert_ptr_nonnull(o);
    return o;
}

/* Opening works, nothing of the file is taken, and one sentence names the file and what is wrong. */
static void refused(const char *words)
{
    struct ssa_device *dev = open_host(path);
    ck_assert_msg(warnings == 1 && strstr(warning, path) && strstr(warning, words), "%d warnings, the last \"%s\"; not "
                  "\"%s\"", warnings, warning, words);
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(gemm, ROWS)), 144);
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(attention_bwd, PARTS)), 4);
    ck_assert_str_eq(ssa_tuning_origin(dev), "");
    ssa_device_close(dev);
}

static void refused_text(const char *text, const char *words)
{
    test_save_file(path, text, strlen(text));
    refused(words);
}

START_TEST(saved_and_loaded)
{
    begin();
    json_t *root = good_file();
    ck_assert_double_eq(json_real_value(json_object_get(json_array_get(at(root, "speeds", NULL, NULL), 0), "after")),
                        2.5);
    struct ssa_device *dev = open_host(path);
    ck_assert_int_eq(warnings, 0);
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(gemm, ROWS)), 96);
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(attention_bwd, PARTS)), 2);
    ck_assert_str_eq(ssa_tuning_origin(dev), path);
    ssa_tuning_reset(dev, "gemm");
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(gemm, ROWS)), 144);
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(attention_bwd, PARTS)), 2);
    FAILS(ssa_tuning_save(dev, "/nowhere/a.json", NULL, 0), SSA_EIO, "/nowhere/a.json");
    FAILS(ssa_tuning_load(dev, "/nowhere/a.json"), SSA_EIO, "No such file");
    ssa_device_close(dev);
    json_decref(root);
    end();
}
END_TEST

START_TEST(found_where_it_lies)
{
    char first[160], mine[160], command[512];
    begin();
    json_t *root = good_file();
    struct ssa_device *dev = open_host(folder);
    ck_assert_str_eq(ssa_tuning_origin(dev), path);
    ssa_device_close(dev);

    /* Another device's file comes first by name: passed over without a word. */
    json_object_set_new(at(root, "device", NULL, NULL), "name", json_string("warp drive"));
    snprintf(first, sizeof first, "%s/0.json", folder);
    dump(root, first);
    dev = open_host(folder);
    ck_assert_int_eq(warnings, 0);
    ck_assert_str_eq(ssa_tuning_origin(dev), path);
    ssa_device_close(dev);

    setenv("XDG_CONFIG_HOME", folder, 1);
    dev = open_host("");
    OK(ssa_tuning_path(dev, mine, sizeof mine));
    ck_assert_ptr_nonnull(strstr(mine, "-host.json"));
    const struct ssa_device_info as_it_is = dev->info;
    snprintf(dev->info.name, sizeof dev->info.name, "%s", "\xe9\xbe\x8d"); /* nothing that a file's name keeps */
    snprintf(dev->info.driver, sizeof dev->info.driver, "?../");
    char other[1024];
    OK(ssa_tuning_path(dev, other, sizeof other));
    ck_assert_ptr_nonnull(strstr(other, "/ssacl/tuning/unnamed-unnamed-host.json"));
    dev->info = as_it_is;
    ssa_device_close(dev);
    snprintf(command, sizeof command, "mkdir -p '%s/ssacl/tuning' && mv '%s' '%s'", folder, path, mine);
    ck_assert_int_eq(system(command), 0);
    unsetenv("SSACL_TUNING");
    OK(ssa_device_open(&dev, "cpu"));
    ck_assert_str_eq(ssa_tuning_origin(dev), mine);
    ssa_device_close(dev);
    unsetenv("XDG_CONFIG_HOME");
    json_decref(root);
    end();
}
END_TEST

START_TEST(foreign_and_stale)
{
    static const char *const keys[] = {"name", "vendor", "shape", "driver"};
    begin();
    json_t *root = good_file();
    for (int i = 0; i < 4; i++) {
        json_t *other = json_deep_copy(root);
        json_object_set_new(at(other, "device", NULL, NULL), keys[i], json_string("other"));
        dump(other, path);
        refused(i < 3 ? "is of another device" : "is stale, made with another driver");
        json_decref(other);
    }

    json_object_set_new(at(root, "kernels", "gemm", NULL), "source", json_string("0123456789abcdef"));
    dump(root, path);
    struct ssa_device *dev = open_host(path);
    ck_assert_msg(warnings == 1 && strstr(warning, "is stale for gemm") && strstr(warning, "tune again"), "%s", warning);
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(gemm, ROWS)), 144);
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(attention_bwd, PARTS)), 2);
    ssa_device_close(dev);

    json_object_set_new(at(root, "kernels", "attention_bwd", NULL), "source", json_string(""));
    dump(root, path);
    refused("its kernels (");
    json_decref(root);
    end();
}
END_TEST

/* One value replaced by what no tuner writes. */
static void refused_value(const json_t *root, const char *literal, const char *words)
{
    char *text = json_dumps(root, 0), *all = malloc(strlen(text) + strlen(literal) + 1);
    char *from = strstr(text, "\"ROWS\": 96");
    ck_assert_ptr_nonnull(from);
    sprintf(all, "%.*s\"ROWS\": %s%s", (int)(from - text), text, literal, from + strlen("\"ROWS\": 96"));
    refused_text(all, words);
    free(all);
    free(text);
}

START_TEST(hostile_values)
{
    begin();
    json_t *root = good_file();
    refused_value(root, "97", "must be one of 48, 96");
    refused_value(root, "0", "must be one of");
    refused_value(root, "-96", "not a whole number");
    refused_value(root, "2147483648", "not a whole number");
    refused_value(root, "4294967392", "not a whole number"); /* 96 in 32 bits */
    refused_value(root, "99999999999999999999999", "is not a tuning file");
    refused_value(root, "96.0", "not a whole number");
    refused_value(root, "1e999", "is not a tuning file");
    refused_value(root, "NaN", "is not a tuning file");
    refused_value(root, "Infinity", "is not a tuning file");
    refused_value(root, "\"96\"", "not a whole number");
    refused_value(root, "null", "not a whole number");
    refused_value(root, "[96]", "not a whole number");
    refused_value(root, "{\"a\": 96}", "not a whole number");
    refused_value(root, "96, \"ROWS\": 48", "duplicate");
    refused_value(root, "96, \"%s%n\": 48", "no parameter");
    refused_value(root, "96, \"TILE\": 64", "no parameter \"TILE\""); /* the host's kernels are built already */
    json_decref(root);
    end();
}
END_TEST

START_TEST(hostile_structure)
{
    begin();
    json_t *root = good_file();
    refused_text("", "is not a tuning file");
    refused_text("tile = 64\n", "is not a tuning file");
    refused_text("[]", "is not a tuning file");
    refused_text("{}", "is not a tuning file");
    refused_text("{\"format\": \"ssacl tuning\"}", "\"schema\" is not 1");
    refused_text("{\"format\": \"ssacl tuning\", \"schema\": 2}", "\"schema\" is not 1");
    refused_text("{\"format\": \"ssacl tuning\", \"schema\": 1}", "does not say of which device");
    refused_text("{\"format\": \"ssacl tuning\", \"schema\": 1, \"device\": [1]}", "does not say of which device");
    static const char *const bad[] = {"5", "[]", "\"gemm\"", "{\"warp\": {}}", "{\"gemm\": 7}",
                                      "{\"gemm\": {\"source\": 1, \"parameters\": {}}}",
                                      "{\"gemm\": {\"source\": \"\", \"parameters\": []}}",
                                      "{\"attention_fwd_gpu\": {\"source\": \"\", \"parameters\": {}}}"};
    static const char *const words[] = {"has no \"kernels\"", "has no \"kernels\"", "has no \"kernels\"",
                                        "no kernel \"warp\"", "gemm lacks", "gemm lacks", "gemm lacks",
                                        "no kernel \"attention_fwd_gpu\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *other = json_deep_copy(root);
        json_object_set_new(other, "kernels", json_loads(bad[i], JSON_DECODE_ANY, NULL));
        dump(other, path);
        refused(words[i]);
        json_decref(other);
    }
    json_decref(root);
    end();
}
END_TEST

START_TEST(hostile_files)
{
    begin();
    json_decref(good_file());
    char deep[65000];
    memset(deep, '[', sizeof deep);
    test_save_file(path, deep, sizeof deep);
    refused("is not a tuning file");
    test_save_file(path, "{\"format\0\": 1}", 14);
    refused("is not a tuning file");
    ck_assert_int_eq(truncate(path, (off_t)1 << 30), 0); /* sparse; not a byte of it may be read */
    refused("has 1073741824 bytes");
    ck_assert_int_eq(truncate(path, (off_t)1 << 32), 0); /* none, for 32 bits */
    refused("none is larger");
    ck_assert_int_eq(unlink(path), 0);
    refused("No such file");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused("not a regular file");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink(path, path), 0);
    refused("symbolic links");
    ck_assert_int_eq(unlink(path), 0);
    end();
}
END_TEST

static void check_legal(const struct ssa_device *dev)
{
    struct ssa_tunable list[SSA_TUNED_COUNT];
    int n;
    ssa_tuning_list(dev, list, SSA_TUNED_COUNT, &n);
    for (int i = 0; i < n; i++) {
        int v = 0;
        while (v < list[i].count && list[i].values[v] != list[i].value)
            v++;
        ck_assert_msg(v < list[i].count, "%s of %s is %d", list[i].name, list[i].kernel, list[i].value);
    }
}

START_TEST(damaged_files)
{
    begin();
    json_decref(good_file());
    char good[8192], bad[8192];
    FILE *f = fopen(path, "rb");
    size_t size = fread(good, 1, sizeof good, f);
    fclose(f);
    struct ssa_device *dev = open_host("");
    uint32_t random = 12345;
    for (int i = 0; i < 600; i++) {
        memcpy(bad, good, size);
        for (int j = 0; j <= i % 3; j++) {
            random = random * 1664525u + 1013904223u;
            bad[random % size] = (char)(i % 2 ? "0123456789{}[]\",:-e"[random >> 8 & 15] : (int)(random >> 8));
        }
        test_save_file(path, bad, i % 5 ? size : random % size);
        ssa_tuning_load(dev, path);
        check_legal(dev);
    }
    ssa_device_close(dev);
    end();
}
END_TEST

/* ---- from the table to the launch ---- */

static struct ssa_backend spy;
static int (*real_launch)(struct ssa_device *, const struct ssa_launch *);
static struct ssa_launch seen; /* the last launch of the kernel that is watched */
static const char *watched;

static int spy_launch(struct ssa_device *dev, const struct ssa_launch *l)
{
    if (!strcmp(l->kernel, watched))
        seen = *l;
    return real_launch(dev, l);
}

static int seen_constant(const char *name)
{
    for (int i = 0; i < SSA_MAX_CONSTANTS && seen.constants[i].name; i++)
        if (!strcmp(seen.constants[i].name, name))
            return seen.constants[i].value;
    return -1;
}

static const struct ssa_backend *watch(struct ssa_device *dev, const char *kernel)
{
    const struct ssa_backend *real = dev->backend;
    spy = *real;
    real_launch = real->launch;
    spy.launch = spy_launch;
    dev->backend = &spy;
    watched = kernel;
    return real;
}

struct attention {
    struct ssa_plan plan;
    int batch, length, heads, width;
    size_t count, lse_count;
    float *values[4];
};

static struct attention make_attention(int width)
{
    struct attention a = {.batch = 2, .length = 139, .heads = 3, .width = width};
    struct ssa_sample how = {.kind = SSA_UNBIASED, .length = a.length, .keys = 61, .own_key = 1, .seed = 3};
    OK(ssa_plan_draw(&a.plan, &how));
    a.lse_count = (size_t)(a.batch * a.length * a.heads);
    a.count = a.lse_count * (size_t)width;
    for (int i = 0; i < 4; i++)
        a.values[i] = test_values(a.count, (uint64_t)i + 1, -1, 1);
    return a;
}

static void free_attention(struct attention *a)
{
    for (int i = 0; i < 4; i++)
        free(a->values[i]);
    ssa_plan_finish(&a->plan);
}

/* out, dq, dk, dv, one after the other. */
static float *run_attention(struct ssa_device *dev, const struct attention *a)
{
    struct ssa_tensor in[4], out[4], lse = test_new(dev, a->lse_count), plan = test_plan(dev, &a->plan);
    float *all = malloc(4 * a->count * sizeof *all);
    for (int i = 0; i < 4; i++) {
        in[i] = test_from(dev, a->values[i], a->count);
        out[i] = test_new(dev, a->count);
    }
    OK(ssa_attention_fwd(dev, &(struct ssa_attention_fwd){{
        .q = in[0], .k = in[1], .v = in[2], .out = out[0], .lse = lse, .plan = &a->plan, .plan_data = plan,
        .batch = a->batch, .keys = a->length, .heads = a->heads, .width = a->width, .causal = 1}}));
    OK(ssa_attention_bwd(dev, &(struct ssa_attention_bwd){
        .attention = {.q = in[0], .k = in[1], .v = in[2], .out = out[0], .lse = lse, .plan = &a->plan,
        .plan_data = plan, .batch = a->batch, .keys = a->length, .heads = a->heads, .width = a->width, .causal = 1},
        .dout = in[3], .dq = out[1], .dk = out[2], .dv = out[3]}));
    for (int i = 0; i < 4; i++) {
        float *x = test_read(out[i], a->count);
        memcpy(all + (size_t)i * a->count, x, a->count * sizeof *x);
        free(x);
        test_free(in[i], a->count);
        test_free(out[i], a->count);
    }
    test_free(lse, a->lse_count);
    test_free(plan, a->plan.stride * (size_t)a->plan.examples);
    return all;
}

enum { ROWS = 331, IN = 141, OUT = 77 };

/* y, dx, dw, one after the other. */
static float *run_linear(struct ssa_device *dev)
{
    const size_t sizes[] = {ROWS * IN, IN * OUT, ROWS * OUT};
    const int from[] = {2, 0, 1}; /* the outputs are as large as these inputs */
    float *all = malloc((sizes[0] + sizes[1] + sizes[2]) * sizeof *all), *to = all;
    struct ssa_tensor in[3], out[3];
    for (int i = 0; i < 3; i++) {
        float *x = test_values(sizes[i], (uint64_t)i + 9, -1, 1);
        in[i] = test_from(dev, x, sizes[i]);
        out[i] = test_new(dev, sizes[from[i]]);
        free(x);
    }
    OK(ssa_linear_fwd(dev, &(struct ssa_linear_fwd){.x = in[0], .w = in[1], .y = out[0], .rows = ROWS, .in = IN,
                                                    .out = OUT}));
    OK(ssa_linear_bwd(dev, &(struct ssa_linear_bwd){.x = in[0], .w = in[1], .dy = in[2], .dx = out[1], .dw = out[2],
                                                    .rows = ROWS, .in = IN, .out = OUT}));
    for (int i = 0; i < 3; i++) {
        float *x = test_read(out[i], sizes[from[i]]);
        memcpy(to, x, sizes[from[i]] * sizeof *x);
        to += sizes[from[i]];
        free(x);
        test_free(out[i], sizes[from[i]]);
        test_free(in[i], sizes[i]);
    }
    return all;
}

static void run_narrow(struct ssa_device *dev, int rows)
{
    struct ssa_tensor x = test_new(dev, 3 * (size_t)rows), w = test_new(dev, 15), y = test_new(dev, 5 * (size_t)rows);
    OK(ssa_linear_fwd(dev, &(struct ssa_linear_fwd){.x = x, .w = w, .y = y, .rows = rows, .in = 3, .out = 5}));
    test_free(x, 3 * (size_t)rows);
    test_free(w, 15);
    test_free(y, 5 * (size_t)rows);
}

START_TEST(values_reach_the_launch)
{
    struct attention a = make_attention(64);
    FOR_DEVICES (dev) {
        bool gpu = dev->info.gpu_shape, host = dev->info.kind == SSA_DEVICE_HOST;
        if (!gpu && !strcmp(dev->info.platform, "rusticl")) /* minutes to compile in the CPU shape */
            continue;
        const struct ssa_backend *real = watch(dev, "attention_fwd");
        if (!gpu && !host) {
            OK(ssa_tuning_set(dev, &(struct ssa_tuning_setting){"attention_fwd", "TILE", 32}, 1));
            free(run_attention(dev, &a));
            ck_assert_int_eq(seen_constant("TILE"), 32);
            ck_assert_int_eq(seen_constant("D"), 64);
            ck_assert_uint_eq(seen.global[0], (139 + 31) / 32);
        }
        if (gpu && getenv("SSACL_CLBLAST_LIBRARY")) {
            watched = "gemm_gpu";
            OK(ssa_tuning_set(dev, &(struct ssa_tuning_setting){"gemm_gpu", "SIDE", 8}, 1));
            OK(ssa_tuning_set(dev, &(struct ssa_tuning_setting){"gemm_gpu", "TILE", 32}, 1));
            run_narrow(dev, 100);
            ck_assert_int_eq(seen_constant("SIDE"), 8);
            ck_assert_int_eq(seen_constant("TILE"), 32);
            ck_assert_uint_eq(seen.local[0], 8);
            ck_assert_uint_eq(seen.global[1], 4 * 8);
        }
        if (!gpu) {
            watched = "gemm";
            OK(ssa_tuning_set(dev, &(struct ssa_tuning_setting){"gemm", "ROWS", 48}, 1));
            int rows = 200 * 32 * dev->info.units; /* more than the work-items of 144 rows that it starts with */
            run_narrow(dev, rows);
            ck_assert_int_eq(seen.args[12].i, 48);
            ck_assert_uint_eq(seen.global[0], ((size_t)rows + 47) / 48);
        }
        dev->backend = real;
        ssa_tuning_reset(dev, NULL);
    }
    free_attention(&a);
}
END_TEST

START_TEST(all_or_none)
{
    struct ssa_device *dev = open_host("");
    const struct ssa_tuning_setting some[] = {{"gemm", "ROWS", 48}, {"gemm", "ITEMS", 3}};
    FAILS(ssa_tuning_set(dev, some, 2), SSA_EINVAL, "ITEMS of gemm is 3, must be one of 2, 4, 8");
    ck_assert_int_eq(ssa_tuned(dev, SSA_TUNED(gemm, ROWS)), 144);
    FAILS(ssa_tuning_set(dev, &(struct ssa_tuning_setting){"gemm_gpu", "TILE", 64}, 1), SSA_EINVAL, "no parameter");
    FAILS(ssa_tuning_set(dev, &(struct ssa_tuning_setting){"gemm", "TILE", 64}, 1), SSA_EINVAL, "no parameter \"TILE\"");
    ssa_device_close(dev);

    /* Limits of devices, without the devices. */
    struct ssa_device small = {.info = {.kind = SSA_DEVICE_GPU, .gpu_shape = 1, .units = 4, .max_group = 64,
                                        .local_memory = 32768, .name = "small"}};
    ck_assert_int_eq(ssa_tuned(&small, SSA_TUNED(gemm_gpu, SIDE)), 8);
    OK(ssa_tuning_set(&small, NULL, 0)); /* the defaults fit */
    FAILS(ssa_tuning_set(&small, &(struct ssa_tuning_setting){"gemm_gpu", "SIDE", 16}, 1), SSA_EINVAL,
          "work-groups of 256, small has at most 64");
    struct ssa_device cramped = {.info = {.kind = SSA_DEVICE_GPU, .gpu_shape = 1, .units = 4, .max_group = 1024,
                                          .local_memory = 16384, .name = "cramped"}};
    const struct ssa_tuning_setting large[] = {{"gemm_gpu", "TILE", 128}, {"gemm_gpu", "DEPTH", 32}};
    FAILS(ssa_tuning_set(&cramped, large, 2), SSA_EINVAL, "local memory, cramped has 16384");
    struct ssa_device processor = {.info = {.kind = SSA_DEVICE_CPU, .units = 4, .name = "processor"}};
    FAILS(ssa_tuning_set(&processor, &(struct ssa_tuning_setting){"gemm", "NV", 4}, 1), SSA_EINVAL, "NV x VW is 4 x 16");
}
END_TEST

/* Bytes of local memory of attention's kernels: what cl/attention_gpu.h says, counted here from the tile. */
static size_t local_bytes(struct attention_tile t, int width)
{
    const int items = t.side * t.tall, columns = 4 * t.side, most = t.rows > columns ? t.rows : columns;
    const int widest = (width + t.side - 1) / t.side * t.side;
    int pool = 16 * (t.rows + columns);
    if (16 * (t.rows + widest) > pool)
        pool = 16 * (t.rows + widest);
    if (items * t.each + t.rows * t.side / t.each > pool)
        pool = items * t.each + t.rows * t.side / t.each;
    return sizeof(float) * (size_t)(pool + 4 * most);
}

START_TEST(tiles)
{
    for (int few = 0; few < 2; few++)
        for (size_t group = 64; group <= 256; group *= 4) {
            struct ssa_device d = {.few_registers = few, .info = {.kind = SSA_DEVICE_GPU, .gpu_shape = 1, .name = "small",
                                   .max_group = group, .local_memory = 32768}};
            OK(ssa_tuning_set(&d, NULL, 0));
            for (int width = 8; width <= 256; width += 8)
                for (int rows = 1; rows <= 256; rows *= 4) {
                    struct attention_tile t = ssa_attention_tile(&d, "attention_bwd_gpu", rows, width, false);
                    ck_assert_msg((size_t)(t.side * t.tall) <= group && t.tall >= 4 && t.rows == t.tall * t.each &&
                                      t.rows <= t.side * t.tall && 4 * t.side <= t.side * t.tall,
                                  "few %d, group %zu, width %d: %d x %d of %d", few, group, width, t.side, t.tall,
                                  t.each);
                    ck_assert_msg(local_bytes(t, width) <= 32768, "few %d, group %zu, width %d: %zu bytes", few, group,
                                  width, local_bytes(t, width));
                }
        }
}
END_TEST

/* ---- every legal value computes the same ---- */

/* Turn `turn` gives every parameter of the kernel its value of that number, the last ones over again: each value has its
 * turn, with neighbours at either end too. Turn -1: all at their largest. What does not fit the device is left out. */
static bool take_turn(struct ssa_device *dev, const char *kernel, int turn, char *text, size_t size)
{
    struct ssa_tunable list[SSA_TUNED_COUNT];
    struct ssa_tuning_setting settings[SSA_TUNED_COUNT];
    int n, count = 0, most = 0;
    ssa_tuning_reset(dev, NULL);
    ssa_tuning_list(dev, list, SSA_TUNED_COUNT, &n);
    snprintf(text, size, "%s", kernel);
    for (int i = 0; i < n; i++) {
        if (strcmp(list[i].kernel, kernel))
            continue;
        int which = turn < 0 ? list[i].count - 1 : turn % list[i].count;
        most = list[i].count > most ? list[i].count : most;
        settings[count++] = (struct ssa_tuning_setting){kernel, list[i].name, list[i].values[which]};
        snprintf(text + strlen(text), size - strlen(text), " %s=%d", list[i].name, list[i].values[which]);
    }
    return turn < most && count && !ssa_tuning_set(dev, settings, count);
}

static void check_close(const float *got, const double *want, size_t count, const char *what,
                        const struct ssa_device *dev)
{
    char message[512];
    ck_assert_msg(test_close_to(what, got, want, count, 2e-4, 1e-4, message, sizeof message), "%s on %s", message,
                  dev->info.id);
}

static int try_kernel(const char *kernel, struct ssa_device *dev, const double *want, size_t count,
                      const struct attention *a)
{
    char text[256];
    int tried = 0;
    for (int turn = -1; turn < 5; turn++) {
        if (!take_turn(dev, kernel, turn, text, sizeof text))
            continue;
        float *got = a ? run_attention(dev, a) : run_linear(dev);
        check_close(got, want, count, text, dev);
        free(got);
        tried++;
    }
    ssa_tuning_reset(dev, NULL);
    return tried;
}

/* llvmpipe takes minutes to compile the CPU shape. */
static bool left_out(const struct ssa_device *dev)
{
    return !strcmp(dev->info.platform, "rusticl") && !dev->info.gpu_shape;
}

START_TEST(every_value_is_right)
{
    struct ssa_device *host = open_host("");
    struct attention a = make_attention(24);
    size_t linear = ROWS * OUT + ROWS * IN + IN * OUT;
    float *x = run_attention(host, &a), *y = run_linear(host);
    double *want = test_doubles(x, 4 * a.count), *want_linear = test_doubles(y, linear);
    FOR_DEVICES (dev) {
        bool gpu = dev->info.gpu_shape, own = !gpu || getenv("SSACL_CLBLAST_LIBRARY");
        if (left_out(dev))
            continue;
        struct ssa_tunable list[SSA_TUNED_COUNT];
        int n;
        ssa_tuning_list(dev, list, SSA_TUNED_COUNT, &n);
        for (int i = 0; i < n; i++) {
            bool gemm = !strncmp(list[i].kernel, "gemm", 4);
            if ((i && !strcmp(list[i].kernel, list[i - 1].kernel)) || (gemm && !own))
                continue;
            int tried = gemm ? try_kernel(list[i].kernel, dev, want_linear, linear, NULL)
                             : try_kernel(list[i].kernel, dev, want, 4 * a.count, &a);
            ck_assert_int_gt(tried, 1);
        }
    }
    free(x);
    free(y);
    free(want);
    free(want_linear);
    free_attention(&a);
    ssa_device_close(host);
}
END_TEST

int main(void)
{
    return test_run("tuning", (const TTest *const[]){saved_and_loaded, found_where_it_lies, foreign_and_stale,
                                                     hostile_values, hostile_structure, hostile_files, damaged_files,
                                                     all_or_none, tiles, values_reach_the_launch, every_value_is_right, NULL});
}
