/* train: a run from its settings, or from a checkpoint, to its last step or to Ctrl-C. */
#include "options.h"

#include "devices.h"
#include "note.h"
#include "numbers.h"
#include "outputs.h"
#include "profile.h"
#include "progress.h"
#include "ranks.h"
#include "run.h"
#include "settings.h"
#include "signals.h"
#include "words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct training {
    const struct train_options *o;
    struct ssa_ranks *ranks; /* NULL: one process */
    struct settings s;
    const struct ssa_data *train, *valid;
    struct devices devices;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    struct ssa_memory memory;
    struct outputs outputs;
    struct log_file log;
    double seconds_before;   /* of training, in other processes */
    double seconds, started; /* of training before, and when the present stretch began */
    int first_step;
    double train_loss, dense_loss, sampled_loss; /* the latest, nats */
    struct train_note origin; /* of --from */
    char *note;               /* for checkpoints */
    int saved_step; /* that the checkpoint is of; -1: there is none of this run yet */
    int failed;    /* the log could not be written */
    int no_device; /* every one was lost, and the run is to stop then */
    int said;      /* why it failed */
    int settled;   /* ended since nothing got better */
    json_t *profile;
};

/* ---- setting up ---- */

/* Whose weights a run starts from, and whether what is held out now was so then. */
static void look_at_origin(struct training *t)
{
    t->origin = note_read(t->s.program, t->s.source, t->s.data.fingerprint);
    if (t->origin.known && !t->origin.same)
        say_note("%s was trained on other %s: what is held out of this one may not be new to it", t->o->from,
                 t->s.program->what);
}

static double training_seconds(const void *training);

/* With several ranks the run cannot go back to a copy when one has lost its last device: all end together. Rank 0, which
 * then writes the checkpoint, keeps copies for when the device was its own. */
static int open_devices(struct training *t)
{
    struct ssa_pool_config config = t->o->pool;
    char names[512];
    config.precision = (size_t)t->s.precision;
    if (t->ranks) {
        config.last = SSA_POOL_STOP;
        config.copy_every = ranks_lead(t->ranks) ? config.copy_every : SSA_NONE;
    }
    return devices_open(&t->devices, ranks_devices(t->ranks, t->o->device, names, sizeof names), &config);
}

static int make_trainer(struct training *t)
{
    struct ssa_model_limits limits = {.batch = t->s.micro_batch, .training = 1};
    char why[512];
    t->devices.seconds = training_seconds;
    t->devices.cookie = t;
    if (open_devices(t))
        return EXIT_FAILED;
    if (settings_fit(&t->s, t->devices.pool, &t->memory, why) != SSA_OK)
        return say_error("%s", why);
    t->s.training.ranks = t->ranks;
    if (ssa_pool_model_create(&t->model, t->devices.pool, &t->s.model, &limits) != SSA_OK ||
        ssa_model_initialise(t->model, t->s.training.seed) != SSA_OK ||
        ssa_trainer_create(&t->trainer, t->model, &t->s.training, t->train) != SSA_OK)
        return library_failed();
    if (t->s.source && ssa_checkpoint_load(t->s.source, t->model, t->o->resume ? t->trainer : NULL) != SSA_OK)
        return library_failed();
    t->first_step = ssa_trainer_steps_done(t->trainer);
    if (t->first_step >= ssa_trainer_total_steps(t->trainer))
        return say_error("%s: has done all of its %d steps; make it longer with --steps or --stages, or start a new "
                         "run with --from", t->o->resume, t->first_step);
    return 0;
}

static json_t *start_record(struct training *t)
{
    const struct unit *unit = t->s.data.unit;
    char items[64];
    json_t *line = json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:I, s:I}", "event", "start", "program",
                             t->s.program->name, "version", ssa_version(), "ranks",
                             t->ranks ? t->ranks->count : 1, "device", device_json(ssa_model_device(t->model)),
                             "devices", devices_json(t->devices.pool), unit_data(unit, "train_", items),
                             (json_int_t)settings_count(&t->s, PART_TRAIN), "memory_bytes",
                             (json_int_t)t->memory.total);
    json_object_set_new(line, "precision", json_string(precision_name(t->s.precision)));
    json_t *settings = settings_json(&t->s);
    json_object_update(line, settings);
    json_decref(settings);
    if (t->o->from)
        note_add_same(t->s.program, &t->origin, line);
    t->s.program->describe(&t->s, line);
    if (!unit->unnamed)
        json_object_set_new(line, "unit", json_string(unit->name));
    return line;
}

static int announce(struct training *t)
{
    struct ssa_pool_member m;
    char stage[STAGE_TEXT];
    if (t->ranks)
        say_note("%d ranks, %d on this machine; of the first:", t->ranks->count, t->ranks->local_count);
    for (int i = 0; i < ssa_pool_count(t->devices.pool); i++)
        if (ssa_pool_member(t->devices.pool, i, &m) == SSA_OK && !m.lost)
            say_note("device %s: %s (%s), %.0f MiB", m.info.id, m.info.name, m.info.platform,
                     (double)m.info.memory / 1048576);
    say_note("model of %.2f million parameters, %zu %ss to train on; needs %.0f MiB of each device",
             1e-6 * (double)ssa_model_elements(&t->s.model), settings_count(&t->s, PART_TRAIN),
             unit_datum(t->s.data.unit), (double)t->memory.total / 1048576);
    int passes = settings_passes(&t->s);
    if (passes < devices_live(t->devices.pool))
        say_note("steps of %d pass%s keep %d of %d devices busy: give a smaller --batch and a larger --accumulate",
                 passes, passes == 1 ? "" : "es", passes, devices_live(t->devices.pool));
    for (int i = 0; i < t->s.training.stage_count; i++) {
        stage_format(&t->s.training.stages[i], 0, stage, sizeof stage);
        say_note("stage %d: %s", i + 1, stage);
    }
    if (t->first_step)
        say_note("continues after step %d", t->first_step);
    if (log_write(&t->log, start_record(t)) || devices_log(&t->devices, &t->log))
        return EXIT_FAILED;
    return t->o->resume ? log_write(&t->log, json_pack("{s:s, s:i}", "event", "resume", "step", t->first_step)) : 0;
}

static int stage_of(const struct training *t, int step, int *first, int *end)
{
    int stage = 0;
    const struct ssa_train_config *c = &t->s.training;
    for (*first = 0; stage < c->stage_count - 1 && step >= *first + c->stages[stage].steps; stage++)
        *first += c->stages[stage].steps;
    *end = *first + c->stages[stage].steps;
    return stage;
}

static void check_room(const struct training *t)
{
    int first, end, stage = stage_of(t, t->first_step, &first, &end);
    outputs_check_room(t->o, t->model, &t->s.training, stage);
}

static int open_log(struct training *t)
{
    json_t *start = start_record(t);
    int status = outputs_open_log(t->o, start, t->first_step, &t->log, &t->seconds);
    json_decref(start);
    return status;
}

static int set_up(struct training *t, const struct program *program)
{
    const struct train_options *o = t->o;
    bool lead = ranks_lead(t->ranks);
    say_set_quiet(o->quiet || o->json || !lead);
    say_library_log(o->verbose);
    if (lead && (outputs_check(o, o->training.stage_count) || outputs_begin(&t->outputs, o)))
        return EXIT_FAILED;
    if (settings_make(&t->s, program, o))
        return EXIT_FAILED;
    t->train = &t->s.data.part[PART_TRAIN];
    t->valid = &t->s.data.part[PART_VALID];
    if (o->from)
        look_at_origin(t);
    if (lead && o->resume && outputs_check(o, t->s.training.stage_count)) /* which only the checkpoint knows */
        return EXIT_FAILED;
    t->note = note_make(&t->s);
    if (!t->note)
        return say_error("no memory for the checkpoint's note");
    if (make_trainer(t))
        return EXIT_FAILED;
    if (lead)
        check_room(t);
    if (lead && open_log(t))
        return EXIT_FAILED;
    t->seconds_before = t->seconds;
    return announce(t);
}

/* ---- running ---- */

static double training_seconds(const void *training)
{
    const struct training *t = training;
    return t->seconds + (t->started > 0 ? now_seconds() - t->started : 0);
}

static double tokens_of(const struct training *t, int step)
{
    return step * settings_tokens(&t->s);
}

/* A log that cannot be written ends the run, but as Ctrl-C does: what was trained is kept. */
static void give_up(struct training *t)
{
    t->failed = 1;
    interrupted = 1;
}

static void record(struct training *t, json_t *line)
{
    if (log_write(&t->log, line))
        give_up(t);
}

/* Of this process's share of the run. */
static void account(const struct training *t, json_t *line, bool ends)
{
    if (t->s.program->account)
        t->s.program->account(&t->s, line, training_seconds(t) - t->seconds_before, ends);
}

static void on_progress(void *cookie, const struct ssa_progress *p)
{
    struct training *t = cookie;
    char shares[192], loss[64], rate[64];
    t->train_loss = p->loss;
    if (!ranks_lead(t->ranks))
        return;
    progress_update(p->step, p->seconds_left, "step %d of %d, stage %d: %s, %s%s", p->step, p->steps,
                    p->stage + 1, unit_text(t->s.data.unit, p->loss, loss),
                    settings_rate(&t->s, p->tokens_per_second, rate),
                    devices_text(t->devices.pool, shares, sizeof shares));
    json_t *line = json_pack("{s:s, s:i, s:i, s:f, s:f, s:o, s:f, s:o, s:o}", "event", "step", "step", p->step,
                             "stage", p->stage, "tokens", p->tokens, "seconds", training_seconds(t), "loss",
                             number_json(p->loss), "lr", p->lr, "gradient_norm", number_json(p->gradient_norm),
                             "tokens_per_second", number_json(p->tokens_per_second));
    unit_record(t->s.data.unit, line, "", p->loss);
    account(t, line, false);
    if (ssa_pool_count(t->devices.pool) > 1)
        devices_add_shares(t->devices.pool, line);
    if (t->devices.failed)
        give_up(t);
    record(t, line);
}

static int evaluate(struct training *t, const struct ssa_pattern *pattern, double *loss)
{
    const struct judge *judge = t->s.data.judge;
    struct ssa_evaluate how = {.pattern = pattern, .windows = (size_t)t->o->eval_windows, .seed = t->s.training.seed,
                                 .stop = t->ranks ? NULL : &interrupted, /* ranks stop after the same step */
                                 .answer = judge ? judge->answer : NULL};
    struct ssa_scores scores = {0};
    if (judge && judge->begin(&t->s, pattern != NULL, 1))
        return SSA_ENOMEM;
    int status = ssa_evaluate(t->model, t->valid, &how, &scores, NULL, NULL);
    *loss = scores.loss;
    return status;
}

/* " (83.1% right)" */
static void judge_so_far(const struct judge *judge, json_t *record, const char *before, char brief[64])
{
    char text[60];
    if (!judge)
        return;
    judge->record(record, before, 1);
    snprintf(brief, 64, " (%.58s)", judge->brief(text));
}

/* Dense, which is what counts in the end, and as the stage trains. */
static int evaluate_both(struct training *t, int step, const struct ssa_pattern *pattern)
{
    const bool sampled = pattern_samples(pattern);
    const struct judge *judge = t->s.data.judge;
    json_t *judged = json_object();
    char dense_brief[64] = "", sampled_brief[64] = "";
    int status = evaluate(t, NULL, &t->dense_loss);
    judge_so_far(judge, judged, "dense_", dense_brief);
    t->sampled_loss = NAN;
    if (!status && sampled) {
        status = evaluate(t, pattern, &t->sampled_loss);
        judge_so_far(judge, judged, "sampled_", sampled_brief);
    }
    if (status) {
        json_decref(judged);
        return status;
    }
    json_t *line = json_pack("{s:s, s:i, s:f, s:f, s:o}", "event", "evaluation", "step", step, "tokens",
                             tokens_of(t, step), "seconds", t->seconds, "dense",
                             number_json(unit_loss(t->s.data.unit, t->dense_loss)));
    if (sampled)
        json_object_set_new(line, "sampled", number_json(unit_loss(t->s.data.unit, t->sampled_loss)));
    if (t->s.data.unit->perplexity)
        json_object_set_new(line, "dense_perplexity", number_json(exp(t->dense_loss)));
    json_object_update(line, judged);
    json_decref(judged);
    record(t, line);
    char time[32], also[128] = "", loss[64];
    if (sampled)
        snprintf(also, sizeof also, ", sampled %.3f%s", unit_loss(t->s.data.unit, t->sampled_loss), sampled_brief);
    say_note("step %d, %s: training %.3f, validation %s%s%s", step, format_seconds(t->seconds, time),
             unit_loss(t->s.data.unit, t->train_loss), unit_text(t->s.data.unit, t->dense_loss, loss), dense_brief,
             also);
    return SSA_OK;
}

/* Of the average of the weights, where one is kept. */
static int evaluate_now(struct training *t, int step, const struct ssa_pattern *pattern)
{
    if (t->s.training.ema <= 0)
        return evaluate_both(t, step, pattern);
    int status = ssa_trainer_use_average(t->trainer, 1);
    status = status ? status : evaluate_both(t, step, pattern);
    int back = ssa_trainer_use_average(t->trainer, 0);
    return status ? status : back;
}

static int save_checkpoint(struct training *t, bool on_the_way)
{
    int status = on_the_way ? outputs_save_on_the_way(&t->outputs, t->model, t->trainer, t->note)
                            : outputs_save(&t->outputs, t->model, t->trainer, t->note);
    if (!status && !on_the_way)
        t->saved_step = ssa_trainer_steps_done(t->trainer);
    return status;
}

static int next_multiple(int step, int every, int limit)
{
    return every > 0 && limit - step > every - step % every ? step + every - step % every : limit;
}

/* Runs to the next step at which something else is due, and does it. */
static int stretch(struct training *t, const struct ssa_trainer_run *run)
{
    int step = ssa_trainer_steps_done(t->trainer), total = ssa_trainer_total_steps(t->trainer), first, end;
    int stage = stage_of(t, step, &first, &end);
    const struct ssa_pattern *pattern = &t->s.training.stages[stage].pattern;
    int until = next_multiple(step, t->o->eval_every, next_multiple(step, t->o->every, end));
    t->started = now_seconds();
    int status = ssa_trainer_run(t->trainer, until, run);
    t->seconds = training_seconds(t);
    t->started = 0;
    if (!ranks_lead(t->ranks))
        return status;
    /* Files first: an evaluation takes long, and Ctrl-C ends it. */
    if (!status && until == end && end < total && t->o->keep_stages)
        status = outputs_save_stage(&t->outputs, stage, t->model, t->trainer, t->note);
    if (!status && (until == total || (t->o->every && until % t->o->every == 0)))
        status = save_checkpoint(t, until < total);
    if (!status && (until == end || (t->o->eval_every && until % t->o->eval_every == 0)))
        status = evaluate_now(t, until, pattern);
    return status;
}

/* Says why. The checkpoint stays what it is; where there is none, it gets the last step whose gradient was finite. */
static void diverged(struct training *t)
{
    library_failed();
    t->said = 1;
    if (access(t->outputs.checkpoint, F_OK) == 0) {
        say_note("%s is what was last written: start with its weights by --from", t->outputs.checkpoint);
        return;
    }
    int status = save_checkpoint(t, false);
    if (status && status != SSA_ENUMERIC)
        library_failed();
    if (!status)
        say_note("%s is of step %d: start with its weights by --from", t->outputs.checkpoint, t->saved_step);
}

static void on_watched(void *cookie, const struct ssa_watched *w)
{
    struct training *t = cookie;
    char loss[64];
    t->settled = w->ends;
    json_t *line = json_pack("{s:s, s:i}", "event", "watch", "step", w->step);
    unit_record(t->s.data.unit, line, "", w->scores.loss);
    json_object_set_new(line, "best_step", json_integer(w->best_step));
    unit_record(t->s.data.unit, line, "best_", w->best_loss);
    json_object_set_new(line, "stale", json_integer(w->stale));
    json_object_set_new(line, "saved", json_boolean(w->saved));
    record(t, line);
    if (w->saved)
        say_note("step %d: %s, the best so far: %s", w->step, unit_text(t->s.data.unit, w->scores.loss, loss),
                 t->o->best);
    if (w->ends)
        say_note("step %d: no better for %d looks; the best was %s at step %d", w->step, w->stale,
                 unit_text(t->s.data.unit, w->best_loss, loss), w->best_step);
}

static struct ssa_watch watch_of(struct training *t)
{
    const struct train_options *o = t->o;
    return (struct ssa_watch){.data = t->valid, .every = o->eval_every, .patience = o->patience, .best = o->best,
                              .note = t->note, .watched = on_watched, .cookie = t,
                              .how = {.pattern = o->best_sampled ? &t->s.training.stages[0].pattern : NULL,
                                      .windows = (size_t)o->eval_windows, .seed = t->s.training.seed,
                                      .stop = t->ranks ? NULL : &interrupted}};
}

/* The status of the library: SSA_OK at the end, SSA_ESTOPPED after Ctrl-C, SSA_EDEVICE when the last device was lost;
 * the checkpoint is written in these cases. */
static int train(struct training *t)
{
    struct ssa_trainer_run run = {.progress = on_progress, .cookie = t, .every = t->o->log_every, .stop = &interrupted};
    const struct ssa_watch watch = watch_of(t);
    int total = ssa_trainer_total_steps(t->trainer), status = SSA_OK;
    bool lead = ranks_lead(t->ranks);
    run.watch = t->o->best || t->o->patience ? &watch : NULL;
    if (t->ranks)
        signals_catch_launched();
    else
        signals_catch();
    if (lead)
        progress_begin("training", total);
    /* Of several ranks the others learn of a failure here by the next step, where all stop. */
    while (!status && (t->ranks || !t->failed) && ssa_trainer_steps_done(t->trainer) < total)
        status = stretch(t, &run);
    if (t->ranks && status == SSA_ESTOPPED) /* all of them; why, rank 0 knows */
        t->ranks->broadcast(t->ranks, &t->settled, sizeof t->settled, 0);
    if (!lead)
        return status;
    progress_end();
    if (status == SSA_ENUMERIC)
        diverged(t);
    if (status == SSA_EDEVICE && (!devices_live(t->devices.pool) || (t->ranks && t->ranks->unanimous))) {
        library_failed();
        t->no_device = 1;
    }
    if (status == SSA_OK || status == SSA_ESTOPPED || t->no_device) {
        int saved = t->saved_step == ssa_trainer_steps_done(t->trainer) ? SSA_OK : save_checkpoint(t, false);
        status = saved ? saved : status;
        if (!status && ssa_trainer_steps_done(t->trainer) < total) { /* lost over it: what was saved is the last copy */
            status = SSA_EDEVICE;
            t->no_device = 1;
        }
        t->no_device = t->no_device && !saved;
    }
    return status;
}

/* ---- the end ---- */

static json_t *end_record(struct training *t, int outcome)
{
    int step = ssa_trainer_steps_done(t->trainer);
    double tokens = tokens_of(t, step - t->first_step), seconds = t->seconds;
    bool finished = step == ssa_trainer_total_steps(t->trainer); /* and written; only the evaluation was not made */
    const char *status = finished                   ? "finished"
                         : t->settled               ? "no better"
                         : outcome == SSA_ESTOPPED ? "interrupted"
                         : outcome == SSA_ENUMERIC ? "not finite"
                                                   : "no device";
    return json_pack("{s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:I, s:o}", "event", "end", "status", status, "step", step,
                     "steps", ssa_trainer_total_steps(t->trainer), "tokens", tokens_of(t, step), "tokens_this_time",
                     tokens, "seconds", seconds, "peak_bytes", (json_int_t)devices_peak(t->devices.pool), "checkpoint",
                     json_text(t->outputs.checkpoint));
}

static int profile(struct training *t)
{
    say_note("profile: %d passes of each stage, operator by operator", t->o->profile);
    int status = profile_run(&t->s, t->model, t->o->profile, &t->profile);
    if (status)
        return status == SSA_ESTOPPED ? EXIT_INTERRUPTED : library_failed();
    json_t *line = json_copy(t->profile);
    json_object_set_new(line, "event", json_string("profile"));
    return log_write(&t->log, line);
}

/* The latest losses: train_bits, valid_bits, valid_bits_sampled; of tokens train_loss, valid_loss, ... */
static void set_losses(const struct training *t, json_t *object)
{
    const struct unit *unit = t->s.data.unit;
    if (isfinite(t->train_loss))
        unit_record(unit, object, "train_", t->train_loss);
    if (isfinite(t->dense_loss))
        unit_record(unit, object, "valid_", t->dense_loss);
    if (isfinite(t->sampled_loss))
        unit_set(unit, object, "valid_", "_sampled", json_real(unit_loss(unit, t->sampled_loss)));
}

/* Returns the exit status. */
static int finish(struct training *t, int outcome)
{
    int step = ssa_trainer_steps_done(t->trainer), total = ssa_trainer_total_steps(t->trainer);
    json_t *end = end_record(t, outcome), *start = start_record(t);
    account(t, end, true);
    int status = log_write(&t->log, json_incref(end));
    if (!status && outcome == SSA_OK && t->o->profile)
        status = profile(t);
    json_object_update(start, end);
    json_object_del(start, "event");
    set_losses(t, start);
    if (t->profile)
        json_object_set(start, "profile", t->profile);
    if (t->o->json && (!status || status == EXIT_INTERRUPTED))
        status = print_json(json_incref(start)) ? EXIT_FAILED : status;
    else if (!t->o->quiet)
        say_note("%s after step %d; checkpoint: %s", step < total ? "stopped" : "done", step, t->outputs.checkpoint);
    if (t->settled)
        outcome = SSA_OK;
    else if (step < total)
        say_note("continue with --resume %s", t->outputs.checkpoint);
    else if (outcome)
        say_note("the evaluation after it was not made: `%s eval --checkpoint %s` makes one", t->s.program->name,
                 t->outputs.checkpoint);
    json_decref(start);
    json_decref(end);
    return status ? status : outcome == SSA_ESTOPPED ? EXIT_INTERRUPTED : outcome ? EXIT_FAILED : 0;
}

static void tear_down(struct training *t)
{
    ssa_trainer_destroy(t->trainer);
    ssa_model_destroy(t->model);
    devices_close(&t->devices);
    settings_finish(&t->s);
    json_decref(t->profile);
    free(t->note);
}

/* A log that could not be written, which was said, has ended the run. */
static int say_kept(const struct training *t)
{
    int step = ssa_trainer_steps_done(t->trainer);
    const char *advice = step < ssa_trainer_total_steps(t->trainer) ? ": continue with --resume" : ", the last one";
    return say_error("stopped after step %d for that; kept in %s%s", step, t->outputs.checkpoint, advice);
}

/* What a run that ended leaves behind; the exit status. */
static int conclude(struct training *t, int outcome)
{
    bool saved = outcome == SSA_OK || outcome == SSA_ESTOPPED || t->no_device;
    if (ranks_lead(t->ranks) && t->said)
        log_write(&t->log, end_record(t, outcome));
    if (ranks_lead(t->ranks))
        return t->said ? EXIT_FAILED : !saved ? library_failed() : t->failed ? say_kept(t) : finish(t, outcome);
    if (outcome && outcome != SSA_ESTOPPED && !t->ranks->unanimous)
        library_failed(); /* rank 0 does not know */
    if (outcome == SSA_ESTOPPED)
        return t->settled ? 0 : EXIT_INTERRUPTED;
    return outcome ? EXIT_FAILED : 0;
}

int train_main(const struct program *program, int argc, char **argv)
{
    struct training t = {.train_loss = NAN, .dense_loss = NAN, .sampled_loss = NAN, .saved_step = -1};
    signals_survive_writes();
    int status = ranks_join(&t.ranks, train_is_alone(argc, argv));
    if (status)
        return status;
    status = train_options_parse(&t.o, program, false, argc, argv);
    if (status == ARGS_GO && set_up(&t, program))
        status = EXIT_FAILED;
    status = ranks_all(t.ranks, program_command(program, "train"), status, ARGS_GO);
    if (status == ARGS_GO)
        status = conclude(&t, train(&t));
    status = log_close(&t.log) || (!status && t.outputs.incomplete) ? EXIT_FAILED : status;
    outputs_end(&t.outputs);
    tear_down(&t);
    ranks_leave(t.ranks, status && status != EXIT_INTERRUPTED);
    return status;
}
