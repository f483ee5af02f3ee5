#include "pool.h"

#include "molecules.h"
#include "output.h"
#include "threads.h"

#include "numbers.h"
#include "progress.h"
#include "say.h"
#include "statistics.h"

#include <ssacl/evaluate.h>
#include <ssacl/pool.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEVICES = 16, MANY_STEPS = 1 << 20, WARM_UP = 4 };
enum { TRAIN, ENSEMBLE };
enum { LAYERS, WIDTH, HEADS, LENGTH, BATCH };
static const char *const fields[] = {"layers", "width", "heads", "length", "batch", NULL};
static const char *const fields_of_molecules[] = {"layers", "width", "heads", "atoms", "batch", NULL};
static const double tolerance = 1e-3; /* of a loss, relative */

const struct suite pool_suite = {"pool", 5, NULL, NULL};

/* Who does the work: a bare device, or a pool. */
struct side {
    struct ssa_device *device;
    struct ssa_pool *pool;
    struct ssa_device_info info;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    double loss;         /* of the first call */
    double busy, wall;   /* processor and other seconds of all samples */
    struct timing time;
};

struct state {
    const struct bench *bench;
    const struct pool_options *o;
    int kind; /* TRAIN, ENSEMBLE */
    struct ssa_data data;
    struct molecules molecules;
    struct side singles[MOST_DEVICES], one, pool;
    int count;           /* of singles */
    double at_once[MAX_REPS]; /* of all singles together, calls a second */
    int calls;
    double balance;      /* of the pool's steps; 0: unknown */
};

/* ---- the work ---- */

static int train(struct side *s, double *loss)
{
    float last = 0;
    int err = ssa_trainer_step(s->trainer);
    err = err ? err : ssa_trainer_losses(s->trainer, 1, &last, NULL); /* waits */
    *loss = last;
    return err;
}

static int evaluate(const struct state *c, struct side *s, double *loss)
{
    struct ssa_evaluate how = {.pattern = &gpt_kinds[GPT_UNBIASED].pattern, .passes = c->o->passes,
                                 .windows = (size_t)c->o->windows, .seed = 1};
    struct ssa_scores scores = {0};
    int err = ssa_evaluate(s->model, &c->data, &how, &scores, NULL, NULL);
    *loss = scores.loss;
    return err;
}

static int work(const struct state *c, struct side *s, double *loss)
{
    return c->kind == TRAIN ? train(s, loss) : evaluate(c, s, loss);
}

/* Seconds of a call. */
static int sample(const struct state *c, struct side *s, double *seconds)
{
    double loss, start = now_seconds(), busy = busy_seconds();
    int err = SSA_OK;
    for (int i = 0; i < c->calls && !err; i++)
        err = work(c, s, &loss);
    double wall = now_seconds() - start;
    s->busy += busy_seconds() - busy;
    s->wall += wall;
    *seconds = wall / c->calls;
    return err;
}

/* ---- all devices at once, each for itself ---- */

struct crowd {
    const struct state *c;
    pthread_mutex_t lock;
    int done; /* who has done a sample */
};
struct worker {
    struct crowd *crowd;
    struct side *side;
    pthread_t thread;
    double rate;
    int err;
};

static bool all_done(struct crowd *w, bool first)
{
    pthread_mutex_lock(&w->lock);
    w->done += first;
    bool all = w->done == w->c->count;
    pthread_mutex_unlock(&w->lock);
    return all;
}

/* Goes on until the slowest has done its share, so that nobody is measured with less company. */
static void *work_along(void *argument)
{
    struct worker *w = argument;
    const struct state *c = w->crowd->c;
    double loss, start = now_seconds();
    int calls = 0;
    do
        w->err = work(c, w->side, &loss);
    while (!w->err && (++calls < c->calls || !all_done(w->crowd, calls == c->calls)));
    if (w->err)
        all_done(w->crowd, calls < c->calls);
    w->rate = calls / (now_seconds() - start);
    return NULL;
}

static int sample_at_once(struct state *c, double *rate)
{
    struct crowd crowd = {.c = c, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker workers[MOST_DEVICES];
    int started = 0, err = SSA_OK;
    *rate = 0;
    for (; started < c->count; started++) {
        workers[started] = (struct worker){.crowd = &crowd, .side = &c->singles[started]};
        if (!start_thread(&workers[started].thread, work_along, &workers[started])) {
            all_done(&crowd, true);
            err = SSA_ENOMEM;
            break;
        }
    }
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        *rate += workers[i].rate;
        err = workers[i].err ? workers[i].err : err;
    }
    return err;
}

/* ---- sides ---- */

static int create(const struct state *c, struct side *s)
{
    const struct pool_options *o = c->o;
    const struct ssa_model_config config = o->molecules ? molecules_model(&c->molecules) : gpt_config(&o->model);
    const struct ssa_model_limits limits = {.batch = o->micro_batch, .training = c->kind == TRAIN};
    const struct ssa_stage stage = {.pattern = gpt_kinds[o->kind].pattern, .steps = MANY_STEPS, .lr = 3e-4f};
    const struct ssa_train_config training = {.seed = 1, .stages = &stage, .stage_count = 1,
                                              .batch = o->model.batch};
    int err = s->pool ? ssa_pool_model_create(&s->model, s->pool, &config, &limits)
                      : ssa_model_create(&s->model, s->device, &config, &limits);
    if (err || c->kind != TRAIN)
        return err;
    return ssa_trainer_create(&s->trainer, s->model, &training, &c->data);
}

static int add_single(struct state *c, const struct ssa_device_info *info)
{
    struct side *s = &c->singles[c->count++];
    s->info = *info;
    int err = ssa_device_open(&s->device, info->id);
    return err ? err : create(c, s);
}

static int open_pool(struct state *c, struct side *s, const char *names)
{
    int err = ssa_pool_open(&s->pool, names, NULL);
    return err ? err : create(c, s);
}

/* The devices of the pool, each by itself too; those that the model does not fit are in neither. */
static int open_sides(struct state *c)
{
    struct ssa_pool_member m;
    int err = open_pool(c, &c->pool, c->o->devices), units = 0;
    for (int i = 0; i < (err ? 0 : ssa_pool_count(c->pool.pool)) && !err; i++) {
        if ((err = ssa_pool_member(c->pool.pool, i, &m)))
            return err;
        if (m.lost)
            say_note("%s is left out: %s", m.info.id, m.reason);
        else if (c->count == MOST_DEVICES)
            say_note("%s is left out: more than %d devices", m.info.id, MOST_DEVICES);
        else if (!(err = add_single(c, &m.info)))
            units += m.info.units;
    }
    if (err || (err = open_pool(c, &c->one, c->singles[0].info.id)))
        return err;
    c->one.info = c->singles[0].info;
    c->pool.info = (struct ssa_device_info){.units = units, .id = "pool", .platform = "ssacl"};
    snprintf(c->pool.info.name, sizeof c->pool.info.name, "pool of %d", c->count);
    return SSA_OK;
}

static void close_side(struct side *s)
{
    ssa_trainer_destroy(s->trainer);
    ssa_model_destroy(s->model);
    ssa_pool_close(s->pool);
    ssa_device_close(s->device);
}

/* ---- measuring ---- */

/* The first calls build kernels, each device alone: two basic devices of PoCL 3.1 that build the same one at once end
 * the program. What it computes must be what the first device computes. */
static int warm_up(struct state *c, struct side *s, int calls)
{
    double start = now_seconds(), loss;
    int err = work(c, s, &s->loss);
    s->time.first = now_seconds() - start;
    for (int i = 1; i < calls && !err; i++)
        err = work(c, s, &loss);
    return err;
}

/* Steps of molecules differ: only so many are the same work for everybody. */
static int least_calls(const struct state *c)
{
    return c->o->molecules ? molecules_steps(c->o->sort_steps) : 1;
}

static int warm_up_all(struct state *c)
{
    double seconds = 0;
    int err = SSA_OK;
    for (int i = 0; i < c->count && !err; i++)
        err = warm_up(c, &c->singles[i], least_calls(c));
    if (err || (err = warm_up(c, &c->one, least_calls(c))) || (err = warm_up(c, &c->pool, WARM_UP * least_calls(c))))
        return err;
    c->calls = least_calls(c);
    if ((err = sample(c, &c->pool, &seconds)))
        return err;
    double shortest = c->bench->quick ? 0.02 : 0.5; /* of a sample */
    c->calls *= seconds * c->calls < shortest ? (int)(shortest / (seconds * c->calls)) + 1 : 1;
    c->pool.busy = c->pool.wall = 0;
    return SSA_OK;
}

static int round_of_all(struct state *c, int round)
{
    int err = SSA_OK;
    for (int i = 0; i < c->count && !err; i++)
        err = sample(c, &c->singles[i], &c->singles[i].time.samples[round]);
    if (err || (err = sample(c, &c->one, &c->one.time.samples[round])) ||
        (err = sample_at_once(c, &c->at_once[round])))
        return err;
    return sample(c, &c->pool, &c->pool.time.samples[round]);
}

static void summarise(struct side *s, int rounds, int calls)
{
    s->time.count = rounds;
    s->time.calls = calls;
    s->time.busy = s->busy / (s->wall * s->info.units);
    s->time.processor_seconds = s->busy / (rounds * calls);
    timing_summarise(&s->time);
}

/* How alike the devices' work is in a step: processor time of all of them over that of the busiest, times how many they
 * are; 1: none waits for another. Of devices that each work in one thread, which is their caller's. Apart from the
 * rounds, which it would disturb. */
static int measure_balance(struct state *c)
{
    struct threads before, after;
    double loss, all = 0, most = 0;
    int err = SSA_OK;
    for (int i = 0; c->kind == TRAIN && c->pool.info.units == c->count && i < c->calls && !err; i++) {
        double sum, busiest;
        if (!threads_read(&before))
            return SSA_OK;
        err = work(c, &c->pool, &loss);
        threads_read(&after);
        threads_between(&before, &after, c->count, &sum, &busiest);
        all += sum;
        most += busiest;
    }
    c->balance = most > 0 ? all / (c->count * most) : 0;
    return err;
}

static int measure_all(struct state *c)
{
    double begin = now_seconds();
    int rounds = 0, err = SSA_OK;
    if ((err = warm_up_all(c)))
        return err;
    while (rounds < c->bench->reps && !interrupted && !err &&
           (rounds < 3 || !(c->bench->seconds > 0) || now_seconds() - begin < c->bench->seconds)) {
        progress_update(rounds, -1, "round %d of %d", rounds + 1, c->bench->reps);
        err = round_of_all(c, rounds);
        rounds += !err;
    }
    if (err || !rounds)
        return err ? err : SSA_ESTOPPED;
    for (int i = 0; i < c->count; i++)
        summarise(&c->singles[i], rounds, c->calls);
    summarise(&c->one, rounds, c->calls);
    summarise(&c->pool, rounds, c->calls);
    return measure_balance(c);
}

/* ---- rows ---- */

static double singles_rate(const struct state *c, int round)
{
    double rate = 0;
    for (int i = 0; i < c->count; i++)
        rate += 1 / c->singles[i].time.samples[round];
    return rate;
}

/* Of a figure that each round has. */
static double spread(const double *values, int count, double *low, double *high)
{
    double sorted[MAX_REPS];
    sort_samples(sorted, values, count);
    *low = quantile(sorted, count, 0.25);
    *high = quantile(sorted, count, 0.75);
    return quantile(sorted, count, 0.5);
}

static void add_figure(struct result *r, const char *name, const char *words, const double *values, int count)
{
    char key[64];
    double low, high, median = spread(values, count, &low, &high);
    size_t used = strlen(r->note);
    r->more = r->more ? r->more : json_object();
    json_object_set_new(r->more, name, number_json(median));
    snprintf(key, sizeof key, "%s_q1", name);
    json_object_set_new(r->more, key, number_json(low));
    snprintf(key, sizeof key, "%s_q3", name);
    json_object_set_new(r->more, key, number_json(high));
    snprintf(r->note + used, sizeof r->note - used, "%s%s %.3f (%.3f to %.3f)", used ? ", " : "", words, median, low,
             high);
}

static json_t *members_json(const struct state *c)
{
    json_t *list = json_array();
    struct ssa_pool_member m;
    for (int i = 0; i < ssa_pool_count(c->pool.pool); i++)
        if (ssa_pool_member(c->pool.pool, i, &m) == SSA_OK)
            json_array_append_new(list, json_pack("{ss ss si so sb}", "id", m.info.id, "name", m.info.name, "share",
                                                  m.share, "rate", number_json(m.rate), "lost", m.lost));
    return list;
}

/* Processor time over that of the same micro-batches on the devices alone: what others on the machine change little. */
static double processor_overhead(const struct state *c)
{
    struct ssa_pool_member m;
    double alone = 0, all = 0;
    for (int i = 0; i < c->count; i++)
        for (int j = 0; j < ssa_pool_count(c->pool.pool); j++)
            if (ssa_pool_member(c->pool.pool, j, &m) == SSA_OK && !strcmp(m.info.id, c->singles[i].info.id)) {
                alone += m.share * c->singles[i].time.processor_seconds;
                all += m.share;
            }
    return c->pool.time.processor_seconds * all / alone - 1;
}

/* Of molecules atoms. */
static double tokens_of(const struct state *c)
{
    if (c->o->molecules)
        return molecules_atoms(&c->molecules);
    double tokens = (double)c->o->model.length * (c->kind == TRAIN ? c->o->model.batch : c->o->windows);
    return c->kind == TRAIN ? tokens : tokens * c->o->passes;
}

/* An evaluation is a forward pass: a third of the operations. */
static double flops_of(const struct state *c, int kind)
{
    const double ratio = gpt_ratio(kind);
    struct gpt g = c->o->model;
    double flops;
    if (c->o->molecules)
        return molecules_operations(&c->molecules, &gpt_kinds[kind].pattern, &flops) ? NAN : flops;
    g.batch = c->kind == TRAIN ? g.batch : c->o->windows;
    return c->kind == TRAIN ? gpt_operations(&g, ratio) : gpt_operations(&g, ratio) / 3 * c->o->passes;
}

static void emit_side(struct state *c, const struct bench_case *of, struct side *s, struct result *r)
{
    const struct bench *b = c->bench;
    int kind = c->kind == TRAIN ? c->o->kind : GPT_UNBIASED;
    r->time = s->time;
    r->error = fabs(s->loss - c->singles[0].loss) / fabs(c->singles[0].loss);
    r->tolerance = tolerance;
    r->tokens = tokens_of(c);
    r->flops = flops_of(c, kind);
    r->flops_dense = flops_of(c, GPT_DENSE);
    r->plan = json_pack("{ss si sb}", "kind", gpt_kinds[kind].name, "keys",
                        (int)(gpt_ratio(kind) * c->o->model.length), "causal", !c->o->molecules);
    if (s->device) {
        size_t peak;
        ssa_device_memory(s->device, NULL, &peak);
        r->held = (double)peak;
        result_path(r, s->device, "linear_fwd");
    }
    output_use_device(b->output, &s->info);
    if (!s->device) {
        json_object_set_new(b->output->device, "backend", json_string("pool"));
        json_object_set_new(b->output->device, "device_kind", json_string("pool"));
    }
    emit(b, &pool_suite, of, r);
}

static void emit_one(struct state *c, const struct bench_case *of)
{
    struct result r = {.direction = "pool of one"};
    double overhead[MAX_REPS];
    for (int i = 0; i < c->one.time.count; i++)
        overhead[i] = c->one.time.samples[i] / c->singles[0].time.samples[i] - 1;
    add_figure(&r, "overhead", "overhead", overhead, c->one.time.count);
    emit_side(c, of, &c->one, &r);
}

static void emit_pool(struct state *c, const struct bench_case *of)
{
    struct result r = {.direction = "pool"};
    double efficiency[MAX_REPS], crowded[MAX_REPS];
    int rounds = c->pool.time.count;
    for (int i = 0; i < rounds; i++) {
        efficiency[i] = 1 / c->pool.time.samples[i] / singles_rate(c, i);
        crowded[i] = c->at_once[i] / singles_rate(c, i);
    }
    add_figure(&r, "efficiency", "efficiency", efficiency, rounds);
    add_figure(&r, "efficiency_without_pool", "at once without a pool", crowded, rounds);
    if (c->balance > 0) {
        const size_t used = strlen(r.note);
        json_object_set_new(r.more, "balance", number_json(c->balance));
        snprintf(r.note + used, sizeof r.note - used, ", balance %.3f", c->balance);
    }
    json_object_set_new(r.more, "members", members_json(c));
    if (c->kind == TRAIN)
        json_object_set_new(r.more, "processor_overhead", number_json(processor_overhead(c)));
    emit_side(c, of, &c->pool, &r);
}

/* False: there is no memory. */
static bool make_data(struct state *c)
{
    const struct gpt *g = &c->o->model;
    if (!c->o->molecules) {
        c->data = gpt_text(g);
        return c->data.count > 0;
    }
    c->molecules = (struct molecules){.layers = g->layers, .width = g->width, .heads = g->heads, .most = g->length,
                                      .batch = g->batch, .together = c->o->sort_steps,
                                      .steps = molecules_steps(c->o->sort_steps)};
    c->data = molecules_data(&c->molecules);
    return molecules_draw(&c->molecules);
}

int pool_run(const struct bench *b, const struct pool_options *o, const struct bench_case *of)
{
    static struct state c;
    c = (struct state){.bench = b, .o = o, .kind = of->kind};
    int err = make_data(&c) ? open_sides(&c) : bench_out_of_memory();
    err = err ? err : measure_all(&c);
    for (int i = 0; i < c.count && !err; i++) {
        struct result r = {.direction = "single"};
        snprintf(r.note, sizeof r.note, "%.0f %s/s", tokens_of(&c) / c.singles[i].time.median,
                 o->molecules ? "atoms" : "tokens");
        emit_side(&c, of, &c.singles[i], &r);
        if (i == 0)
            emit_one(&c, of);
    }
    if (!err)
        emit_pool(&c, of);
    close_side(&c.pool);
    close_side(&c.one);
    for (int i = 0; i < c.count; i++)
        close_side(&c.singles[i]);
    free((void *)c.data.items);
    free(c.molecules.atoms);
    return err;
}

static int list_molecules(const struct pool_options *o, struct case_list *list)
{
    const struct gpt *g = &o->model;
    struct bench_case c = {.fields = fields_of_molecules, .shape = {g->layers, g->width, g->heads, g->length, g->batch},
                           .directions = "single|pool of one|pool", .kind = TRAIN};
    snprintf(c.name, sizeof c.name, "train %s molecules k=%d L%d C%d H%d A%d B%d in %d sort %d",
             gpt_kinds[o->kind].name, (int)(gpt_ratio(o->kind) * g->length), g->layers, g->width, g->heads, g->length,
             g->batch, g->batch / o->micro_batch, o->sort_steps);
    return case_add(list, &c);
}

int pool_list(const struct pool_options *o, struct case_list *list)
{
    if (o->molecules)
        return list_molecules(o, list);
    const struct gpt *g = &o->model;
    struct bench_case c = {.fields = fields, .shape = {g->layers, g->width, g->heads, g->length, g->batch},
                           .directions = "single|pool of one|pool"};
    int err;
    c.kind = TRAIN;
    snprintf(c.name, sizeof c.name, "train %s k=%d L%d C%d H%d N%d B%d in %d", gpt_kinds[o->kind].name,
             (int)(gpt_ratio(o->kind) * g->length), g->layers, g->width, g->heads, g->length, g->batch,
             (g->batch + o->micro_batch - 1) / o->micro_batch);
    if ((err = case_add(list, &c)))
        return err;
    c.kind = ENSEMBLE;
    c.shape[BATCH] = o->windows;
    snprintf(c.name, sizeof c.name, "ensemble of %d %s k=%d L%d C%d H%d N%d W%d", o->passes,
             gpt_kinds[GPT_UNBIASED].name, (int)(gpt_ratio(GPT_UNBIASED) * g->length), g->layers, g->width, g->heads,
             g->length, o->windows);
    return case_add(list, &c);
}
