/* Generation: one token after another. The prompt is one pass, each token then one row: ssa_model_continue(). Of a
 * self-ensemble, as many of both as it has members. */
#include "ssacl/evaluate.h"
#include "rng.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"
#include "train/internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PASSES = 1000 };

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static int32_t likeliest(const float *logits, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* The k-th largest logit: what lies below is not drawn. */
static float threshold(const float *logits, float *sorted, int count, int top_k)
{
    if (top_k <= 0 || top_k >= count)
        return -INFINITY;
    memcpy(sorted, logits, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_size);
    return sorted[top_k - 1];
}

static int32_t draw(const float *logits, float *sorted, int count, const struct ssa_generate *how, uint64_t number)
{
    int32_t best = likeliest(logits, count), last = best;
    if (how->temperature < 0)
        return best;
    double t = how->temperature > 0 ? (double)how->temperature : 1, sum = 0;
    float least = threshold(logits, sorted, count, how->top_k);
    for (int i = 0; i < count; i++)
        sum += logits[i] >= least ? exp(((double)logits[i] - (double)logits[best]) / t) : 0;
    struct ssa_philox r = ssa_philox(how->seed, number, 0x67656e65); /* "gene" */
    double left = sum * ((double)(r.v[0] >> 8) + 0.5) / 16777216.0;
    for (int i = 0; i < count; i++) {
        if (logits[i] < least)
            continue;
        last = i;
        left -= exp(((double)logits[i] - (double)logits[best]) / t);
        if (left <= 0)
            break;
    }
    return last;
}

/* What a token is drawn from: the logits after the last token of the window, or of none. */
struct asking {
    struct ssa_model *model;
    const struct ssa_model *cached; /* whose caches hold all of the window but its last token; NULL: none's */
    struct ssa_beginning window;    /* the tokens that are seen, of N at most, and how */
    int32_t *tokens;                /* [N] those of the window */
    float *logits;                  /* [members, V] */
};

static size_t logits_of(const struct asking *a)
{
    return (size_t)a->window.members * (size_t)ssa_model_facts(ssa_model_config(a->model)).vocabulary;
}

static int ask(void *argument)
{
    const struct asking *a = argument;
    struct ssa_model *m = a->model;
    return m == a->cached && ssa_model_passed(m) < INT_MAX
        ? ssa_model_continue(m, a->tokens[a->window.count - 1], a->logits)
        : ssa_model_begin(m, &a->window, a->logits);
}

/* The same for a job, with memory of its own behind it. */
static struct asking *copy_asking(const struct asking *a)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(a->model));
    const size_t samples = a->window.samples ? (size_t)facts.layers * sizeof *a->window.samples : 0;
    const size_t tokens = (size_t)facts.length * sizeof *a->tokens;
    struct asking *copy = malloc(sizeof *copy + samples + tokens + logits_of(a) * sizeof *a->logits);
    if (!copy)
        return NULL;
    *copy = *a;
    char *at = (char *)(copy + 1);
    if (samples)
        copy->window.samples = memcpy(at, a->window.samples, samples);
    copy->window.tokens = copy->tokens = memcpy(at + samples, a->tokens, tokens);
    copy->logits = (float *)(at + samples + tokens);
    return copy;
}

/* The first device of the pool that can. Who cannot is lost, and its successor, which has cached nothing, begins. */
static int ask_pool(struct asking *a)
{
    struct ssa_group *g = ssa_model_group(a->model);
    int status = SSA_EDEVICE, err = SSA_OK;
    while (status) {
        TRY(ssa_group_rescue(g));
        struct asking *job = copy_asking(a);
        if (!job)
            return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
        job->model = ssa_model_serving(a->model);
        struct ssa_member *m = g->pool->members[g->serving];
        status = ssa_member_do(m, ask, job, ssa_pool_first_patience(g->pool));
        if (!status) {
            memcpy(a->logits, job->logits, logits_of(a) * sizeof *a->logits);
            a->cached = job->model;
        }
        if (m->abandoned)
            ssa_member_keep(m, job);
        else
            free(job);
        if (status == SSA_EINVAL) /* no fault of the device */
            return status;
        if (status)
            ssa_member_lose(m, SSA_POOL_LOST, ssa_last_error());
    }
done:
    return err;
}

static int ask_any(struct asking *a)
{
    int err;
    if (ssa_model_group(a->model))
        return ask_pool(a);
    TRY(ask(a));
    a->cached = a->model;
done:
    return err;
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* Of logits, log-probabilities. */
static void normalise(float *logits, int count)
{
    const double most = (double)logits[likeliest(logits, count)];
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += exp((double)logits[i] - most);
    for (int i = 0; i < count; i++)
        logits[i] = (float)((double)logits[i] - most - log(sum));
}

/* Of several members' logits the log of their mean probabilities, in place of the first's. */
static void join(float *logits, int members, int count)
{
    for (int m = 0; m < members && members > 1; m++)
        normalise(logits + (size_t)m * (size_t)count, count);
    for (int i = 0; i < count && members > 1; i++) {
        const float *of = logits + i;
        double most = -INFINITY, sum = 0;
        for (size_t m = 0; m < (size_t)members; m++)
            most = fmax(most, (double)of[m * (size_t)count]);
        for (size_t m = 0; m < (size_t)members; m++)
            sum += exp((double)of[m * (size_t)count] - most);
        logits[i] = (float)(most + log(sum / members));
    }
}

/* One more token. In a full window rotary positions, which are relative, go on without the oldest one where all see
 * all; learned ones end, and samples, and the later half of the window begins anew. */
static void append(struct asking *a, int32_t token)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(a->model));
    const bool goes_on = !facts.absolute && !a->window.samples;
    if (a->window.count == facts.length) {
        const int left = goes_on ? a->window.count - 1 : a->window.count / 2;
        memmove(a->tokens, a->tokens + a->window.count - left, (size_t)left * sizeof *a->tokens);
        a->window.count = left;
        a->cached = goes_on ? a->cached : NULL;
    }
    a->tokens[a->window.count++] = token;
}

/* ---- the whole ---- */

/* Who starts by itself needs no prompt, and ends at N. */
static int check_prompt(struct ssa_facts facts, const int32_t *prompt, size_t prompt_count, size_t count)
{
    const size_t length = (size_t)facts.length;
    int err = SSA_OK;
    REQUIRE(prompt || !prompt_count, "generate: the prompt is NULL");
    REQUIRE(prompt_count > 0 || facts.starts, "generate: the prompt is empty, give at least one token");
    REQUIRE(!facts.starts || (prompt_count <= length && count <= length - prompt_count),
            "generate: a prompt of %zu and %zu more, a sequence of this model has %zu", prompt_count, count, length);
done:
    return err;
}

static int check(struct ssa_facts facts, const struct ssa_generate *how)
{
    int err;
    TRY(ssa_check_reserved("generate", how->reserved, 3));
    REQUIRE(facts.causal, "generate: the next token is predicted, which needs a causal model");
    REQUIRE(how->label >= 0 && how->label < (facts.classes ? facts.classes : 1),
            "generate: label is %d, the model has %d classes", how->label, facts.classes);
    REQUIRE(how->top_k >= 0, "generate: top_k is %d, must not be negative", how->top_k);
    REQUIRE(isfinite(how->temperature) && (how->temperature >= 0 || how->temperature == SSA_NONE),
            "generate: temperature is %g, must not be negative, or SSA_NONE", (double)how->temperature);
    REQUIRE(how->passes >= 0 && how->passes <= MAX_PASSES, "generate: passes is %d, must be in [0, %d]", how->passes,
            MAX_PASSES);
done:
    return err;
}

/* How each layer samples, drawn as an evaluation's first batch is; NULL where none does. free() it. */
static int settle_samples(const struct ssa_model_config *model, const struct ssa_generate *how,
                          struct ssa_sample **samples)
{
    const struct ssa_facts facts = ssa_model_facts(model);
    int err = SSA_OK;
    *samples = how->pattern ? calloc((size_t)facts.layers, sizeof **samples) : NULL;
    if (how->pattern && !*samples)
        TRY(ssa_fail(SSA_ENOMEM, "generate: out of host memory"));
    for (int l = 0; how->pattern && l < facts.layers; l++) {
        TRY(ssa_model_sample(model, how->pattern, l, 1, 0, &(*samples)[l]));
        (*samples)[l].seed = how->seed;
    }
    if (how->pattern && !ssa_pattern_samples(how->pattern, model)) {
        free(*samples);
        *samples = NULL;
    }
done:
    return err;
}

static int settle_window(struct asking *a, struct ssa_facts facts, const int32_t *prompt, size_t count,
                         const struct ssa_generate *how)
{
    struct ssa_beginning *w = &a->window;
    w->label = how->label;
    w->members = w->samples && how->passes ? how->passes : 1; /* dense passes are all the same */
    w->count = count < (size_t)facts.length ? (int)count : facts.length;
    w->tokens = a->tokens = calloc((size_t)facts.length, sizeof *a->tokens);
    a->logits = malloc((logits_of(a) + (size_t)facts.vocabulary) * sizeof *a->logits); /* and some to sort */
    if (!a->tokens || !a->logits)
        return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
    if (w->count)
        memcpy(a->tokens, prompt + count - (size_t)w->count, (size_t)w->count * sizeof *prompt);
    return SSA_OK;
}

static int next_token(struct asking *a, struct ssa_facts facts, const struct ssa_generate *how, uint64_t number,
                      int32_t *token)
{
    int err;
    TRY(ask_any(a));
    if (!all_finite(a->logits, logits_of(a)))
        TRY(ssa_fail(SSA_EINVAL, "generate: the model's logits are not numbers: weights of it are not, or far too "
                     "large"));
    join(a->logits, a->window.members, facts.vocabulary);
    if (how->logits)
        memcpy(how->logits, a->logits, (size_t)facts.vocabulary * sizeof *how->logits);
    *token = draw(a->logits, a->logits + logits_of(a), facts.vocabulary, how, number);
    append(a, *token);
done:
    return err;
}

int ssa_generate(struct ssa_model *model, const int32_t *prompt, size_t prompt_count, size_t count, int32_t *out,
                 const struct ssa_generate *how)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(model));
    struct asking asking = {.model = model};
    struct ssa_sample *samples = NULL;
    int err;
    TRY(check(facts, how));
    TRY(check_prompt(facts, prompt, prompt_count, count));
    TRY(settle_samples(ssa_model_config(model), how, &samples));
    asking.window.samples = samples;
    TRY(settle_window(&asking, facts, prompt, prompt_count, how));
    for (size_t i = 0; i < count; i++) {
        int32_t token;
        TRY(next_token(&asking, facts, how, i, &token));
        if (out)
            out[i] = token;
        if (how->token && how->token(how->cookie, token))
            break;
    }
done:
    free(samples);
    free(asking.tokens);
    free(asking.logits);
    return err;
}
