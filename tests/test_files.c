/* Whole files are replaced at once, and nobody else's is touched: links, modes, what a killed process left, a file
 * system that cannot sync; through the writer itself, a checkpoint and a tuning file. */
#include "harness.h"
#include "disk/files.h"
#include "ssacl/checkpoint.h"
#include "ssacl/tuning.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 512 };

static char root[] = "/tmp/ssacl-files-XXXXXX", path[PATH], link_path[PATH];
static char last_log[1024];
static int warnings;

static void keep_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level > SSA_LOG_WARNING)
        return;
    snprintf(last_log, sizeof last_log, "%s", line);
    warnings++;
}

/* ---- a file system that fails (linked with --wrap) ---- */

static int folder_error, file_error, rename_error;

int __real_fsync(int file);
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    struct stat s;
    errno = !fstat(file, &s) && S_ISDIR(s.st_mode) ? folder_error : file_error;
    return errno ? -1 : __real_fsync(file);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    errno = rename_error;
    return errno ? -1 : __real_rename(from, to);
}

/* ---- writing, in three ways ---- */

static struct ssa_device *device;
static struct ssa_model *model;

static int write_file(const char *to)
{
    struct ssa_new_file f;
    int why = ssa_new_file_begin(&f, to, SSA_FILE_KEPT);
    why = why ? why : ssa_new_file_write(&f, "new", 3);
    why = why ? why : ssa_new_file_sync(&f);
    why = why ? why : ssa_new_file_replace(&f);
    ssa_new_file_abandon(&f);
    return why;
}

static int write_checkpoint(const char *to)
{
    return ssa_checkpoint_save(to, model, NULL, NULL);
}

static int write_tuning(const char *to)
{
    return ssa_tuning_save(device, to, NULL, 0);
}

static int (*const ways[])(const char *to) = {write_file, write_checkpoint, write_tuning};
enum { WAYS = sizeof ways / sizeof *ways };

/* ---- looking ---- */

static void make(const char *name, const char *text, mode_t mode)
{
    test_save_file(name, text, strlen(text));
    ck_assert_int_eq(chmod(name, mode), 0);
}

static bool holds(const char *name, const char *text)
{
    char bytes[64] = "";
    size_t n = test_load_file(name, bytes, sizeof bytes);
    return n == strlen(text) && !memcmp(bytes, text, n);
}

static struct stat look(const char *name)
{
    struct stat s;
    ck_assert_int_eq(lstat(name, &s), 0);
    return s;
}

static int files_in(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    ck_assert_ptr_nonnull(d);
    for (const struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

/* A folder of its own for each case; `path` and `link_path` lie in it. */
static void fresh(void)
{
    static int number;
    char folder[64];
    snprintf(folder, sizeof folder, "%s/%d", root, number++);
    ck_assert_int_eq(mkdir(folder, 0777), 0);
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    ck_assert_int_eq(chdir(folder), 0);
}

/* ---- links ---- */

START_TEST(links_are_followed)
{
    for (int w = 0; w < WAYS; w++) {
        fresh();
        make("file", "old", 0644);
        ck_assert_int_eq(symlink("file", "link"), 0);
        ck_assert_int_eq(mkdir("deep", 0777), 0);
        ck_assert_int_eq(symlink("../link", "deep/second"), 0);
        OK(ways[w]("deep/second"));
        ck_assert(S_ISLNK(look("link").st_mode) && S_ISLNK(look("deep/second").st_mode));
        ck_assert(!holds("file", "old"));
        ck_assert_int_eq(files_in("."), 3);
        ck_assert_int_eq(files_in("deep"), 1);
    }
}
END_TEST

/* To a file that is not there yet, beside the link or elsewhere. */
START_TEST(dangling_links_are_followed)
{
    for (int w = 0; w < WAYS; w++) {
        fresh();
        ck_assert_int_eq(mkdir("scratch", 0777), 0);
        ck_assert_int_eq(symlink("scratch/big", "link"), 0);
        OK(ways[w](link_path));
        ck_assert(S_ISLNK(look("link").st_mode) && S_ISREG(look("scratch/big").st_mode));
        ck_assert_int_eq(files_in("."), 2);
        unlink("link");
        ck_assert_int_eq(symlink("nowhere/big", "link"), 0);
        ck_assert(ways[w]("link"));
        unlink("link");
        ck_assert_int_eq(symlink("link", "link"), 0);
        ck_assert(ways[w]("link"));
        ck_assert(S_ISLNK(look("link").st_mode));
    }
}
END_TEST

/* A link that waits where a temporary file might go does not lead us to what it names. */
START_TEST(no_temporary_name_is_followed)
{
    static const char *const names[] = {"file.part", "file.new", "file.partial", "file.tmp"};
    char name[64];
    for (int w = 0; w < WAYS; w++) {
        fresh();
        make("victim", "precious", 0644);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            ck_assert_int_eq(symlink("victim", names[i]), 0);
        snprintf(name, sizeof name, "file.%ld.new", (long)getpid());
        ck_assert_int_eq(symlink("victim", name), 0);
        OK(ways[w]("file"));
        ck_assert(holds("victim", "precious"));
        ck_assert(S_ISREG(look("file").st_mode));
    }
}
END_TEST

/* In a folder like /tmp a link of somebody else might lead anywhere, and his files cannot be replaced. */
START_TEST(links_of_others_are_not_followed)
{
    if (geteuid())
        return; /* it takes root to make files of others */
    for (int w = 0; w < WAYS; w++) {
        fresh();
        make("victim", "precious", 0644);
        ck_assert_int_eq(symlink("victim", "link"), 0);
        ck_assert_int_eq(lchown("link", 12345, 12345), 0);
        ck_assert_int_eq(chmod(".", 01777), 0);
        ck_assert(ways[w]("link"));
        ck_assert(holds("victim", "precious"));
        ck_assert_int_eq(chmod(".", 0777), 0);
        OK(ways[w]("link"));
        ck_assert(!holds("victim", "precious"));
    }
}
END_TEST

/* That a file cannot be renamed onto another's there is known when the new one begins, not when it is written. */
START_TEST(files_of_others_are_not_begun)
{
    struct ssa_new_file f;
    if (geteuid())
        return;
    fresh();
    make("file", "theirs", 0666);
    ck_assert_int_eq(chown("file", 54321, 54321), 0);
    ck_assert_int_eq(chmod(".", 01777), 0);
    ck_assert_int_eq(seteuid(12345), 0);
    int why = ssa_new_file_begin(&f, "file", SSA_FILE_KEPT), err = write_checkpoint("file");
    int own = write_file("own");
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(why, SSA_FILE_OF_ANOTHER);
    FAILS(err, SSA_EIO, "another user's");
    ck_assert_int_eq(own, 0);
    ck_assert(holds("file", "theirs"));
    ck_assert_int_eq(files_in("."), 2);
}
END_TEST

/* Nor where the folder is his too; but the folder's owner may replace what others put there. */
START_TEST(owner_of_a_folder_replaces)
{
    if (geteuid())
        return;
    fresh();
    make("file", "theirs", 0666);
    ck_assert_int_eq(chown("file", 54321, 54321) | chown(".", 54321, 54321) | chmod(".", 01777), 0);
    ck_assert_int_eq(seteuid(12345), 0);
    int why = write_file("file");
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(why, SSA_FILE_OF_ANOTHER);
    ck_assert(holds("file", "theirs"));
    ck_assert_int_eq(files_in("."), 1);
    ck_assert_int_eq(chown(".", 12345, 12345), 0);
    ck_assert_int_eq(seteuid(12345), 0);
    why = write_file("file");
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(why, 0);
    ck_assert(holds("file", "new"));
}
END_TEST

/* ---- modes ---- */

START_TEST(modes_are_kept)
{
    static const mode_t modes[] = {0600, 0640, 0444, 0755};
    for (int w = 0; w < WAYS; w++) {
        fresh();
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            make("file", "old", modes[i]);
            OK(ways[w]("file"));
            ck_assert_uint_eq(look("file").st_mode & 07777, modes[i]);
        }
        if (!geteuid()) {
            ck_assert_int_eq(chown("file", 12345, 54321), 0);
            OK(ways[w]("file"));
            ck_assert(look("file").st_uid == 12345 && look("file").st_gid == 54321);
        }
        unlink("file");
        mode_t mask = umask(027);
        OK(ways[w]("file"));
        umask(mask);
        ck_assert_uint_eq(look("file").st_mode & 07777, 0640);
    }
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(what_is_no_file_stays)
{
    char name[300];
    memset(name, 'n', sizeof name);
    for (int w = 0; w < WAYS; w++) {
        fresh();
        ck_assert_int_eq(mkfifo("fifo", 0666), 0);
        ck_assert_int_eq(mkdir("folder", 0777), 0);
        ck_assert(ways[w]("fifo") && ways[w]("folder") && ways[w]("new/") && ways[w]("folder/") && ways[w]("."));
        ck_assert(S_ISFIFO(look("fifo").st_mode));
        name[256] = 0;
        ck_assert(ways[w](name));
        name[255] = 0; /* as long as a name may be */
        OK(ways[w](name));
        name[255] = 'n';
        ck_assert_int_eq(files_in("."), 3);
    }
}
END_TEST

START_TEST(folder_that_cannot_sync)
{
    static const int errors[] = {EIO, ENOSYS, EBADF, EOPNOTSUPP, EINVAL};
    for (int w = 0; w < WAYS; w++)
        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
            fresh();
            make("file", "old", 0644);
            folder_error = errors[i];
            int before = warnings, err = ways[w]("file");
            folder_error = 0;
            OK(err);
            ck_assert(!holds("file", "old"));
            ck_assert_int_eq(files_in("."), 1);
            if (ways[w] == write_checkpoint && errors[i] != EINVAL) {
                ck_assert_int_eq(warnings, before + 1);
                ck_assert_msg(strstr(last_log, "is written, but") != NULL, "it says \"%s\"", last_log);
            }
        }
}
END_TEST

/* The old file stays, whole, and nothing else. */
START_TEST(file_that_cannot_be_written)
{
    for (int w = 0; w < WAYS; w++) {
        fresh();
        make("file", "old", 0644);
        file_error = EIO;
        ck_assert(ways[w]("file"));
        file_error = 0;
        rename_error = EPERM;
        ck_assert(ways[w]("file"));
        rename_error = 0;
        ck_assert(holds("file", "old"));
        ck_assert_int_eq(files_in("."), 1);
        file_error = ENOSYS;
        int err = ways[w]("file");
        file_error = 0;
        OK(err);
    }
}
END_TEST

/* ---- several writers ---- */

/* Each has a temporary file of its own, and the last to end is what is there. */
START_TEST(two_at_once)
{
    struct ssa_new_file a, b;
    fresh();
    ck_assert_int_eq(ssa_new_file_begin(&a, "file", SSA_FILE_KEPT), 0);
    ck_assert_int_eq(ssa_new_file_begin(&b, "file", SSA_FILE_KEPT), 0);
    ck_assert_str_ne(a.temporary, b.temporary);
    ck_assert(!ssa_new_file_write(&a, "first", 5) && !ssa_new_file_write(&b, "second", 6));
    ck_assert_int_eq(ssa_new_file_replace(&b), 0);
    ck_assert(holds("file", "second"));
    ck_assert_int_eq(ssa_new_file_replace(&a), 0);
    ck_assert(holds("file", "first"));
    ck_assert_int_eq(files_in("."), 1);
}
END_TEST

/* Left by a process that was killed: nobody holds a lock on it. Other names are other people's. */
START_TEST(leftovers_are_removed)
{
    fresh();
    make("file.part-abcdef", "half", 0644);
    make("file.part-abcdefg", "mine", 0644);
    make("file2.part-abcdef", "mine", 0644);
    make("file.part-locked", "half", 0644);
    int held = open("file.part-locked", O_RDONLY);
    ck_assert_int_eq(flock(held, LOCK_EX), 0);
    ck_assert_int_eq(write_file("file"), 0);
    ck_assert_int_eq(files_in("."), 4);
    ck_assert_int_ne(access("file.part-abcdef", F_OK), 0);
    close(held);
    ck_assert_int_eq(write_file("file"), 0);
    ck_assert_int_eq(files_in("."), 3);
}
END_TEST

static bool set_up(void)
{
    static const struct ssa_model_config small = {.gpt = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 8, .length = 8}};
    return !ssa_device_open(&device, "cpu") &&
           !ssa_model_create(&model, device, &small, &(struct ssa_model_limits){.batch = 1}) &&
           !ssa_model_initialise(model, 1);
}

int main(void)
{
    if (!mkdtemp(root) || !set_up())
        return 1;
    ssa_set_log(keep_log, NULL);
    int failed = test_run_alone("files", (const TTest *const[]){
        links_are_followed, dangling_links_are_followed, no_temporary_name_is_followed,
        links_of_others_are_not_followed, files_of_others_are_not_begun, owner_of_a_folder_replaces, modes_are_kept,
        what_is_no_file_stays, folder_that_cannot_sync, file_that_cannot_be_written, two_at_once,
        leftovers_are_removed, NULL});
    ssa_model_destroy(model);
    ssa_device_close(device);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command) || failed;
}
