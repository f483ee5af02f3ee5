/* Generation's passes: one position after another, which see the keys and values of those before them in a cache. Of an
 * ensemble each member has a cache of its own, as its positions see others, and so are others from the second layer on. */
#include "internal.h"
#include "impl.h"

#include <stdlib.h>

/* ---- caches ---- */

static int open_cache(struct ssa_model *m, struct ssa_arena *cache)
{
    int err;
    *cache = (struct ssa_arena){0};
    TRY(ssa_arena_copy_layout(cache, &m->net.cache));
    TRY(ssa_arena_allocate(cache, m->device));
done:
    if (err)
        ssa_arena_finish(cache);
    return err;
}

static int refuse(const struct ssa_model *m, int members, int err)
{
    const double each = (double)ssa_arena_bytes(&m->net.cache) / 1048576.0;
    if (members == 1)
        return ssa_fail(err, "generate: keys and values of %d positions take %.1f MiB: %s; make the model for a smaller "
                        "batch", m->facts.length, each, ssa_last_error());
    return ssa_fail(err, "generate: keys and values of %d positions take %.1f MiB, %.1f MiB in each of %d passes: %s; "
                    "take fewer passes, or make the model for a smaller batch", m->facts.length, members * each, each,
                    members, ssa_last_error());
}

/* All that are wanted, or no more than before. */
static int open_caches(struct ssa_model *m, int members)
{
    struct ssa_generation *g = &m->generation;
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
        while (g->opened > before)
            ssa_arena_finish(&g->caches[--g->opened]);
        return refuse(m, members, err);
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

/* What the last `queries` of the first `keys` positions see. NULL: all of them. */
static int take_plans(struct ssa_model *m, int member, int keys, int queries, const struct ssa_plan *const **plans)
{
    struct ssa_generation *g = &m->generation;
    int err = SSA_OK;
    *plans = g->given;
    for (int l = 0; g->given && l < m->net.layers; l++) {
        struct ssa_plan *now = &g->plans[g->plan_count - m->net.layers + l];
        g->given[l] = g->sampled[l] ? now : NULL;
        if (g->sampled[l])
            TRY(ssa_plan_head(now, &g->plans[member * m->net.layers + l], keys, queries));
    }
done:
    return err;
}

/* ---- passes ---- */

/* Slots of the cache are in no order once its ring has turned, which does not matter to the one query that sees them
 * all; where keys are sampled it does not turn. */
static int pass_member(struct ssa_model *m, int member, struct ssa_pass pass, float *logits)
{
    const int length = m->facts.length, first = m->generation.passed;
    const int keys = first < length - pass.length ? first + pass.length : length;
    int err;
    m->state = SSA_MODEL_EMPTY;
    TRY(take_plans(m, member, keys, pass.length, &pass.plans));
    TRY(ssa_inputs_write(m, &pass, keys));
    struct ssa_run r = ssa_run_begin(m);
    r.cached = true;
    r.member = member;
    r.first = first;
    r.keys = keys;
    TRY(ssa_run_forward(&r));
    m->state = SSA_MODEL_FORWARD;
    TRY(ssa_run_read(m, (size_t)pass.length - 1, 1, logits));
done:
    return err;
}

/* `count` positions, of every member. */
static int pass_cached(struct ssa_model *m, const int32_t *tokens, int count, float *logits)
{
    struct ssa_generation *g = &m->generation;
    const struct ssa_pass pass = {.tokens = tokens, .batch = 1, .length = count,
                                  .labels = m->facts.classes ? &g->label : NULL};
    int err = SSA_OK;
    REQUIRE(!g->plan_count || count <= m->facts.length - g->passed, "generate: no position past %d has a sample",
            m->facts.length);
    for (int i = 0; i < g->members; i++)
        TRY(pass_member(m, i, pass, logits + (size_t)i * (size_t)m->facts.vocabulary));
    g->passed += count;
done:
    return err;
}

int ssa_model_begin(struct ssa_model *m, const struct ssa_beginning *b, float *logits)
{
    static const int32_t none = 0;
    struct ssa_generation *g = &m->generation;
    int err;
    g->passed = 0;
    g->label = b->label;
    g->members = b->members;
    TRY(open_caches(m, b->members));
    TRY(draw_plans(m, b));
    TRY(pass_cached(m, b->count ? b->tokens : &none, b->count + m->facts.starts, logits));
done:
    return err;
}

int ssa_model_continue(struct ssa_model *m, int32_t token, float *logits)
{
    return pass_cached(m, &token, 1, logits);
}

int ssa_model_passed(const struct ssa_model *m)
{
    return m->generation.passed;
}

void ssa_generation_finish(struct ssa_generation *g)
{
    free_plans(g);
    for (int i = 0; i < g->opened; i++)
        ssa_arena_finish(&g->caches[i]);
    free(g->caches);
    *g = (struct ssa_generation){0};
}
