/* What a container leaves of the machine: ssa_machine_read() on trees of files as /proc and /sys have them. */
#include "harness.h"
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20 };
#define OVERLAY "22 1 0:21 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/b\n"
#define V2(shown) OVERLAY "30 22 0:26 " shown " /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n"
#define V1(shown) OVERLAY \
    "40 22 0:30 " shown " /sys/fs/cgroup/cpu,cpuacct ro shared:9 - cgroup cgroup rw,cpu,cpuacct\n" \
    "41 22 0:31 " shown " /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n" \
    "42 22 0:32 " shown " /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n"

static char root[] = "/tmp/ssacl-containers-XXXXXX";

struct file {
    const char *path, *text;
};
struct tree {
    const char *what;
    struct file files[8];
    int processors;  /* of very many; 0: no limit */
    size_t memory;   /* MiB; 0: no limit */
};

static void put(const struct file *f)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, f->path);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(path, 0700);
    }
    test_save_file(path, f->text, strlen(f->text));
}

static void clear(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'/*", root);
    ck_assert_int_eq(system(command), 0);
}

static const struct tree trees[] = {
    {"no control groups", {{"/proc/self/mountinfo", OVERLAY}}, 0, 0},
    {"nothing to read", {{"/proc/none", ""}}, 0, 0},
    {"v2, in a namespace", {{"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", V2("/")},
      {"/sys/fs/cgroup/cpu.max", "50000 100000\n"}, {"/sys/fs/cgroup/memory.max", "209715200\n"}}, 1, 200},
    {"v2, no limits", {{"/proc/self/cgroup", "0::/user.slice\n"}, {"/proc/self/mountinfo", V2("/")},
      {"/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"}, {"/sys/fs/cgroup/user.slice/memory.max", "max\n"}}, 0, 0},
    {"v2, groups around it", {{"/proc/self/cgroup", "0::/a/b/c\n"}, {"/proc/self/mountinfo", V2("/")},
      {"/sys/fs/cgroup/a/cpu.max", "100000 100000\n"}, {"/sys/fs/cgroup/a/b/memory.max", "314572800\n"},
      {"/sys/fs/cgroup/a/memory.max", "419430400\n"}, {"/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"}}, 1, 300},
    {"v2, a container seen from inside without a namespace", {{"/proc/self/cgroup", "0::/docker/0123\n"},
      {"/proc/self/mountinfo", V2("/docker/0123")}, {"/sys/fs/cgroup/cpu.max", "20000 100000\n"},
      {"/sys/fs/cgroup/memory.max", "104857600\n"}}, 1, 100},
    {"v2, moved out of its namespace", {{"/proc/self/cgroup", "0::/../other\n"}, {"/proc/self/mountinfo", V2("/")},
      {"/sys/fs/cgroup/memory.max", "104857600\n"}}, 0, 100},
    {"v2, memory that is throttled before it ends", {{"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", V2("/")},
      {"/sys/fs/cgroup/memory.max", "314572800\n"}, {"/sys/fs/cgroup/memory.high", "104857600\n"}}, 0, 100},
    {"v2, a folder with a space", {{"/proc/self/cgroup", "0::/my job\n"},
      {"/proc/self/mountinfo", "30 22 0:26 / /sys/fs/control\\040groups rw - cgroup2 cgroup2 rw\n"},
      {"/sys/fs/control groups/my job/memory.max", "104857600\n"}}, 0, 100},
    {"v1", {{"/proc/self/cgroup", "5:memory:/job\n4:cpu,cpuacct:/job\n3:cpuset:/\n"}, {"/proc/self/mountinfo", V1("/")},
      {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "209715200\n"}}, 1, 200},
    {"v1, no limits", {{"/proc/self/cgroup", "5:memory:/\n4:cpu,cpuacct:/\n"}, {"/proc/self/mountinfo", V1("/")},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}}, 0, 0},
    {"v1, a container, and a group around it",
     {{"/proc/self/cgroup", "5:memory:/docker/01/sub\n4:cpuacct,cpu:/docker/01\n"},
      {"/proc/self/mountinfo", V1("/docker/01")}, {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "10000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "104857600\n"},
      {"/sys/fs/cgroup/memory/sub/memory.limit_in_bytes", "9223372036854771712\n"}}, 1, 100},
    {"both: memory in v1, processors in v2", {{"/proc/self/cgroup", "5:memory:/m\n0::/c\n"},
      {"/proc/self/mountinfo", V1("/") "50 22 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"},
      {"/sys/fs/cgroup/unified/c/cpu.max", "1000 100000\n"},
      {"/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "104857600\n"}}, 1, 100},
    {"rubbish", {{"/proc/self/cgroup", "\n:\n::\n0::\n5:memory\n"}, {"/proc/self/mountinfo", V2("/") "\n - \na b c\n"},
      {"/sys/fs/cgroup/cpu.max", "100000\n"}, {"/sys/fs/cgroup/memory.max", "lots\n"}}, 0, 0},
};

START_TEST(control_groups)
{
    struct ssa_machine all, m;
    ssa_machine_read(&all, "/nowhere");
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        const struct tree *t = &trees[i];
        for (int f = 0; f < 8 && t->files[f].path; f++)
            put(&t->files[f]);
        ssa_machine_read(&m, root);
        ck_assert_msg(m.processors == (t->processors ? t->processors : all.processors), "%s: %d processors", t->what,
                      m.processors);
        ck_assert_msg(m.memory == (t->memory ? t->memory * MIB : all.memory), "%s: %zu bytes", t->what, m.memory);
        clear();
    }
}
END_TEST

/* What the process holds already is not there for devices. */
START_TEST(what_is_used)
{
    struct ssa_machine m;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    put(&(struct file){"/proc/self/cgroup", "0::/\n"});
    put(&(struct file){"/proc/self/mountinfo", V2("/")});
    put(&(struct file){"/sys/fs/cgroup/memory.max", "209715200\n"});
    put(&(struct file){"/proc/self/statm", "9000 1000 300 20 0 700 0\n"});
    ssa_machine_read(&m, root);
    ck_assert_uint_eq(m.memory, (size_t)200 * MIB - 1000 * page);
    put(&(struct file){"/sys/fs/cgroup/memory.max", "4096\n"});
    ssa_machine_read(&m, root);
    ck_assert_uint_eq(m.memory, 0);
    clear();
}
END_TEST

START_TEST(resource_limits)
{
    struct ssa_machine m;
    struct rlimit old, less;
    ck_assert_int_eq(getrlimit(RLIMIT_DATA, &old), 0);
    less = (struct rlimit){(rlim_t)512 * MIB, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &less), 0);
    ssa_machine_read(&m, root);
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &old), 0);
    ck_assert_uint_eq(m.memory, (size_t)512 * MIB);
}
END_TEST

/* ---- $SSACL_THREADS ---- */

static char warning[512];

static void keep_warning(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level == SSA_LOG_WARNING)
        snprintf(warning, sizeof warning, "%s", line);
}

START_TEST(threads)
{
    static const char *const bad[] = {"abc", "4,2", "0", "-1", "99999", "1025", "4 ", " 4", "+4", "1e3", "4294967297",
                                      "99999999999999999999"};
    struct ssa_device *device;
    struct ssa_machine m;
    ssa_machine_read(&m, "");
    ssa_set_log(keep_warning, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        *warning = 0;
        setenv("SSACL_THREADS", bad[i], 1);
        OK(ssa_device_open(&device, "cpu"));
        ck_assert_int_eq(device->info.units, m.processors);
        ssa_device_close(device);
        ck_assert_msg(strstr(warning, "$SSACL_THREADS") && strstr(warning, bad[i]), "%s: \"%s\"", bad[i], warning);
    }
    *warning = 0;
    setenv("SSACL_THREADS", "", 1);
    OK(ssa_device_open(&device, "cpu"));
    ssa_device_close(device);
    setenv("SSACL_THREADS", "2", 1);
    OK(ssa_device_open(&device, "cpu"));
    ck_assert_int_eq(device->info.units, 2);
    ssa_device_close(device);
    ck_assert_str_eq(warning, "");
    ssa_set_log(NULL, NULL);
}
END_TEST

int main(void)
{
    if (!mkdtemp(root))
        return EXIT_FAILURE;
    int failed = test_run_alone("containers", (const TTest *const[]){control_groups, what_is_used, resource_limits,
                                                                     threads, NULL});
    rmdir(root);
    return failed;
}
