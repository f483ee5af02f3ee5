#include "store.h"

#include "files.h"
#include "hash.h"
#include "impl.h"
#include "ssacl/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "ssacl-" /* others may keep files in the same directory */

enum { VERSION = 1, DAY = 86400, HOUR = 3600, BLOCK = 4096, PATH_SIZE = sizeof ((struct ssa_cache_info *)0)->directory,
       FILE_SIZE = PATH_SIZE + 128 };

/* In the machine's own byte order: another's header has lengths that fit no file. */
struct header {
    char magic[8];
    uint32_t version;
    uint32_t kind_size;
    uint64_t key_size, blob_size;
    uint64_t checksum; /* of the whole file, with this field 0 */
};
static const char magic[8] = {'S', 'S', 'A', 'C', 'A', 'C', 'H', 'E'};

static uint64_t checksum(struct header h, const char *kind, const char *key, const void *blob)
{
    h.checksum = 0;
    uint64_t sum = ssa_hash(SSA_HASH_START, &h, sizeof h);
    sum = ssa_hash(sum, kind, h.kind_size);
    sum = ssa_hash(sum, key, h.key_size);
    return ssa_hash(sum, blob, h.blob_size);
}

/* ---- where ---- */

/* Why nothing in this directory can be believed, or "". What others may put into it must not reach a driver. */
static const char *distrust(const char *path)
{
    struct stat s;
    if (stat(path, &s))
        return ""; /* made when it is needed */
    if (s.st_uid != geteuid())
        return "the directory belongs to another user";
    return s.st_mode & (S_IWGRP | S_IWOTH) ? "others can write to the directory (chmod go-w)" : "";
}

/* False, with the reason, where nothing is kept. */
static bool find_directory(char path[PATH_SIZE], const char **why)
{
    const char *on = ssa_environment("SSACL_CACHE"), *own = ssa_environment("SSACL_CACHE_DIR"),
               *xdg = ssa_environment("XDG_CACHE_HOME"), *home = ssa_environment("HOME");
    int n = 0;
    *path = 0;
    *why = "";
    if (own && *own)
        n = snprintf(path, PATH_SIZE, "%s", own);
    else if (xdg && *xdg == '/')
        n = snprintf(path, PATH_SIZE, "%s/ssacl", xdg);
    else if (home && *home)
        n = snprintf(path, PATH_SIZE, "%s/.cache/ssacl", home);
    if (on && !strcmp(on, "0"))
        *why = "SSACL_CACHE=0";
    else if (!*path)
        *why = "none of $SSACL_CACHE_DIR, $XDG_CACHE_HOME and $HOME is set (or followed: this may be set-user-id)";
    else if (n >= PATH_SIZE)
        *why = "the directory's path is too long";
    else
        *why = distrust(path);
    return !**why;
}

static void file_name(char name[FILE_SIZE], const char *directory, const char *kind, const char *key)
{
    uint64_t h = ssa_hash(ssa_hash(SSA_HASH_START, kind, strlen(kind) + 1), key, strlen(key));
    snprintf(name, FILE_SIZE, "%s/" PREFIX "%.64s-%016llx", directory, kind, (unsigned long long)h);
}

/* With its parents. Errors show when a file is to be made in it. */
static void make_directory(const char *path)
{
    char part[PATH_SIZE];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(part, 0700);
            *p = '/';
        }
    mkdir(part, 0700);
}

/* ---- reading ---- */

/* A plain file of this user that nobody else can write. */
static bool is_own(const struct stat *s)
{
    return S_ISREG(s->st_mode) && s->st_uid == geteuid() && !(s->st_mode & (S_IWGRP | S_IWOTH));
}

/* A file's bytes, or NULL. No link is followed: it might lead to another's. */
static char *read_file(const char *name, size_t *size)
{
    struct stat s;
    char *bytes = NULL;
    int file = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (file < 0)
        return NULL;
    if (!fstat(file, &s) && is_own(&s) && s.st_size >= (off_t)sizeof(struct header) &&
        (uint64_t)s.st_size <= SSA_STORE_LIMIT)
        bytes = malloc((size_t)s.st_size);
    if (bytes && ssa_file_read(file, bytes, *size = (size_t)s.st_size, 0)) {
        free(bytes);
        bytes = NULL;
    }
    if (bytes && time(NULL) - s.st_mtime > DAY)
        futimens(file, NULL); /* used: not the next to be dropped */
    close(file);
    return bytes;
}

/* What is wrong with an entry, or NULL. */
static const char *examine(const char *bytes, size_t size, const char *kind, const char *key)
{
    struct header h;
    memcpy(&h, bytes, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic))
        return "it is none of ours";
    if (h.version != VERSION)
        return "its format is another";
    size_t left = size - sizeof h;
    if (h.kind_size > left || h.key_size > left - h.kind_size || h.blob_size != left - h.kind_size - h.key_size)
        return "its length is wrong";
    const char *its_kind = bytes + sizeof h, *its_key = its_kind + h.kind_size;
    if (checksum(h, its_kind, its_key, its_key + h.key_size) != h.checksum)
        return "its checksum is wrong";
    if (h.kind_size != strlen(kind) || memcmp(its_kind, kind, h.kind_size) || h.key_size != strlen(key) ||
        memcmp(its_key, key, h.key_size))
        return "it is of another key";
    return NULL;
}

bool ssa_store_enabled(void)
{
    char directory[PATH_SIZE];
    const char *why;
    return find_directory(directory, &why);
}

void *ssa_store_get(const char *kind, const char *key, size_t *size)
{
    char directory[PATH_SIZE], name[FILE_SIZE];
    const char *why;
    size_t all = 0;
    if (!find_directory(directory, &why))
        return NULL;
    file_name(name, directory, kind, key);
    char *bytes = read_file(name, &all);
    if (!bytes)
        return NULL;
    if ((why = examine(bytes, all, kind, key))) {
        ssa_log(SSA_LOG_DEBUG, "cache: %s not used: %s", name, why);
        free(bytes);
        return NULL;
    }
    struct header h;
    memcpy(&h, bytes, sizeof h);
    memmove(bytes, bytes + all - h.blob_size, h.blob_size);
    *size = h.blob_size;
    return bytes;
}

/* ---- writing ---- */

/* Once a process: a full disk would else be told at every kernel. */
static void complain(const char *what, const char *name, const char *why)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool said;
    pthread_mutex_lock(&lock);
    bool first = !said;
    said = true;
    pthread_mutex_unlock(&lock);
    ssa_log(first ? SSA_LOG_WARNING : SSA_LOG_DEBUG,
            "cache: cannot %s %s: %s; nothing is lost but time (SSACL_CACHE_DIR chooses another directory)", what, name,
            why);
}

/* In a directory that is made if need be. */
static int begin(struct ssa_new_file *f, const char *directory, const char *name)
{
    int why = ssa_new_file_begin(f, name, SSA_FILE_CACHED);
    if (why != ENOENT)
        return why;
    make_directory(directory);
    return ssa_new_file_begin(f, name, SSA_FILE_CACHED);
}

/* Not synced to the disk: what a power cut leaves half written, the checksum finds. */
static bool write_entry(const char *directory, const char *name, const char *kind, const char *key, const void *blob,
                        size_t size)
{
    struct header h = {.version = VERSION, .kind_size = (uint32_t)strlen(kind), .key_size = strlen(key),
                       .blob_size = size};
    struct ssa_new_file f;
    memcpy(h.magic, magic, sizeof magic);
    h.checksum = checksum(h, kind, key, blob);
    int why = begin(&f, directory, name);
    why = why ? why : ssa_new_file_write(&f, &h, sizeof h);
    why = why ? why : ssa_new_file_write(&f, kind, h.kind_size);
    why = why ? why : ssa_new_file_write(&f, key, h.key_size);
    why = why ? why : ssa_new_file_write(&f, blob, size);
    why = why ? why : ssa_new_file_replace(&f);
    ssa_new_file_abandon(&f);
    if (why)
        complain("write", name, ssa_file_reason(why));
    return !why;
}

/* Looks through the directory at the first put of a process, and again after much was put. */
static bool trim_is_due(size_t size)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static size_t since = SSA_STORE_LIMIT;
    pthread_mutex_lock(&lock);
    since += size;
    bool due = since >= SSA_STORE_LIMIT / 16;
    if (due)
        since = 0;
    pthread_mutex_unlock(&lock);
    return due;
}

bool ssa_store_put(const char *kind, const char *key, const void *blob, size_t size)
{
    char directory[PATH_SIZE], name[FILE_SIZE];
    const char *why;
    bool kept = find_directory(directory, &why);
    if (!kept && *directory && *distrust(directory))
        complain("use", directory, why);
    if (!kept || size > SSA_STORE_LIMIT / 4)
        return false;
    file_name(name, directory, kind, key);
    bool ok = write_entry(directory, name, kind, key, blob, size);
    if (ok && trim_is_due(size + BLOCK))
        ssa_store_trim(SSA_STORE_LIMIT);
    return ok;
}

/* ---- the directory as a whole ---- */

struct entry {
    time_t used;
    size_t size;
    char name[96]; /* longer ones are not ours */
};

struct listing {
    struct entry *entries;
    size_t count, capacity, bytes;
};

static void add_entry(struct listing *l, const char *name, const struct stat *s)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        struct entry *larger = realloc(l->entries, capacity * sizeof *larger);
        if (!larger)
            return; /* seen again the next time */
        l->entries = larger;
        l->capacity = capacity;
    }
    struct entry *e = &l->entries[l->count++];
    e->used = s->st_mtime;
    e->size = ((size_t)s->st_size + BLOCK - 1) / BLOCK * BLOCK;
    snprintf(e->name, sizeof e->name, "%s", name);
    l->bytes += e->size;
}

/* Our entries. Temporaries that a process left behind when it was killed are removed. */
static void list_entries(const char *directory, struct listing *l)
{
    DIR *d = opendir(directory);
    struct stat s;
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) || strlen(e->d_name) >= sizeof l->entries->name ||
            fstatat(dirfd(d), e->d_name, &s, AT_SYMLINK_NOFOLLOW) || !S_ISREG(s.st_mode))
            continue;
        if (!ssa_new_file_is_temporary(e->d_name))
            add_entry(l, e->d_name, &s);
        else if (time(NULL) - s.st_mtime > HOUR)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
}

static int by_use(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->used > y->used) - (x->used < y->used);
}

void ssa_store_trim(size_t limit)
{
    char directory[PATH_SIZE], name[FILE_SIZE];
    struct listing l = {0};
    const char *why;
    if (!find_directory(directory, &why))
        return;
    list_entries(directory, &l);
    if (l.bytes > limit)
        qsort(l.entries, l.count, sizeof *l.entries, by_use);
    for (size_t i = 0; i < l.count && l.bytes > limit; i++) {
        snprintf(name, sizeof name, "%s/%s", directory, l.entries[i].name);
        unlink(name);
        l.bytes -= l.entries[i].size;
    }
    free(l.entries);
}

int ssa_cache_info(struct ssa_cache_info *info)
{
    char name[FILE_SIZE];
    struct ssa_new_file trial;
    struct listing l = {0};
    const char *why;
    *info = (struct ssa_cache_info){.limit = SSA_STORE_LIMIT};
    info->enabled = find_directory(info->directory, &why);
    snprintf(info->why, sizeof info->why, "%s", why);
    if (!info->enabled)
        return SSA_OK;
    file_name(name, info->directory, "trial", "");
    int cannot = begin(&trial, info->directory, name);
    info->writable = !cannot;
    if (cannot)
        snprintf(info->why, sizeof info->why, "cannot be written: %s", ssa_file_reason(cannot));
    ssa_new_file_abandon(&trial);
    list_entries(info->directory, &l);
    info->entries = l.count;
    info->bytes = l.bytes;
    free(l.entries);
    return SSA_OK;
}
