/* The exponential moving average of the weights: where it begins, and a model that has it in their place for a
 * while. */
#include "internal.h"
#include "train/team/crew.h"
#include "impl.h"
#include "net/net.h"

struct ssa_tensor ssa_average_at(const struct ssa_trainer *t, int part)
{
    const struct ssa_place *average = t->kinds[SSA_KIND_AVERAGE];
    return average ? ssa_arena_at(&t->moments, average[part]) : (struct ssa_tensor){0};
}

/* As late as can be: whoever makes a trainer may give the model other weights before the first step. */
int ssa_average_begin(struct ssa_trainer *t)
{
    int err = SSA_OK;
    if (!t->kinds[SSA_KIND_AVERAGE] || t->average_begun)
        return SSA_OK;
    for (int i = 0; i < ssa_model_part_count(t->model); i++) {
        const struct ssa_model_part p = ssa_model_part(t->model, i);
        TRY(ssa_tensor_copy(ssa_average_at(t, i), p.value, p.count));
    }
    t->average_begun = true;
done:
    return err;
}

/* Between steps nobody needs the gradients, which lie as the weights do. */
int ssa_average_swap(struct ssa_trainer *t)
{
    int err;
    TRY(ssa_average_begin(t));
    for (int i = 0; i < ssa_model_part_count(t->model); i++) {
        const struct ssa_model_part p = ssa_model_part(t->model, i);
        TRY(ssa_tensor_copy(p.grad, p.value, p.count));
        TRY(ssa_tensor_copy(p.value, ssa_average_at(t, i), p.count));
        TRY(ssa_tensor_copy(ssa_average_at(t, i), p.grad, p.count));
    }
done:
    return err;
}

int ssa_trainer_use_average(struct ssa_trainer *t, int on)
{
    int err = SSA_OK;
    REQUIRE(t->config.ema > 0, "train: there is no average of the weights to use: ema is 0");
    if (t->averaged == (on != 0))
        return SSA_OK;
    TRY(t->crew ? ssa_crew_swap_average(t, on != 0) : ssa_average_swap(t));
    t->averaged = on != 0;
done:
    return err;
}
