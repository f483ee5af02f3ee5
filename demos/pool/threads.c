#include "threads.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* Of /proc/self/task/ID/schedstat the first number: nanoseconds. A thread that has just ended has none. */
static bool seconds_of(const char *id, double *seconds)
{
    char path[64];
    unsigned long long nanoseconds = 0;
    snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", id);
    FILE *f = fopen(path, "r");
    const bool read = f && fscanf(f, "%llu", &nanoseconds) == 1;
    if (f)
        fclose(f);
    *seconds = 1e-9 * (double)nanoseconds;
    return read;
}

bool threads_read(struct threads *t)
{
    DIR *all = opendir("/proc/self/task");
    t->count = 0;
    if (!all)
        return false;
    for (struct dirent *one = readdir(all); one && t->count < MOST_THREADS; one = readdir(all))
        if (one->d_name[0] != '.' && seconds_of(one->d_name, &t->seconds[t->count]))
            t->id[t->count++] = strtol(one->d_name, NULL, 10);
    closedir(all);
    return t->count > 0;
}

static double seconds_before(const struct threads *t, long id)
{
    for (int i = 0; i < t->count; i++)
        if (t->id[i] == id)
            return t->seconds[i];
    return 0;
}

static int falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

void threads_between(const struct threads *before, const struct threads *after, int most, double *all, double *busiest)
{
    double own[MOST_THREADS];
    for (int i = 0; i < after->count; i++)
        own[i] = after->seconds[i] - seconds_before(before, after->id[i]);
    qsort(own, (size_t)after->count, sizeof *own, falling);
    *all = 0;
    *busiest = after->count ? own[0] : 0;
    for (int i = 0; i < most && i < after->count; i++)
        *all += own[i];
}
