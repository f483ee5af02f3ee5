#include "files.h"

#include "hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A temporary file is called NAME.part-xxxxxx; of a long name its beginning, so that it fits where the name does. */
#define MARK ".part-"
enum { MARK_SIZE = sizeof MARK - 1, RANDOM = 6, BASE_MOST = 255 - MARK_SIZE - RANDOM, LINKS_MOST = 40, ATTEMPTS = 100 };

const char *ssa_file_reason(int why)
{
    return why == SSA_FILE_SHORT         ? "it became shorter"
           : why == SSA_FILE_NOT_REGULAR ? "is not a regular file"
           : why == SSA_FILE_OF_ANOTHER  ? "another user's, in a folder where each may replace only his own"
                                         : strerror(why);
}

/* ---- reading ---- */

int ssa_file_read(int file, void *to, size_t size, size_t at)
{
    char *p = to;
    while (size) {
        ssize_t n = pread(file, p, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : SSA_FILE_SHORT;
        p += n;
        at += (size_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int load(int file, size_t limit, char **bytes, size_t *size)
{
    struct stat s;
    if (fstat(file, &s))
        return errno;
    if (!S_ISREG(s.st_mode))
        return SSA_FILE_NOT_REGULAR;
    *size = (size_t)s.st_size;
    if ((off_t)*size != s.st_size)
        *size = SIZE_MAX; /* more than can be addressed */
    if (*size > limit)
        return EFBIG;
    *bytes = malloc(*size + 1);
    if (!*bytes)
        return ENOMEM;
    (*bytes)[*size] = 0;
    return ssa_file_read(file, *bytes, *size, 0);
}

int ssa_file_load(const char *path, size_t limit, char **bytes, size_t *size)
{
    *bytes = NULL;
    *size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not waiting at a pipe */
    if (file < 0)
        return errno;
    int why = load(file, limit, bytes, size);
    close(file);
    if (why) {
        free(*bytes);
        *bytes = NULL;
    }
    return why;
}

/* ---- names ---- */

/* How much of a path is its folder, with the slash. */
static size_t folder_size(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static char *join(const char *folder, size_t size, const char *name)
{
    char *path = malloc(size + strlen(name) + 1);
    if (path) {
        memcpy(path, folder, size);
        strcpy(path + size, name);
    }
    return path;
}

static char *folder_of(const char *path)
{
    size_t size = folder_size(path);
    char *folder = size ? join(path, size, "") : strdup(".");
    if (folder && size > 1)
        folder[size - 1] = 0;
    return folder;
}

/* Whether others decide where a link leads: in a folder that all may write to (one with the sticky bit) anybody may
 * have put it there. */
static bool is_of_another(const char *path, const struct stat *what)
{
    struct stat s;
    char *folder = folder_of(path);
    bool known = folder && !stat(folder, &s);
    free(folder);
    return known && s.st_mode & S_ISVTX && what->st_uid != geteuid() && what->st_uid != s.st_uid;
}

/* Whether the kernel would refuse to rename onto it: in a sticky folder that takes the owner of the file, that of the
 * folder, or root. */
static bool may_not_replace(const char *path, const struct stat *what)
{
    struct stat s;
    uid_t user = geteuid();
    char *folder = folder_of(path);
    bool known = folder && !stat(folder, &s);
    free(folder);
    return known && s.st_mode & S_ISVTX && user && user != what->st_uid && user != s.st_uid;
}

/* One link: `*path` becomes what it names. Returns 0 with `*more` false where there is no link. */
static int follow(char **path, bool *more)
{
    char target[PATH_MAX];
    struct stat s;
    *more = false;
    if (lstat(*path, &s))
        return errno == ENOENT ? 0 : errno;
    if (!S_ISLNK(s.st_mode))
        return 0;
    if (is_of_another(*path, &s))
        return SSA_FILE_OF_ANOTHER;
    ssize_t n = readlink(*path, target, sizeof target - 1);
    if (n < 0)
        return errno;
    target[n] = 0;
    char *next = join(*path, *target == '/' ? 0 : folder_size(*path), target);
    if (!next)
        return ENOMEM;
    free(*path);
    *path = next;
    *more = true;
    return 0;
}

int ssa_file_resolve(const char *path, char **real)
{
    bool more = true;
    int why = 0;
    *real = strdup(path);
    if (!*real)
        return ENOMEM;
    for (int i = 0; more && !why; i++)
        why = i < LINKS_MOST ? follow(real, &more) : ELOOP;
    if (!why && !(*real)[folder_size(*real)])
        why = **real ? EISDIR : ENOENT;
    if (why) {
        free(*real);
        *real = NULL;
    }
    return why;
}

/* ---- temporary files ---- */

static size_t stem_size(const char *path)
{
    size_t folder = folder_size(path), base = strlen(path) - folder;
    return folder + (base < BASE_MOST ? base : BASE_MOST);
}

bool ssa_new_file_is_temporary(const char *name)
{
    size_t size = strlen(name), end = MARK_SIZE + RANDOM;
    return size > end && !strncmp(name + size - end, MARK, MARK_SIZE);
}

/* Not to be guessed at is not needed, as a name that is taken is passed over. */
static void random_name(char digits[RANDOM + 1], const void *of, int attempt)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t seed[] = {(uint64_t)getpid(), (uint64_t)(size_t)of, (uint64_t)now.tv_sec, (uint64_t)now.tv_nsec,
                             (uint64_t)attempt};
    uint64_t h = ssa_hash(SSA_HASH_START, seed, sizeof seed);
    for (int i = 0; i < RANDOM; i++, h >>= 5)
        digits[i] = "abcdefghijklmnopqrstuvwxyz234567"[h >> 20 & 31];
    digits[RANDOM] = 0;
}

/* Removes what a process left that was killed while it wrote the same file: who writes holds a lock. */
static void tidy(const char *path)
{
    size_t at = folder_size(path), stem = stem_size(path) - at;
    char *folder = folder_of(path);
    DIR *d = folder ? opendir(folder) : NULL;
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, path + at, stem) || strlen(e->d_name) != stem + MARK_SIZE + RANDOM ||
            !ssa_new_file_is_temporary(e->d_name))
            continue;
        int file = openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (file >= 0 && !flock(file, LOCK_EX | LOCK_NB))
            unlinkat(dirfd(d), e->d_name, 0);
        if (file >= 0)
            close(file);
    }
    if (d)
        closedir(d);
    free(folder);
}

/* True if the file is ours alone: tidy() may have come between making and locking it. */
static bool lock(int file)
{
    struct stat s;
    if (flock(file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return false;
    return !fstat(file, &s) && s.st_nlink > 0;
}

static int create(struct ssa_new_file *f, mode_t mode)
{
    size_t stem = stem_size(f->path);
    f->temporary = malloc(stem + MARK_SIZE + RANDOM + 1);
    if (!f->temporary)
        return ENOMEM;
    memcpy(f->temporary, f->path, stem);
    memcpy(f->temporary + stem, MARK, MARK_SIZE);
    for (int i = 0; i < ATTEMPTS; i++) {
        random_name(f->temporary + stem + MARK_SIZE, f, i);
        f->file = open(f->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (f->file >= 0 && lock(f->file))
            return 0;
        if (f->file < 0 && errno != EEXIST)
            return errno;
        if (f->file >= 0)
            close(f->file);
        f->file = -1;
    }
    return EEXIST;
}

/* Owner, group and mode of the file that is replaced. Where the group cannot be kept, it may not read what another
 * group could. */
static void keep_mode(int file, const struct stat *old)
{
    mode_t mode = old->st_mode & 0777;
    if (fchown(file, old->st_uid, old->st_gid) && fchown(file, (uid_t)-1, old->st_gid))
        mode &= (mode_t)~070;
    if (fchmod(file, mode))
        return; /* a file system without modes */
}

/* ---- replacing ---- */

static int begin(struct ssa_new_file *f, const char *path)
{
    struct stat old;
    int why;
    if (f->kind == SSA_FILE_CACHED)
        return (f->path = strdup(path)) ? create(f, 0600) : ENOMEM;
    if ((why = ssa_file_resolve(path, &f->path)))
        return why;
    bool exists = !lstat(f->path, &old);
    if (!exists && errno != ENOENT)
        return errno;
    if (exists && !S_ISREG(old.st_mode))
        return SSA_FILE_NOT_REGULAR;
    if (exists && may_not_replace(f->path, &old))
        return SSA_FILE_OF_ANOTHER;
    tidy(f->path);
    why = create(f, exists ? old.st_mode & 0600 : 0666);
    if (!why && exists)
        keep_mode(f->file, &old);
    return why;
}

static void finish(struct ssa_new_file *f)
{
    if (f->temporary && f->file >= 0)
        close(f->file);
    free(f->path);
    free(f->temporary);
    *f = (struct ssa_new_file){.file = -1, .not_synced = f->not_synced};
}

int ssa_new_file_begin(struct ssa_new_file *f, const char *path, enum ssa_file_kind kind)
{
    *f = (struct ssa_new_file){.file = -1, .kind = kind};
    int why = begin(f, path);
    if (why)
        finish(f);
    return why;
}

int ssa_new_file_write(struct ssa_new_file *f, const void *bytes, size_t size)
{
    const char *p = bytes;
    while (size) {
        ssize_t n = write(f->file, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : ENOSPC;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Some file systems have nothing to wait for. */
static bool cannot_sync(int error)
{
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

int ssa_new_file_sync(struct ssa_new_file *f)
{
    if (f->kind == SSA_FILE_CACHED || !fsync(f->file))
        return 0;
    f->not_synced = cannot_sync(errno) ? errno : 0;
    return f->not_synced ? 0 : errno;
}

/* So that the new name is on the disk too. The file is whole in any case. */
static int sync_folder(const char *path)
{
    char *folder = folder_of(path);
    int file = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int why = !folder ? ENOMEM : file < 0 ? errno : fsync(file) ? errno : 0;
    if (file >= 0)
        close(file);
    free(folder);
    return why == EINVAL ? 0 : why;
}

/* NFS tells of a full disk when a file is closed. The file itself stays open, and with it the lock, to the end. */
static int close_copy(int file)
{
    int copy = dup(file);
    return copy >= 0 && close(copy) ? errno : 0;
}

int ssa_new_file_replace(struct ssa_new_file *f)
{
    int why = close_copy(f->file);
    if (!why && rename(f->temporary, f->path))
        why = errno;
    if (why)
        unlink(f->temporary);
    else if (f->kind == SSA_FILE_KEPT && !f->not_synced)
        f->not_synced = sync_folder(f->path);
    finish(f);
    return why;
}

void ssa_new_file_abandon(struct ssa_new_file *f)
{
    if (f->temporary && f->file >= 0)
        unlink(f->temporary);
    finish(f);
}
