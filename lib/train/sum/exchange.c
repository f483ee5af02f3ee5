#include "exchange.h"
#include "over_ranks.h"
#include "clock.h"
#include "impl.h"
#include "net/net.h"
#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

size_t ssa_gradients_size(const struct ssa_trainer *t)
{
    return ssa_arena_elements(ssa_model_gradients(t->model));
}

static int ensure(float **memory, size_t count)
{
    if (!*memory)
        *memory = malloc((count + 1) * sizeof **memory);
    return *memory ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: out of host memory for %zu numbers", count);
}

/* ---- computing ---- */

static int next_sum(struct ssa_seat *s, struct ssa_gradients **sum)
{
    if (s->count == s->capacity) {
        int capacity = s->capacity ? 2 * s->capacity : 8;
        struct ssa_gradients *sums = realloc(s->sums, (size_t)capacity * sizeof *sums);
        if (!sums)
            return ssa_fail(SSA_ENOMEM, "train: out of host memory");
        memset(sums + s->capacity, 0, (size_t)(capacity - s->capacity) * sizeof *sums);
        s->sums = sums;
        s->capacity = capacity;
    }
    *sum = &s->sums[s->count];
    return ensure(&(*sum)->values, ssa_gradients_size(s->trainer));
}

static int take(void *cookie, struct ssa_trainer *t, struct ssa_node node)
{
    struct ssa_seat *s = cookie;
    struct ssa_gradients *sum = NULL;
    int err;
    TRY(ssa_device_finish(t->device)); /* so that what follows is the transfer's time alone */
    double start = ssa_awake();
    TRY(next_sum(s, &sum));
    TRY(ssa_arena_read(ssa_model_gradients(t->model), 0, ssa_gradients_size(t), sum->values));
    sum->node = node;
    sum->finite = ssa_all_finite(sum->values, ssa_gradients_size(t));
    s->holds_root = ssa_tree_is_root(node, t->micros);
    s->count++;
    s->transfer += ssa_awake() - start;
done:
    return err;
}

/* ---- the run's last sum, bucket by bucket while backward goes on ---- */

/* Where it pays: on a device with memory of its own. $SSACL_OVERLAP=0: nowhere; 1: everywhere, to test. */
static bool overlaps(const struct ssa_device *device)
{
    const char *overlap = ssa_environment("SSACL_OVERLAP");
    bool far = device->info.kind != SSA_DEVICE_HOST && device->info.kind != SSA_DEVICE_CPU && !device->info.unified;
    return overlap && *overlap ? strcmp(overlap, "0") != 0 : far;
}

static int take_bucket(void *cookie, struct ssa_trainer *t, int bucket)
{
    struct ssa_seat *s = cookie;
    const struct ssa_bucket b = ssa_model_bucket(t->model, bucket);
    struct ssa_gradients *sum = NULL;
    int err;
    TRY(next_sum(s, &sum)); /* the same one until it is counted */
    TRY(ssa_arena_fetch(ssa_model_gradients(t->model), b.first, b.count, sum->values + b.first, &s->tickets));
done:
    return err;
}

static struct ssa_node last_node(const struct ssa_seat *s)
{
    struct ssa_tree tree = ssa_tree_begin(s->trainer->micros, s->first, s->end);
    struct ssa_node node = {.index = s->end - 1};
    tree.depth = SSA_TREE_DEPTH; /* as if all that it merges with were there */
    while (ssa_tree_next(&tree, &node) == SSA_TREE_MERGE)
        ;
    return node;
}

static int compute_overlapped(struct ssa_seat *s)
{
    struct ssa_trainer *t = s->trainer;
    struct ssa_gradients *sum;
    int err = ssa_trainer_gradients_in_buckets(t, s->first, s->end, take, take_bucket, s);
    if (!err)
        err = ssa_device_finish(t->device);
    double start = ssa_awake();
    int transfer = ssa_tickets_await(&s->tickets, t->device); /* whatever happened: it writes into our memory */
    TRY(err);
    TRY(transfer);
    sum = &s->sums[s->count++];
    sum->node = last_node(s);
    sum->finite = ssa_all_finite(sum->values, ssa_gradients_size(t));
    s->holds_root = ssa_tree_is_root(sum->node, t->micros);
    s->transfer += ssa_awake() - start;
    if (s->fresh && s->end - s->first == 1) /* each() was not asked */
        s->timed = 0;
done:
    return err;
}

/* ---- a run ---- */

static int each(void *cookie, struct ssa_trainer *t, int micro)
{
    struct ssa_seat *s = cookie;
    int err;
    if (!s->fresh || micro != s->first)
        return SSA_OK;
    TRY(ssa_device_finish(t->device));
    s->start = ssa_awake();
    t->waited = 0;
    s->timed--;
done:
    return err;
}

int ssa_seat_compute(void *seat)
{
    struct ssa_seat *s = seat;
    struct ssa_trainer *t = s->trainer;
    int before = s->count, err;
    s->start = ssa_awake();
    s->transfer = t->waited = 0;
    s->timed = s->end - s->first;
    s->holds_root = false;
    TRY(ensure(&s->losses, (size_t)t->micros));
    t->each = each;
    TRY(overlaps(t->device) ? compute_overlapped(s) : ssa_trainer_gradients(t, s->first, s->end, take, s));
    TRY(ssa_tensor_read(ssa_tensor_at(t->scalars, ssa_trainer_loss_at(t, t->step, s->first)), s->losses + s->first,
                        (size_t)(s->end - s->first)));
    s->compute = ssa_awake() - s->start - s->transfer - t->waited;
    for (int i = before; i < s->count; i++) {
        int first = ssa_node_first(s->sums[i].node), end = ssa_node_end(s->sums[i].node, t->micros);
        s->sums[i].finite = s->sums[i].finite && ssa_all_finite(s->losses + first, (size_t)(end - first));
    }
done:
    return err;
}

int ssa_seat_compute_alone(void *seat)
{
    struct ssa_seat *s = seat;
    int err;
    s->start = ssa_awake();
    s->timed = s->fresh ? 0 : s->end - s->first;
    s->transfer = s->trainer->waited = 0;
    s->trainer->each = NULL;
    TRY(ssa_over_ranks_compute(s->over_ranks, s->trainer));
    s->compute = ssa_awake() - s->start - s->trainer->waited;
done:
    return err;
}

/* ---- updating ---- */

int ssa_seat_update(void *seat)
{
    struct ssa_seat *s = seat;
    struct ssa_trainer *t = s->trainer;
    double start = ssa_awake();
    int err;
    if (s->given)
        TRY(ssa_arena_write(ssa_model_gradients(t->model), 0, ssa_gradients_size(t), s->given));
    TRY(ssa_trainer_update(t));
    TRY(ssa_tensor_read(ssa_tensor_at(t->scalars, ssa_trainer_squares_at(t, t->step)), &s->squares, 1));
    TRY(ssa_device_finish(t->device));
    s->update = ssa_awake() - start;
done:
    return err;
}

int ssa_seat_update_alone(void *seat)
{
    struct ssa_seat *s = seat;
    int err;
    TRY(ssa_over_ranks_take(s->over_ranks, s->trainer));
    s->given = NULL;
    TRY(ssa_seat_update(s));
done:
    return err;
}

int ssa_seat_step(void *seat)
{
    struct ssa_seat *s = seat;
    int err;
    s->trainer->each = NULL;
    TRY(ssa_trainer_gradients(s->trainer, 0, s->trainer->micros, NULL, NULL));
    TRY(ssa_trainer_update(s->trainer));
done:
    return err;
}

int ssa_seat_read_scalars(void *seat)
{
    struct ssa_seat *s = seat;
    size_t count = ssa_trainer_scalars(s->trainer->micros);
    int err;
    TRY(ensure(&s->scalars, count));
    TRY(ssa_tensor_read(ssa_tensor_at(s->trainer->scalars, 0), s->scalars, count));
done:
    return err;
}

int ssa_seat_read_values(void *seat)
{
    struct ssa_seat *s = seat;
    int err;
    TRY(ensure(&s->values, ssa_gradients_size(s->trainer)));
    TRY(ssa_arena_read(ssa_model_values(s->trainer->model), 0, ssa_gradients_size(s->trainer), s->values));
done:
    return err;
}

int ssa_seat_write_values(void *seat)
{
    struct ssa_seat *s = seat;
    int err;
    TRY(ssa_arena_write(ssa_model_values(s->trainer->model), 0, ssa_gradients_size(s->trainer), s->given));
    TRY(ssa_device_finish(s->trainer->device));
done:
    return err;
}

void ssa_seat_free(struct ssa_seat *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->capacity; i++)
        free(s->sums[i].values);
    free(s->sums);
    ssa_tickets_finish(&s->tickets);
    free(s->losses);
    free(s->scalars);
    free(s->values);
    ssa_trainer_destroy(s->trainer);
    free(s);
}

/* ---- merging ---- */

static int by_number(const void *a, const void *b)
{
    const struct ssa_gradients *const *x = a, *const *y = b;
    return ssa_node_first((*x)->node) - ssa_node_first((*y)->node);
}

int ssa_gradients_merge(struct ssa_gradients **sums, int count, size_t size, struct ssa_tree tree)
{
    struct ssa_gradients *stack[SSA_TREE_DEPTH];
    int left = 0;
    qsort(sums, (size_t)count, sizeof(struct ssa_gradients *), by_number);
    for (int i = 0; i < count; i++) {
        struct ssa_gradients *sum = sums[i];
        enum ssa_tree_move move;
        while ((move = ssa_tree_next(&tree, &sum->node)) == SSA_TREE_MERGE) {
            struct ssa_gradients *other = stack[tree.depth];
            for (size_t e = 0; e < size; e++)
                other->values[e] += sum->values[e];
            other->node = sum->node;
            sum = other;
        }
        if (move == SSA_TREE_PUSH)
            stack[tree.depth - 1] = sum;
        else
            sums[left++] = sum;
    }
    return left;
}
