/* Files that programs read and write: told apart, tried before the work starts, never left half-written. */
#ifndef DEMO_FILES_H
#define DEMO_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- before the work ---- */

/* What a program will read and write, all of it, before anything is opened: files_check() says which two are one file
 * (by device and inode, through links, or by folder and name of what is not there yet). Pipes and devices may be given
 * more than once. */
struct files {
    struct file_use *uses;
    int count, capacity;
    bool failed;
};
/* `what` is "--log"; NULL: the path says enough. A path of NULL is none, "-" is stdin. The path is copied. */
void files_read(struct files *files, const char *what, const char *path);
void files_write(struct files *files, const char *what, const char *path);
/* Says what is wrong and returns non-zero, or 0. Empties the list. */
int files_check(struct files *files);
/* Whether both paths lead to one file. */
bool file_same(const char *a, const char *b);

/* Can a file be made or replaced there? It is tried. Says why not and returns non-zero. NULL is fine. */
int file_check_target(const char *path);
/* The same of what may also be a pipe, a device or an open descriptor: /dev/stdout, /dev/fd/3. */
int file_check_output(const char *path);
/* The bytes that are free where a file of this path is written; false where that is not known. */
bool file_room(const char *path, uint64_t *bytes);
/* Whether a file with something in it is there, which would be lost. */
bool file_holds_something(const char *path);
/* Says so and returns non-zero, unless `force`. NULL is fine. */
int file_check_new(const char *path, bool force);

/* Held while a file is written again and again, so that a second program does not do the same: beside it there is
 * NAME.lock meanwhile, which says what it is. One whose holder is gone keeps nobody away, nor does an empty file;
 * anything else that lies there stays as it is. Says who or what is in the way and returns non-zero. */
struct file_lock {
    char *path;
    int file;
};
/* The name of the lock, to be compared with what else is read and written; to be freed. NULL: there can be none. */
char *file_lock_name(const char *path);
int file_lock(struct file_lock *lock, const char *path);
void file_unlock(struct file_lock *lock);
/* All that a handler of signals may do of it. */
void file_remove_lock(const struct file_lock *lock);

/* What lies at a path, to see later whether it is still that. */
struct file_look {
    bool exists;
    unsigned long long device, inode, size;
    long long seconds, nanoseconds;
    uint64_t beginning; /* a hash of its first bytes */
};
struct file_look file_look(const char *path);
enum file_change {
    FILE_STAYED,  /* also where nothing lies there now */
    FILE_TOUCHED, /* its times are others; its size and its first bytes are not, and of the rest nothing is known */
    FILE_REPLACED /* something else lies there */
};
enum file_change file_change(const struct file_look *before, const char *path);

/* ---- whole files ---- */

/* A new file that takes its name only when it is complete: written beside it, synced, renamed. A pipe, a device or an
 * open descriptor is written as it comes. */
struct new_file {
    const char *path;
    FILE *stream;
    struct ssa_new_file *beside; /* NULL: as it comes */
};
int new_file_begin(struct new_file *file, const char *path);
/* keep false: the new file is removed and the old one stays. Returns non-zero if anything went wrong. */
int new_file_end(struct new_file *file, bool keep);

/* ---- logs ---- */

/* One JSON object a line, each written at once: what stands there survives a crash. */
struct log_file {
    const char *path;
    int file; /* -1: none */
};
enum log_mode {
    LOG_NEW,    /* replaces what was there; nobody else may do so until it is closed */
    LOG_GO_ON,  /* is added to; nobody else may do so either */
    LOG_ADD     /* for a line, whoever writes the log */
};
/* Can a log be made or added to there? Says why not and returns non-zero. NULL is fine. */
int log_check(const char *path);
/* path NULL: no log, log_write() does nothing. A line that an earlier run did not finish is ended. */
int log_open(struct log_file *log, const char *path, enum log_mode mode);
int log_write(struct log_file *log, json_t *record); /* takes the reference to the record */
int log_close(struct log_file *log);

/* ---- stdin, stdout, stderr ---- */

/* Call it first thing in main(). Those that are closed are led to nowhere, so that no file gets their number, nor what
 * is said or printed. Writing and reading there still fail. */
void occupy_standard_files(void);
/* Prints the object on stdout and flushes it, so that a full disk is seen. Takes the reference. */
int print_json(json_t *object);
/* Flushes stdout; says if it could not be written. */
int finish_stdout(void);

#endif
