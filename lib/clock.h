/* Time: one clock for everything that measures or waits, which tests may set. */
#ifndef SSA_CLOCK_H
#define SSA_CLOCK_H

#include <pthread.h>

/* As it is unless a test says otherwise: CLOCK_MONOTONIC, and a wait for `seconds` at most on a condition of that clock
 * (it may end early). Set while no other thread is about. */
struct ssa_clock {
    double (*seconds)(void);
    void (*wait)(pthread_cond_t *condition, pthread_mutex_t *lock, double seconds);
};
extern struct ssa_clock ssa_clock;

/* Seconds in which this process ran, since some beginning. While it is stopped (Ctrl-Z), its container frozen or its
 * machine paused, the clock of ssa_seconds() goes on, but a device may not have been given anything to do, and whatever
 * waits for it cannot know. So a step of that clock of more than SSA_STEP from one call of this to the next, by any
 * thread, counts as SSA_STEP; who waits with others calls it every SSA_TICK at least. */
double ssa_awake(void);
#define SSA_TICK 0.5
#define SSA_STEP 1.0

#endif
