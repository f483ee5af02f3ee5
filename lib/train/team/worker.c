#include "worker.h"
#include "clock.h"
#include "impl.h"

#include <stdlib.h>
#include <string.h>

size_t ssa_worker_elements(const struct ssa_worker *w)
{
    return ssa_arena_elements(ssa_model_gradients(w->model));
}

struct ssa_tensor ssa_worker_moment(const struct ssa_worker *w, const struct ssa_parameter *p, int kind)
{
    return ssa_tensor_add(ssa_model_part_at(w->model, &w->kinds[kind], p->part), p->offset);
}

static int ensure(float **memory, size_t count)
{
    if (!*memory)
        *memory = malloc((count + 1) * sizeof **memory);
    return *memory ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: out of host memory for %zu numbers", count);
}

/* ---- create and destroy ---- */

/* For the queue: layer and micro-batch of plan `index`. */
static int plan_settings(void *cookie, uint64_t step, int index, struct ssa_sample *how)
{
    const struct ssa_worker *w = cookie;
    const struct ssa_feed_key key = {step, (uint64_t)(w->first_group + index / w->task.layers)};
    return ssa_task_sample(&w->task, w->model, key, index % w->task.layers, how);
}

static int create_queue(struct ssa_worker *w)
{
    const struct ssa_train_config *c = &w->task.config;
    const bool sampled = ssa_task_samples(&w->task, w->model) && !w->task.facts.mixed;
    bool per_example = false;
    for (int i = 0; i < c->stage_count; i++)
        per_example = per_example || ssa_pattern_per_example(&c->stages[i].pattern, ssa_model_config(w->model));
    w->groups = per_example ? w->task.micros : 1;
    if (per_example && c->ranks) { /* those of this rank */
        w->first_group = ssa_rank_first(c->ranks, c->ranks->rank, w->task.micros);
        w->groups = ssa_rank_first(c->ranks, c->ranks->rank + 1, w->task.micros) - w->first_group;
    }
    return sampled ? ssa_plan_queue_create(&w->queue, w->groups * w->task.layers, plan_settings, w) : SSA_OK;
}

static int create_moments(struct ssa_worker *w)
{
    int err = SSA_OK;
    for (int kind = SSA_KIND_FIRST; kind < SSA_KINDS; kind++)
        if (ssa_train_config_has(&w->task.config, kind))
            TRY(ssa_model_arena(w->model, &w->kinds[kind]));
done:
    return err;
}

static int create_partials(struct ssa_worker *w)
{
    int depth = ssa_tree_depth(w->task.micros), err = SSA_OK;
    w->partials = calloc((size_t)depth + 1, sizeof *w->partials);
    if (!w->partials)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    for (int i = 0; i < depth; i++)
        TRY(ssa_model_arena(w->model, &w->partials[i]));
done:
    return err;
}

int ssa_worker_create(struct ssa_worker **worker, const struct ssa_task *task, struct ssa_model *model,
                      struct ssa_feed *feed)
{
    struct ssa_worker *w = *worker = calloc(1, sizeof *w);
    if (!w)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    w->model = model;
    w->device = ssa_model_device(model);
    w->feed = feed;
    w->coming = w->stage = w->measured = -1;
    return ssa_task_create(&w->task, model, &task->config, &task->data);
}

int ssa_worker_allocate(void *worker)
{
    struct ssa_worker *w = worker;
    const struct ssa_batch_layout layout = ssa_batch_layout(w->model, w->task.data.soft);
    int err;
    TRY(ssa_batch_create(&w->batch, &layout, w->task.micro_batch));
    TRY(ssa_feed_plans_create(&w->drawn, ssa_task_layers_drawn(&w->task, w->model)));
    w->plans = calloc((size_t)w->task.layers, sizeof *w->plans);
    if (!w->plans)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    TRY(create_moments(w));
    TRY(create_partials(w));
    TRY(ssa_buffer_create(&w->scalars, w->device, ssa_worker_scalars(w->task.micros) * sizeof(float)));
    TRY(ssa_worker_forgive(w));
    TRY(create_queue(w));
done:
    return err;
}

static void free_sums(struct ssa_worker *w)
{
    for (int i = 0; i < w->capacity; i++)
        free(w->sums[i].values);
    free(w->sums);
    ssa_tickets_finish(&w->tickets);
    free(w->losses);
    free(w->history);
    free(w->values);
}

void ssa_worker_destroy(void *worker)
{
    struct ssa_worker *w = worker;
    if (!w)
        return;
    ssa_plan_queue_destroy(w->queue);
    ssa_device_finish(w->device);
    ssa_buffer_destroy(w->scalars);
    for (int i = 0; w->partials && i < ssa_tree_depth(w->task.micros); i++)
        ssa_arena_finish(&w->partials[i]);
    free(w->partials);
    for (int kind = 0; kind < SSA_KINDS; kind++)
        ssa_arena_finish(&w->kinds[kind]);
    ssa_batch_finish(&w->batch);
    ssa_feed_plans_finish(&w->drawn);
    free(w->plans);
    free_sums(w);
    ssa_task_finish(&w->task);
    free(w);
}

/* ---- sums to the host ---- */

static int next_sum(struct ssa_worker *w, struct ssa_node node, struct ssa_gradients **sum)
{
    if (w->count == w->capacity) {
        int capacity = w->capacity ? 2 * w->capacity : 8;
        struct ssa_gradients *sums = realloc(w->sums, (size_t)capacity * sizeof *sums);
        if (!sums)
            return ssa_fail(SSA_ENOMEM, "train: out of host memory");
        memset(sums + w->capacity, 0, (size_t)(capacity - w->capacity) * sizeof *sums);
        w->sums = sums;
        w->capacity = capacity;
    }
    *sum = &w->sums[w->count];
    (*sum)->node = node;
    (*sum)->finite = true;
    return ensure(&(*sum)->values, ssa_worker_elements(w));
}

int ssa_worker_leave_sum(struct ssa_worker *w, struct ssa_node node)
{
    struct ssa_gradients *sum;
    int err;
    TRY(ssa_device_finish(w->device)); /* so that what follows is the transfer's time alone */
    double start = ssa_awake();
    TRY(next_sum(w, node, &sum));
    TRY(ssa_arena_read(ssa_model_gradients(w->model), 0, ssa_worker_elements(w), sum->values));
    sum->finite = ssa_all_finite(sum->values, ssa_worker_elements(w));
    w->count++;
    w->transfer += ssa_awake() - start;
done:
    return err;
}

/* Waits for the bucket that is on its way, and says that it is there. */
static int arrive(struct ssa_worker *w)
{
    int bucket = w->coming, err;
    if (bucket < 0)
        return SSA_OK;
    w->coming = -1;
    TRY(ssa_tickets_await(&w->tickets, w->device));
    const struct ssa_bucket b = ssa_model_bucket(w->model, bucket);
    struct ssa_gradients *sum = &w->sums[w->count - 1];
    const bool finite = ssa_all_finite(sum->values + b.first, b.count);
    sum->finite = sum->finite && finite;
    if (!w->reduce)
        return SSA_OK;
    TRY(ssa_member_enter(w->member));
    ssa_reduce_arrived(w->reduce, w->member->number, bucket, finite);
    ssa_member_leave(w->member);
done:
    return err;
}

/* The bucket before this one comes while this one is computed. On a device that is read at once neither waits. */
int ssa_worker_leave_bucket(struct ssa_worker *w, int bucket)
{
    const struct ssa_bucket b = ssa_model_bucket(w->model, bucket);
    struct ssa_gradients *sum;
    int err;
    TRY(arrive(w));
    if (!bucket) {
        TRY(next_sum(w, ssa_tree_last(w->task.micros, w->first, w->end), &sum));
        w->count++;
    }
    sum = &w->sums[w->count - 1];
    double start = ssa_awake();
    w->coming = bucket;
    TRY(ssa_arena_fetch(ssa_model_gradients(w->model), b.first, b.count, sum->values + b.first, &w->tickets));
    if (!w->tickets.count) {
        w->transfer += ssa_awake() - start;
        TRY(arrive(w));
    }
done:
    return err;
}

/* ---- computing ---- */

int ssa_worker_computed(struct ssa_worker *w, int micro)
{
    int err;
    if (!w->fresh || micro != w->first)
        return SSA_OK;
    TRY(ssa_device_finish(w->device));
    w->start = ssa_awake();
    w->transfer = w->waited = 0;
done:
    return err;
}

static int compute(struct ssa_worker *w)
{
    int err = ssa_worker_gradients(w, w->first, w->end, true);
    if (!err)
        err = ssa_device_finish(w->device);
    double start = ssa_awake();
    if (err)
        ssa_tickets_await(&w->tickets, w->device); /* it writes into our memory */
    TRY(err);
    TRY(arrive(w));
    TRY(ssa_tensor_read(ssa_tensor_at(w->scalars, ssa_worker_loss_at(w, w->step, w->first)), w->losses + w->first,
                        (size_t)(w->end - w->first)));
    w->transfer += ssa_awake() - start;
done:
    return err;
}

int ssa_worker_compute(void *worker)
{
    struct ssa_worker *w = worker;
    const int before = w->count;
    int err;
    w->start = ssa_awake();
    w->transfer = w->waited = 0;
    w->coming = -1;
    TRY(ensure(&w->losses, (size_t)w->task.micros));
    TRY(compute(w));
    w->compute = ssa_awake() - w->start - w->transfer - w->waited;
    for (int i = before; i < w->count; i++) {
        int first = ssa_node_first(w->sums[i].node), end = ssa_node_end(w->sums[i].node, w->task.micros);
        w->sums[i].finite = w->sums[i].finite && ssa_all_finite(w->losses + first, (size_t)(end - first));
    }
done:
    return err;
}

int ssa_worker_step(void *worker)
{
    struct ssa_worker *w = worker;
    int err;
    w->fresh = false;
    TRY(ssa_worker_gradients(w, 0, w->task.micros, false));
    TRY(ssa_worker_optimise(w));
done:
    return err;
}

/* ---- updating ---- */

/* A bucket of the sum on the host, which belongs to the trainer. */
static int await(struct ssa_worker *w, int bucket, const float **sum)
{
    int err;
    TRY(ssa_member_enter(w->member));
    *sum = ssa_reduce_await(w->reduce, bucket);
    ssa_member_leave(w->member);
done:
    return err;
}

int ssa_worker_take(void *worker)
{
    struct ssa_worker *w = worker;
    const int count = ssa_model_bucket_count(w->model);
    int err = SSA_OK;
    for (int i = 0; i < count; i++) {
        const struct ssa_bucket b = ssa_model_bucket(w->model, i);
        const float *sum;
        TRY(await(w, i, &sum));
        TRY(ssa_arena_write(ssa_model_gradients(w->model), b.first, b.count, sum));
    }
done:
    return err;
}

int ssa_worker_update(void *worker)
{
    struct ssa_worker *w = worker;
    double start = ssa_awake();
    int err;
    TRY(ssa_worker_optimise(w));
    TRY(ssa_tensor_read(ssa_tensor_at(w->scalars, ssa_worker_squares_at(w, w->step)), &w->squares, 1));
    TRY(ssa_device_finish(w->device));
    w->update = ssa_awake() - start;
done:
    return err;
}

/* ---- the rest ---- */

int ssa_worker_read_history(void *worker)
{
    struct ssa_worker *w = worker;
    size_t count = ssa_worker_scalars(w->task.micros);
    int err;
    TRY(ensure(&w->history, count));
    TRY(ssa_tensor_read(ssa_tensor_at(w->scalars, 0), w->history, count));
done:
    return err;
}

int ssa_worker_read_values(void *worker)
{
    struct ssa_worker *w = worker;
    int err;
    TRY(ensure(&w->values, ssa_worker_elements(w)));
    TRY(ssa_arena_read(ssa_model_values(w->model), 0, ssa_worker_elements(w), w->values));
done:
    return err;
}

int ssa_worker_write_values(void *worker)
{
    struct ssa_worker *w = worker;
    int err;
    TRY(ssa_arena_write(ssa_model_values(w->model), 0, ssa_worker_elements(w), w->given));
    TRY(ssa_device_finish(w->device));
done:
    return err;
}

int ssa_worker_swap_average(void *worker)
{
    struct ssa_worker *w = worker;
    int err = ssa_average_swap(w);
    return err ? err : ssa_device_finish(w->device);
}
