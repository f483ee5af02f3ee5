/* The limits of the processor, by native code on as many threads as the host backend uses. */
#include "bench.h"
#include "peak.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { CHAINS = 12, MAX_THREADS = 1024 }; /* enough independent chains to cover the latency of two units */

/* CHAINS vectors of BYTES each multiply and add, `rounds` times. */
#define FMA_LOOP(name, bytes, attributes) \
    attributes static float name(int rounds, float factor, float term) \
    { \
        typedef float vector __attribute__((vector_size(bytes))); \
        vector x[CHAINS], a = factor - (vector){0}, b = term - (vector){0}; \
        for (int i = 0; i < CHAINS; i++) \
            x[i] = (float)i - (vector){0}; \
        for (int r = 0; r < rounds; r++) \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) \
                x[i] = x[i] * a + b; \
        for (int i = 1; i < CHAINS; i++) \
            x[0] += x[i]; \
        return x[0][0]; \
    }
FMA_LOOP(fma_base, 16, )
#if defined(__x86_64__)
FMA_LOOP(fma_avx2, 32, __attribute__((target("avx2,fma"))))
FMA_LOOP(fma_avx512, 64, __attribute__((target("avx512f"))))
#endif

static float fma_loop(int rounds, int *width)
{
    volatile float factor = 0.999f, term = 1e-3f; /* not to be folded */
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) {
        *width = 16;
        return fma_avx512(rounds, factor, term);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        *width = 8;
        return fma_avx2(rounds, factor, term);
    }
#endif
    *width = 4;
    return fma_base(rounds, factor, term);
}

struct host {
    int threads;
    float *x, *y, *z;
};

struct task {
    pthread_t thread;
    const struct host *host;
    int rounds, width;
    size_t first, end; /* of the triad; both 0: multiply-adds */
    float result;
};

/* Not inline, or the passes of one set could be taken for one. */
__attribute__((noinline)) static void triad(float *restrict x, const float *restrict y, const float *restrict z,
                                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = y[i] + 3.0f * z[i];
    __asm__ volatile("" ::: "memory");
}

static void *run(void *argument)
{
    struct task *t = argument;
    const struct host *h = t->host;
    if (!t->end)
        t->result = fma_loop(t->rounds, &t->width);
    for (int r = 0; t->end && r < t->rounds; r++)
        triad(h->x + t->first, h->y + t->first, h->z + t->first, t->end - t->first);
    return NULL;
}

/* Runs a task on every thread, this one among them: multiply-adds, or the triad over `count` elements. */
static int run_all(struct host *h, size_t count, int rounds, int *width)
{
    struct task *tasks = calloc((size_t)h->threads, sizeof *tasks);
    int started = 1;
    if (!tasks)
        return SSA_ENOMEM;
    for (int i = 0; i < h->threads; i++)
        tasks[i] = (struct task){.host = h, .rounds = rounds, .first = count / (size_t)h->threads * (size_t)i,
                                 .end = count / (size_t)h->threads * (size_t)(i + 1)};
    while (started < h->threads && start_thread(&tasks[started].thread, run, &tasks[started]))
        started++;
    run(&tasks[0]);
    for (int i = 1; i < started; i++)
        pthread_join(tasks[i].thread, NULL);
    *width = tasks[0].width;
    int err = started == h->threads ? SSA_OK : SSA_ENOMEM;
    free(tasks);
    return err;
}

static void host_close(void *state)
{
    struct host *h = state;
    free(h->x);
    free(h->y);
    free(h->z);
    free(h);
}

static int host_open(void **state, const struct ssa_device_info *info, size_t triad_count)
{
    struct host *h = calloc(1, sizeof *h);
    *state = h;
    if (!h)
        return SSA_ENOMEM;
    h->threads = info->units < MAX_THREADS ? info->units : MAX_THREADS;
    h->x = calloc(triad_count, sizeof *h->x);
    h->y = malloc(triad_count * sizeof *h->y);
    h->z = malloc(triad_count * sizeof *h->z);
    if (!h->x || !h->y || !h->z)
        return SSA_ENOMEM;
    for (size_t i = 0; i < triad_count; i++) /* a page that was never written would be read from cache */
        h->x[i] = h->y[i] = h->z[i] = 1;
    return SSA_OK;
}

static int host_fma(void *state, int rounds, double *operations)
{
    struct host *h = state;
    int width, err = run_all(h, 0, rounds, &width);
    *operations = 2.0 * CHAINS * width * rounds * h->threads;
    return err;
}

static int host_triad(void *state, size_t count, int rounds, double *bytes)
{
    struct host *h = state;
    int width;
    *bytes = 12.0 * (double)(count / (size_t)h->threads) * h->threads * rounds;
    return run_all(h, count, rounds, &width);
}

const struct peak_backend peak_host = {host_open, host_close, host_fma, host_triad};
