/* One device's work in a step: gradients of a run of micro-batches, summed along the tree, and the update. */
#include "internal.h"
#include "train/sum/tree.h"
#include "clock.h"
#include "impl.h"
#include "net/net.h"
#include "pool/pool.h"

/* Draws of different purpose must not share a key: windows.c has others. */
#define SEED_DROPOUT 0x64726f70ull /* "drop" */

int ssa_trainer_stage(const struct ssa_trainer *t, uint64_t step)
{
    int i = 0;
    while (i < t->config.stage_count - 1 && step >= (uint64_t)t->config.stages[i].steps)
        step -= (uint64_t)t->config.stages[i++].steps;
    return i;
}

/* ---- batches ---- */

static void copy_sequences(const struct ssa_trainer *t, const struct ssa_draw *draw, const struct ssa_batch *batch)
{
    const size_t length = (size_t)t->length;
    for (int b = 0; b < draw->count; b++) {
        const size_t at = (size_t)b * length, start = ssa_window_start(&t->config, t->data.count, length, draw->step,
                                                                       draw->first + (uint64_t)b);
        ssa_data_copy(&t->data, start, length, batch->tokens + at);
        ssa_data_copy(&t->data, start + 1, length, batch->targets + at);
    }
}

int ssa_trainer_fill(void *trainer, struct ssa_feed_key key, struct ssa_batch *batch)
{
    const struct ssa_trainer *t = trainer;
    const struct ssa_draw draw = {.training = 1, .count = t->micro_batch, .length = t->length,
        .answers = t->facts.answers, .seed = t->config.seed, .step = key.step,
        .first = key.number * (uint64_t)t->micro_batch};
    if (t->data.fill)
        return ssa_data_fill(&t->data, &draw, &t->facts, batch);
    copy_sequences(t, &draw, batch);
    return SSA_OK;
}

/* This one, and those that are likely to be next: of the run at hand, then of the next step's. */
static void want_batches(struct ssa_trainer *t, int micro)
{
    const int total = ssa_trainer_total_steps(t);
    int step = t->step;
    for (int i = 0; i <= SSA_FEED_AHEAD && step < total; i++) {
        ssa_feed_want(t->feed, (struct ssa_feed_key){(uint64_t)step, (uint64_t)micro});
        if (++micro >= t->run_end) {
            micro = t->run_first;
            step++;
        }
    }
}

/* Takes the batch. What is the front's is touched only while it is sure to be there. */
static int take_batch(struct ssa_trainer *t, int micro)
{
    double start = ssa_awake();
    int err;
    if (t->member)
        TRY(ssa_member_enter(t->member));
    want_batches(t, micro);
    err = ssa_feed_take(t->feed, (struct ssa_feed_key){(uint64_t)t->step, (uint64_t)micro}, &t->batch, &t->drawn);
    t->no_data = err != SSA_OK;
    if (t->member)
        ssa_member_leave(t->member);
    t->waited += ssa_awake() - start;
done:
    return err;
}

/* ---- a micro-batch ---- */

/* Takes the plans of a micro-batch from the queue; dense layers get NULL. */
static int take_plans(struct ssa_trainer *t, int micro)
{
    const struct ssa_pattern *pattern = &t->config.stages[ssa_trainer_stage(t, (uint64_t)t->step)].pattern;
    int group = t->groups > 1 ? micro - t->first_group : 0, err = SSA_OK;
    if (t->facts.mixed) /* they came with the batch */
        return SSA_OK;
    for (int l = 0; l < t->layers; l++) {
        struct ssa_sample how;
        t->plans[l] = NULL;
        TRY(ssa_model_sample(ssa_model_config(t->model), pattern, l, t->micro_batch, 0, &how));
        if (how.kind == SSA_DENSE)
            continue;
        t->plans[l] = ssa_plan_queue_take(t->queue, (uint64_t)t->step, group * t->layers + l);
        if (!t->plans[l])
            return SSA_EINVAL; /* the queue has said why */
    }
done:
    return err;
}

/* Loss into its place, gradients set. */
static int micro_step(struct ssa_trainer *t, int micro, ssa_bucket_complete complete, void *cookie)
{
    struct ssa_pass pass = {.training = 1, .smoothing = t->config.smoothing,
        .grad_scale = 1.0f / ssa_trainer_answers(t), .seed = t->config.seed ^ SEED_DROPOUT, .step = (uint64_t)t->step,
        .first_example = (uint32_t)(micro * t->micro_batch)};
    int err;
    TRY(take_batch(t, micro));
    TRY(take_plans(t, micro));
    pass.plans = t->facts.mixed ? t->drawn.given : t->plans;
    ssa_batch_give(&t->batch, &pass);
    TRY(ssa_model_forward(t->model, &pass));
    TRY(ssa_sum(t->device, &(struct ssa_sum){.x = ssa_model_losses(t->model),
        .out = ssa_tensor_at(t->scalars, ssa_trainer_loss_at(t, t->step, micro)),
        .count = (size_t)t->micro_batch * (size_t)ssa_pass_answers(&t->facts, t->batch.length)}));
    TRY(ssa_model_backward_in_buckets(t->model, complete, cookie));
done:
    return err;
}

static int move(struct ssa_trainer *t, enum ssa_tree_move what, int slot)
{
    const struct ssa_arena *gradients = ssa_model_gradients(t->model), *waiting = &t->partials[slot];
    return what == SSA_TREE_PUSH ? ssa_arena_copy(waiting, gradients)
                                 : ssa_arena_add(t->device, gradients, waiting, 0, ssa_arena_elements(gradients));
}

/* The run's last micro-batch, whose sums are taken layer by layer. */
struct last {
    struct ssa_trainer *t;
    int slots[SSA_TREE_DEPTH], count; /* partial sums that merge with it */
    ssa_take_bucket take;
    void *cookie;
};

static int last_complete(void *cookie, int bucket)
{
    struct last *last = cookie;
    struct ssa_trainer *t = last->t;
    const struct ssa_bucket b = ssa_model_bucket(t->model, bucket);
    int err = SSA_OK;
    for (int s = 0; s < last->count; s++)
        TRY(ssa_arena_add(t->device, ssa_model_gradients(t->model), &t->partials[last->slots[s]], b.first, b.count));
    TRY(last->take(last->cookie, t, bucket));
done:
    return err;
}

static int last_step(struct ssa_trainer *t, struct ssa_tree tree, ssa_take_bucket take, void *cookie)
{
    struct last last = {.t = t, .take = take, .cookie = cookie};
    struct ssa_node node = {.index = tree.end - 1};
    while (ssa_tree_next(&tree, &node) == SSA_TREE_MERGE)
        last.slots[last.count++] = tree.depth;
    return micro_step(t, tree.end - 1, last_complete, &last);
}

int ssa_trainer_gradients_in_buckets(struct ssa_trainer *t, int first, int end, ssa_take take,
                                     ssa_take_bucket take_bucket, void *cookie)
{
    struct ssa_tree tree = ssa_tree_begin(t->micros, first, end);
    int err = SSA_OK;
    t->run_first = first;
    t->run_end = end;
    for (int micro = first; micro < end - (take_bucket != NULL); micro++) {
        struct ssa_node node = {.index = micro};
        enum ssa_tree_move what;
        TRY(micro_step(t, micro, NULL, NULL));
        if (t->each)
            TRY(t->each(cookie, t, micro));
        while ((what = ssa_tree_next(&tree, &node)) == SSA_TREE_MERGE)
            TRY(move(t, what, tree.depth));
        if (what == SSA_TREE_PUSH)
            TRY(move(t, what, tree.depth - 1));
        else if (take)
            TRY(take(cookie, t, node));
    }
    if (take_bucket)
        TRY(last_step(t, tree, take_bucket, cookie));
done:
    return err;
}

int ssa_trainer_gradients(struct ssa_trainer *t, int first, int end, ssa_take take, void *cookie)
{
    return ssa_trainer_gradients_in_buckets(t, first, end, take, NULL, cookie);
}

int ssa_trainer_forgive(struct ssa_trainer *t)
{
    return ssa_tensor_fill(ssa_tensor_at(t->scalars, ssa_trainer_squares_at(t, 0)), 0, SSA_LOSSES);
}

static struct ssa_tensor moment(const struct ssa_trainer *t, int kind, int part)
{
    return ssa_model_part_at(t->model, &t->kinds[kind], part);
}

static float decay_of(const struct ssa_trainer *t, struct ssa_model_part p)
{
    return p.decayed && t->config.decay > 0 ? t->config.decay : 0;
}

static int adamw(struct ssa_trainer *t, int i, struct ssa_tensor sumsq)
{
    const struct ssa_train_config *c = &t->config;
    const struct ssa_model_part p = ssa_model_part(t->model, i);
    return ssa_adamw(t->device, &(struct ssa_adamw){.w = p.value, .g = p.grad, .m = moment(t, SSA_KIND_FIRST, i),
        .v = moment(t, SSA_KIND_SECOND, i), .sumsq = sumsq, .count = p.count, .lr = ssa_learning_rate(c, t->step),
        .beta1 = c->beta1, .beta2 = c->beta2, .eps = c->eps, .decay = decay_of(t, p), .clip = c->clip > 0 ? c->clip : 0,
        .step = t->step + 1, .average = ssa_average_at(t, i), .ema = c->ema});
}

static int nag(struct ssa_trainer *t, int i, struct ssa_tensor sumsq)
{
    const struct ssa_train_config *c = &t->config;
    const struct ssa_model_part p = ssa_model_part(t->model, i);
    return ssa_nag(t->device, &(struct ssa_nag){.w = p.value, .g = p.grad, .m = moment(t, SSA_KIND_FIRST, i),
        .sumsq = sumsq, .count = p.count, .lr = ssa_learning_rate(c, t->step),
        .last_lr = t->step ? ssa_learning_rate(c, t->step - 1) : 0, .momentum = c->momentum,
        .decay = decay_of(t, p), .clip = c->clip > 0 ? c->clip : 0,
        .average = ssa_average_at(t, i), .ema = c->ema});
}

/* Of all gradients: what lies between them is zero. */
static int square_sum(struct ssa_trainer *t, struct ssa_tensor sumsq)
{
    const struct ssa_arena *gradients = ssa_model_gradients(t->model);
    const size_t count = ssa_arena_elements(gradients);
    const struct ssa_tensor before = ssa_tensor_at(t->scalars, ssa_trainer_squares_at(t, t->step + SSA_LOSSES - 1));
    int err = SSA_OK;
    for (size_t at = 0, n; at < count; at += n) {
        struct ssa_sum sum = {.out = sumsq, .squares = 1, .accumulate = at > 0};
        sum.count = n = ssa_arena_piece(gradients, at, count - at, &sum.x);
        if (!at)
            sum.before = before;
        TRY(ssa_sum(t->device, &sum));
    }
done:
    return err;
}

int ssa_trainer_update(struct ssa_trainer *t)
{
    const struct ssa_tensor sumsq = ssa_tensor_at(t->scalars, ssa_trainer_squares_at(t, t->step));
    const int parts = ssa_model_part_count(t->model);
    int err;
    TRY(ssa_average_begin(t));
    TRY(square_sum(t, sumsq));
    for (int i = 0; i < parts; i++)
        TRY(t->config.optimiser == SSA_NAG ? nag(t, i, sumsq) : adamw(t, i, sumsq));
done:
    return err;
}
