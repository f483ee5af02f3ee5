/* Threads that share the work-items of a launch. */
#ifndef SSA_HOST_THREADS_H
#define SSA_HOST_THREADS_H

#include <stddef.h>

struct ssa_threads;

struct ssa_threads *ssa_threads_create(int threads); /* NULL: out of memory or threads */
void ssa_threads_destroy(struct ssa_threads *threads);
int ssa_threads_default(void); /* $SSACL_THREADS, else the processors this process may run on */

/* Calls run(context, first, end) for parts of [0, count) from all threads, this one too; returns when all are done. */
void ssa_threads_run(struct ssa_threads *threads, size_t count, void (*run)(const void *, size_t, size_t), const void *context);

#endif
