#include "threads.h"
#include "mpi/all_reduce.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What one rank has for another: pointed to until it is taken. */
struct box {
    const void *bytes;
    size_t size;
    bool full;
};

struct threads {
    int count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct box boxes[THREADS_MOST][THREADS_MOST]; /* [from][to] */
};

struct member {
    struct ssa_ranks ranks; /* first */
    struct ssa_links links;
    struct threads *all;
    struct threads_traffic traffic;
    size_t room;
    pthread_t thread;
    void (*run)(struct ssa_ranks *, void *);
    void *cookie;
};

static void put(struct threads *t, int from, int to, const void *bytes, size_t size)
{
    t->boxes[from][to] = (struct box){bytes, size, true};
    pthread_cond_broadcast(&t->changed);
}

static int take(struct threads *t, int from, int to, void *bytes, size_t size)
{
    struct box *b = &t->boxes[from][to];
    while (!b->full)
        pthread_cond_wait(&t->changed, &t->lock);
    int wrong = b->size != size;
    if (!wrong)
        memcpy(bytes, b->bytes, size);
    b->full = false;
    pthread_cond_broadcast(&t->changed);
    return wrong ? ssa_ranks_fail(SSA_EIO, "threads: sizes differ") : SSA_OK;
}

static int exchange(struct ssa_links *links, int to, const float *out, size_t out_count, int from, float *in,
                    size_t in_count)
{
    struct member *m = (struct member *)((char *)links - offsetof(struct member, links));
    struct threads *t = m->all;
    int me = links->rank, err = SSA_OK;
    pthread_mutex_lock(&t->lock);
    if (out_count)
        put(t, me, to, out, out_count * sizeof *out);
    if (in_count)
        err = take(t, from, me, in, in_count * sizeof *in);
    while (t->boxes[me][to].full)
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
    return err;
}

static int all_reduce(struct ssa_ranks *ranks, float *data, size_t count)
{
    struct member *m = (struct member *)ranks;
    size_t room = ssa_all_reduce_scratch(ranks->count, count);
    if (room > m->room) {
        free(m->links.scratch);
        m->links.scratch = malloc(room * sizeof *m->links.scratch);
        m->room = room;
    }
    m->traffic.calls++;
    m->traffic.floats += count;
    return ssa_all_reduce(&m->links, data, count);
}

static int broadcast(struct ssa_ranks *ranks, void *data, size_t bytes, int from)
{
    struct member *m = (struct member *)ranks;
    struct threads *t = m->all;
    int err = SSA_OK;
    m->traffic.bytes += bytes;
    pthread_mutex_lock(&t->lock);
    for (int to = 0; ranks->rank == from && to < t->count; to++)
        if (to != from)
            put(t, from, to, data, bytes);
    for (int to = 0; ranks->rank == from && to < t->count; to++)
        while (t->boxes[from][to].full)
            pthread_cond_wait(&t->changed, &t->lock);
    if (ranks->rank != from)
        err = take(t, from, ranks->rank, data, bytes);
    pthread_mutex_unlock(&t->lock);
    return err;
}

static void finish(struct ssa_ranks *ranks, int failed)
{
    (void)ranks, (void)failed;
}

static void *begin(void *argument)
{
    struct member *m = argument;
    m->run(&m->ranks, m->cookie);
    free(m->links.scratch);
    return NULL;
}

void threads_run(int count, void (*run)(struct ssa_ranks *, void *), void *cookie)
{
    struct threads all = {.count = count, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct member members[THREADS_MOST];
    for (int r = 0; r < count; r++) {
        members[r] = (struct member){.ranks = {.rank = r, .count = count, .all_reduce = all_reduce,
                                               .broadcast = broadcast, .finish = finish},
                                     .links = {.rank = r, .count = count, .exchange = exchange}, .all = &all,
                                     .run = run, .cookie = cookie};
        if (pthread_create(&members[r].thread, NULL, begin, &members[r]))
            abort();
    }
    for (int r = 0; r < count; r++)
        pthread_join(members[r].thread, NULL);
}

struct threads_traffic threads_traffic(const struct ssa_ranks *ranks)
{
    return ((const struct member *)ranks)->traffic;
}
