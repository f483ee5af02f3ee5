/* Held-out data on the way of a training: when it is looked at, what is kept of the best, when the run ends, and that a
 * resumed run goes on with it. On the first device: which one it is does not matter. */
#include "saved.h"
#include "ssacl/evaluate.h"
#include "train/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 160, LENGTH = 16, BATCH = 2, STEPS = 40, LOOKS = 64 };
static const struct ssa_model_config config = {.gpt = {.layers = 1, .heads = 1, .width = 16, .vocabulary = 32,
                                                       .length = LENGTH}};

/* A text with no rule, so that training on it makes another one worse, sooner or later. */
struct fixture {
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    struct ssa_data train, valid;
    unsigned char text[2][TEXT];
    struct ssa_watched seen[LOOKS];
    int count;
};

static void open_fixture(struct fixture *f, struct ssa_device *dev)
{
    struct ssa_stage stage = {.steps = STEPS, .lr = 0.05f};
    struct ssa_train_config training = {.batch = BATCH, .seed = 2, .stages = &stage, .stage_count = 1};
    *f = (struct fixture){.count = 0};
    for (uint32_t i = 0; i < 2 * TEXT; i++)
        f->text[i / TEXT][i % TEXT] = (unsigned char)((i * 2654435761u >> 16) % 32);
    f->train = (struct ssa_data){.items = f->text[0], .count = TEXT};
    f->valid = (struct ssa_data){.items = f->text[1], .count = TEXT};
    OK(ssa_model_create(&f->model, dev, &config, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    OK(ssa_model_initialise(f->model, 2));
    OK(ssa_trainer_create(&f->trainer, f->model, &training, &f->train));
}

static void close_fixture(struct fixture *f)
{
    ssa_trainer_destroy(f->trainer);
    ssa_model_destroy(f->model);
}

static void see(void *cookie, const struct ssa_watched *w)
{
    struct fixture *f = cookie;
    ck_assert_int_lt(f->count, LOOKS);
    f->seen[f->count++] = *w;
}

static int run_on(struct fixture *f, struct ssa_watch watch, int until)
{
    watch.data = &f->valid;
    watch.watched = see;
    watch.cookie = f;
    return ssa_trainer_run(f->trainer, until, &(struct ssa_trainer_run){.watch = &watch});
}

/* Of each look the loss that an evaluation gives there, and the least of them so far. */
START_TEST(looks_when_due)
{
    struct fixture f;
    struct ssa_scores scores;
    open_fixture(&f, test_device(0));
    OK(run_on(&f, (struct ssa_watch){.every = 7}, 0));
    ck_assert_int_eq(f.count, 6); /* 7, 14, 21, 28, 35, and the last */
    OK(ssa_evaluate(f.model, &f.valid, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
    ck_assert_double_eq(f.seen[5].scores.loss, scores.loss);
    double least = INFINITY;
    for (int i = 0, best = 0; i < f.count; i++) {
        ck_assert_int_eq(f.seen[i].step, i < 5 ? 7 * (i + 1) : STEPS);
        best = f.seen[i].scores.loss < least ? i : best;
        least = fmin(least, f.seen[i].scores.loss);
        ck_assert_double_eq(f.seen[i].best_loss, least);
        ck_assert_int_eq(f.seen[i].best_step, f.seen[best].step);
        ck_assert_int_eq(f.seen[i].stale, i - best);
        ck_assert(!f.seen[i].ends && !f.seen[i].saved);
    }
    ck_assert_int_gt(f.seen[5].stale, 0); /* it did get worse, else this test shows little */
    close_fixture(&f);
}
END_TEST

/* 160 tokens are five steps of 2 x 16. */
START_TEST(epochs)
{
    struct fixture f;
    open_fixture(&f, test_device(0));
    OK(run_on(&f, (struct ssa_watch){0}, 0));
    ck_assert_int_eq(f.count, STEPS / 5);
    ck_assert_int_eq(f.seen[0].step, 5);
    close_fixture(&f);
}
END_TEST

START_TEST(patience)
{
    struct fixture f;
    open_fixture(&f, test_device(0));
    FAILS(run_on(&f, (struct ssa_watch){.every = 2, .patience = 3}, 0), SSA_ESTOPPED, "was least at step");
    const struct ssa_watched last = f.seen[f.count - 1];
    ck_assert(last.ends && last.stale == 3 && last.step == last.best_step + 6);
    ck_assert_int_eq(ssa_trainer_steps_done(f.trainer), last.step);
    ck_assert_int_lt(last.step, STEPS);
    close_fixture(&f);

    open_fixture(&f, test_device(0)); /* nothing is better by so much */
    FAILS(run_on(&f, (struct ssa_watch){.every = 1, .patience = 2, .gain = 100}, 0), SSA_ESTOPPED, "least at step 1");
    ck_assert_int_eq(ssa_trainer_steps_done(f.trainer), 3);
    close_fixture(&f);
}
END_TEST

/* The file has the parameters of the best look, and a run that is resumed the looks before. */
START_TEST(the_best_is_kept)
{
    char folder[] = "/tmp/ssacl-watch-XXXXXX", best[64], half[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(best, sizeof best, "%s/best.st", folder);
    snprintf(half, sizeof half, "%s/half.st", folder);
    struct fixture f, g;
    struct ssa_checkpoint *c;
    struct ssa_scores scores;
    open_fixture(&f, test_device(0));
    OK(run_on(&f, (struct ssa_watch){.every = 3, .best = best, .note = "best"}, 24));
    OK(ssa_checkpoint_save(half, f.model, f.trainer, ""));
    OK(run_on(&f, (struct ssa_watch){.every = 3, .best = best, .note = "best"}, 0));
    const struct ssa_watched last = f.seen[f.count - 1];
    OK(ssa_checkpoint_open(&c, best));
    ck_assert_int_eq(ssa_checkpoint_step(c), last.best_step);
    ck_assert_str_eq(ssa_checkpoint_note(c), "best");
    OK(ssa_checkpoint_load(c, f.model, NULL));
    OK(ssa_evaluate(f.model, &f.valid, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
    ck_assert_double_eq(scores.loss, last.best_loss);
    ssa_checkpoint_close(c);

    open_fixture(&g, test_device(0));
    saved_load(half, g.model, g.trainer);
    OK(run_on(&g, (struct ssa_watch){.every = 3}, 0));
    ck_assert_int_eq(g.seen[g.count - 1].best_step, last.best_step);
    ck_assert_double_eq(g.seen[g.count - 1].best_loss, last.best_loss);
    ck_assert_int_eq(g.seen[g.count - 1].stale, last.stale);
    close_fixture(&f);
    close_fixture(&g);
    unlink(best);
    unlink(half);
    rmdir(folder);
}
END_TEST

/* A run may look at held-out data for longer without a better loss than it took to the best. */
START_TEST(long_after_the_best)
{
    char folder[] = "/tmp/ssacl-watch-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/last.st", folder);
    struct fixture f, g;
    open_fixture(&f, test_device(0));
    OK(run_on(&f, (struct ssa_watch){.every = 1, .gain = 100}, 5)); /* nothing is better by so much */
    ck_assert(f.seen[4].best_step == 1 && f.seen[4].stale == 4);
    OK(ssa_checkpoint_save(path, f.model, f.trainer, ""));
    open_fixture(&g, test_device(0));
    saved_load(path, g.model, g.trainer);
    OK(run_on(&g, (struct ssa_watch){.every = 1, .gain = 100}, 6));
    ck_assert_int_eq(g.seen[0].stale, 5);
    close_fixture(&f);
    close_fixture(&g);
    unlink(path);
    rmdir(folder);
}
END_TEST

/* By the mode of use that counts: sampled passes have another loss than dense ones. */
START_TEST(sampled)
{
    const struct ssa_pattern quarter = {.kind = SSA_UNBIASED, .ratio = 0.25f};
    struct fixture f;
    struct ssa_scores scores;
    open_fixture(&f, test_device(0));
    OK(run_on(&f, (struct ssa_watch){.every = 20, .how = {.pattern = &quarter, .passes = 4, .seed = 3}}, 20));
    OK(ssa_evaluate(f.model, &f.valid, &(struct ssa_evaluate){.pattern = &quarter, .passes = 4, .seed = 3}, &scores, NULL,
                    NULL));
    ck_assert_double_eq(f.seen[0].scores.loss, scores.loss);
    OK(ssa_evaluate(f.model, &f.valid, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
    ck_assert_double_ne(f.seen[0].scores.loss, scores.loss);
    close_fixture(&f);
}
END_TEST

START_TEST(bad_input)
{
    struct fixture f;
    open_fixture(&f, test_device(0));
    struct ssa_watch none = {.every = 1};
    FAILS(ssa_trainer_run(f.trainer, 0, &(struct ssa_trainer_run){.watch = &none}), SSA_EINVAL, "data is NULL");
    FAILS(run_on(&f, (struct ssa_watch){.every = -1}, 0), SSA_EINVAL, "every is -1");
    FAILS(run_on(&f, (struct ssa_watch){.patience = -2}, 0), SSA_EINVAL, "patience is -2");
    FAILS(run_on(&f, (struct ssa_watch){.gain = NAN}, 0), SSA_EINVAL, "gain is nan");
    ck_assert_int_eq(ssa_trainer_steps_done(f.trainer), 0);
    OK(run_on(&f, (struct ssa_watch){.every = 2, .best = "/nowhere/best.st"}, 4)); /* a warning, and on it goes */
    ck_assert_int_eq(ssa_trainer_steps_done(f.trainer), 4);
    ck_assert_int_eq(f.seen[0].saved, 0);
    close_fixture(&f);
}
END_TEST

int main(void)
{
    return test_run("watch", (const TTest *const[]){looks_when_due, epochs, patience, long_after_the_best,
                                                   the_best_is_kept, sampled, bad_input, NULL});
}
