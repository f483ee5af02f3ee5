#define _GNU_SOURCE /* pthread_getattr_np */
#include "thread.h"

#include <stdatomic.h>
#include <stdint.h>

/* Attention's tiles take 0.5 MiB at the largest head width; OpenCL drivers compile on the thread that calls, and their
 * compilers are made for what main threads have. What is not touched costs addresses only. */
enum { STACK = 8 << 20 };

bool ssa_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    pthread_attr_t how;
    if (pthread_attr_init(&how))
        return false;
    bool started = !pthread_attr_setstacksize(&how, STACK) && !pthread_create(thread, &how, run, argument);
    pthread_attr_destroy(&how);
    return started;
}

static _Thread_local struct {
    bool known;
    uintptr_t first, end;
} stack;

/* Asked once a thread: of a main thread it means to read a file. */
static void find_stack(void)
{
    pthread_attr_t how;
    void *first = NULL;
    size_t size = 0;
    stack.known = true;
    if (pthread_getattr_np(pthread_self(), &how))
        return;
    if (!pthread_attr_getstack(&how, &first, &size)) {
        stack.first = (uintptr_t)first;
        stack.end = stack.first + size;
    }
    pthread_attr_destroy(&how);
}

size_t ssa_stack_left(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (!stack.known)
        find_stack();
    return here > stack.first && here < stack.end ? here - stack.first : 0; /* elsewhere: a fiber's stack */
}

static atomic_uint forks;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

unsigned ssa_forks(void)
{
    pthread_once(&once, watch);
    return atomic_load(&forks);
}

bool ssa_lock_create(pthread_mutex_t *lock, pthread_cond_t *changed)
{
    if (pthread_mutex_init(lock, NULL))
        return false;
    if (!pthread_cond_init(changed, NULL))
        return true;
    pthread_mutex_destroy(lock);
    return false;
}

void ssa_lock_destroy(pthread_mutex_t *lock, pthread_cond_t *changed)
{
    pthread_cond_destroy(changed);
    pthread_mutex_destroy(lock);
}
