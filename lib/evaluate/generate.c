/* Generation: one token after another. The prompt is one pass, each token then one row: ssa_model_continue(). */
#include "ssacl/evaluate.h"
#include "rng.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    const struct ssa_model *cached; /* whose cache holds all of the window but its last token; NULL: none's */
    int32_t *window;                /* [N] the tokens that are seen, at most */
    int count, label;
    float *logits;
};

static int ask(void *argument)
{
    const struct asking *a = argument;
    struct ssa_model *m = a->model;
    return m == a->cached && ssa_model_passed(m) < INT_MAX
        ? ssa_model_continue(m, a->window[a->count - 1], a->logits)
        : ssa_model_begin(m, a->window, a->count, a->label, a->logits);
}

/* The same for a job, with memory of its own behind it. */
static struct asking *copy_asking(const struct asking *a)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(a->model));
    size_t window = (size_t)facts.length * sizeof *a->window, logits = (size_t)facts.vocabulary * sizeof *a->logits;
    struct asking *copy = malloc(sizeof *copy + window + logits);
    if (!copy)
        return NULL;
    *copy = *a;
    copy->window = memcpy(copy + 1, a->window, window);
    copy->logits = (float *)(copy->window + facts.length);
    return copy;
}

/* The first device of the pool that can. Who cannot is lost, and its successor, which has cached nothing, begins. */
static int ask_pool(struct asking *a)
{
    struct ssa_group *g = ssa_model_group(a->model);
    const size_t vocabulary = (size_t)ssa_model_facts(ssa_model_config(a->model)).vocabulary;
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
            memcpy(a->logits, job->logits, vocabulary * sizeof *a->logits);
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

static bool all_finite(const float *values, int count)
{
    for (int i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* One more token. In a full window rotary positions, which are relative, go on without the oldest one; learned ones
 * end, and the later half of the window begins anew. */
static void append(struct asking *a, int32_t token)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(a->model));
    const bool rotary = !facts.absolute;
    if (a->count == facts.length) {
        const int left = rotary ? a->count - 1 : a->count / 2;
        memmove(a->window, a->window + a->count - left, (size_t)left * sizeof *a->window);
        a->count = left;
        a->cached = rotary ? a->cached : NULL;
    }
    a->window[a->count++] = token;
}

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

int ssa_generate(struct ssa_model *model, const int32_t *prompt, size_t prompt_count, size_t count, int32_t *out,
                 const struct ssa_generate *how)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(model));
    int32_t *window = calloc((size_t)facts.length, sizeof *window);
    float *logits = malloc(2 * (size_t)facts.vocabulary * sizeof *logits);
    struct asking asking = {.model = model, .window = window, .label = how->label, .logits = logits};
    int err;
    if (!window || !logits)
        TRY(ssa_fail(SSA_ENOMEM, "generate: out of host memory"));
    TRY(ssa_check_reserved("generate", how->reserved, 3));
    REQUIRE(facts.causal, "generate: the next token is predicted, which needs a causal model");
    TRY(check_prompt(facts, prompt, prompt_count, count));
    REQUIRE(how->label >= 0 && how->label < (facts.classes ? facts.classes : 1),
            "generate: label is %d, the model has %d classes", how->label, facts.classes);
    REQUIRE(how->top_k >= 0, "generate: top_k is %d, must not be negative", how->top_k);
    REQUIRE(isfinite(how->temperature) && (how->temperature >= 0 || how->temperature == SSA_NONE),
            "generate: temperature is %g, must not be negative, or SSA_NONE", (double)how->temperature);
    asking.count = prompt_count < (size_t)facts.length ? (int)prompt_count : facts.length;
    if (asking.count)
        memcpy(window, prompt + prompt_count - (size_t)asking.count, (size_t)asking.count * sizeof *window);
    for (size_t i = 0; i < count; i++) {
        TRY(ask_any(&asking));
        if (!all_finite(logits, facts.vocabulary))
            TRY(ssa_fail(SSA_EINVAL, "generate: the model's logits are not numbers: weights of it are not, or far too "
                         "large"));
        int32_t token = draw(logits, logits + facts.vocabulary, facts.vocabulary, how, i);
        append(&asking, token);
        if (out)
            out[i] = token;
        if (how->token && how->token(how->cookie, token))
            break;
    }
done:
    free(window);
    free(logits);
    return err;
}
