/* Files that programs write: checked before the work starts, never left half-written. */
#ifndef DEMO_FILES_H
#define DEMO_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Can a file be made or replaced there? Says why not and returns non-zero. NULL is fine. */
int file_check_target(const char *path);

/* A new file that takes its name only when it is complete: written beside it, synced, renamed. */
struct new_file {
    const char *path;
    char *temporary;
    FILE *stream;
};
int new_file_begin(struct new_file *file, const char *path);
/* keep false: the temporary file is removed and the old one stays. Returns non-zero if anything went wrong. */
int new_file_end(struct new_file *file, bool keep);

/* One JSON object a line, each flushed: what stands there survives a crash. */
struct log_file {
    const char *path;
    FILE *stream;
};
int log_open(struct log_file *log, const char *path, bool append); /* path NULL: no log, log_write() does nothing */
int log_write(struct log_file *log, json_t *record);               /* takes the reference to the record */
int log_close(struct log_file *log);

/* Prints the object on stdout and flushes it, so that a full disk is seen. Takes the reference. */
int print_json(json_t *object);
/* Flushes stdout; says if it could not be written. */
int finish_stdout(void);

#endif
