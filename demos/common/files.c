#include "files.h"

#include "say.h"

#include "disk/files.h" /* the library's writer, which needs nothing else of it */
#include "disk/hash.h"
#include "disk/json.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- what a path leads to ---- */

enum kind {
    NOWHERE,    /* there is nothing, or it cannot be seen */
    REGULAR,
    STREAM,     /* a pipe or a device: written as it comes */
    DESCRIPTOR, /* one of this process, whatever it is of */
    OTHER       /* a folder, a socket */
};

/* The number of an open descriptor that the path is a name of (/dev/stdout, /dev/fd/3), or -1. */
static int descriptor_of(const char *path)
{
    char own[32], *real = NULL, *copy = strdup(path);
    int number = -1;
    snprintf(own, sizeof own, "/proc/%ld/fd", (long)getpid());
    for (int links = 0; copy && links < 8 && number < 0; links++) {
        char folder[PATH_MAX], target[PATH_MAX];
        const char *slash = strrchr(copy, '/');
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - copy) : 1, slash ? copy : ".");
        free(real);
        real = realpath(*folder ? folder : "/", NULL);
        if (real && !strcmp(real, own) && slash)
            number = atoi(slash + 1);
        ssize_t n = number < 0 ? readlink(copy, target, sizeof target - 1) : -1;
        if (n < 0 || *target != '/')
            break; /* no link out of /dev */
        target[n] = 0;
        free(copy);
        copy = strdup(target);
    }
    free(real);
    free(copy);
    return number;
}

static enum kind kind_of(const char *path)
{
    struct stat s;
    if (descriptor_of(path) >= 0)
        return DESCRIPTOR;
    if (stat(path, &s))
        return NOWHERE;
    return S_ISREG(s.st_mode) ? REGULAR : S_ISFIFO(s.st_mode) || S_ISCHR(s.st_mode) ? STREAM : OTHER;
}

/* ---- which files are one ---- */

struct file_use {
    const char *what;
    char *path;
    bool written, known, shared; /* shared: an open descriptor, which may be given twice */
    dev_t device; /* of the file, or of its folder where there is no file yet; then `base` is its name there */
    ino_t inode;
    char *base;
};

static void identify(struct file_use *u)
{
    struct stat s;
    char *real = NULL;
    bool standard = !strcmp(u->path, "-");
    if (standard ? !fstat(u->written ? STDOUT_FILENO : STDIN_FILENO, &s) : !stat(u->path, &s)) {
        u->known = S_ISREG(s.st_mode);
        u->shared = u->written && (standard || descriptor_of(u->path) >= 0);
    } else if (!standard && !ssa_file_resolve(u->path, &real)) {
        char *copy = strdup(real);
        u->known = copy && !stat(dirname(copy), &s);
        free(copy);
        const char *slash = strrchr(real, '/');
        u->base = strdup(slash ? slash + 1 : real);
        u->known = u->known && u->base;
    }
    free(real);
    if (u->known) {
        u->device = s.st_dev;
        u->inode = s.st_ino;
    }
}

static bool same(const struct file_use *a, const struct file_use *b)
{
    return a->known && b->known && a->device == b->device && a->inode == b->inode && !a->base == !b->base &&
           (!a->base || !strcmp(a->base, b->base));
}

static bool collide(const struct file_use *a, const struct file_use *b)
{
    bool both = a->written && b->written;
    return (a->written || b->written) && !(both && (a->shared || b->shared)) && same(a, b);
}

static void add(struct files *files, const char *what, const char *path, bool written)
{
    if (!path)
        return;
    if (files->count == files->capacity) {
        int capacity = files->capacity ? 2 * files->capacity : 16;
        struct file_use *more = realloc(files->uses, (size_t)capacity * sizeof *more);
        files->failed |= !more;
        if (!more)
            return;
        files->uses = more;
        files->capacity = capacity;
    }
    struct file_use *u = &files->uses[files->count];
    *u = (struct file_use){.what = what, .path = strdup(path), .written = written};
    files->failed |= !u->path;
    if (!u->path)
        return;
    identify(u);
    files->count++;
}

void files_read(struct files *files, const char *what, const char *path)
{
    add(files, what, path, false);
}

void files_write(struct files *files, const char *what, const char *path)
{
    add(files, what, path, true);
}

static int say_same(const struct file_use *a, const struct file_use *b)
{
    const struct file_use *out = a->written ? a : b, *other = out == a ? b : a;
    return say_error("%s%s%s: is the same file as %s%s%s; %s", out->what ? out->what : "", out->what ? " " : "",
                     strcmp(out->path, "-") ? out->path : "standard output", other->what ? other->what : "",
                     other->what ? " " : "", other->path,
                     other->written ? "give each a name of its own" : "it is read: write elsewhere");
}

static void release(struct files *files)
{
    for (int i = 0; i < files->count; i++) {
        free(files->uses[i].path);
        free(files->uses[i].base);
    }
    free(files->uses);
    *files = (struct files){0};
}

int files_check(struct files *files)
{
    files_write(files, NULL, "-"); /* cat FILE >>FILE would not end either */
    int status = files->failed ? say_error("no memory for the list of files") : 0;
    for (int i = 0; i < files->count && !status; i++)
        for (int j = 0; j < i && !status; j++)
            if (collide(&files->uses[i], &files->uses[j]))
                status = say_same(&files->uses[i], &files->uses[j]);
    release(files);
    return status;
}

bool file_same(const char *a, const char *b)
{
    struct files files = {0};
    files_write(&files, NULL, a);
    files_write(&files, NULL, b);
    bool one = files.count == 2 && same(&files.uses[0], &files.uses[1]);
    release(&files);
    return one;
}

/* ---- trying ---- */

static int check_folder(const char *path)
{
    struct stat info;
    char *copy = strdup(path);
    const char *folder = copy ? dirname(copy) : ".";
    int status = 0;
    if (stat(folder, &info) != 0)
        status = say_error("%s: the folder %s cannot be used: %s", path, folder, strerror(errno));
    else if (!S_ISDIR(info.st_mode))
        status = say_error("%s: %s is not a folder", path, folder);
    free(copy);
    return status;
}

int file_check_target(const char *path)
{
    struct ssa_new_file trial;
    if (!path)
        return 0;
    int why = ssa_new_file_begin(&trial, path, SSA_FILE_KEPT);
    ssa_new_file_abandon(&trial);
    if (why == SSA_FILE_NOT_REGULAR || why == EISDIR)
        return say_error("%s: is not a regular file and will not be replaced; give another name", path);
    if (why == ENOENT && check_folder(path))
        return EXIT_FAILED;
    return why ? say_error("%s: cannot be written: %s; give another name", path, ssa_file_reason(why)) : 0;
}

int file_check_output(const char *path)
{
    enum kind kind = path ? kind_of(path) : NOWHERE;
    int flags = kind == DESCRIPTOR ? fcntl(descriptor_of(path), F_GETFL) : O_RDWR;
    if (kind != DESCRIPTOR && kind != STREAM)
        return file_check_target(path);
    if (kind == STREAM && access(path, W_OK) != 0)
        return say_error("%s: cannot be written: %s", path, strerror(errno));
    return flags < 0 || (flags & O_ACCMODE) == O_RDONLY ? say_error("%s: is not open for writing", path) : 0;
}

bool file_room(const char *path, uint64_t *bytes)
{
    struct statvfs s;
    char *real = NULL;
    bool known = !ssa_file_resolve(path, &real) && !statvfs(dirname(real), &s) && s.f_blocks; /* some count none */
    free(real);
    *bytes = known ? (uint64_t)s.f_bavail * s.f_frsize : 0;
    return known;
}

bool file_holds_something(const char *path)
{
    struct stat s;
    return kind_of(path) == REGULAR && !stat(path, &s) && s.st_size > 0;
}

int file_check_new(const char *path, bool force)
{
    return path && !force && file_holds_something(path) ? say_error("%s: exists; replace it with --force", path) : 0;
}

/* ---- several programs ---- */

/* What a lock holds, by which it is told from a file of somebody's. */
static const char lock_text[] = "lock of a run of ssacl, which removes it when it ends\n";
enum { LOCK_SIZE = sizeof lock_text - 1, LOCK_ATTEMPTS = 100 };
enum lock_state { LOCK_OURS, LOCK_TAKEN, LOCK_AGAIN, LOCK_FOREIGN, LOCK_FAILED /* errno says why */ };

char *file_lock_name(const char *path)
{
    char *real = NULL;
    size_t size = ssa_file_resolve(path, &real) ? 0 : strlen(real) + sizeof ".lock";
    char *name = size ? malloc(size) : NULL;
    if (name)
        snprintf(name, size, "%s.lock", real);
    free(real);
    return name;
}

static bool is_named(int file, const char *path)
{
    struct stat open_one, named;
    return !fstat(file, &open_one) && !lstat(path, &named) && open_one.st_dev == named.st_dev &&
           open_one.st_ino == named.st_ino;
}

/* Empty: who made it was killed before it wrote, or the machine stopped before that was on the disk. */
static bool is_lock(int file)
{
    char text[LOCK_SIZE];
    struct stat s;
    return !fstat(file, &s) && S_ISREG(s.st_mode) &&
           (!s.st_size || (s.st_size == LOCK_SIZE && !ssa_file_read(file, text, LOCK_SIZE, 0) &&
                           !memcmp(text, lock_text, LOCK_SIZE)));
}

static bool write_text(int file)
{
    struct stat s;
    if (fstat(file, &s) || s.st_size)
        return true;
    errno = ENOSPC;
    return pwrite(file, lock_text, LOCK_SIZE, 0) == LOCK_SIZE;
}

/* Of a file that is a lock: who held it before may have removed its name meanwhile. */
static enum lock_state hold(struct file_lock *lock, int file)
{
    bool taken = flock(file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; /* some file systems know no locks */
    if (taken || !is_named(file, lock->path)) {
        close(file);
        return taken ? LOCK_TAKEN : LOCK_AGAIN;
    }
    if (write_text(file)) {
        lock->file = file;
        return LOCK_OURS;
    }
    int why = errno;
    unlink(lock->path);
    close(file);
    errno = why;
    return LOCK_FAILED;
}

/* Where there is nothing. */
static enum lock_state make_lock(struct file_lock *lock)
{
    int file = open(lock->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return file >= 0 ? hold(lock, file) : errno == EEXIST ? LOCK_AGAIN : LOCK_FAILED;
}

/* One of a run that was killed may be used, and only that: it is looked at before anything is done to it. */
static enum lock_state take_lock(struct file_lock *lock)
{
    struct stat s;
    if (lstat(lock->path, &s))
        return errno == ENOENT ? make_lock(lock) : LOCK_FAILED;
    if (!S_ISREG(s.st_mode))
        return LOCK_FOREIGN;
    int file = open(lock->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 && (errno == EACCES || errno == EPERM)) /* another user's */
        file = open(lock->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? LOCK_AGAIN : LOCK_FOREIGN;
    if (is_lock(file))
        return hold(lock, file);
    close(file);
    return LOCK_FOREIGN;
}

int file_lock(struct file_lock *lock, const char *path)
{
    enum lock_state state = LOCK_AGAIN;
    *lock = (struct file_lock){.path = file_lock_name(path), .file = -1};
    if (!lock->path)
        return say_error("%s: cannot be written: its place cannot be found, or no memory", path);
    for (int i = 0; i < LOCK_ATTEMPTS && state == LOCK_AGAIN; i++)
        state = take_lock(lock);
    if (state == LOCK_OURS)
        return 0;
    const char *name = lock->path;
    int status =
        state == LOCK_TAKEN ? say_error("%s: another run is writing it; wait for that one, or give another name", path)
        : state == LOCK_FAILED ? say_error("%s: cannot be made: %s", name, strerror(errno))
                               : say_error("%s: is where the lock of %s goes, but is no lock; move it elsewhere, or "
                                           "give another name", name, path);
    free(lock->path);
    *lock = (struct file_lock){.file = -1};
    return status;
}

void file_remove_lock(const struct file_lock *lock)
{
    if (lock->path && is_named(lock->file, lock->path) && is_lock(lock->file))
        unlink(lock->path);
}

void file_unlock(struct file_lock *lock)
{
    if (!lock->path)
        return;
    file_remove_lock(lock);
    close(lock->file);
    free(lock->path);
    *lock = (struct file_lock){.file = -1};
}

/* 0 of what is no file, or cannot be read. */
static uint64_t hash_beginning(const char *path, const struct stat *s)
{
    char bytes[4096];
    size_t size = s->st_size < (off_t)sizeof bytes ? (size_t)s->st_size : sizeof bytes;
    int file = S_ISREG(s->st_mode) ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    bool read = file >= 0 && !ssa_file_read(file, bytes, size, 0);
    if (file >= 0)
        close(file);
    return read ? ssa_hash(SSA_HASH_START, bytes, size) : 0;
}

struct file_look file_look(const char *path)
{
    struct stat s;
    if (stat(path, &s))
        return (struct file_look){0};
    return (struct file_look){.exists = true, .device = s.st_dev, .inode = s.st_ino,
                              .size = (unsigned long long)s.st_size, .seconds = s.st_mtim.tv_sec,
                              .nanoseconds = s.st_mtim.tv_nsec, .beginning = hash_beginning(path, &s)};
}

enum file_change file_change(const struct file_look *before, const char *path)
{
    struct file_look now = file_look(path);
    if (!now.exists)
        return FILE_STAYED;
    if (!before->exists || now.device != before->device || now.inode != before->inode || now.size != before->size ||
        now.beginning != before->beginning)
        return FILE_REPLACED;
    return now.seconds != before->seconds || now.nanoseconds != before->nanoseconds ? FILE_TOUCHED : FILE_STAYED;
}

/* ---- whole files ---- */

static FILE *open_stream(const char *path)
{
    int number = descriptor_of(path), copy = number >= 0 ? dup(number) : -1;
    if (number < 0)
        return fopen(path, "wb");
    FILE *stream = copy >= 0 ? fdopen(copy, "wb") : NULL;
    if (!stream && copy >= 0)
        close(copy);
    return stream;
}

int new_file_begin(struct new_file *file, const char *path)
{
    enum kind kind = kind_of(path);
    int why = 0;
    *file = (struct new_file){.path = path};
    if (kind == DESCRIPTOR || kind == STREAM) {
        file->stream = open_stream(path);
        return file->stream ? 0 : say_error("%s: cannot be opened: %s", path, strerror(errno));
    }
    file->beside = calloc(1, sizeof *file->beside);
    why = file->beside ? ssa_new_file_begin(file->beside, path, SSA_FILE_KEPT) : ENOMEM;
    int copy = why ? -1 : dup(file->beside->file);
    file->stream = copy < 0 ? NULL : fdopen(copy, "wb+");
    if (file->stream)
        return 0;
    why = why ? why : errno;
    if (copy >= 0)
        close(copy);
    if (file->beside)
        ssa_new_file_abandon(file->beside);
    free(file->beside);
    *file = (struct new_file){0};
    return say_error("%s: cannot be made: %s", path, ssa_file_reason(why));
}

/* What was written and could not be, 0 if all was. */
static int close_stream(FILE *stream)
{
    errno = 0;
    bool written = fflush(stream) == 0 && !ferror(stream);
    int why = written ? 0 : errno ? errno : EIO; /* an earlier write failed, and nobody kept the reason */
    return fclose(stream) != 0 && !why ? errno : why;
}

int new_file_end(struct new_file *file, bool keep)
{
    struct new_file f = *file;
    if (!f.stream)
        return EXIT_FAILED;
    *file = (struct new_file){0};
    int why = close_stream(f.stream);
    if (f.beside) {
        why = why || !keep ? why : ssa_new_file_sync(f.beside);
        why = why || !keep ? why : ssa_new_file_replace(f.beside);
        ssa_new_file_abandon(f.beside);
        if (!why && f.beside->not_synced)
            say_note("%s: is written, but its file system cannot be waited for: %s", f.path,
                     ssa_file_reason(f.beside->not_synced));
        free(f.beside);
    }
    return why ? say_error("%s: could not be written: %s", f.path, ssa_file_reason(why)) : 0;
}

/* ---- logs ---- */

int log_check(const char *path)
{
    if (!path || kind_of(path) != REGULAR)
        return file_check_output(path);
    return access(path, W_OK) ? say_error("%s: cannot be written: %s", path, strerror(errno)) : 0;
}

/* A run that was killed, or a disk that was full, may have left half a line. */
static bool ends_a_line(const char *path)
{
    char last = '\n';
    int file = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = file < 0 ? 0 : lseek(file, 0, SEEK_END);
    if (size > 0 && pread(file, &last, 1, size - 1) != 1)
        last = '\n';
    if (file >= 0)
        close(file);
    return last == '\n';
}

static int log_failed(struct log_file *log, int why)
{
    int status = say_error("%s: the log could not be written: %s", log->path, strerror(why));
    close(log->file);
    log->file = -1;
    return status;
}

static int put(struct log_file *log, const char *text, size_t size)
{
    while (size) {
        ssize_t n = write(log->file, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return log_failed(log, n ? errno : ENOSPC);
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

int log_open(struct log_file *log, const char *path, enum log_mode mode)
{
    *log = (struct log_file){.path = path, .file = -1};
    if (!path)
        return 0;
    enum kind kind = kind_of(path);
    log->file = kind == DESCRIPTOR ? dup(descriptor_of(path))
                                   : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (log->file < 0)
        return say_error("%s: cannot be opened for the log: %s", path, strerror(errno));
    if (kind == DESCRIPTOR || kind == STREAM)
        return 0;
    if (mode != LOG_ADD && flock(log->file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        close(log->file);
        log->file = -1;
        return say_error("%s: another run writes this log; give another --log", path);
    }
    if (mode == LOG_NEW)
        return ftruncate(log->file, 0) ? log_failed(log, errno) : 0;
    return ends_a_line(path) ? 0 : put(log, "\n", 1);
}

int log_write(struct log_file *log, json_t *record)
{
    char *line = record ? ssa_json_text(record, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    size_t size = line ? strlen(line) : 0;
    json_decref(record);
    if (!line)
        return say_error("no memory for a line of the log, or one of its numbers is not finite");
    line[size] = '\n'; /* in the place of the zero, so that a line is one write */
    int status = log->path && log->file >= 0 ? put(log, line, size + 1) : 0;
    free(line);
    return status;
}

int log_close(struct log_file *log)
{
    int file = log->path ? log->file : -1;
    log->file = -1;
    return file >= 0 && close(file) ? say_error("%s: the log could not be written: %s", log->path, strerror(errno)) : 0;
}

/* ---- stdin, stdout, stderr ---- */

void occupy_standard_files(void)
{
    for (int file = STDIN_FILENO; file <= STDERR_FILENO; file++) {
        /* Each opened the wrong way round: a result that nobody gets is a failure. A free number is the lowest here. */
        int way = file == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(file, F_GETFD) < 0 && open("/dev/null", way) < 0 && open("/", O_RDONLY) < 0)
            _exit(EXIT_FAILED); /* there is no place to say why */
    }
}

int finish_stdout(void)
{
    return fflush(stdout) != 0 || ferror(stdout) ? say_error("the output could not be written: %s", strerror(errno))
                                                 : 0;
}

int print_json(json_t *object)
{
    if (!object)
        return say_error("no memory for the JSON");
    int failed = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
    return failed ? say_error("the JSON could not be written") : finish_stdout();
}
