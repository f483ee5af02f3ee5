#include "longer.h"

static long long total_steps(const struct ssa_stage *stages, int count)
{
    long long sum = 0;
    for (int i = 0; i < count; i++)
        sum += stages[i].steps;
    return sum;
}

/* A stage of this, which starts at the rate that `last` comes down to and stays there. */
static struct ssa_stage continuation(const struct ssa_stage *last, int steps)
{
    float lr = last->lr_end > 0 ? last->lr_end : last->lr / 10;
    return (struct ssa_stage){.pattern = last->pattern, .steps = steps, .lr = lr, .lr_end = lr,
                              .dense_every = last->dense_every};
}

/* So is the last one already, where the run was made longer before: it only takes more steps then. */
static bool is_continuation(const struct ssa_stage *stage)
{
    return !stage->warmup && stage->lr == stage->lr_end; /* exactly */
}

static int add_steps(const struct train_options *o, struct ssa_stage *stages, int *count)
{
    struct ssa_stage *last = &stages[*count - 1];
    long long all = total_steps(stages, *count);
    if (o->steps_in_all < all)
        return say_error("--steps %d: the run of %s has %lld; --steps makes it longer, so give more", o->steps_in_all,
                         o->resume, all);
    int more = (int)(o->steps_in_all - all);
    if (is_continuation(last))
        last->steps += more;
    else if (more && *count < STAGES_MAX)
        stages[(*count)++] = continuation(last, more);
    else if (more)
        return say_error("%s has %d stages already, no more fit", o->resume, *count);
    return 0;
}

static int add_stages(const struct train_options *o, const struct ssa_stage *more, struct ssa_stage *stages, int *count)
{
    if (*count + o->training.stage_count > STAGES_MAX)
        return say_error("--stages: %d stages after the %d of %s are more than %d", o->training.stage_count, *count,
                         o->resume, STAGES_MAX);
    for (int i = 0; i < o->training.stage_count; i++)
        stages[(*count)++] = more[i];
    return 0;
}

int make_longer(const struct train_options *o, const struct ssa_stage *more, struct ssa_train_config *config,
                struct ssa_stage stages[STAGES_MAX])
{
    if (!o->steps_in_all && !o->more_stages)
        return 0;
    if (config->stage_count > STAGES_MAX)
        return say_error("%s has %d stages, more than %d: it cannot be made longer", o->resume, config->stage_count,
                         STAGES_MAX);
    for (int i = 0; i < config->stage_count; i++)
        stages[i] = config->stages[i];
    config->stages = stages;
    return o->more_stages ? add_stages(o, more, stages, &config->stage_count)
                          : add_steps(o, stages, &config->stage_count);
}
