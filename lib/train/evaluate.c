/* Evaluation on held-out data, alone or as a self-ensemble of sampled passes. */
#include "internal.h"
#include "../impl.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_PASSES = 1000 };

struct evaluator {
    struct ssa_model *model;
    const struct ssa_model_config *config;
    const struct ssa_data *data;
    const struct ssa_evaluation *how;
    int batch, passes;
    size_t stride;          /* from a window's start to the next's */
    size_t windows, chosen; /* in the data, evaluated */
    struct ssa_plan_queue *queue;
    const struct ssa_plan **plans;
    int32_t *tokens, *targets;
    float *losses;
    double *log_sum;            /* a position each: log sum of the passes' probabilities */
    double *ensemble, *singles; /* sums, a pass each */
    size_t counted;
};

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Draw `step` of the queue is pass step % passes of batch step / passes. It is numbered such that the first m of M
 * passes are the same for every M. */
static int plan_settings(void *cookie, uint64_t step, int index, struct ssa_sample *how)
{
    const struct evaluator *e = cookie;
    uint64_t passes = (uint64_t)e->passes, batch = step / passes;
    int err = ssa_pattern_sample(e->how->pattern, index, e->config->layers, e->config->length, e->batch, how);
    how->seed = e->how->seed;
    how->step = batch << 10 | step % passes;
    how->first_example = 0;
    return err;
}

static int prepare(struct evaluator *e)
{
    size_t length = (size_t)e->config->length, rows = (size_t)e->batch * length, predicted = e->data->count - 1;
    int err = SSA_OK;
    e->stride = e->how->stride ? e->how->stride : length;
    e->windows = 1 + (predicted > length ? (predicted - length + e->stride - 1) / e->stride : 0);
    e->chosen = e->how->windows && e->how->windows < e->windows ? e->how->windows : e->windows;
    e->tokens = malloc(rows * sizeof *e->tokens);
    e->targets = malloc(rows * sizeof *e->targets);
    e->losses = malloc(rows * sizeof *e->losses);
    e->log_sum = malloc(rows * sizeof *e->log_sum);
    e->plans = calloc((size_t)e->config->layers, sizeof *e->plans);
    e->ensemble = calloc((size_t)e->passes, sizeof *e->ensemble);
    e->singles = calloc((size_t)e->passes, sizeof *e->singles);
    if (!e->tokens || !e->targets || !e->losses || !e->log_sum || !e->plans || !e->ensemble || !e->singles)
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    if (e->how->pattern && ssa_pattern_samples(e->how->pattern, e->config->layers, e->config->length))
        TRY(ssa_plan_queue_create(&e->queue, e->config->layers, plan_settings, e));
    else
        e->passes = 1; /* dense passes are all the same */
done:
    return err;
}

static void finish(struct evaluator *e)
{
    ssa_plan_queue_destroy(e->queue);
    free(e->plans);
    free(e->tokens);
    free(e->targets);
    free(e->losses);
    free(e->log_sum);
    free(e->ensemble);
    free(e->singles);
}

/* Window number `w` into row `b` of the batch. What the window before has predicted is context only; past the last
 * window, and past the data's end, nothing is predicted. */
static void fill_window(struct evaluator *e, size_t w, int b)
{
    size_t length = (size_t)e->config->length, start = 0, known = 0, context = 0;
    int32_t *tokens = e->tokens + (size_t)b * length, *targets = e->targets + (size_t)b * length;
    if (w < e->chosen) {
        size_t window = w * e->windows / e->chosen;
        start = window * e->stride;
        known = e->data->count - 1 - start < length ? e->data->count - 1 - start : length;
        context = window ? length - e->stride : 0;
    }
    ssa_data_copy(e->data, start, known, tokens);
    ssa_data_copy(e->data, start + 1, known, targets);
    for (size_t i = 0; i < context; i++)
        targets[i] = -1;
    for (size_t i = known; i < length; i++) {
        tokens[i] = 0;
        targets[i] = -1;
    }
    e->counted += known - context;
}

static int take_plans(struct evaluator *e, size_t batch, int pass)
{
    int err = SSA_OK;
    for (int l = 0; e->queue && l < e->config->layers; l++) {
        struct ssa_sample how;
        e->plans[l] = NULL;
        TRY(ssa_pattern_sample(e->how->pattern, l, e->config->layers, e->config->length, e->batch, &how));
        if (how.kind == SSA_DENSE)
            continue;
        e->plans[l] = ssa_plan_queue_take(e->queue, (uint64_t)batch * (uint64_t)e->passes + (uint64_t)pass, l);
        if (!e->plans[l])
            return SSA_EINVAL; /* the queue has said why */
    }
done:
    return err;
}

/* log(exp(a) + exp(b)) */
static double log_add(double a, double b)
{
    double high = a > b ? a : b, low = a > b ? b : a;
    return high + log1p(exp(low - high));
}

static int one_pass(struct evaluator *e, size_t batch, int pass)
{
    size_t rows = (size_t)e->batch * (size_t)e->config->length;
    int err;
    TRY(take_plans(e, batch, pass));
    TRY(ssa_model_forward(e->model, &(struct ssa_pass){.tokens = e->tokens, .targets = e->targets, .plans = e->plans,
        .batch = e->batch}));
    TRY(ssa_tensor_read(ssa_model_losses(e->model), e->losses, rows));
    for (size_t i = 0; i < rows; i++) {
        if (e->targets[i] < 0)
            continue;
        double log_p = -(double)e->losses[i];
        e->log_sum[i] = pass ? log_add(e->log_sum[i], log_p) : log_p;
        e->singles[pass] -= log_p;
        e->ensemble[pass] -= e->log_sum[i] - log(pass + 1.0);
    }
done:
    return err;
}

static int all_batches(struct evaluator *e)
{
    size_t batches = (e->chosen + (size_t)e->batch - 1) / (size_t)e->batch;
    int err = SSA_OK;
    for (size_t i = 0; i < batches; i++) {
        for (int b = 0; b < e->batch; b++)
            fill_window(e, i * (size_t)e->batch + (size_t)b, b);
        for (int pass = 0; pass < e->passes; pass++) {
            if (e->how->stop && *e->how->stop)
                return ssa_fail(SSA_ESTOPPED, "evaluate: stopped in batch %zu of %zu", i + 1, batches);
            TRY(one_pass(e, i, pass));
        }
        if (e->how->progress)
            e->how->progress(e->how->cookie, (double)(i + 1) / (double)batches);
    }
done:
    return err;
}

/* Sums become means; a dense model's one pass stands for all that were asked for. */
static void summarise(const struct evaluator *e, int asked, struct ssa_scores *scores, double *ensemble, double *singles)
{
    double n = (double)e->counted, mean = 0, squares = 0;
    for (int m = 0; m < e->passes; m++)
        mean += e->singles[m] / n / e->passes;
    for (int m = 0; m < e->passes; m++)
        squares += (e->singles[m] / n - mean) * (e->singles[m] / n - mean);
    scores->loss = e->ensemble[e->passes - 1] / n;
    scores->single = mean;
    scores->single_spread = e->passes > 1 ? sqrt(squares / (e->passes - 1)) : 0;
    scores->tokens = e->counted;
    for (int m = 0; m < asked; m++) {
        int from = m < e->passes ? m : e->passes - 1;
        if (ensemble)
            ensemble[m] = e->ensemble[from] / n;
        if (singles)
            singles[m] = e->singles[from] / n;
    }
}

int ssa_evaluate(struct ssa_model *model, const struct ssa_data *data, const struct ssa_evaluation *how,
                 struct ssa_scores *scores, double *ensemble, double *singles)
{
    struct evaluator e = {.model = model, .config = ssa_model_get_config(model), .data = data, .how = how,
                          .batch = ssa_model_get_limits(model)->batch, .passes = how->passes ? how->passes : 1};
    double start = now();
    int asked = e.passes, err;
    struct ssa_sample sample;
    *scores = (struct ssa_scores){0};
    TRY(ssa_check_reserved("evaluate", how->reserved, 3));
    REQUIRE(!e.config->bidirectional, "evaluate: the next token is predicted, which needs a causal model");
    REQUIRE(asked > 0 && asked <= MAX_PASSES, "evaluate: passes is %d, must be in [1, %d]", asked, MAX_PASSES);
    REQUIRE(how->stride <= (size_t)e.config->length, "evaluate: stride is %zu, must be at most the model's length, %d",
            how->stride, e.config->length);
    TRY(ssa_data_check(data, e.config->vocabulary, 1));
    for (int l = 0; how->pattern && l < e.config->layers; l++)
        TRY(ssa_pattern_sample(how->pattern, l, e.config->layers, e.config->length, e.batch, &sample));
    TRY(prepare(&e));
    TRY(all_batches(&e));
    summarise(&e, asked, scores, ensemble, singles);
    scores->seconds = now() - start;
done:
    finish(&e);
    return err;
}
