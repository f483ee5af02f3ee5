/* Hill climbing: one parameter at a time, to its every legal value, until nothing helps; then pairs at random. A
 * candidate takes turns with the best so far, sample by sample, so that a clock that drifts or a busy machine favours
 * neither. */
#include "tune.h"

#include "files.h"
#include "numbers.h"
#include "progress.h"
#include "statistics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LEAST_REPS = 3, REPS = 7, MOST_REPS = 15, CONFIGURATION_SIZE = 160 };
static const double shortest = 0.010; /* seconds of a sample */
static const double tolerance = 1e-4; /* of a candidate's results; rounding makes 1e-6 of it */

/* ---- configurations ---- */

struct configuration {
    const char *kernel;
    int at, count; /* the kernel's parameters in search.list */
    int value[MAX_TUNABLES];
};

static struct configuration best_of(const struct search *s, int at)
{
    struct configuration c = {.kernel = s->list[at].kernel, .at = at};
    while (at + c.count < s->count && !strcmp(s->list[at + c.count].kernel, c.kernel)) {
        c.value[c.count] = s->list[at + c.count].value;
        c.count++;
    }
    return c;
}

static void write_configuration(const struct search *s, const struct configuration *c, char text[CONFIGURATION_SIZE])
{
    int used = snprintf(text, CONFIGURATION_SIZE, "%s", c->kernel);
    for (int i = 0; i < c->count && used < CONFIGURATION_SIZE; i++)
        used += snprintf(text + used, (size_t)(CONFIGURATION_SIZE - used), " %s=%d", s->list[c->at + i].name,
                         c->value[i]);
}

static int set(struct search *s, const struct configuration *c)
{
    struct ssa_tuning_setting settings[MAX_TUNABLES];
    for (int i = 0; i < c->count; i++)
        settings[i] = (struct ssa_tuning_setting){c->kernel, s->list[c->at + i].name, c->value[i]};
    return ssa_tuning_set(s->work.device, settings, c->count);
}

/* False if the library took the values back: its own self-test refused the kernel. */
static bool is_set(const struct search *s, const struct configuration *c)
{
    struct ssa_tunable now[MAX_TUNABLES];
    int n;
    ssa_tuning_list(s->work.device, now, MAX_TUNABLES, &n);
    for (int i = 0; i < c->count; i++)
        if (now[c->at + i].value != c->value[i])
            return false;
    return true;
}

int search_apply(struct search *s)
{
    int err = SSA_OK;
    for (int at = 0; at < s->count && !err;) {
        struct configuration c = best_of(s, at);
        err = set(s, &c);
        at += c.count;
    }
    return err;
}

static bool is_tuned(const struct search *s, const char *kernel)
{
    bool multiplies = !strncmp(kernel, "gemm", 4);
    return !strncmp(kernel, s->options.kernel, strlen(s->options.kernel)) && !(multiplies && s->work.library);
}

int next_kernel(const struct search *s, int at)
{
    do
        at += at < 0 ? 1 : best_of(s, at).count;
    while (at < s->count && !is_tuned(s, s->list[at].kernel));
    return at;
}

static bool is_of(const struct work_case *c, const char *kernel)
{
    return !strncmp(kernel, c->family, strlen(c->family));
}

/* ---- timing ---- */

static double clock_seconds(bool processor)
{
    return processor ? busy_seconds() : now_seconds();
}

static int time_sample(const struct search *s, const struct work_case *c, int calls, double *seconds)
{
    int err = SSA_OK;
    double start = clock_seconds(s->busy);
    for (int i = 0; i < calls && !err; i++)
        err = c->run(c);
    if (!err)
        err = ssa_device_finish(c->device);
    *seconds = fmax(clock_seconds(s->busy) - start, 1e-9) / (calls * (s->busy ? s->units : 1));
    return err;
}

static double median(const double *from, int n)
{
    double x[MOST_REPS];
    sort_samples(x, from, n);
    return quantile(x, n, 0.5);
}

/* Two configurations over one case: log of how many times faster the second is, and how uncertain that is. */
struct duel {
    double gain, noise;
    double seconds[2]; /* median of a call */
};

static void judge(struct duel *d, double samples[2][MOST_REPS], int n)
{
    double ratio[MOST_REPS], away[MOST_REPS];
    for (int i = 0; i < n; i++)
        ratio[i] = log(samples[0][i] / samples[1][i]);
    d->gain = median(ratio, n);
    for (int i = 0; i < n; i++)
        away[i] = fabs(ratio[i] - d->gain);
    d->noise = 1.5 * median(away, n) / sqrt(n);
    for (int side = 0; side < 2; side++)
        d->seconds[side] = median(samples[side], n);
}

static int fight(struct search *s, const struct work_case *c, const struct configuration *sides[2], int reps,
                 struct duel *d)
{
    double samples[2][MOST_REPS], once;
    int err, n = 0;
    for (int side = 0; side < 2; side++) /* builds, warms up */
        if ((err = set(s, sides[side])) || (err = time_sample(s, c, 1, &once)))
            return err;
    if ((err = time_sample(s, c, 1, &once)))
        return err;
    int calls = once < shortest ? (int)(shortest / once) + 1 : 1;
    for (; n < reps; n++) {
        for (int turn = 0; turn < 2; turn++) {
            int side = (turn + n) % 2;
            if (interrupted)
                return SSA_ESTOPPED;
            if ((err = set(s, sides[side])) || (err = time_sample(s, c, calls, &samples[side][n])))
                return err;
        }
        judge(d, samples, n + 1);
        bool lost = d->gain < -0.1, late = now_seconds() > s->limit;
        if (n + 1 >= LEAST_REPS && (lost || late))
            break;
    }
    return SSA_OK;
}

/* Over all cases of the kernel. */
static int compare(struct search *s, const struct configuration *old, const struct configuration *new, int reps,
                   double *gain, double *noise)
{
    const struct configuration *sides[2] = {old, new};
    int n = 0, err;
    double sum = 0, squares = 0;
    for (int i = 0; i < s->work.count; i++) {
        struct duel d;
        if (!is_of(&s->work.cases[i], old->kernel))
            continue;
        if ((err = fight(s, &s->work.cases[i], sides, reps, &d)))
            return err;
        sum += d.gain;
        squares += d.noise * d.noise;
        n++;
    }
    *gain = sum / n;
    *noise = sqrt(squares) / n;
    return SSA_OK;
}

/* ---- one candidate ---- */

/* SSA_OK if it builds and is right, in all its kernel's cases. */
static int admit(struct search *s, const struct configuration *c)
{
    int err = set(s, c);
    double error;
    for (int i = 0; i < s->work.count && !err; i++) {
        if (!is_of(&s->work.cases[i], c->kernel))
            continue;
        if (interrupted)
            return SSA_ESTOPPED;
        err = work_check(&s->work.cases[i], &error);
        if (!err && (!(error < tolerance) || !is_set(s, c)))
            err = SSA_EUNSUPPORTED;
    }
    return err;
}

/* A driver may not recover from what failed: everything anew. */
static int reopen(struct search *s)
{
    work_close(&s->work);
    int err = work_open(&s->work, &s->options);
    return err ? err : search_apply(s);
}

static void remember(struct search *s, const char *name, json_t *verdict)
{
    json_object_set_new(s->tried, name, verdict);
    s->done++;
}

static bool write_state(struct search *s);

static int refuse(struct search *s, const struct configuration *best, const char *name, int why)
{
    int err = SSA_OK;
    remember(s, name, json_string(why == SSA_EUNSUPPORTED ? "wrong" : "does not fit"));
    s->skipped++;
    if (set(s, best) || (why != SSA_EINVAL && why != SSA_EBUILD && why != SSA_EUNSUPPORTED))
        err = reopen(s);
    write_state(s);
    return err;
}

static void accept(struct search *s, const struct configuration *c)
{
    for (int i = 0; i < c->count; i++)
        s->list[c->at + i].value = c->value[i];
}

/* `better`: it is the best now. SSA_ESTOPPED: the kernel's time is up, or Ctrl-C. */
static int try_candidate(struct search *s, const struct configuration *c, double deadline, bool *better)
{
    struct configuration best = best_of(s, c->at);
    char name[CONFIGURATION_SIZE];
    double gain = 0, noise = 0, threshold = log(1 + s->least_gain), now = now_seconds();
    *better = false;
    write_configuration(s, c, name);
    if (json_object_get(s->tried, name) || !memcmp(c->value, best.value, sizeof best.value))
        return SSA_OK;
    if (interrupted || now > deadline)
        return SSA_ESTOPPED;
    progress_update(now - s->start, s->end - now, "%s", name);
    int err = admit(s, c);
    if (!err)
        err = compare(s, &best, c, REPS, &gain, &noise);
    if (!err && gain > threshold && gain < threshold + 2 * noise) /* too close to call */
        err = compare(s, &best, c, MOST_REPS, &gain, &noise);
    if (err == SSA_ESTOPPED || interrupted)
        return SSA_ESTOPPED;
    if (err)
        return refuse(s, &best, name, err);
    remember(s, name, number_json(exp(gain)));
    *better = gain > threshold && gain > 2 * noise;
    if (*better)
        accept(s, c);
    write_state(s);
    return SSA_OK;
}

/* ---- the climb ---- */

static int pass(struct search *s, int at, double deadline, bool *changed)
{
    struct configuration c = best_of(s, at);
    bool better;
    *changed = false;
    for (int i = 0; i < c.count; i++) {
        const struct ssa_tunable *t = &s->list[at + i];
        for (int v = 0; v < t->count; v++) {
            c = best_of(s, at);
            c.value[i] = t->values[v];
            int err = try_candidate(s, &c, deadline, &better);
            if (err)
                return err;
            *changed |= better;
        }
    }
    return SSA_OK;
}

static uint32_t draw(struct search *s, int below)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(s->random >> 33) % (uint32_t)below;
}

static int try_pairs(struct search *s, int at, double deadline, bool *changed)
{
    int tries = 2 * best_of(s, at).count, err = SSA_OK;
    *changed = false;
    for (int i = 0; i < tries && !*changed && !err; i++) {
        struct configuration c = best_of(s, at);
        for (int j = 0; j < 2 && c.count > 1; j++) {
            int p = (int)draw(s, c.count);
            c.value[p] = s->list[at + p].values[draw(s, s->list[at + p].count)];
        }
        err = try_candidate(s, &c, deadline, changed);
    }
    return err;
}

static int climb(struct search *s, int at, double deadline)
{
    bool changed = true;
    int err = SSA_OK;
    while (changed && !err) {
        while (changed && !err)
            err = pass(s, at, deadline, &changed);
        if (!err)
            err = try_pairs(s, at, deadline, &changed);
    }
    return err == SSA_ESTOPPED && !interrupted ? SSA_OK : err; /* its share of the time is used */
}

int search_run(struct search *s)
{
    int err = SSA_OK, kernels = 0, done = 0;
    for (int at = next_kernel(s, -1); at < s->count; at = next_kernel(s, at))
        kernels++;
    for (int at = next_kernel(s, -1); at < s->count && !err; at = next_kernel(s, at)) {
        double now = now_seconds();
        err = climb(s, at, now + (s->end - now) / (kernels - done++));
    }
    return interrupted ? SSA_ESTOPPED : err;
}

static int confirm_kernel(struct search *s, int at)
{
    struct configuration best = best_of(s, at), plain = best;
    const struct configuration *sides[2] = {&plain, &best};
    int first = s->speed_count, err = SSA_OK;
    double gain = 0;
    for (int i = 0; i < plain.count; i++)
        plain.value[i] = s->list[at + i].standard;
    bool same = !memcmp(plain.value, best.value, sizeof best.value);
    for (int i = 0; i < s->work.count && !err; i++) {
        const struct work_case *c = &s->work.cases[i];
        struct duel d = {0};
        if (!is_of(c, best.kernel))
            continue;
        err = fight(s, c, sides, same ? LEAST_REPS : MOST_REPS, &d);
        gain += d.gain;
        s->speeds[s->speed_count++] = (struct ssa_tuning_speed){c->name, c->flops / d.seconds[0] * 1e-9,
                                                                c->flops / d.seconds[same ? 0 : 1] * 1e-9};
    }
    if (!err && !same && gain < log(1 + s->least_gain) * (s->speed_count - first)) {
        accept(s, &plain);
        for (int i = first; i < s->speed_count; i++)
            s->speeds[i].after = s->speeds[i].before;
    }
    return err;
}

int search_confirm(struct search *s)
{
    int err = SSA_OK;
    s->speed_count = 0;
    for (int at = next_kernel(s, -1); at < s->count && !err; at = next_kernel(s, at))
        err = confirm_kernel(s, at);
    return err ? err : search_apply(s);
}

/* ---- state ---- */

/* A tuning file of the best so far, which the library itself checks when it is taken up again, and what was tried. */
static bool write_state(struct search *s)
{
    struct new_file f;
    if (search_apply(s) || ssa_tuning_save(s->work.device, s->state, NULL, 0))
        return false;
    json_t *root = json_load_file(s->state, 0, NULL);
    json_object_set(root, "tried", s->tried);
    json_object_set_new(root, "width", json_integer(s->options.width));
    json_object_set_new(root, "quick", json_boolean(s->options.quick));
    bool good = root && !new_file_begin(&f, s->state);
    if (good) {
        good = !json_dumpf(root, f.stream, JSON_INDENT(1) | JSON_REAL_PRECISION(5));
        good = !new_file_end(&f, good) && good;
    }
    json_decref(root);
    return good;
}

/* The same kernels, from the same source. */
static bool same_kernels(const json_t *old, const json_t *new)
{
    const char *kernel;
    json_t *entry, *kernels = json_object_get(new, "kernels");
    json_object_foreach(kernels, kernel, entry)
    {
        const json_t *other = json_object_get(json_object_get(old, "kernels"), kernel);
        if (!json_equal(json_object_get(entry, "source"), json_object_get(other, "source")))
            return false;
    }
    return json_is_object(kernels);
}

static bool take_up(struct search *s)
{
    if (ssa_tuning_load(s->work.device, s->state)) /* which refuses whatever is damaged, huge or of another device */
        return false;
    json_t *old = json_load_file(s->state, JSON_REJECT_DUPLICATES, NULL), *new = NULL;
    bool taken = old && json_is_object(json_object_get(old, "tried")) &&
                 json_integer_value(json_object_get(old, "width")) == s->options.width &&
                 json_is_true(json_object_get(old, "quick")) == s->options.quick;
    if (taken) {
        json_t *tried = json_incref(json_object_get(old, "tried"));
        json_decref(s->tried);
        s->tried = tried;
        ssa_tuning_list(s->work.device, s->list, MAX_TUNABLES, &s->count);
        write_state(s);
        new = json_load_file(s->state, 0, NULL);
        taken = same_kernels(old, new);
    }
    json_decref(old);
    json_decref(new);
    return taken;
}

int search_begin(struct search *s, bool fresh, bool *resumed)
{
    *resumed = false;
    s->random = 1;
    s->tried = json_object();
    memcpy(s->list, s->work.found, sizeof s->list);
    s->count = s->work.found_count;
    if (!fresh && access(s->state, F_OK) == 0 && !(*resumed = take_up(s))) {
        json_decref(s->tried);
        s->tried = json_object();
        ssa_tuning_reset(s->work.device, NULL);
        memcpy(s->list, s->work.found, sizeof s->list);
    }
    if (!fresh && !*resumed && access(s->output, F_OK) == 0 && !ssa_tuning_load(s->work.device, s->output))
        ssa_tuning_list(s->work.device, s->list, MAX_TUNABLES, &s->count); /* never worse than what it replaces */
    int err = search_apply(s);
    if (err) { /* what the device came with does not go together any more */
        ssa_tuning_reset(s->work.device, NULL);
        return ssa_tuning_list(s->work.device, s->list, MAX_TUNABLES, &s->count);
    }
    return SSA_OK;
}

void search_end(struct search *s)
{
    work_close(&s->work);
    json_decref(s->tried);
    s->tried = NULL;
}
