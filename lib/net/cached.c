/* Generation's passes: one position after another, which see the keys and values of those before them in a cache. Of an
 * ensemble each member has a cache of its own, as its positions see others, and so are others from the second layer on;
 * it has all sequences that are made side by side. */
#include "internal.h"
#include "impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- caches ---- */

static int open_cache(struct ssa_model *m, struct ssa_arena *cache)
{
    int err;
    *cache = (struct ssa_arena){0};
    TRY(ssa_arena_copy_layout(cache, &m->net.cache));
    for (int i = 0; i < cache->count; i++)
        cache->sizes[i] = ssa_times(cache->sizes[i], (size_t)m->generation.room);
    TRY(ssa_arena_allocate(cache, m->device));
done:
    if (err)
        ssa_arena_finish(cache);
    return err;
}

static int refuse(const struct ssa_model *m, int members, int sequences, int err)
{
    const double each = (double)ssa_arena_bytes(&m->net.cache) / 1048576.0;
    if (members == 1 && sequences == 1)
        return ssa_fail(err, "generate: keys and values of %d positions take %.1f MiB: %s; make the model for a smaller "
                        "batch", m->facts.length, each, ssa_last_error());
    return ssa_fail(err, "generate: keys and values of %d positions take %.1f MiB, %.1f MiB in each of %d passes over "
                    "%d sequences: %s; take fewer %s, or make the model for a smaller batch", m->facts.length,
                    members * sequences * each, each, members, sequences, ssa_last_error(),
                    members > 1 ? "passes" : "sequences");
}

static void close_caches(struct ssa_generation *g, int left)
{
    while (g->opened > left)
        ssa_arena_finish(&g->caches[--g->opened]);
}

/* All that are wanted, or no more than before. Those with too little room make place for others. */
static int open_caches(struct ssa_model *m, int members, int sequences)
{
    struct ssa_generation *g = &m->generation;
    if (sequences > g->room) {
        close_caches(g, 0);
        g->room = sequences;
    }
    const int before = g->opened;
    if (members <= before)
        return SSA_OK;
    struct ssa_arena *more = realloc(g->caches, (size_t)members * sizeof *more);
    if (!more)
        return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
    g->caches = more;
    for (; g->opened < members; g->opened++) {
        const int err = open_cache(m, &g->caches[g->opened]);
        if (!err)
            continue;
        close_caches(g, before);
        return refuse(m, members, g->room, err);
    }
    return SSA_OK;
}

/* ---- plans ---- */

static void free_plans(struct ssa_generation *g)
{
    for (int i = 0; i < g->plan_count; i++)
        ssa_plan_finish(&g->plans[i]);
    free(g->plans);
    free(g->sampled);
    free(g->given);
    g->plans = NULL;
    g->sampled = NULL;
    g->given = NULL;
    g->plan_count = 0;
}

/* Of each member and layer that of all positions, then of each layer that of the pass at hand. */
static int make_plans(struct ssa_model *m, int members)
{
    struct ssa_generation *g = &m->generation;
    const size_t layers = (size_t)m->net.layers, count = ((size_t)members + 1) * layers;
    if (count == (size_t)g->plan_count)
        return SSA_OK;
    free_plans(g);
    g->plans = calloc(count, sizeof *g->plans);
    g->sampled = calloc(layers, sizeof *g->sampled);
    g->given = calloc(layers, sizeof *g->given);
    if (!g->plans || !g->sampled || !g->given)
        return ssa_fail(SSA_ENOMEM, "generate: out of host memory for %zu plans", count);
    g->plan_count = (int)count;
    return SSA_OK;
}

static int draw_plans(struct ssa_model *m, const struct ssa_beginning *b)
{
    struct ssa_generation *g = &m->generation;
    const int layers = m->net.layers;
    int err = SSA_OK;
    if (!b->samples) {
        free_plans(g);
        return SSA_OK;
    }
    TRY(make_plans(m, b->members));
    for (int l = 0; l < layers; l++)
        g->sampled[l] = b->samples[l].kind != SSA_DENSE;
    for (int i = 0; i < b->members * layers; i++) {
        struct ssa_sample how = b->samples[i % layers];
        how.step += (uint64_t)(i / layers);
        if (how.kind != SSA_DENSE)
            TRY(ssa_plan_draw(&g->plans[i], &how));
    }
done:
    return err;
}

/* The plan of one sequence of several, or of all (-1). */
static struct ssa_plan plan_of(const struct ssa_plan *plan, int sequence)
{
    struct ssa_plan one = *plan;
    if (sequence >= 0) {
        one.data += (size_t)sequence * plan->stride;
        one.examples = 1;
    }
    return one;
}

/* What the last `queries` of the first `keys` positions see. NULL: all of them. */
static int take_plans(struct ssa_model *m, int member, int sequence, int keys, int queries,
                      const struct ssa_plan *const **plans)
{
    struct ssa_generation *g = &m->generation;
    int err = SSA_OK;
    *plans = g->given;
    for (int l = 0; g->given && l < m->net.layers; l++) {
        struct ssa_plan *now = &g->plans[g->plan_count - m->net.layers + l];
        g->given[l] = g->sampled[l] ? now : NULL;
        if (!g->sampled[l])
            continue;
        const struct ssa_plan whole = plan_of(&g->plans[member * m->net.layers + l], sequence);
        TRY(ssa_plan_head(now, &whole, keys, queries));
    }
done:
    return err;
}

/* ---- passes ---- */

/* Slots of the cache are in no order once its ring has turned, which does not matter to the one query that sees them
 * all; where keys are sampled it does not turn. */
static int pass_member(struct ssa_model *m, int member, int sequence, struct ssa_pass pass, float *logits)
{
    const int length = m->facts.length, first = m->generation.passed;
    const int keys = first < length - pass.length ? first + pass.length : length;
    const bool all = pass.batch == m->generation.sequences;
    int err;
    m->state = SSA_MODEL_EMPTY;
    TRY(take_plans(m, member, all ? -1 : sequence, keys, pass.length, &pass.plans));
    TRY(ssa_inputs_write(m, &pass, keys));
    struct ssa_run r = ssa_run_begin(m);
    r.cached = true;
    r.member = member;
    r.sequence = sequence;
    r.first = first;
    r.keys = keys;
    r.apart = pass.length == 1;
    TRY(ssa_run_forward(&r));
    m->state = SSA_MODEL_FORWARD;
    TRY(ssa_run_read(&r, (size_t)pass.length - 1, pass.batch, logits));
done:
    return err;
}

/* `count` positions of each sequence, of every member. One position of all sequences is one pass; of more, whose
 * products would have other bits in a larger pass, each sequence has a pass of its own. */
static int pass_cached(struct ssa_model *m, const int32_t *tokens, int count, float *logits)
{
    struct ssa_generation *g = &m->generation;
    const int batch = count == 1 ? g->sequences : 1;
    int err = SSA_OK;
    REQUIRE(!g->plan_count || count <= m->facts.length - g->passed, "generate: no position past %d has a sample",
            m->facts.length);
    for (int i = 0; i < g->members; i++)
        for (int s = 0; s < g->sequences; s += batch) {
            const struct ssa_pass pass = {.tokens = tokens + (size_t)s * (size_t)count, .batch = batch, .length = count,
                                          .labels = m->facts.classes ? g->labels + s : NULL};
            TRY(pass_member(m, i, s, pass, logits));
            logits += (size_t)batch * (size_t)m->facts.vocabulary;
        }
    g->passed += count;
done:
    return err;
}

static int take_labels(struct ssa_generation *g, const struct ssa_beginning *b)
{
    int32_t *labels = realloc(g->labels, (size_t)b->sequences * sizeof *labels);
    if (!labels)
        return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
    g->labels = labels;
    for (int s = 0; s < b->sequences; s++)
        labels[s] = b->labels ? b->labels[s] : 0;
    return SSA_OK;
}

/* A model that starts by itself takes one token more, which is not read. */
static int pass_beginning(struct ssa_model *m, const struct ssa_beginning *b, float *logits)
{
    const size_t length = (size_t)m->facts.length, given = (size_t)b->count, count = given + (size_t)m->facts.starts;
    int32_t *tokens = calloc((size_t)b->sequences * count, sizeof *tokens);
    if (!tokens)
        return ssa_fail(SSA_ENOMEM, "generate: out of host memory");
    for (size_t s = 0; s < (size_t)b->sequences && given; s++)
        memcpy(tokens + s * count, b->tokens + s * length, given * sizeof *tokens);
    const int err = pass_cached(m, tokens, (int)count, logits);
    free(tokens);
    return err;
}

int ssa_model_begin(struct ssa_model *m, const struct ssa_beginning *b, float *logits)
{
    struct ssa_generation *g = &m->generation;
    int err;
    g->passed = 0;
    TRY(open_caches(m, b->members, b->sequences));
    TRY(take_labels(g, b));
    g->members = b->members;
    g->sequences = b->sequences;
    TRY(draw_plans(m, b));
    TRY(pass_beginning(m, b, logits));
done:
    return err;
}

int ssa_model_continue(struct ssa_model *m, const int32_t *tokens, float *logits)
{
    return pass_cached(m, tokens, 1, logits);
}

int ssa_model_passed(const struct ssa_model *m)
{
    return m->generation.passed;
}

void ssa_generation_finish(struct ssa_generation *g)
{
    free_plans(g);
    close_caches(g, 0);
    free(g->caches);
    free(g->labels);
    *g = (struct ssa_generation){0};
}
