/**
 * @file cache.h
 * What the library keeps on disk between runs.
 */
#ifndef SSACL_CACHE_H
#define SSACL_CACHE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The directory in which the library keeps built programs and verdicts of self-tests between runs:
 *  $SSACL_CACHE_DIR, else $XDG_CACHE_HOME/ssacl, else ~/.cache/ssacl; SSACL_CACHE=0 turns it off. It may be deleted at
 *  any time; an entry that is stale, damaged or unreadable is made again. What it keeps is loaded into drivers: it is
 *  not used where it, or an entry, belongs to another user or can be written by others, and no entry that is a link. */
struct ssa_cache_info {
    int enabled;          /**< 0: nothing is kept; `why` says why */
    int writable;         /**< 0: what is there is used, nothing is added; `why` says why */
    size_t entries;
    size_t bytes;         /**< on disk */
    size_t limit;         /**< beyond these the entries unused for longest are dropped */
    char directory[1024]; /**< "" where there is none */
    char why[256];        /**< "" where all is well */
    size_t reserved[8];
};

/** What is cached now. Makes the directory where it is missing. */
SSA_API int ssa_cache_info(struct ssa_cache_info *info);

#ifdef __cplusplus
}
#endif
#endif
