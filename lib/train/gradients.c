/* A worker's part in a step: gradients of a run of micro-batches, summed along the tree, and the optimiser. */
#include "train/team/worker.h"
#include "clock.h"
#include "impl.h"

/* Draws of different purpose must not share a key: windows.c has others. */
#define SEED_DROPOUT 0x64726f70ull /* "drop" */

/* ---- batches ---- */

/* This one, and those that are likely to be next: of the run at hand, then of the next step's. */
static void want_batches(struct ssa_worker *w, int micro)
{
    const int total = ssa_train_config_steps(&w->task.config);
    int step = w->step;
    for (int i = 0; i <= SSA_FEED_AHEAD && step < total; i++) {
        ssa_feed_want(w->feed, (struct ssa_feed_key){(uint64_t)step, (uint64_t)micro});
        if (++micro >= w->end) {
            micro = w->first;
            step++;
        }
    }
}

/* Takes the batch. What is the trainer's is touched only while it is sure to be there. */
static int take_batch(struct ssa_worker *w, int micro)
{
    double start = ssa_awake();
    int err;
    if (w->member)
        TRY(ssa_member_enter(w->member));
    want_batches(w, micro);
    err = ssa_feed_take(w->feed, (struct ssa_feed_key){(uint64_t)w->step, (uint64_t)micro}, &w->batch, &w->drawn);
    w->no_data = err != SSA_OK;
    if (w->member)
        ssa_member_leave(w->member);
    w->waited += ssa_awake() - start;
done:
    return err;
}

/* ---- a micro-batch ---- */

/* Takes the plans of a micro-batch from the queue; dense layers get NULL. */
static int take_plans(struct ssa_worker *w, int micro)
{
    const struct ssa_pattern *pattern = ssa_task_pattern(&w->task, (uint64_t)w->step);
    int group = w->groups > 1 ? micro - w->first_group : 0, err = SSA_OK;
    if (w->task.facts.mixed) /* they came with the batch */
        return SSA_OK;
    for (int l = 0; l < w->task.layers; l++) {
        struct ssa_sample how;
        w->plans[l] = NULL;
        TRY(ssa_model_sample(ssa_model_config(w->model), pattern, l, w->task.micro_batch, 0, &how));
        if (how.kind == SSA_DENSE)
            continue;
        w->plans[l] = ssa_plan_queue_take(w->queue, (uint64_t)w->step, group * w->task.layers + l);
        if (!w->plans[l])
            return SSA_EINVAL; /* the queue has said why */
    }
    if (w->queue && ssa_task_dense_between(&w->task, (uint64_t)w->step)) /* so that the next step's are drawn ahead */
        err = ssa_plan_queue_take(w->queue, (uint64_t)w->step, 0) ? SSA_OK : SSA_EINVAL;
done:
    return err;
}

/* Loss into its place, gradients set. */
static int micro_step(struct ssa_worker *w, int micro, ssa_bucket_complete complete, void *cookie)
{
    struct ssa_pass pass = {.training = 1, .smoothing = w->task.config.smoothing,
        .grad_scale = 1.0f / ssa_task_answers(&w->task), .seed = w->task.config.seed ^ SEED_DROPOUT,
        .step = (uint64_t)w->step, .first_example = (uint32_t)(micro * w->task.micro_batch)};
    int err;
    TRY(take_batch(w, micro));
    TRY(take_plans(w, micro));
    pass.plans = w->task.facts.mixed ? w->drawn.given : w->plans;
    ssa_batch_give(&w->batch, &pass);
    TRY(ssa_model_forward(w->model, &pass));
    TRY(ssa_sum(w->device, &(struct ssa_sum){.x = ssa_model_losses(w->model),
        .out = ssa_tensor_at(w->scalars, ssa_worker_loss_at(w, w->step, micro)),
        .count = (size_t)w->task.micro_batch * (size_t)ssa_pass_answers(&w->task.facts, w->batch.length)}));
    TRY(ssa_model_backward_in_buckets(w->model, complete, cookie));
done:
    return err;
}

static int move(struct ssa_worker *w, enum ssa_tree_move what, int slot)
{
    const struct ssa_arena *gradients = ssa_model_gradients(w->model), *waiting = &w->partials[slot];
    return what == SSA_TREE_PUSH ? ssa_arena_copy(waiting, gradients)
                                 : ssa_arena_add(w->device, gradients, waiting, 0, ssa_arena_elements(gradients));
}

/* A micro-batch whose gradients are added up as a whole. */
static int whole(struct ssa_worker *w, struct ssa_tree *tree, int micro, bool leave)
{
    struct ssa_node node = {.index = micro};
    enum ssa_tree_move what;
    int err;
    TRY(micro_step(w, micro, NULL, NULL));
    TRY(ssa_worker_computed(w, micro));
    while ((what = ssa_tree_next(tree, &node)) == SSA_TREE_MERGE)
        TRY(move(w, what, tree->depth));
    if (what == SSA_TREE_PUSH)
        TRY(move(w, what, tree->depth - 1));
    else if (leave)
        TRY(ssa_worker_leave_sum(w, node));
done:
    return err;
}

/* The run's last micro-batch, whose sums leave bucket by bucket. */
struct last {
    struct ssa_worker *w;
    int slots[SSA_TREE_DEPTH], count; /* partial sums that merge with it */
};

static int last_complete(void *cookie, int bucket)
{
    const struct last *last = cookie;
    struct ssa_worker *w = last->w;
    const struct ssa_bucket b = ssa_model_bucket(w->model, bucket);
    int err = SSA_OK;
    for (int s = 0; s < last->count; s++)
        TRY(ssa_arena_add(w->device, ssa_model_gradients(w->model), &w->partials[last->slots[s]], b.first, b.count));
    TRY(ssa_worker_leave_bucket(w, bucket));
done:
    return err;
}

static int in_buckets(struct ssa_worker *w, struct ssa_tree *tree, int micro)
{
    struct last last = {.w = w};
    struct ssa_node node = {.index = micro};
    while (ssa_tree_next(tree, &node) == SSA_TREE_MERGE)
        last.slots[last.count++] = tree->depth;
    return micro_step(w, micro, last_complete, &last);
}

int ssa_worker_gradients(struct ssa_worker *w, int first, int end, bool leave)
{
    struct ssa_tree tree = ssa_tree_begin(w->task.micros, first, end);
    int err = SSA_OK;
    w->first = first;
    w->end = end;
    for (int micro = first; micro < end; micro++)
        TRY(leave && micro == end - 1 ? in_buckets(w, &tree, micro) : whole(w, &tree, micro, leave));
done:
    return err;
}

/* ---- the optimiser ---- */

int ssa_worker_forgive(struct ssa_worker *w)
{
    return ssa_tensor_fill(ssa_tensor_at(w->scalars, ssa_worker_squares_at(w, 0)), 0, SSA_LOSSES);
}

static struct ssa_tensor moment(const struct ssa_worker *w, int kind, int part)
{
    return ssa_model_part_at(w->model, &w->kinds[kind], part);
}

static float decay_of(const struct ssa_worker *w, struct ssa_model_part p)
{
    return p.decayed && w->task.config.decay > 0 ? w->task.config.decay : 0;
}

static int adamw(struct ssa_worker *w, int i, struct ssa_tensor sumsq)
{
    const struct ssa_train_config *c = &w->task.config;
    const struct ssa_model_part p = ssa_model_part(w->model, i);
    return ssa_adamw(w->device, &(struct ssa_adamw){.w = p.value, .g = p.grad, .m = moment(w, SSA_KIND_FIRST, i),
        .v = moment(w, SSA_KIND_SECOND, i), .sumsq = sumsq, .count = p.count, .lr = ssa_learning_rate(c, w->step),
        .beta1 = c->beta1, .beta2 = c->beta2, .eps = c->eps, .decay = decay_of(w, p), .clip = c->clip > 0 ? c->clip : 0,
        .step = w->step + 1, .average = ssa_average_at(w, i), .ema = c->ema});
}

static int nag(struct ssa_worker *w, int i, struct ssa_tensor sumsq)
{
    const struct ssa_train_config *c = &w->task.config;
    const struct ssa_model_part p = ssa_model_part(w->model, i);
    return ssa_nag(w->device, &(struct ssa_nag){.w = p.value, .g = p.grad, .m = moment(w, SSA_KIND_FIRST, i),
        .sumsq = sumsq, .count = p.count, .lr = ssa_learning_rate(c, w->step),
        .last_lr = w->step ? ssa_learning_rate(c, w->step - 1) : 0, .momentum = c->momentum,
        .decay = decay_of(w, p), .clip = c->clip > 0 ? c->clip : 0,
        .average = ssa_average_at(w, i), .ema = c->ema});
}

/* Of all gradients: what lies between them is zero. */
static int square_sum(struct ssa_worker *w, struct ssa_tensor sumsq)
{
    const struct ssa_arena *gradients = ssa_model_gradients(w->model);
    const size_t count = ssa_arena_elements(gradients);
    const struct ssa_tensor before = ssa_tensor_at(w->scalars, ssa_worker_squares_at(w, w->step + SSA_LOSSES - 1));
    int err = SSA_OK;
    for (size_t at = 0, n; at < count; at += n) {
        struct ssa_sum sum = {.out = sumsq, .squares = 1, .accumulate = at > 0};
        sum.count = n = ssa_arena_piece(gradients, at, count - at, &sum.x);
        if (!at)
            sum.before = before;
        TRY(ssa_sum(w->device, &sum));
    }
done:
    return err;
}

int ssa_worker_optimise(struct ssa_worker *w)
{
    const struct ssa_tensor sumsq = ssa_tensor_at(w->scalars, ssa_worker_squares_at(w, w->step));
    const int parts = ssa_model_part_count(w->model);
    int err;
    TRY(ssa_average_begin(w));
    TRY(square_sum(w, sumsq));
    for (int i = 0; i < parts; i++)
        TRY(w->task.config.optimiser == SSA_NAG ? nag(w, i, sumsq) : adamw(w, i, sumsq));
done:
    return err;
}
