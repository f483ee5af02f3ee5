/* Built programs in the cache, on every OpenCL device: whatever is done to the files, kernels are right, and what was
 * damaged is made anew. */
#include "harness.h"
#include "ocl/ocl.h"
#include "disk/store.h"

#include <dirent.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, MAX = 16, PATH = 512, ENTRY = 1 << 22, CHILDREN = 3 };

extern char **environ;

static char root[] = "/tmp/ssacl-test-XXXXXX";
static struct ssa_device_info devices[MAX];
static int device_count;
static char log_text[1 << 16]; /* of the last use of a device */

static void keep_log(void *cookie, int level, const char *line)
{
    (void)cookie, (void)level;
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
}

static bool said(const char *words)
{
    return strstr(log_text, words) != NULL;
}

/* Opens the device, builds and runs a kernel, closes it. `identity`, if not NULL, becomes the device's. */
static void use(const char *id, char *identity)
{
    struct ssa_device *d;
    struct ssa_buffer *b;
    float x[3] = {1, 2, 3};
    *log_text = 0;
    OK(ssa_device_open(&d, id));
    OK(ssa_buffer_create(&b, d, 12));
    struct ssa_tensor t = ssa_tensor_at(b, 0);
    OK(ssa_tensor_write(t, x, 3));
    OK(ssa_add(d, &(struct ssa_add){.x = t, .y = t, .out = t, .count = 3}));
    OK(ssa_tensor_read(t, x, 3));
    ck_assert(x[0] == 2 && x[1] == 4 && x[2] == 6);
    if (identity)
        snprintf(identity, sizeof ocl(d)->identity, "%s", ocl(d)->identity);
    ssa_buffer_destroy(b);
    ssa_device_close(d);
}

/* An empty cache but for what opening the device asks, and a verdict on its binaries; NULL: none yet. */
static void fresh(const char *id, const char *verdict)
{
    static int number;
    char folder[PATH], identity[sizeof((struct ocl_device *)0)->identity];
    snprintf(folder, sizeof folder, "%s/%d", root, number++);
    setenv("SSACL_CACHE", "0", 1);
    use(id, identity);
    unsetenv("SSACL_CACHE");
    ck_assert_str_ne(identity, "");
    setenv("SSACL_CACHE_DIR", folder, 1);
    ck_assert(ssa_store_put("loops", identity, (int32_t[]){1 << 17}, sizeof(int32_t)));
    if (verdict)
        ck_assert(ssa_store_put("binaries", identity, verdict, strlen(verdict) + 1));
}
static const char yes[] = "yes: 1000 seconds saved";

/* How many programs are kept; `path` becomes the last one's. */
static int programs(char path[2 * PATH])
{
    const char *folder = getenv("SSACL_CACHE_DIR");
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, "ssacl-program-", 14)) {
            if (path)
                snprintf(path, 2 * PATH, "%s/%s", folder, e->d_name);
            n++;
        }
    if (d)
        closedir(d);
    return n;
}

static size_t load(const char *path, unsigned char *bytes)
{
    size_t n = test_load_file(path, bytes, ENTRY);
    ck_assert_uint_lt(n, ENTRY);
    return n;
}

/* One kept program in a fresh cache; its path. */
static void keep_one(const char *id, char path[2 * PATH])
{
    fresh(id, yes);
    use(id, NULL);
    ck_assert(!said("from the cache"));
    ck_assert_int_eq(programs(path), 1);
    use(id, NULL);
    ck_assert(said("from the cache") && !said("built"));
}

/* The entry at `path` must not be used, and be whole again afterwards. */
static void expect_rebuilt(const char *id, const char *why)
{
    use(id, NULL);
    ck_assert_msg(!said("from the cache") && said("built"), "%s: the log: %s", why, log_text);
    use(id, NULL);
    ck_assert_msg(said("from the cache") && !said("built"), "%s: the log: %s", why, log_text);
}

#define FOR_OPENCL(id) \
    for (int id##_i = 0; id##_i < device_count; id##_i++) \
        for (const char *id = devices[id##_i].id; id; id = NULL)

START_TEST(damaged)
{
    unsigned char *whole = malloc(ENTRY);
    FOR_OPENCL (id) {
        char path[2 * PATH], why[64];
        keep_one(id, path);
        size_t n = load(path, whole), header = 40;
        const size_t places[] = {0, 8, 12, 16, 24, 32, header, header + 10, n / 2, n - 100, n - 1};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            whole[places[i]] ^= 4;
            test_save_file(path, whole, n);
            whole[places[i]] ^= 4;
            snprintf(why, sizeof why, "%s, byte %zu of %zu", id, places[i], n);
            expect_rebuilt(id, why);
        }
        const size_t lengths[] = {0, 1, header, n / 2, n - 1};
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            test_save_file(path, whole, lengths[i]);
            snprintf(why, sizeof why, "%s, %zu of %zu bytes", id, lengths[i], n);
            expect_rebuilt(id, why);
        }
        whole[n] = 0;
        test_save_file(path, whole, n + 1);
        expect_rebuilt(id, "a byte too many");
    }
    free(whole);
}
END_TEST

/* A whole entry, but of another program. */
START_TEST(foreign)
{
    unsigned char *other = malloc(ENTRY);
    FOR_OPENCL (id) {
        char path[2 * PATH], other_path[2 * PATH];
        fresh(id, yes);
        ck_assert(ssa_store_put("program", "another device", "not for this driver", 19));
        ck_assert_int_eq(programs(other_path), 1);
        size_t n = load(other_path, other);
        keep_one(id, path);
        test_save_file(path, other, n);
        expect_rebuilt(id, "foreign");
    }
    free(other);
}
END_TEST

START_TEST(unreadable)
{
    FOR_OPENCL (id) {
        char path[2 * PATH];
        keep_one(id, path);
        unlink(path);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        use(id, NULL);
        ck_assert(said("built"));
        use(id, NULL);
        ck_assert(said("built")); /* a directory is not written over */
        ck_assert_int_eq(rmdir(path), 0);
        expect_rebuilt(id, "unreadable");
    }
}
END_TEST

START_TEST(no_directory)
{
    char file[PATH];
    snprintf(file, sizeof file, "%s/file", root);
    test_save_file(file, "", 0);
    FOR_OPENCL (id) {
        setenv("SSACL_CACHE_DIR", file, 1);
        use(id, NULL);
        use(id, NULL);
        ck_assert(said("built"));
        fresh(id, yes);
        setenv("SSACL_CACHE", "0", 1);
        use(id, NULL);
        ck_assert_int_eq(programs(NULL), 0);
        unsetenv("SSACL_CACHE");
    }
}
END_TEST

/* Whether binaries are kept is measured once, and again if they turn out dear. */
START_TEST(verdict)
{
    FOR_OPENCL (id) {
        char words[160];
        fresh(id, NULL);
        use(id, NULL);
        ck_assert_msg(said("kept as binaries: yes") ^ said("kept as binaries: no"), "the log: %s", log_text);
        ck_assert_int_eq(programs(NULL), said("kept as binaries: yes"));
        snprintf(words, sizeof words, "%.150s", strstr(log_text, "kept as binaries"));
        fprintf(stderr, "%s: %s\n", id, strtok(words, "\n"));
        use(id, NULL);
        ck_assert(!said("kept as binaries"));
        fresh(id, "no: anything");
        use(id, NULL);
        ck_assert_int_eq(programs(NULL), 0);
        fresh(id, "yes: 0.000000000001 seconds saved");
        use(id, NULL);
        ck_assert(said("kept as binaries: no"));
        ck_assert_int_eq(programs(NULL), 0);
        fresh(id, ""); /* nonsense counts as no */
        use(id, NULL);
        ck_assert_int_eq(programs(NULL), 0);
    }
}
END_TEST

/* Sources from a directory are the driver's to read: they may change at any time. */
START_TEST(edited)
{
    static const char source[] =
        "__kernel void add(__global float *x, ulong x_at, __global float *y, ulong y_at, __global float *out,"
        " ulong out_at, ulong count) { ulong i = get_global_id(0); for (; i < count; i += get_global_size(0))"
        " out[out_at + i] = x[x_at + i] + y[y_at + i]; }";
    char file[PATH];
    snprintf(file, sizeof file, "%s/add.cl", root);
    test_save_file(file, source, sizeof source - 1);
    FOR_OPENCL (id) {
        fresh(id, yes);
        setenv("SSACL_CL_DIR", root, 1);
        use(id, NULL);
        use(id, NULL);
        unsetenv("SSACL_CL_DIR");
        ck_assert(said("built") && !said("from the cache"));
        ck_assert_int_eq(programs(NULL), 0);
    }
}
END_TEST

static const char *child_id;

START_TEST(child)
{
    use(child_id, NULL);
}
END_TEST

static pid_t start(const char *id)
{
    char program[] = "/proc/self/exe", name[32];
    pid_t child = -1;
    snprintf(name, sizeof name, "%s", id);
    char *arguments[] = {program, name, NULL};
    ck_assert_int_eq(posix_spawn(&child, program, NULL, NULL, arguments, environ), 0);
    return child;
}

START_TEST(processes)
{
    FOR_OPENCL (id) {
        pid_t children[CHILDREN];
        fresh(id, yes);
        for (int i = 0; i < CHILDREN; i++)
            children[i] = start(id);
        for (int i = 0; i < CHILDREN; i++) {
            int status = -1;
            waitpid(children[i], &status, 0);
            ck_assert_int_eq(status, 0);
        }
        ck_assert_int_eq(programs(NULL), 1);
        use(id, NULL);
        ck_assert(said("from the cache"));
    }
}
END_TEST

static void find_devices(void)
{
    struct ssa_device_info all[MAX];
    const char *wanted = getenv("SSA_TEST_DEVICES");
    int n = 0;
    ssa_device_list(all, MAX, &n);
    for (int i = 0; i < n && i < MAX; i++)
        if (all[i].kind != SSA_DEVICE_HOST && (wanted && *wanted ? strstr(wanted, all[i].id) != NULL
                                                                 : !strstr(all[i].platform, "Oclgrind")))
            devices[device_count++] = all[i];
}

int main(int argc, char **argv)
{
    ssa_set_log(keep_log, NULL);
    if (argc > 1) {
        child_id = argv[1];
        return test_run_alone("cache", (const TTest *const[]){child, NULL});
    }
    find_devices();
    if (!device_count || !mkdtemp(root))
        return SKIPPED;
    int failed = test_run_alone("cache", (const TTest *const[]){
        damaged, foreign, unreadable, no_directory, verdict, edited, processes, NULL});
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command) || failed;
}
