/* What a container leaves of the machine. A process is in one control group of each hierarchy (/proc/self/cgroup), and
 * /proc/self/mountinfo says where a hierarchy, or the part of it that is shown here, is found. Limits of the groups
 * around it hold too. A scheduler that allows half a processor stops a process with two busy threads for most of each
 * period, and memory past a limit is not refused: the process is killed. */
#define _GNU_SOURCE
#include "machine.h"

#include "impl.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LINE = 1024, MOST_THREADS = 1024 };

struct usage {
    size_t addresses, resident, data; /* bytes */
};

static FILE *open_below(const char *root, const char *path)
{
    char name[LINE];
    int n = snprintf(name, sizeof name, "%s%s", root, path);
    return n > 0 && n < (int)sizeof name ? fopen(name, "r") : NULL;
}

/* The numbers of a file's first line, up to two; returns how many. "max" and -1 are no limits, and end them. */
static int read_numbers(const char *root, const char *folder, const char *file, unsigned long long numbers[2])
{
    char path[LINE], line[128] = "", *at = line, *end;
    int n = snprintf(path, sizeof path, "%s/%s", folder, file), count = 0;
    FILE *f = n > 0 && n < (int)sizeof path ? open_below(root, path) : NULL;
    if (!f)
        return 0;
    if (!fgets(line, sizeof line, f))
        *line = 0;
    fclose(f);
    for (; count < 2; count++, at = end) {
        while (*at == ' ')
            at++;
        if (*at < '0' || *at > '9')
            break;
        errno = 0;
        numbers[count] = strtoull(at, &end, 10);
        if (errno)
            break;
    }
    return count;
}

static void limit_processors(struct ssa_machine *m, unsigned long long quota, unsigned long long period)
{
    unsigned long long processors = period ? quota / period + (quota % period != 0) : 0;
    if (processors && processors < (unsigned long long)m->processors)
        m->processors = (int)processors;
}

static void limit_memory(struct ssa_machine *m, unsigned long long limit, size_t used)
{
    unsigned long long left = limit > used ? limit - used : 0;
    if (left < m->memory)
        m->memory = (size_t)left;
}

/* The limits of one group, whichever files it has: v2, v1. */
static void read_group(struct ssa_machine *m, const char *root, const char *folder, const struct usage *used)
{
    static const char *const memory[] = {
        "memory.max", "memory.high" /* past it a process is slowed until it hardly runs */, "memory.limit_in_bytes"};
    unsigned long long n[2], period[2];
    if (read_numbers(root, folder, "cpu.max", n) == 2)
        limit_processors(m, n[0], n[1]);
    if (read_numbers(root, folder, "cpu.cfs_quota_us", n) && read_numbers(root, folder, "cpu.cfs_period_us", period))
        limit_processors(m, n[0], period[0]);
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (read_numbers(root, folder, memory[i], n))
            limit_memory(m, n[0], used->resident);
}

/* From the group `below` the mount point up to it. */
static void read_groups(struct ssa_machine *m, const char *root, const char *mount, const char *below,
                        const struct usage *used)
{
    char folder[2 * LINE];
    size_t least = strlen(mount);
    snprintf(folder, sizeof folder, "%s%s", mount, below);
    for (;;) {
        read_group(m, root, folder, used);
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= least || !slash || (size_t)(slash - folder) < least)
            return;
        *slash = 0;
    }
}

/* The path of a group below the one that a mount shows: a container may see only its own group, under a path that
 * begins outside of it. */
static const char *below_mount(const char *group, const char *shown)
{
    size_t n = strcmp(shown, "/") ? strlen(shown) : 0;
    if (strncmp(group, shown, n) || (group[n] && group[n] != '/') || strstr(group, "/.."))
        return "";
    return group[n + 1] ? group + n : "";
}

/* Whether `word` is in a list with commas between. */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, word, n) && (!at[n] || at[n] == ','))
            return true;
    return false;
}

/* This process's group in the hierarchy that has `controller`; "": in the one without controllers, v2. */
static bool find_group(const char *root, const char *controller, char group[LINE])
{
    char line[LINE];
    bool found = false;
    FILE *f = open_below(root, "/proc/self/cgroup");
    while (f && !found && fgets(line, sizeof line, f)) { /* 4:cpu,cpuacct:/path */
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        found = *controller ? listed(names + 1, controller) : !names[1];
        if (found)
            snprintf(group, LINE, "%s", path);
    }
    if (f)
        fclose(f);
    return found;
}

/* Paths in mountinfo have \040 for a space, and so on. */
static void unescape(char *text)
{
    char *to = text;
    for (; *text; text++, to++) {
        *to = *text;
        if (*text == '\\' && text[1] && text[2] && text[3]) {
            *to = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + text[3] - '0');
            text += 3;
        }
    }
    *to = 0;
}

/* 30 23 0:26 /shown /mounted options - type source options */
static void read_mount(struct ssa_machine *m, const char *root, char *line, const struct usage *used)
{
    static const char *const controllers[] = {"cpu", "memory"};
    char *fields[5], *rest = line, *type = strstr(line, " - "), group[LINE];
    for (int i = 0; i < 5; i++)
        if (!(fields[i] = strsep(&rest, " ")))
            return;
    if (!type || type < rest)
        return;
    char *kind = type + 3, *options = strrchr(kind, ' ');
    if (!options)
        return;
    options[strcspn(options, "\n")] = 0;
    unescape(fields[3]);
    unescape(fields[4]);
    if (!strncmp(kind, "cgroup2 ", 8) && find_group(root, "", group))
        read_groups(m, root, fields[4], below_mount(group, fields[3]), used);
    for (int i = 0; i < 2 && !strncmp(kind, "cgroup ", 7); i++)
        if (listed(options + 1, controllers[i]) && find_group(root, controllers[i], group))
            read_groups(m, root, fields[4], below_mount(group, fields[3]), used);
}

static struct usage read_usage(const char *root)
{
    unsigned long long pages[6] = {0};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    FILE *f = open_below(root, "/proc/self/statm");
    if (f) {
        for (int i = 0; i < 6 && fscanf(f, "%llu", &pages[i]) == 1; i++)
            ;
        fclose(f);
    }
    return (struct usage){(size_t)pages[0] * page, (size_t)pages[1] * page, (size_t)pages[5] * page};
}

static void read_resource(struct ssa_machine *m, int resource, size_t used)
{
    struct rlimit limit;
    if (!getrlimit(resource, &limit) && limit.rlim_cur != RLIM_INFINITY)
        limit_memory(m, limit.rlim_cur, used);
}

static int affinity(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set))
        return CPU_COUNT(&set);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

void ssa_machine_read(struct ssa_machine *m, const char *root)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const struct usage used = read_usage(root);
    char line[LINE];
    m->processors = affinity() > 0 ? affinity() : 1;
    /* 32-bit processes may be of machines with more memory than they can address. */
    const size_t most = SIZE_MAX / 2;
    m->memory = pages > 0 && page > 0 && (size_t)pages <= most / (size_t)page ? (size_t)pages * (size_t)page : most;
    FILE *f = open_below(root, "/proc/self/mountinfo");
    while (f && fgets(line, sizeof line, f))
        read_mount(m, root, line, &used);
    if (f)
        fclose(f);
    read_resource(m, RLIMIT_AS, used.addresses);
    read_resource(m, RLIMIT_DATA, used.data);
}

int ssa_threads_wanted(void)
{
    const char *text = ssa_environment("SSACL_THREADS");
    char *end;
    if (!text || !*text)
        return 0;
    long n = strtol(text, &end, 10);
    return *end || *text < '0' || *text > '9' || n < 1 || n > MOST_THREADS ? -1 : (int)n;
}
