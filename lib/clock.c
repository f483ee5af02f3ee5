#include "clock.h"
#include "impl.h"

#include <math.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void wait(pthread_cond_t *condition, pthread_mutex_t *lock, double time)
{
    double end = seconds() + time;
    pthread_cond_timedwait(condition, lock, &(struct timespec){.tv_sec = (time_t)end,
                                                               .tv_nsec = (long)((end - floor(end)) * 1e9)});
}

struct ssa_clock ssa_clock = {seconds, wait};

double ssa_seconds(void)
{
    return ssa_clock.seconds();
}

double ssa_awake(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static double latest = -INFINITY, awake;
    pthread_mutex_lock(&lock);
    double now = ssa_seconds(), step = now - latest;
    awake += step < SSA_STEP ? step : SSA_STEP;
    latest = now;
    double result = awake;
    pthread_mutex_unlock(&lock);
    return result;
}
