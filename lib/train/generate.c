/* Generation: one token after another, each from a dense pass over all before it. */
#include "ssacl/train.h"
#include "../../cl/rng.h"
#include "../impl.h"
#include "../model/group.h"
#include "../model/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUND = 32 }; /* lengths are rounded up to this, so that few shapes are run */

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

static int32_t draw(const float *logits, float *sorted, int count, const struct ssa_generation *how, uint64_t number)
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

/* A token's work: runs the `count` tokens of the window and reads the logits after the last of them. */
struct asking {
    struct ssa_model *model;
    const int32_t *window;
    int count;
    float *logits;
};

static int ask(void *argument)
{
    const struct asking *a = argument;
    int rounded = (a->count + ROUND - 1) / ROUND * ROUND, length = ssa_model_get_config(a->model)->length, err;
    TRY(ssa_model_forward(a->model, &(struct ssa_pass){.tokens = a->window, .batch = 1,
        .length = rounded < length ? rounded : length}));
    TRY(ssa_model_read_logits(a->model, 0, a->count - 1, a->logits));
done:
    return err;
}

/* The same for a job, with memory of its own behind it. */
static struct asking *copy_asking(const struct asking *a)
{
    const struct ssa_model_config *c = ssa_model_get_config(a->model);
    size_t window = (size_t)c->length * sizeof *a->window, logits = (size_t)c->vocabulary * sizeof *a->logits;
    struct asking *copy = malloc(sizeof *copy + window + logits);
    if (!copy)
        return NULL;
    *copy = *a;
    copy->window = memcpy(copy + 1, a->window, window);
    copy->logits = (float *)(copy->window + c->length);
    return copy;
}

/* The first device of the pool that can. Who cannot is lost. */
static int ask_pool(const struct asking *a)
{
    struct ssa_group *g = a->model->group;
    int status = SSA_EDEVICE, err = SSA_OK;
    while (status) {
        TRY(ssa_group_rescue(g));
        struct asking *job = copy_asking(a);
        if (!job)
            return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
        job->model = ssa_model_serving(a->model);
        struct ssa_member *m = g->pool->members[g->serving];
        status = ssa_member_do(m, ask, job, ssa_pool_first_patience(g->pool));
        if (!status)
            memcpy(a->logits, job->logits, (size_t)a->model->config.vocabulary * sizeof *a->logits);
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

static bool all_finite(const float *values, int count)
{
    for (int i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static int append(int32_t *window, int count, int length, int32_t token)
{
    if (count == length)
        memmove(window, window + 1, (size_t)--count * sizeof *window);
    window[count] = token;
    return count + 1;
}

int ssa_generate(struct ssa_model *model, const int32_t *prompt, size_t prompt_count, size_t count, int32_t *out,
                 const struct ssa_generation *how)
{
    const struct ssa_model_config *c = ssa_model_get_config(model);
    int32_t *window = calloc((size_t)c->length, sizeof *window); /* zeros past the last token: causal, never seen */
    float *logits = malloc(2 * (size_t)c->vocabulary * sizeof *logits);
    int used = 0, err;
    if (!window || !logits)
        TRY(ssa_fail(SSA_ENOMEM, "generate: out of host memory"));
    TRY(ssa_check_reserved("generate", how->reserved, 4));
    REQUIRE(!c->bidirectional, "generate: the next token is predicted, which needs a causal model");
    REQUIRE(prompt && prompt_count > 0, "generate: the prompt is empty, give at least one token");
    REQUIRE(how->top_k >= 0, "generate: top_k is %d, must not be negative", how->top_k);
    REQUIRE(isfinite(how->temperature), "generate: temperature must be a number");
    size_t skip = prompt_count > (size_t)c->length ? prompt_count - (size_t)c->length : 0;
    for (size_t i = skip; i < prompt_count; i++)
        used = append(window, used, c->length, prompt[i]);
    for (size_t i = 0; i < count; i++) {
        struct asking asking = {model, window, used, logits};
        TRY(model->group ? ask_pool(&asking) : ask(&asking));
        if (!all_finite(logits, c->vocabulary))
            TRY(ssa_fail(SSA_EINVAL, "generate: the model's logits are not numbers: weights of it are not, or far too "
                         "large"));
        int32_t token = draw(logits, logits + c->vocabulary, c->vocabulary, how, i);
        used = append(window, used, c->length, token);
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
