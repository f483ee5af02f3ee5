/* The store of blobs on disk: whatever happens to its files, a blob comes back whole or not at all. */
#include "harness.h"
#include "disk/store.h"
#include "ssacl/cache.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

enum { SKIPPED = 77, PATH = 512, WRITERS = 4, ROUNDS = 100 };

static char folder[PATH]; /* a fresh $SSACL_CACHE_DIR for every test, inside `root` */
static char root[] = "/tmp/ssacl-test-XXXXXX";
static char last_log[1024];
static int warnings;

static void keep_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    snprintf(last_log, sizeof last_log, "%s", line);
    warnings += level <= SSA_LOG_WARNING;
}

static void fresh(const char *name)
{
    snprintf(folder, sizeof folder, "%s/%s", root, name);
    setenv("SSACL_CACHE_DIR", folder, 1);
    unsetenv("SSACL_CACHE");
}

static bool holds(const char *kind, const char *key, const void *blob, size_t size)
{
    size_t got = 0;
    void *p = ssa_store_get(kind, key, &got);
    bool same = p && got == size && !memcmp(p, blob, size);
    free(p);
    return same;
}

static bool absent(const char *kind, const char *key)
{
    size_t got = 0;
    void *p = ssa_store_get(kind, key, &got);
    free(p);
    return !p;
}

/* The only file of the folder. */
static void only_file(char path[2 * PATH])
{
    int n = 0;
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        if (*e->d_name != '.') {
            snprintf(path, 2 * PATH, "%s/%s", folder, e->d_name);
            n++;
        }
    closedir(d);
    ck_assert_int_eq(n, 1);
}

START_TEST(round_trip)
{
    char *large = calloc(1, 1 << 20);
    fresh("round_trip");
    ck_assert(absent("program", "key"));
    ck_assert(ssa_store_put("program", "key", "one", 3));
    ck_assert(ssa_store_put("verdict", "key", "two", 4));
    ck_assert(ssa_store_put("program", "key ", "", 0));
    ck_assert(holds("program", "key", "one", 3));
    ck_assert(holds("verdict", "key", "two", 4));
    ck_assert(holds("program", "key ", "", 0));
    ck_assert(absent("program", "ke"));
    memset(large, 'x', 1 << 20);
    ck_assert(ssa_store_put("program", "key", large, 1 << 20));
    ck_assert(holds("program", "key", large, 1 << 20));
    struct stat s;
    ck_assert_int_eq(stat(folder, &s), 0);
    ck_assert_uint_eq(s.st_mode & 0777, 0700);
    free(large);
}
END_TEST

/* ---- damage ---- */

/* The layout of a file, known here a second time. */
enum { AT_VERSION = 8, AT_KIND_SIZE = 12, AT_KEY_SIZE = 16, AT_BLOB_SIZE = 24, AT_CHECKSUM = 32, AT_KIND = 40 };

static void sign(unsigned char *bytes, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325u;
    memset(bytes + AT_CHECKSUM, 0, 8);
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    memcpy(bytes + AT_CHECKSUM, &sum, sizeof sum);
}

static const char *said_of(size_t at)
{
    return at < AT_VERSION ? "none of ours" : at < AT_KIND_SIZE ? "format" : at < AT_CHECKSUM ? "length" : "checksum";
}

START_TEST(every_bit)
{
    unsigned char whole[256], bytes[256];
    char path[2 * PATH];
    fresh("every_bit");
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    only_file(path);
    size_t n = test_load_file(path, whole, sizeof whole);
    ck_assert_uint_eq(n, AT_KIND + 4 + 5 + 7);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        memcpy(bytes, whole, n);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        test_save_file(path, bytes, n);
        ck_assert_msg(absent("kind", "a key"), "bit %zu", bit);
        ck_assert_msg(strstr(last_log, said_of(bit / 8)) != NULL, "bit %zu: it says \"%s\"", bit, last_log);
    }
    memcpy(bytes, whole, n);
    sign(bytes, n);
    ck_assert_mem_eq(bytes, whole, n); /* what sign() makes is taken, so that the tests below mean something */
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    ck_assert(holds("kind", "a key", "payload", 7));
}
END_TEST

START_TEST(every_length)
{
    unsigned char whole[256] = {0};
    char path[2 * PATH];
    fresh("every_length");
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    only_file(path);
    size_t n = test_load_file(path, whole, sizeof whole);
    for (size_t size = 0; size < sizeof whole; size++)
        if (size != n) {
            test_save_file(path, whole, size);
            ck_assert_msg(absent("kind", "a key"), "%zu of %zu bytes", size, n);
        }
    ck_assert_int_eq(truncate(path, (off_t)1 << 40), 0); /* a hole: more than the store may hold */
    ck_assert(absent("kind", "a key"));
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    ck_assert(holds("kind", "a key", "payload", 7));
}
END_TEST

/* Rightly signed, but not what we would have written. */
START_TEST(foreign)
{
    static const struct {
        size_t at, size;
        uint64_t value;
        const char *says;
    } changes[] = {
        {AT_VERSION, 4, 2, "format"},           {AT_VERSION, 4, 0, "format"},
        {AT_KIND_SIZE, 4, 5, "length"},         {AT_KIND_SIZE, 4, 0xffffffff, "length"},
        {AT_KEY_SIZE, 8, UINT64_MAX, "length"}, {AT_KEY_SIZE, 8, UINT64_MAX - 10, "length"},
        {AT_BLOB_SIZE, 8, 6, "length"},         {AT_BLOB_SIZE, 8, UINT64_MAX, "length"},
        {AT_BLOB_SIZE, 8, (uint64_t)1 << 63, "length"}, {AT_KIND, 1, 'K', "another key"},
        {AT_KIND + 4, 1, 'A', "another key"},
    };
    unsigned char whole[256], bytes[256];
    char path[2 * PATH];
    fresh("foreign");
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    only_file(path);
    size_t n = test_load_file(path, whole, sizeof whole);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(bytes, whole, n);
        memcpy(bytes + changes[i].at, &changes[i].value, changes[i].size);
        sign(bytes, n);
        test_save_file(path, bytes, n);
        ck_assert_msg(absent("kind", "a key"), "change %zu", i);
        ck_assert_msg(strstr(last_log, changes[i].says) != NULL, "change %zu: it says \"%s\"", i, last_log);
    }
    memcpy(bytes, whole, n); /* lengths that add up, cut elsewhere: "kinda" " key" */
    bytes[AT_KIND_SIZE]++, bytes[AT_KEY_SIZE]--;
    sign(bytes, n);
    test_save_file(path, bytes, n);
    ck_assert(absent("kind", "a key"));
    bytes[AT_KEY_SIZE]--, bytes[AT_BLOB_SIZE]++;
    sign(bytes, n);
    test_save_file(path, bytes, n);
    ck_assert(absent("kind", "a key"));
}
END_TEST

/* Where the entry should be there is something that is no file, or another user's. */
START_TEST(unreadable)
{
    unsigned char whole[256];
    char path[2 * PATH];
    fresh("unreadable");
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    only_file(path);
    size_t n = test_load_file(path, whole, sizeof whole);
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(absent("kind", "a key"));
    ck_assert(!ssa_store_put("kind", "a key", "payload", 7));
    rmdir(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* must not wait for a writer */
    ck_assert(absent("kind", "a key"));
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    unlink(path);
    ck_assert_int_eq(symlink("/nowhere", path), 0);
    ck_assert(absent("kind", "a key"));
    unlink(path);
    test_save_file(path, whole, n);
    ck_assert(holds("kind", "a key", "payload", 7));
    chmod(path, 0);
    ck_assert(geteuid() == 0 || absent("kind", "a key")); /* root may read it all the same */
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 1, 1), 0);
        ck_assert(absent("kind", "a key"));
    }
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    ck_assert(holds("kind", "a key", "payload", 7));
}
END_TEST

/* ---- the directory ---- */

START_TEST(not_writable)
{
    struct ssa_cache_info info;
    char file[2 * PATH];
    fresh("not_writable");
    snprintf(file, sizeof file, "%s", folder);
    test_save_file(file, "a file", 6);
    const char *const places[] = {file, "/dev/null/below", "/proc/ssacl"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        setenv("SSACL_CACHE_DIR", places[i], 1);
        ck_assert(!ssa_store_put("kind", "a key", "payload", 7));
        ck_assert(absent("kind", "a key"));
        OK(ssa_cache_info(&info));
        ck_assert(info.enabled && !info.writable && !info.entries && !info.bytes);
        ck_assert_str_eq(info.directory, places[i]);
        ck_assert_msg(strstr(info.why, "cannot be written: ") != NULL, "it says \"%s\"", info.why);
        ssa_store_trim(0);
    }
    unsigned char bytes[8];
    ck_assert_uint_eq(test_load_file(file, bytes, sizeof bytes), 6);
    ck_assert_int_eq(warnings, 1); /* of all that failed so far */
}
END_TEST

/* Too small a limit for a file is to the store what a full disk is. */
START_TEST(disk_full)
{
    struct rlimit before, none;
    char blob[4096] = {0};
    struct ssa_cache_info info;
    fresh("disk_full");
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    getrlimit(RLIMIT_FSIZE, &before);
    none = before;
    none.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    bool stored = ssa_store_put("kind", "a key", blob, sizeof blob);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert(!stored);
    ck_assert(holds("kind", "a key", "payload", 7));
    OK(ssa_cache_info(&info));
    ck_assert(info.writable && info.entries == 1);
    char path[2 * PATH];
    only_file(path); /* nothing half written lies about */
}
END_TEST

START_TEST(off)
{
    struct ssa_cache_info info;
    fresh("off");
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    setenv("SSACL_CACHE", "0", 1);
    ck_assert(!ssa_store_enabled());
    ck_assert(absent("kind", "a key"));
    ck_assert(!ssa_store_put("kind", "another", "payload", 7));
    OK(ssa_cache_info(&info));
    ck_assert(!info.enabled);
    ck_assert_str_eq(info.why, "SSACL_CACHE=0");
    ck_assert_str_eq(info.directory, folder);
    unsetenv("SSACL_CACHE");
    ck_assert(ssa_store_enabled());
    ck_assert(absent("kind", "another"));
    ck_assert(holds("kind", "a key", "payload", 7));
}
END_TEST

START_TEST(where)
{
    struct ssa_cache_info info;
    char wanted[2 * PATH], *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    fresh("home");
    unsetenv("SSACL_CACHE_DIR");
    setenv("XDG_CACHE_HOME", folder, 1);
    OK(ssa_cache_info(&info));
    snprintf(wanted, sizeof wanted, "%s/ssacl", folder);
    ck_assert_str_eq(info.directory, wanted);
    ck_assert(info.writable);
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored, says the XDG specification */
    setenv("HOME", folder, 1);
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
    OK(ssa_cache_info(&info));
    snprintf(wanted, sizeof wanted, "%s/.cache/ssacl", folder);
    ck_assert_str_eq(info.directory, wanted);
    ck_assert_uint_eq(info.entries, 1);
    ck_assert_uint_eq(info.bytes, 4096);
    ck_assert_str_eq(info.why, "");
    unsetenv("HOME");
    OK(ssa_cache_info(&info));
    ck_assert(!info.enabled && strstr(info.why, "$HOME"));
    ck_assert(!ssa_store_put("kind", "a key", "payload", 7));
    char *endless = malloc(3000);
    memset(endless, 'x', 2999);
    endless[2999] = 0;
    setenv("SSACL_CACHE_DIR", endless, 1);
    ck_assert(!ssa_store_put("kind", "a key", "payload", 7));
    OK(ssa_cache_info(&info));
    ck_assert(!info.enabled && strstr(info.why, "too long"));
    free(endless);
    if (xdg)
        setenv("XDG_CACHE_HOME", xdg, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    if (home)
        setenv("HOME", home, 1);
}
END_TEST

/* ---- size ---- */

static void set_age(const char *path, time_t seconds)
{
    time_t then = time(NULL) - seconds;
    ck_assert_int_eq(utime(path, &(struct utimbuf){then, then}), 0);
}

/* Puts an entry into an otherwise empty folder and makes it `days` old; other entries wait elsewhere meanwhile. */
static void put_aged(const char *key, int days)
{
    char real[PATH], path[2 * PATH], target[3 * PATH];
    char blob[5000] = {0};
    snprintf(real, sizeof real, "%s", folder);
    fresh("aside");
    ck_assert(ssa_store_put("kind", key, blob, sizeof blob)); /* two blocks */
    only_file(path);
    set_age(path, days * 86400);
    snprintf(target, sizeof target, "%s%s", real, strrchr(path, '/'));
    ck_assert_int_eq(rename(path, target), 0);
    fresh(strrchr(real, '/') + 1);
}

START_TEST(size_cap)
{
    struct ssa_cache_info info;
    char name[2 * PATH], blob[5000] = {0};
    fresh("size_cap");
    mkdir(folder, 0700);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "key %d", i);
        put_aged(name, 10 + i);
    }
    OK(ssa_cache_info(&info));
    ck_assert_uint_eq(info.entries, 8);
    ck_assert_uint_eq(info.bytes, 8 * 8192);
    ck_assert_uint_eq(info.limit, SSA_STORE_LIMIT);
    ck_assert(holds("kind", "key 6", blob, sizeof blob)); /* used today */
    ssa_store_trim(3 * 8192);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "key %d", i);
        ck_assert_msg(absent("kind", name) == (i != 0 && i != 1 && i != 6), "%s", name);
    }
    ssa_store_trim(0);
    OK(ssa_cache_info(&info));
    ck_assert_uint_eq(info.entries, 0);
}
END_TEST

/* Files of others in the directory are not counted and stay; what a killed process left behind goes in time. */
START_TEST(other_files)
{
    struct ssa_cache_info info;
    char other[2 * PATH], old[2 * PATH], young[2 * PATH];
    fresh("other_files");
    mkdir(folder, 0700);
    snprintf(other, sizeof other, "%s/enwiki6.xml", folder);
    snprintf(old, sizeof old, "%s/ssacl-kind-0.part-abcdef", folder);
    snprintf(young, sizeof young, "%s/ssacl-kind-0.part-ghijkl", folder);
    test_save_file(other, "text", 4);
    test_save_file(old, "half", 4);
    test_save_file(young, "half", 4);
    set_age(other, 1000 * 86400);
    set_age(old, 2 * 3600);
    OK(ssa_cache_info(&info));
    ck_assert_uint_eq(info.entries, 0);
    ssa_store_trim(0);
    ck_assert_int_eq(access(other, F_OK), 0);
    ck_assert_int_eq(access(young, F_OK), 0);
    ck_assert_int_ne(access(old, F_OK), 0);
}
END_TEST

START_TEST(too_large)
{
    size_t size = SSA_STORE_LIMIT / 4 + 1;
    char *blob = calloc(1, size);
    fresh("too_large");
    ck_assert(!ssa_store_put("kind", "a key", blob, size));
    ck_assert(absent("kind", "a key"));
    free(blob);
}
END_TEST

/* ---- several at once ---- */

/* Blobs of many sizes, each filled with a byte of its own. False if one comes back mixed, short or not at all. */
static bool write_and_read(int writer)
{
    char blob[8192];
    for (int i = 0; i < ROUNDS; i++) {
        size_t size = (size_t)(1 + (i * 977 + writer * 4001) % (int)sizeof blob), got = 0;
        memset(blob, (int)(size % 251), size);
        if (!ssa_store_put("kind", "shared", blob, size))
            return false;
        unsigned char *read = ssa_store_get("kind", "shared", &got);
        bool same = read != NULL;
        for (size_t k = 0; same && k < got; k++)
            same = read[k] == got % 251;
        free(read);
        if (!same)
            return false;
    }
    return true;
}

static void *writer_thread(void *writer)
{
    return write_and_read(*(int *)writer) ? writer : NULL;
}

START_TEST(processes)
{
    pid_t children[WRITERS];
    char path[2 * PATH];
    fresh("processes/deep/below"); /* made by all at once */
    for (int i = 0; i < WRITERS; i++)
        if (!(children[i] = fork()))
            _exit(write_and_read(i) ? 0 : 1);
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        ck_assert_int_gt(children[i], 0);
        waitpid(children[i], &status, 0);
        ck_assert_int_eq(status, 0);
    }
    only_file(path);
}
END_TEST

START_TEST(threads)
{
    pthread_t all[WRITERS];
    int numbers[WRITERS];
    char path[2 * PATH];
    fresh("threads");
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&all[i], NULL, writer_thread, &numbers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        void *result = NULL;
        pthread_join(all[i], &result);
        ck_assert_ptr_nonnull(result);
    }
    only_file(path);
}
END_TEST

int main(void)
{
    if (!mkdtemp(root))
        return SKIPPED;
    ssa_set_log(keep_log, NULL);
    int failed = test_run_alone("store", (const TTest *const[]){
        round_trip, not_writable, every_bit, every_length, foreign, unreadable, disk_full, off, where, size_cap,
        other_files, too_large, processes, threads, NULL});
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command) || failed;
}
