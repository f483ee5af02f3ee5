/* What a test or a program asks of the layer, once it has found these by dlsym(): see faults_find(). What the rules
 * are: README.md. */
#ifndef SSA_TEST_FAULTS_H
#define SSA_TEST_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

/* A device is "0:1" or "opencl:0:1" as in the library's ids; NULL: all. */
struct faults {
    /* From now on these rules, and no others. Counts restart, calls that hang go on. Returns how many rules, -1 if they
     * are not understood (then there is none). NULL or "": nothing fails. */
    int (*set)(const char *rules);
    /* Calls of a function since then, those that failed included. */
    unsigned long (*count)(const char *function, const char *device);
    /* Where calls hang from now on, whatever the seconds of their rule; NULL: as rules say. */
    void (*hang_in)(void (*hang)(void));
    /* Another clock to measure by, and to sleep by where rules have seconds or make a device slow; NULL: the true
     * one. While no call is under way. */
    void (*clock)(double (*seconds)(void), void (*sleep)(double seconds));
    /* How often a rule has struck since then: calls that failed or hung, kernels slowed or spoilt, buffers refused. */
    unsigned long (*struck)(void);
    /* References to contexts, queues, buffers, programs, kernels and events, and bytes of buffers, that are alive. */
    long (*alive)(const char *device);
    size_t (*bytes)(const char *device);
    /* "2 buffers (8192 bytes), 1 kernel"; "" where nothing is alive. */
    void (*describe)(const char *device, char *text, size_t size);
};

/* False with a line on stderr unless the OpenCL loader took the layer of $OPENCL_LAYERS: one that is missing it ignores
 * without a word. The loader must have been woken. */
bool faults_find(struct faults *faults);

/* The first two OpenCL devices that there are, on one platform or two: their ids. False with a line on stderr if there
 * is none, or one. */
bool faults_devices(char ids[2][32]);

/* The functions themselves, for the layer. */
int faults_set(const char *rules);
unsigned long faults_count(const char *function, const char *device);
void faults_hang_in(void (*hang)(void));
void faults_clock(double (*seconds)(void), void (*sleep)(double seconds));
unsigned long faults_struck(void);
long faults_alive(const char *device);
size_t faults_bytes(const char *device);
void faults_describe(const char *device, char *text, size_t size);

#endif
