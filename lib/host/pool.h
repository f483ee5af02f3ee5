/* Threads that share the work-items of a launch. */
#ifndef SSA_HOST_POOL_H
#define SSA_HOST_POOL_H

#include <stddef.h>

struct ssa_pool;

struct ssa_pool *ssa_pool_create(int threads); /* NULL: out of memory or threads */
void ssa_pool_destroy(struct ssa_pool *pool);
int ssa_pool_default_threads(void); /* $SSACL_THREADS, else the processors this process may run on */
int ssa_pool_threads(const struct ssa_pool *pool);

/* Calls run(context, first, end) for parts of [0, count) from all threads, this one too; returns when all are done. */
void ssa_pool_run(struct ssa_pool *pool, size_t count, void (*run)(const void *, size_t, size_t), const void *context);

#endif
