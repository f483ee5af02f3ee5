/* What a net makes of plans beside staging them: lists of the cells that they sample, and dense ones in which virtual
 * nodes see padding. */
#include "internal.h"
#include "plan.h"
#include "impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- cells ---- */

/* Whether a query sees what the one before it does: most plans draw a set for all. */
static bool sees_as_before(const int32_t *plan, int query)
{
    const int32_t *own = plan + plan[PLAN_OWN_AT];
    return query > 0 && plan[PLAN_BLOCKS] == 1 && !own[query] && !own[query - 1];
}

/* `keys` holds a row, of at most one more than there are positions. */
static int list_example(const struct ssa_plan *plan, int example, int count, size_t first, int32_t *keys, int32_t *cells)
{
    const int of = plan->examples > 1 ? example : 0, length = plan->length;
    const int32_t *data = plan->data + plan->stride * (size_t)of;
    int most = 0, seen = 0;
    for (int i = 0; i < length; i++) {
        if (i >= data[PLAN_LENGTH])
            seen = 0; /* padding sees nothing */
        else if (!sees_as_before(data, i))
            seen = ssa_plan_keys(plan, of, i, keys);
        most = seen > most ? seen : most;
        for (int s = 0; s < count; s++)
            *cells++ = s < seen ? (int32_t)((first + (size_t)i) * (size_t)length) + keys[s] : -1;
    }
    return most;
}

int ssa_plan_cell_keys(const struct ssa_plan *plan, int32_t *keys)
{
    int most = 1;
    for (int e = 0; e < plan->examples; e++) {
        const int of = list_example(plan, e, 0, 0, keys, NULL);
        most = of > most ? of : most;
    }
    return most;
}

void ssa_plan_cells(const struct ssa_plan *plan, int batch, int count, int32_t *keys, int32_t *cells)
{
    const size_t length = (size_t)plan->length;
    for (int e = 0; e < batch; e++)
        list_example(plan, e, count, (size_t)e * length, keys, cells + (size_t)e * length * (size_t)count);
}

/* ---- padding that is seen ---- */

/* Slices are padding, nodes and virtual nodes, of which every query sees those from some on: virtual nodes all of them,
 * nodes the latter two, padding virtual nodes alone. `memory` holds three numbers a position. */
static int draw_example(struct ssa_plan *plan, int length, int real, int lead, int32_t *memory)
{
    int32_t *order = memory, *first = order + length, *end = first + length, *to = order;
    const int32_t starts[] = {0, length - real, length - lead, length};
    for (int i = real; i < length; i++)
        *to++ = i;
    for (int i = lead; i < real; i++)
        *to++ = i;
    for (int i = 0; i < lead; i++)
        *to++ = i;
    for (int i = 0; i < length; i++) {
        first[i] = i < lead ? 0 : i < real ? 1 : 2;
        end[i] = 3;
    }
    return ssa_plan_from_layout(plan, &(struct ssa_layout){.length = length, .block = 1, .slices = 3, .order = order,
        .slice_start = starts, .first = first, .end = end});
}

/* One more example. */
static int append(struct ssa_plan *plan, const struct ssa_plan *one, int batch)
{
    const size_t count = one->stride * (size_t)batch;
    if (plan->capacity < count) {
        int32_t *data = realloc(plan->data, count * sizeof *data);
        if (!data)
            return ssa_fail(SSA_ENOMEM, "model: out of host memory");
        plan->data = data;
        plan->capacity = count;
    }
    memcpy(plan->data + one->stride * (size_t)plan->examples, one->data, one->stride * sizeof *one->data);
    plan->examples++;
    plan->max_slice = one->max_slice > plan->max_slice ? one->max_slice : plan->max_slice;
    plan->max_keys = one->max_keys > plan->max_keys ? one->max_keys : plan->max_keys;
    plan->pairs += one->pairs;
    plan->pairs_causal += one->pairs_causal;
    return SSA_OK;
}

int ssa_plan_with_padding(struct ssa_plan *plan, const int32_t *lengths, int batch, int length, int lead)
{
    struct ssa_plan one = {0};
    int32_t *memory = malloc(3 * (size_t)length * sizeof *memory);
    int err = SSA_OK;
    if (!memory)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    for (int e = 0; e < batch; e++) {
        TRY(draw_example(&one, length, lengths[e] > lead ? lengths[e] : lead, lead, memory));
        if (!e) {
            int32_t *data = plan->data;
            const size_t capacity = plan->capacity;
            *plan = one;
            plan->data = data;
            plan->capacity = capacity;
            plan->examples = 0;
            plan->pairs = plan->pairs_causal = 0;
        }
        TRY(append(plan, &one, batch));
    }
done:
    ssa_plan_finish(&one);
    free(memory);
    return err;
}

bool ssa_plan_is_dense(const struct ssa_plan *plan)
{
    for (int e = 0; e < plan->examples; e++) {
        const int32_t *data = plan->data + plan->stride * (size_t)e, *slice = data + data[PLAN_SLICE_AT];
        if (data[PLAN_BLOCKS] != 1 || slice[data[PLAN_SLICES]] - slice[0] != data[PLAN_LENGTH])
            return false;
    }
    return true;
}
