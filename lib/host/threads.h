/* Threads that share the work-items of a launch. */
#ifndef SSA_HOST_THREADS_H
#define SSA_HOST_THREADS_H

#include <stdbool.h>
#include <stddef.h>

struct ssa_threads;

struct ssa_threads *ssa_threads_create(int threads); /* NULL: out of memory or threads */
void ssa_threads_destroy(struct ssa_threads *threads);

/* Calls run(context, first, end) for parts of [0, count) from all threads, this one too; returns when all are done.
 * `run` needs `stack` bytes of it: a caller with less left waits while a thread with more takes its place, which costs
 * some 20 us. 0: no more than any function. In a child of fork() the threads are started anew. False: no thread could
 * be started, and nothing was done. */
typedef void (*ssa_part)(const void *context, size_t first, size_t end);
bool ssa_threads_run(struct ssa_threads *threads, size_t count, size_t stack, ssa_part run, const void *context);

#endif
