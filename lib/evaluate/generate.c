/* Generation: one token after another. A prompt is one pass, each token then one row, of all sequences that are made
 * side by side: ssa_model_continue(). Of a self-ensemble, as many of both as it has members. */
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

static uint64_t seed_of(const struct ssa_generate *how, int sequence)
{
    return how->seeds ? how->seeds[sequence] : how->seed + (uint64_t)sequence;
}

/* Of a sequence the token of that number. */
static int32_t draw(const float *logits, float *sorted, int count, const struct ssa_generate *how, int sequence,
                    uint64_t number)
{
    int32_t best = likeliest(logits, count), last = best;
    if (how->temperature < 0)
        return best;
    double t = how->temperature > 0 ? (double)how->temperature : 1, sum = 0;
    float least = threshold(logits, sorted, count, how->top_k);
    for (int i = 0; i < count; i++)
        sum += logits[i] >= least ? exp(((double)logits[i] - (double)logits[best]) / t) : 0;
    struct ssa_philox r = ssa_philox(seed_of(how, sequence), number, 0x67656e65); /* "gene" */
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

/* What tokens are drawn from: the logits after the last one of each window, or of none. */
struct asking {
    struct ssa_model *model;
    const struct ssa_model *cached; /* whose caches hold all of the windows but their last tokens; NULL: none's */
    struct ssa_beginning window;    /* the tokens that are seen, of N at most, and how */
    int sampled;                    /* layers that have a sample: all or none */
    /* Behind it: */
    uint64_t *seeds;                /* [sequences] */
    struct ssa_sample *samples;     /* [sampled] */
    int32_t *labels;                /* [sequences] */
    int32_t *tokens;                /* [sequences, N] */
    int32_t *latest;                /* [sequences]: their last ones */
    float *logits;                  /* [members, sequences, V], and [V] to sort */
};

static struct ssa_facts facts_of(const struct asking *a)
{
    return ssa_model_facts(ssa_model_config(a->model));
}

static size_t logits_of(const struct asking *a)
{
    return (size_t)a->window.members * (size_t)a->window.sequences * (size_t)facts_of(a).vocabulary;
}

/* One of that size, whose memory is zero. free() it. */
static struct asking *make_asking(const struct asking *like)
{
    const struct ssa_facts facts = facts_of(like);
    const size_t S = (size_t)like->window.sequences, N = (size_t)facts.length, samples = (size_t)like->sampled;
    struct asking *a = calloc(1, sizeof *a + S * sizeof *a->seeds + samples * sizeof *a->samples +
                                     S * (N + 2) * sizeof *a->tokens +
                                     (logits_of(like) + (size_t)facts.vocabulary) * sizeof *a->logits);
    if (!a)
        return NULL;
    *a = *like;
    a->seeds = (uint64_t *)(a + 1);
    a->samples = (struct ssa_sample *)(a->seeds + S);
    a->labels = (int32_t *)(a->samples + samples);
    a->tokens = a->labels + S;
    a->latest = a->tokens + S * N;
    a->logits = (float *)(a->latest + S);
    a->window.labels = a->labels;
    a->window.tokens = a->tokens;
    a->window.samples = samples ? a->samples : NULL;
    return a;
}

/* The same for a job, with memory of its own. */
static struct asking *copy_asking(const struct asking *a)
{
    struct asking *copy = make_asking(a);
    if (!copy)
        return NULL;
    memcpy(copy + 1, a + 1, (size_t)((const char *)a->logits - (const char *)(a + 1)));
    for (int l = 0; l < copy->sampled; l++)
        copy->samples[l].seeds = copy->seeds;
    return copy;
}

static int ask(void *argument)
{
    const struct asking *a = argument;
    struct ssa_model *m = a->model;
    return m == a->cached && ssa_model_passed(m) < INT_MAX ? ssa_model_continue(m, a->latest, a->logits)
                                                           : ssa_model_begin(m, &a->window, a->logits);
}

/* The first device of the pool that can. Who cannot is lost, and its successor, which has cached nothing, begins. */
static int ask_pool(struct asking *a)
{
    struct ssa_replicas *r = ssa_model_replicas(a->model);
    int status = SSA_EDEVICE, err = SSA_OK;
    while (status) {
        TRY(ssa_replicas_rescue(r));
        struct asking *job = copy_asking(a);
        if (!job)
            return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
        job->model = ssa_model_first_live(a->model);
        struct ssa_member *m = r->pool->members[ssa_replicas_first_live(r)];
        status = ssa_member_do(m, ask, job, ssa_pool_first_patience(r->pool));
        if (!status) {
            memcpy(a->logits, job->logits, logits_of(a) * sizeof *a->logits);
            a->cached = job->model;
        }
        ssa_member_release(m, job, free);
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
    if (ssa_model_replicas(a->model))
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

/* Of several members' logits, `stride` apart, the log of their mean probabilities, in place of the first's. */
static void join(float *logits, int members, size_t stride, int count)
{
    for (int m = 0; m < members && members > 1; m++)
        normalise(logits + (size_t)m * stride, count);
    for (int i = 0; i < count && members > 1; i++) {
        const float *of = logits + i;
        double most = -INFINITY, sum = 0;
        for (size_t m = 0; m < (size_t)members; m++)
            most = fmax(most, (double)of[m * stride]);
        for (size_t m = 0; m < (size_t)members; m++)
            sum += exp((double)of[m * stride] - most);
        logits[i] = (float)(most + log(sum / members));
    }
}

/* For one more token. In a full window rotary positions, which are relative, go on without the oldest one where all see
 * all; learned ones end, and samples, and the later half of the window begins anew. */
static void make_place(struct asking *a)
{
    const struct ssa_facts facts = facts_of(a);
    const bool goes_on = !facts.absolute && !a->window.samples;
    if (a->window.count < facts.length)
        return;
    const int left = goes_on ? a->window.count - 1 : a->window.count / 2;
    for (int s = 0; s < a->window.sequences; s++) {
        int32_t *tokens = a->tokens + (size_t)s * (size_t)facts.length;
        memmove(tokens, tokens + a->window.count - left, (size_t)left * sizeof *tokens);
    }
    a->window.count = left;
    a->cached = goes_on ? a->cached : NULL;
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

/* `most`: sequences. */
static int check(struct ssa_facts facts, int most, const struct ssa_generate *how)
{
    int err;
    TRY(ssa_check_reserved("generate", how->reserved, 3));
    REQUIRE(facts.causal, "generate: the next token is predicted, which needs a causal model");
    REQUIRE(how->label >= 0 && how->label < (facts.classes ? facts.classes : 1),
            "generate: label is %d, the model has %d classes", how->label, facts.classes);
    REQUIRE(how->top_k >= 0, "generate: top_k is %d, must not be negative", how->top_k);
    REQUIRE(isfinite(how->temperature) && (how->temperature >= 0 || how->temperature == SSA_NONE),
            "generate: temperature is %g, must not be negative, or SSA_NONE", (double)how->temperature);
    REQUIRE(how->sequences >= 0 && how->sequences <= most,
            "generate: sequences is %d, must be in [0, %d] (limits.batch)", how->sequences, most);
    for (int s = 0; how->labels && s < how->sequences; s++)
        REQUIRE(how->labels[s] >= 0 && how->labels[s] < (facts.classes ? facts.classes : 1),
                "generate: label %d is %d, the model has %d classes", s, how->labels[s], facts.classes);
    REQUIRE(how->passes >= 0 && how->passes <= MAX_PASSES, "generate: passes is %d, must be in [0, %d]", how->passes,
            MAX_PASSES);
done:
    return err;
}

static int check_pattern(const struct ssa_model_config *config, const struct ssa_pattern *pattern)
{
    struct ssa_sample sample;
    int err = SSA_OK;
    for (int l = 0; pattern && l < ssa_model_facts(config).layers; l++)
        TRY(ssa_model_sample(config, pattern, l, 1, 0, &sample));
done:
    return err;
}

/* How each layer samples, drawn as an evaluation's first batch is. */
static int settle_samples(struct asking *a, const struct ssa_pattern *pattern)
{
    int err = SSA_OK;
    for (int l = 0; l < a->sampled; l++) {
        TRY(ssa_model_sample(ssa_model_config(a->model), pattern, l, a->window.sequences, 0, &a->samples[l]));
        a->samples[l].seeds = a->seeds;
    }
done:
    return err;
}

/* Of a prompt the end counts. */
static void settle_windows(struct asking *a, const int32_t *prompt, size_t count, const struct ssa_generate *how)
{
    const size_t N = (size_t)facts_of(a).length, seen = count < N ? count : N;
    a->window.count = (int)seen;
    for (size_t s = 0; s < (size_t)a->window.sequences; s++) {
        a->seeds[s] = seed_of(how, (int)s);
        a->labels[s] = how->labels ? how->labels[s] : how->label;
        if (seen)
            memcpy(a->tokens + s * N, prompt + (s + 1) * count - seen, seen * sizeof *prompt);
    }
}

/* free() it. */
static int settle(struct asking **asking, struct ssa_model *model, const int32_t *prompt, size_t count,
                  const struct ssa_generate *how)
{
    const struct ssa_model_config *config = ssa_model_config(model);
    struct asking like = {.model = model, .window.sequences = how->sequences ? how->sequences : 1};
    int err = SSA_OK;
    like.sampled = how->pattern && ssa_pattern_samples(how->pattern, config) ? ssa_model_facts(config).layers : 0;
    like.window.members = like.sampled && how->passes ? how->passes : 1; /* dense passes are all the same */
    struct asking *a = *asking = make_asking(&like);
    if (!a)
        return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
    settle_windows(a, prompt, count, how);
    TRY(settle_samples(a, how->pattern));
done:
    return err;
}

static int ask_logits(struct asking *a)
{
    int err;
    TRY(ask_any(a));
    if (!all_finite(a->logits, logits_of(a)))
        err = ssa_fail(SSA_EINVAL, "generate: the model's logits are not numbers: weights of it are not, or far too "
                       "large");
done:
    return err;
}

/* Of one sequence the token of that number. */
static int32_t next_token(struct asking *a, int sequence, const struct ssa_generate *how, size_t number)
{
    const struct ssa_facts facts = facts_of(a);
    const size_t V = (size_t)facts.vocabulary, S = (size_t)a->window.sequences;
    float *logits = a->logits + (size_t)sequence * V;
    join(logits, a->window.members, S * V, facts.vocabulary);
    if (how->logits)
        memcpy(how->logits, logits, V * sizeof *logits);
    const int32_t token = draw(logits, a->logits + logits_of(a), facts.vocabulary, how, sequence, number);
    a->tokens[(size_t)sequence * (size_t)facts.length + (size_t)a->window.count] = a->latest[sequence] = token;
    return token;
}

/* Of all sequences; true: that was enough. */
static bool next_tokens(struct asking *a, const struct ssa_generate *how, size_t number, size_t count, int32_t *out)
{
    make_place(a);
    for (int s = 0; s < a->window.sequences; s++) {
        const int32_t token = next_token(a, s, how, number);
        if (out)
            out[(size_t)s * count + number] = token;
        if (how->token && how->token(how->cookie, token))
            return true;
    }
    a->window.count++;
    return false;
}

int ssa_generate(struct ssa_model *model, const int32_t *prompt, size_t prompt_count, size_t count, int32_t *out,
                 const struct ssa_generate *how)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(model));
    struct asking *asking = NULL;
    bool ends = false;
    int err;
    TRY(check(facts, ssa_model_limits(model)->batch, how));
    TRY(check_prompt(facts, prompt, prompt_count, count));
    TRY(check_pattern(ssa_model_config(model), how->pattern));
    TRY(settle(&asking, model, prompt, prompt_count, how));
    for (size_t i = 0; i < count && !ends; i++) {
        TRY(ask_logits(asking));
        ends = next_tokens(asking, how, i, count, out);
    }
done:
    free(asking);
    return err;
}
