/* What others could have put there: entries and folders of the cache, tuning files, the environment of a set-user-id
 * program. secure_getenv() is wrapped. */
#include "harness.h"
#include "disk/store.h"
#include "ssacl/cache.h"
#include "tune/tuning.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 512, NOBODY = 65534 };

static char root[] = "/tmp/ssacl-test-XXXXXX", folder[PATH], last_warning[1024];
static bool privileged; /* as if the program were set-user-id */

char *__wrap_secure_getenv(const char *name);
char *__wrap_secure_getenv(const char *name)
{
    return privileged ? NULL : getenv(name);
}

static void keep_warning(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level <= SSA_LOG_WARNING)
        snprintf(last_warning, sizeof last_warning, "%s", line);
}

/* ---- the cache ---- */

static void fresh(const char *name)
{
    snprintf(folder, sizeof folder, "%s/%s", root, name);
    setenv("SSACL_CACHE_DIR", folder, 1);
    ssa_set_log(keep_warning, NULL);
    ck_assert(ssa_store_put("kind", "a key", "payload", 7));
}

static bool holds(void)
{
    size_t size = 0;
    void *blob = ssa_store_get("kind", "a key", &size);
    bool same = blob && size == 7 && !memcmp(blob, "payload", 7);
    free(blob);
    return same;
}

static void only_entry(char path[2 * PATH])
{
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    for (const struct dirent *e; (e = readdir(d));)
        if (*e->d_name != '.')
            snprintf(path, 2 * PATH, "%s/%s", folder, e->d_name);
    closedir(d);
}

START_TEST(entries)
{
    char path[2 * PATH], elsewhere[PATH];
    fresh("entries");
    only_entry(path);
    ck_assert(holds());
    static const mode_t bad[] = {0620, 0602, 0666, 0664};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(chmod(path, bad[i]), 0);
        ck_assert_msg(!holds(), "an entry of mode %o is used", (unsigned)bad[i]);
    }
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert(holds());
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, NOBODY, (gid_t)-1), 0);
        ck_assert(!holds());
        ck_assert_int_eq(chown(path, 0, (gid_t)-1), 0);
    }
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", root);
    ck_assert_int_eq(rename(path, elsewhere), 0);
    ck_assert_int_eq(symlink(elsewhere, path), 0);
    ck_assert(!holds());
    ck_assert(ssa_store_put("kind", "a key", "payload", 7)); /* in place of the link */
    ck_assert(holds());
}
END_TEST

static void folder_refused(const char *words)
{
    struct ssa_cache_info info;
    *last_warning = 0;
    ck_assert(!holds());
    ck_assert(!ssa_store_put("kind", "a key", "another", 7));
    ck_assert(!ssa_store_enabled());
    OK(ssa_cache_info(&info));
    ck_assert_msg(!info.enabled && strstr(info.why, words), "%s", info.why);
}

START_TEST(folders)
{
    fresh("folders");
    ck_assert_int_eq(chmod(folder, 0770), 0);
    folder_refused("others can write");
    ck_assert_msg(strstr(last_warning, folder) && strstr(last_warning, "others can write"), "%s", last_warning);
    ck_assert_int_eq(chmod(folder, 01777), 0);
    folder_refused("others can write");
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert(holds());
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(folder, NOBODY, (gid_t)-1), 0);
        folder_refused("another user");
    }
}
END_TEST

/* ---- tuning files ---- */

/* What the device is tuned by when it is opened: "" for nothing. */
static const char *origin(char text[1024])
{
    struct ssa_device *dev;
    OK(ssa_device_open(&dev, "cpu"));
    snprintf(text, 1024, "%s", dev->tuning_origin);
    ssa_device_close(dev);
    return text;
}

START_TEST(tuning_files)
{
    struct ssa_device *dev;
    char config[PATH], path[2 * PATH], got[1024];
    snprintf(config, sizeof config, "%s/config", root);
    ssa_set_log(keep_warning, NULL);
    setenv("XDG_CONFIG_HOME", config, 1);
    unsetenv("SSACL_TUNING");
    mkdir(config, 0700);
    snprintf(folder, sizeof folder, "%s/config/ssacl", root);
    mkdir(folder, 0700);
    snprintf(folder, sizeof folder, "%s/config/ssacl/tuning", root);
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/own.json", folder);
    OK(ssa_device_open(&dev, "cpu"));
    OK(ssa_tuning_save(dev, path, NULL, 0));
    ssa_device_close(dev);
    ck_assert_str_eq(origin(got), path);
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_str_eq(origin(got), "");
    ck_assert_msg(strstr(last_warning, "everybody can write"), "%s", last_warning);
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(path, 0644) || chown(path, NOBODY, (gid_t)-1), 0);
        ck_assert_str_eq(origin(got), "");
    }
    setenv("SSACL_TUNING", path, 1); /* the user's own choice */
    ck_assert_str_eq(origin(got), path);
    setenv("SSACL_TUNING", folder, 1);
    ck_assert_str_eq(origin(got), path);
    privileged = true;
    ck_assert_str_eq(origin(got), "");
    privileged = false;
    setenv("SSACL_TUNING", "", 1);
    unsetenv("XDG_CONFIG_HOME");
}
END_TEST

/* ---- set-user-id programs ---- */

START_TEST(environment)
{
    struct ssa_device *dev;
    struct ssa_device_info info;
    struct ssa_cache_info cache;
    setenv("SSACL_DEVICE", "no such device", 1);
    setenv("SSACL_OPENCL_LIBRARY", "", 1); /* looked at once a process: none from here on */
    FAILS(ssa_device_open(&dev, "auto"), SSA_ENODEVICE, "no such device");
    privileged = true;
    OK(ssa_device_open(&dev, "auto"));
    OK(ssa_device_info(dev, &info));
    ssa_device_close(dev);
    ck_assert_int_eq(info.kind, SSA_DEVICE_HOST);
    OK(ssa_cache_info(&cache));
    ck_assert(!cache.enabled);
    privileged = false;
    unsetenv("SSACL_DEVICE");
}
END_TEST

int main(void)
{
    char command[PATH];
    if (!mkdtemp(root))
        return 1;
    int status = test_run_alone("trust", (const TTest *const[]){entries, folders, tuning_files, environment, NULL});
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command) ? 1 : status;
}
