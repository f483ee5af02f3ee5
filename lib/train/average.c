/* The exponential moving average of the weights: where it begins, and a model that has it in their place for a
 * while. */
#include "train/team/team.h"
#include "impl.h"

struct ssa_tensor ssa_average_at(const struct ssa_worker *w, int part)
{
    const struct ssa_arena *average = &w->kinds[SSA_KIND_AVERAGE];
    return average->count ? ssa_model_part_at(w->model, average, part) : (struct ssa_tensor){0};
}

/* As late as can be: whoever makes a trainer may give the model other weights before the first step. */
int ssa_average_begin(struct ssa_worker *w)
{
    int err = SSA_OK;
    if (!w->kinds[SSA_KIND_AVERAGE].count || w->average_begun)
        return SSA_OK;
    TRY(ssa_arena_copy(&w->kinds[SSA_KIND_AVERAGE], ssa_model_values(w->model)));
    w->average_begun = true;
done:
    return err;
}

/* Between steps nobody needs the gradients, which lie as the weights do. */
int ssa_average_swap(struct ssa_worker *w)
{
    const struct ssa_arena *values = ssa_model_values(w->model), *spare = ssa_model_gradients(w->model);
    int err;
    TRY(ssa_average_begin(w));
    TRY(ssa_arena_copy(spare, values));
    TRY(ssa_arena_copy(values, &w->kinds[SSA_KIND_AVERAGE]));
    TRY(ssa_arena_copy(&w->kinds[SSA_KIND_AVERAGE], spare));
done:
    return err;
}

int ssa_trainer_use_average(struct ssa_trainer *t, int on)
{
    int err = SSA_OK;
    REQUIRE(t->task.config.ema > 0, "train: there is no average of the weights to use: ema is 0");
    if (t->averaged == (on != 0))
        return SSA_OK;
    TRY(ssa_team_swap_average(t, on != 0));
    t->averaged = on != 0;
done:
    return err;
}
