/* Blobs kept on disk between runs: built programs, verdicts of self-tests. Only ever a shortcut: a blob that is not
 * there, or not whole, is made again, and nothing here is an error.
 *
 * A blob is put under a kind ("program": letters, digits, '_') and a key, any text that names all it depends on
 * (driver, version, source, ...). One file an entry: a header with the format's version, lengths and a checksum, the
 * kind and the whole key, the blob. An entry that another format, user or key wrote, or that is damaged in any byte,
 * counts as absent. Files are written aside and renamed, so that threads and processes may share the directory:
 * $SSACL_CACHE_DIR, else $XDG_CACHE_HOME/ssacl, else ~/.cache/ssacl. SSACL_CACHE=0 turns everything off. A directory
 * or an entry that is not this user's, or that others can write, is not used, and no entry that is a link. */
#ifndef SSA_STORE_H
#define SSA_STORE_H

#include <stdbool.h>
#include <stddef.h>

/* What all entries together may take. Beyond it those unused for longest are dropped. */
#define SSA_STORE_LIMIT ((size_t)256 << 20)

/* False where nothing is kept at all: then the work of making a key may be spared. */
bool ssa_store_enabled(void);
/* The blob, to be freed, or NULL. An empty blob is not NULL. */
void *ssa_store_get(const char *kind, const char *key, size_t *size);
/* Replaces what was there. True if it is there now. */
bool ssa_store_put(const char *kind, const char *key, const void *blob, size_t size);

/* Drops what was unused for longest until at most `limit` bytes are left. put() does so by itself. */
void ssa_store_trim(size_t limit);

#endif
