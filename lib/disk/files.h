/* Whole files: read at once, and replaced at once.
 *
 * A file is replaced by one that is written beside it and then takes its name, so that whoever opens it finds the old
 * one or the new one, each whole. Nothing of the library is needed here: the programs write their outputs by the same
 * code (demos/common/files.c).
 *
 * Functions return 0, or why it did not work: an errno value or one of these. */
#ifndef SSA_DISK_FILES_H
#define SSA_DISK_FILES_H

#include <stdbool.h>
#include <stddef.h>

enum { SSA_FILE_SHORT = -1, SSA_FILE_NOT_REGULAR = -2, SSA_FILE_OF_ANOTHER = -3 };
/* "is not a regular file". */
const char *ssa_file_reason(int why);

/* ---- reading ---- */

/* `size` bytes from byte `at` on. */
int ssa_file_read(int file, void *to, size_t size, size_t at);
/* A regular file of at most `limit` bytes (else EFBIG, with `size` set), with a zero behind them; to be freed. */
int ssa_file_load(const char *path, size_t limit, char **bytes, size_t *size);

/* ---- replacing ---- */

/* Where a write to `path` goes: symbolic links are followed, the last one even to nothing. To be freed. In folders that
 * all may write to (/tmp) links of other users are not followed. */
int ssa_file_resolve(const char *path, char **real);

enum ssa_file_kind {
    SSA_FILE_KEPT,  /* somebody's work: links are followed, modes stay, all is on the disk before the old one goes */
    SSA_FILE_CACHED /* may be lost: a link is replaced, nobody else may read it, and nothing waits for the disk */
};
struct ssa_new_file {
    int file;              /* open for reading and writing */
    char *path;            /* resolved */
    char *temporary;       /* a name that no other process, thread or link has */
    enum ssa_file_kind kind;
    int not_synced;        /* 0, or why the file system could not be waited for: a power cut may undo the renaming */
};
int ssa_new_file_begin(struct ssa_new_file *f, const char *path, enum ssa_file_kind kind);
int ssa_new_file_write(struct ssa_new_file *f, const void *bytes, size_t size);
/* To the disk, if it is to be kept. What is in `temporary` now may be looked at before the next. */
int ssa_new_file_sync(struct ssa_new_file *f);
/* The new file takes its name. After an error the old one is there still, and the new one is not. */
int ssa_new_file_replace(struct ssa_new_file *f);
/* The old file stays. Fine for one that did not begin. */
void ssa_new_file_abandon(struct ssa_new_file *f);
/* Whether a file in a folder is one that has no name yet, or never got it. */
bool ssa_new_file_is_temporary(const char *name);

#endif
