/* Signals that end a run in order. */
#ifndef DEMO_SIGNALS_H
#define DEMO_SIGNALS_H

/* 0, or the signal that asked for an end: finish what is at hand, keep it, and exit with EXIT_INTERRUPTED. */
extern volatile int interrupted;

/* From here on that is so for SIGINT (Ctrl-C), SIGTERM and SIGQUIT, the second of which ends the program at once, should
 * it not come to an end; and for what a terminal that closes, a limit of processor time and batch systems send, once or
 * many times: SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2. What is ignored already, as under nohup, stays ignored. */
void signals_catch(void);
/* The same under a launcher of processes, which may send one signal twice, and has others to end at once. */
void signals_catch_launched(void);

/* From here on to signals_catch() one that ends the program calls this first, which does what handlers of signals may. */
void signals_tidy(void (*tidy)(void));

/* From the one to the other, signals that would end the program wait: for what is soon done and leaves a file behind if
 * it is not. */
void signals_hold(void);
void signals_release(void);

/* A write that fails, to a pipe that nobody reads any more or past a limit of a file's size, is then an error and not the
 * end: for a program that has files to write. */
void signals_survive_writes(void);

#endif
