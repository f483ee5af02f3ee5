/* The rules: which calls fail, hang, are slow or wrong; README.md has the language. */
#include "faults.h"
#include "layer.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum rule_kind { FAIL, HANG, SLOW, WRONG, MEMORY, ROOM, SAY, REPORT, RULE_KINDS };
static const char *const kinds[] = {"fail", "hang", "slow", "wrong", "memory", "room", "say", "report"};

struct rule {
    enum rule_kind kind;
    char what[64];   /* function of a call; how of a wrong kernel; what is said otherwise */
    char bytes[64];  /* that are said, and a 0 */
    char kernel[64];
    int device, code, parameter;
    unsigned long nth, seen;
    bool onwards;
    double amount;  /* factor, bytes */
    double seconds; /* that a call hangs, 0: until the rules change */
    double after;   /* seconds since the rules were set */
};

enum { RULES_MAX = 32 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct rule rules[RULES_MAX];
static int rule_count;
static unsigned long generation, struck;
static void (*other_hang)(void);
static double (*other_seconds)(void);
static void (*other_sleep)(double seconds);
static unsigned long counts[FUNCTIONS_MAX][DEVICES + 1]; /* last: of no device */
static double since, owed[DEVICES + 1];
static char report_path[1024];

double now(void)
{
    struct timespec t;
    if (other_seconds)
        return other_seconds();
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int slot(int device)
{
    return device < 0 ? DEVICES : device;
}

/* ---- reading rules ---- */

static bool read_number(const char *value, double least, double *number)
{
    char *end;
    *number = strtod(value, &end);
    return end != value && !*end && *number >= least;
}

/* "ff0a1b" */
static bool read_bytes(struct rule *r, const char *hex)
{
    size_t n = 0;
    for (unsigned byte; n + 1 < sizeof r->bytes && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        r->bytes[n] = (char)byte;
    r->bytes[n] = 0;
    return n && strlen(hex) == 2 * n;
}

static bool read_word(struct rule *r, const char *key, const char *value)
{
    double number;
    if (!strcmp(key, "onwards") && !*value)
        return r->onwards = true;
    if (!strcmp(key, "device"))
        return (r->device = device_named(value)) != -2;
    if (!strcmp(key, "kernel"))
        return snprintf(r->kernel, sizeof r->kernel, "%s", value) > 0;
    if (!strcmp(key, "bytes"))
        return read_bytes(r, value);
    if (!read_number(value, -1e9, &number))
        return false;
    if (!strcmp(key, "nth"))
        return (r->nth = number > 0 ? (unsigned long)number : 0);
    if (!strcmp(key, "code"))
        return (r->code = (int)number);
    if (!strcmp(key, "parameter"))
        return (r->parameter = (int)number) >= 0;
    if (!strcmp(key, "seconds"))
        return (r->seconds = number) >= 0;
    return !strcmp(key, "after") && (r->after = number) >= 0;
}

static bool known_function(const char *pattern)
{
    for (int i = 0; i < function_count; i++)
        if (!fnmatch(pattern, function_names[i], 0))
            return true;
    return false;
}

/* The first word says what kind of rule it is. */
static bool read_kind(struct rule *r, const char *key, const char *value)
{
    int kind = 0;
    while (kind < RULE_KINDS && strcmp(kinds[kind], key))
        kind++;
    r->kind = (enum rule_kind)kind;
    snprintf(r->what, sizeof r->what, "%s", value);
    switch (kind) {
    case FAIL:
    case HANG:
        return known_function(value);
    case WRONG:
        return !strcmp(value, "nan") || !strcmp(value, "flip");
    case SLOW:
    case MEMORY:
    case ROOM:
        r->onwards = true;
        return read_number(value, 1, &r->amount);
    case SAY:
        r->onwards = true;
        return !strcmp(value, "name") || !strcmp(value, "vendor") || !strcmp(value, "driver") ||
               !strcmp(value, "version") || !strcmp(value, "platform");
    case REPORT:
        snprintf(report_path, sizeof report_path, "%s", value);
        return *value;
    default:
        return false;
    }
}

static bool read_rule(struct rule *r, char *text)
{
    char *rest;
    bool first = true;
    *r = (struct rule){.device = ANY, .code = CL_OUT_OF_RESOURCES, .nth = 1, .kernel = "*"};
    for (char *word = strtok_r(text, ", \n", &rest); word; word = strtok_r(NULL, ", \n", &rest), first = false) {
        char *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        if (first ? !read_kind(r, word, value ? value : "") : !read_word(r, word, value ? value : ""))
            return false;
    }
    return !first;
}

int faults_set(const char *text)
{
    char copy[4096], *rest;
    bool good = true;
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    pthread_mutex_lock(&lock);
    rule_count = 0;
    for (char *one = strtok_r(copy, ";", &rest); one && good; one = strtok_r(NULL, ";", &rest)) {
        good = rule_count < RULES_MAX && read_rule(&rules[rule_count], one);
        rule_count += good;
    }
    rule_count = good ? rule_count : 0;
    memset(counts, 0, sizeof counts);
    memset(owed, 0, sizeof owed);
    struck = 0;
    since = now();
    generation++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return good ? rule_count : -1;
}

void faults_hang_in(void (*function)(void))
{
    pthread_mutex_lock(&lock);
    other_hang = function;
    pthread_mutex_unlock(&lock);
}

/* ---- at a call ---- */

/* Under the lock: this is one more occasion for the rule; does it strike? */
static bool strikes(struct rule *r, int device)
{
    if ((r->device != ANY && r->device != device) || (r->after > 0 && now() < since + r->after))
        return false;
    unsigned long n = ++r->seen;
    bool hit = n == r->nth || (r->onwards && n > r->nth);
    struck += hit;
    return hit;
}

void faults_clock(double (*seconds)(void), void (*sleep)(double seconds))
{
    pthread_mutex_lock(&lock);
    other_seconds = seconds;
    other_sleep = sleep;
    pthread_mutex_unlock(&lock);
}

/* Under the lock, which is let go of meanwhile. */
static void hang(double seconds)
{
    unsigned long then = generation;
    void (*other)(void) = other_hang;
    struct timespec until;
    if (other || (other_sleep && seconds > 0)) {
        pthread_mutex_unlock(&lock);
        if (other)
            other();
        else
            other_sleep(seconds);
        pthread_mutex_lock(&lock);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    for (int code = 0; generation == then && code != ETIMEDOUT;)
        code = seconds > 0 ? pthread_cond_timedwait(&changed, &lock, &until) : pthread_cond_wait(&changed, &lock);
}

cl_int called(int function, int device)
{
    cl_int code = CL_SUCCESS;
    pthread_mutex_lock(&lock);
    counts[function][slot(device)]++;
    for (int i = 0; i < rule_count && !code; i++) {
        struct rule *r = &rules[i];
        if ((r->kind != FAIL && r->kind != HANG) || fnmatch(r->what, function_names[function], 0) || !strikes(r, device))
            continue;
        if (r->kind == HANG) {
            hang(r->seconds);
            break; /* the rules may be others now */
        }
        code = r->code;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

double slowness(int device)
{
    double factor = 1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < rule_count; i++)
        if (rules[i].kind == SLOW && strikes(&rules[i], device))
            factor = rules[i].amount;
    pthread_mutex_unlock(&lock);
    return factor;
}

/* How long it took. */
static double sleep_for(double seconds)
{
    if (other_sleep) {
        other_sleep(seconds);
        return seconds;
    }
    double start = now();
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
    return now() - start;
}

/* Sleeping is coarse: what is owed is kept until it is worth it, what was slept too long is made up for. */
void slow_down(int device, double seconds, double factor)
{
    pthread_mutex_lock(&lock);
    owed[slot(device)] += seconds * (factor - 1);
    double debt = owed[slot(device)];
    pthread_mutex_unlock(&lock);
    if (debt < 2e-4)
        return;
    double slept = sleep_for(debt);
    pthread_mutex_lock(&lock);
    owed[slot(device)] -= slept;
    pthread_mutex_unlock(&lock);
}

enum spoil spoilt(const char *kernel, int device, int *parameter)
{
    enum spoil how = SPOIL_NOT;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < rule_count; i++)
        if (rules[i].kind == WRONG && !fnmatch(rules[i].kernel, kernel, 0) && strikes(&rules[i], device)) {
            how = !strcmp(rules[i].what, "nan") ? SPOIL_NAN : SPOIL_FLIP;
            *parameter = rules[i].parameter;
        }
    pthread_mutex_unlock(&lock);
    return how;
}

bool says(const char *what, int device, char bytes[64])
{
    bool says = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < rule_count; i++)
        if (rules[i].kind == SAY && !strcmp(rules[i].what, what) && strikes(&rules[i], device)) {
            memcpy(bytes, rules[i].bytes, sizeof rules[i].bytes);
            says = true;
        }
    pthread_mutex_unlock(&lock);
    return says;
}

static size_t least(enum rule_kind a, enum rule_kind b, int device)
{
    size_t bytes = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < rule_count; i++)
        if ((rules[i].kind == a || rules[i].kind == b) && (rules[i].device == ANY || rules[i].device == device) &&
            (!bytes || rules[i].amount < (double)bytes))
            bytes = (size_t)rules[i].amount;
    pthread_mutex_unlock(&lock);
    return bytes;
}

size_t claimed_memory(int device)
{
    return least(MEMORY, MEMORY, device);
}

bool has_room(int device, size_t held, size_t bytes)
{
    size_t limit = least(MEMORY, ROOM, device);
    bool room = !limit || (bytes <= limit && held <= limit - bytes);
    pthread_mutex_lock(&lock);
    struck += !room;
    pthread_mutex_unlock(&lock);
    return room;
}

/* ---- what is asked ---- */

unsigned long faults_count(const char *function, const char *device)
{
    int number = device_named(device);
    unsigned long sum = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < function_count; i++)
        for (int d = 0; d <= DEVICES; d++)
            if ((number == ANY || number == d) && !fnmatch(function, function_names[i], 0))
                sum += counts[i][d];
    pthread_mutex_unlock(&lock);
    return sum;
}

unsigned long faults_struck(void)
{
    pthread_mutex_lock(&lock);
    unsigned long n = struck;
    pthread_mutex_unlock(&lock);
    return n;
}

/* ---- from the environment ---- */

static void report(void)
{
    FILE *f = strcmp(report_path, "-") ? fopen(report_path, "a") : stderr;
    char text[256];
    if (!f)
        return;
    faults_describe(NULL, text, sizeof text);
    fprintf(f, "faults: struck %lu times; alive at exit: %s\n", struck, *text ? text : "nothing");
    for (int i = 0; i < function_count; i++)
        for (int d = 0; d <= DEVICES; d++)
            if (counts[i][d])
                fprintf(f, d < DEVICES ? "%10lu %s on opencl:%d:%d\n" : "%10lu %s\n", counts[i][d], function_names[i],
                        d / AXIS, d % AXIS);
    if (f != stderr)
        fclose(f);
}

bool rules_from_environment(void)
{
    const char *text = getenv("SSA_FAULTS");
    if (faults_set(text) < 0) {
        fprintf(stderr, "$SSA_FAULTS is not understood: %s\n", text);
        return false;
    }
    if (*report_path)
        atexit(report);
    return true;
}
