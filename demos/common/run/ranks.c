#include "ranks.h"

#include "program.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- joining ---- */

/* Where this process is no rank of its own and still looks like one, the others never come. */
struct patience {
    pthread_mutex_t lock;
    pthread_cond_t joined;
    bool over;
};
enum { PATIENCE = 20 };

static void *remind(void *argument)
{
    struct patience *p = argument;
    struct timespec end;
    int err = clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE;
    pthread_mutex_lock(&p->lock);
    while (!p->over && !err)
        err = pthread_cond_timedwait(&p->joined, &p->lock, &end);
    if (!p->over)
        say_note("waiting for the %d processes that the launcher is said to have started; if there are no others, give "
                 "--alone", ssa_ranks_launched());
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int open_ranks(struct ssa_ranks **ranks)
{
    struct patience p = {.lock = PTHREAD_MUTEX_INITIALIZER, .joined = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    bool reminds = !pthread_create(&thread, NULL, remind, &p);
    int err = ssa_ranks_open(ranks, "mpi");
    if (reminds) {
        pthread_mutex_lock(&p.lock);
        p.over = true;
        pthread_cond_signal(&p.joined);
        pthread_mutex_unlock(&p.lock);
        pthread_join(thread, NULL);
    }
    return err;
}

int ranks_join(struct ssa_ranks **ranks, bool alone)
{
    *ranks = NULL;
    if (alone || ssa_ranks_launched() < 2)
        return 0;
    if (open_ranks(ranks) != SSA_OK)
        return say_error("%s; if this is to be a run of one process, give --alone", ssa_last_error());
    if ((*ranks)->rank)
        say_hold_errors();
    return 0;
}

void ranks_leave(struct ssa_ranks *ranks, bool failed)
{
    ssa_ranks_close(ranks, failed);
}

bool ranks_lead(const struct ssa_ranks *ranks)
{
    return !ranks || !ranks->rank;
}

int ranks_all(struct ssa_ranks *ranks, const char *program, int status, int good)
{
    static char name[96];
    int lowest = 0;
    if (!ranks)
        return status;
    if (ranks->rank) {
        snprintf(name, sizeof name, "%s, rank %d", program, ranks->rank);
        say_set_program(name);
    }
    float *failed = calloc((size_t)ranks->count, sizeof *failed);
    if (failed)
        failed[ranks->rank] = status != good;
    if (!failed || ranks->all_reduce(ranks, failed, (size_t)ranks->count) != SSA_OK) {
        free(failed);
        say_held_error(true);
        return failed ? library_failed() : say_error("no memory for the ranks");
    }
    while (lowest < ranks->count && failed[lowest] == 0)
        lowest++;
    say_held_error(lowest == ranks->rank);
    free(failed);
    return lowest == ranks->count || status != good ? status : EXIT_FAILED;
}

/* ---- devices ---- */

/* Every `of`-th of the names from the `first`, or one of them where there are fewer than takers. */
static const char *deal(char names[][32], int count, int first, int of, char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (int i = count < of ? first % count : first; i < count; i += of)
        used += (size_t)snprintf(text + used, used < size ? size - used : 0, "%s%s", used ? "," : "", names[i]);
    return text;
}

static int split(const char *list, char names[][32], int capacity)
{
    int count = 0;
    while (count < capacity) {
        size_t n = strcspn(list, ",");
        snprintf(names[count++], 32, "%.*s", (int)n, list);
        if (!list[n])
            break;
        list += n + 1;
    }
    return count;
}

static int list_gpus(char names[][32], int capacity)
{
    struct ssa_device_info devices[32];
    int all, count = 0;
    if (ssa_device_list(devices, 32, &all) != SSA_OK)
        return 0;
    for (int i = 0; i < all && i < 32 && count < capacity; i++)
        if (devices[i].kind == SSA_DEVICE_GPU || devices[i].kind == SSA_DEVICE_ACCELERATOR)
            snprintf(names[count++], 32, "%.31s", devices[i].id);
    return count;
}

const char *ranks_devices(const struct ssa_ranks *ranks, const char *names, char *text, size_t size)
{
    char each[32][32];
    const char *chosen = getenv("SSACL_DEVICE");
    int count = 0;
    if (!ranks || ranks->local_count < 2)
        return names;
    if (!strcmp(names, "all") || (!strcmp(names, "auto") && !(chosen && *chosen)))
        count = list_gpus(each, 32);
    else if (strchr(names, ','))
        count = split(names, each, 32);
    if (!count)
        return names;
    if (!strcmp(names, "auto") && count > ranks->local_count)
        count = ranks->local_count; /* one each */
    return deal(each, count, ranks->local_rank, ranks->local_count, text, size);
}
