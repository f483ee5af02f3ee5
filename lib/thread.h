/* Threads of the library, and what a fork leaves of them. */
#ifndef SSA_THREAD_H
#define SSA_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Starts a thread, with a stack that suffices for kernels of the host backend and for compilers of drivers, whatever
 * the system's default is (128 KiB on musl, or `ulimit -s`). All of lib's start here. False: none could be started. */
bool ssa_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/* A lock and a condition under it: both, or false and neither. */
bool ssa_lock_create(pthread_mutex_t *lock, pthread_cond_t *changed);
void ssa_lock_destroy(pthread_mutex_t *lock, pthread_cond_t *changed);

/* Bytes of stack that are left to the caller; 0 where that cannot be known. */
size_t ssa_stack_left(void);

/* How often this process was forked from another since the library was first used. In a child there are no threads but
 * the one that forked: what has threads remembers the number from when they were started, and another one says that
 * they are gone. Nothing they hold is given back then: locks may be held for ever, and joining them hangs. */
unsigned ssa_forks(void);

#endif
