#include "pages.h"

#include "pictures.h"
#include "results.h"
#include "savings.h"
#include "sheet.h"
#include "times.h"

#include "files.h"
#include "say.h"

#include <math.h>
#include <string.h>

enum { TEN = 3 }; /* of members[]: an ensemble of ten */
static const struct pick best_dense = {AT_BEST, DENSE_PASS, false}, best_right = {AT_BEST, DENSE_PASS, true};

static int digits_of(const struct arm_results *arm)
{
    return strstr(unit_of(arm), "error") ? 4 : 3;
}

/* ---- the beginning ---- */

/* Machines, or commits, of all runs, each once. */
static void list_texts(const struct results *r, char *(*text_of)(const struct record *), char *list, size_t size)
{
    *list = '\0';
    for (int t = 0; t < r->count; t++)
        for (int a = 0; a < r->tasks[t].count; a++)
            for (int i = 0; i < r->tasks[t].arms[a].seeds; i++) {
                const char *text = text_of(&r->tasks[t].arms[a].of[i]);
                const size_t used = strlen(list);
                if (text && !strstr(list, text) && used + strlen(text) + 3 < size)
                    snprintf(list + used, size - used, "%s%s", used ? "; " : "", text);
            }
}

static char *machine_of(const struct record *record)
{
    return record->machine;
}

static char *commit_of(const struct record *record)
{
    return record->commit;
}

static void put_beginning(struct sheet *s, const struct results *r)
{
    char machines[512], commits[512];
    list_texts(r, machine_of, machines, sizeof machines);
    list_texts(r, commit_of, commits, sizeof commits);
    sheet_text(s, "What \"The Information Pathways Hypothesis\" claims of Stochastically Subsampled self-Attention "
                  "(SSA), measured on small twins of its tasks: C1, it generalises better than dense training; C2, an "
                  "ensemble of sampled passes beats dense inference; C3, attention costs a quarter or an eighth.");
    sheet_text(s, "%d of %d runs have been made%s; %d of them failed. Machines: %s. Commits: %s.", r->done + r->failed,
               r->runs, r->done + r->failed < r->runs ? "; those that are missing are named at the end" : "", r->failed,
               *machines ? machines : "none", *commits ? commits : "none");
    sheet_text(s, "Arms of a task have the same seeds, and so the same first weights and the same order of data. "
                  "Differences are taken seed by seed, of the seeds that both have; +- is one standard error of their "
                  "mean; better and worse are said beyond two of them, which chance alone exceeds in 12%% of cases "
                  "with five seeds and in 18%% with three. Others are compared with the dense arm that validates best "
                  "(seed by seed, of those that two arms both have), with the weights of its best look; so are the other arms', "
                  "unless it is said that they are of the end of a stage. Looks are at validation; the test part was "
                  "measured once.");
}

/* ---- C1 ---- */

static bool compared(const struct task_results *t, const struct arm_results *arm)
{
    return t->control && arm != t->control && arm->done && arm->arm->kind != ARM_DENSE;
}

/* Of two models together, than each of them alone, in the mean: no seed but theirs has a say. */
static struct gain better_than_dense(const struct task_results *t, const struct arm_results *arm, bool right)
{
    const struct pick best = {AT_BEST, DENSE_PASS, right}, alone = {AT_BEST, MODELS_ALONE, right};
    return arm->arm->of ? gain_over(arm, best, arm, alone) : gain_over(arm, best, t->control, best);
}

static void put_c1_row(struct sheet *s, const struct task_results *t, const struct arm_results *arm,
                       struct forest *forest)
{
    const struct gain loss = better_than_dense(t, arm, false);
    struct gain right = better_than_dense(t, arm, true);
    char text[64];
    if (!loss.count)
        return;
    sheet_cell(s, "%s", t->task->name);
    sheet_cell(s, "%s", arm->arm->name);
    sheet_cell(s, "%s", arm->arm->of ? "its two models alone" : t->control->arm->name);
    sheet_cell(s, "%d", loss.count);
    sheet_number(s, loss.theirs, digits_of(arm));
    sheet_number(s, loss.own, digits_of(arm));
    sheet_cell(s, "%s", gain_text(&loss, 1, 4, text));
    sheet_number(s, 100 * loss.share, 1);
    right.mean = -right.mean; /* more is better */
    sheet_cell(s, "%s", gain_text(&right, 100, 2, text));
    sheet_cell(s, "%s", gain_verdict(&loss));
    forest_add(forest, arm, "", loss);
}

static void put_c1(struct sheet *s, const struct results *r)
{
    struct forest forest = {.title = "One dense pass, against dense training at its best dropout: test loss"};
    sheet_heading(s, 2, "C1: does it generalise better?");
    sheet_text(s, "A dense pass of what SSA trained (and fine-tuned densely, where its arm says so) against dense "
                  "training. Controls drop as much in another way. Losses are log loss (nats a picture or word, bits a "
                  "byte or dimension) or the mean absolute error.");
    sheet_table(s, "task|arm|against|seeds|that|this|lower by|%|more right, points|verdict");
    for (int t = 0; t < r->count; t++)
        for (int a = 0; a < r->tasks[t].count; a++) {
            const struct arm_results *arm = &r->tasks[t].arms[a];
            if (compared(&r->tasks[t], arm))
                put_c1_row(s, &r->tasks[t], arm, &forest);
        }
    sheet_table_end(s);
    sheet_picture(s, "c1", "Lower test loss than dense training, in per cent of it; bars: two standard errors.",
                  draw_forest, &forest);
}

/* ---- C2 ---- */

static void put_c2_row(struct sheet *s, const struct task_results *t, const struct arm_results *arm, enum place place,
                       struct forest *forest)
{
    const struct pick ten = {place, TEN, false}, dense = {place, DENSE_PASS, false}, one = {place, 0, false};
    const bool tuned = strchr(arm->arm->stages, ' ');
    const char *when = place == AT_STAGE ? "before" : tuned ? "after" : "no fine-tune";
    const struct gain same = gain_over(arm, ten, arm, dense);
    const struct gain other = t->control ? gain_over(arm, ten, t->control, best_dense) : (struct gain){.count = 0};
    char text[64];
    if (!isfinite(mean_pick(arm, ten)))
        return;
    sheet_cell(s, "%s", t->task->name);
    sheet_cell(s, "%s, %s", arm->arm->name, when);
    sheet_cell(s, "%d", same.count);
    sheet_number(s, mean_pick(arm, one), digits_of(arm));
    sheet_number(s, mean_pick(arm, ten), digits_of(arm));
    sheet_number(s, mean_pick(arm, dense), digits_of(arm));
    sheet_cell(s, "%s", gain_text(&same, 1, 4, text));
    sheet_cell(s, "%s", gain_verdict(&same));
    sheet_cell(s, "%s", gain_text(&other, 1, 4, text));
    sheet_cell(s, "%s%s", gain_verdict(&other), other.count && other.count < same.count ? ", fewer seeds" : "");
    forest_add(forest, arm, place == AT_STAGE ? ", before" : tuned ? ", after" : "", other);
}

static void put_c2(struct sheet *s, const struct results *r)
{
    struct forest forest = {.title = "Ensemble of ten sampled passes, against dense training: test loss"};
    sheet_heading(s, 2, "C2: does the ensemble beat dense inference?");
    sheet_text(s, "The mean of the probabilities (or values) of ten sampled passes, before and after the dense "
                  "fine-tune: against a dense pass of the same weights, and against dense training at its best "
                  "dropout.");
    sheet_table(s, "task|arm, fine-tune|seeds|one sampled pass|ensemble of 10|dense pass, same weights|lower by|"
                   "verdict|lower than dense training by|verdict");
    for (int t = 0; t < r->count; t++)
        for (int a = 0; a < r->tasks[t].count; a++) {
            put_c2_row(s, &r->tasks[t], &r->tasks[t].arms[a], AT_STAGE, &forest);
            put_c2_row(s, &r->tasks[t], &r->tasks[t].arms[a], AT_END, &forest);
        }
    sheet_table_end(s);
    sheet_picture(s, "c2", "Ensembles of ten: lower test loss than dense training, in per cent of it.", draw_forest,
                  &forest);
}

/* ---- equal seconds ---- */

static bool has_timed(const struct task_results *t)
{
    bool timed = false;
    for (int a = 0; a < t->count; a++)
        timed |= t->arms[a].done && stages_timed(t->arms[a].arm->stages);
    return timed;
}

static void put_equal_row(struct sheet *s, const struct task_results *t, const struct arm_results *arm)
{
    const struct pick end = {AT_END, DENSE_PASS, false}, ten = {AT_END, TEN, false};
    struct gain loss = {.count = 0};
    char text[64];
    if (t->control && t->control != arm)
        loss = gain_over(arm, best_dense, t->control, best_dense);
    sheet_cell(s, "%s", t->task->name);
    sheet_cell(s, "%s", arm->arm->name);
    sheet_cell(s, "%d", arm->done);
    sheet_number(s, mean_of(arm, steps_of), 0);
    sheet_number(s, mean_pick(arm, best_dense), 3);
    sheet_number(s, mean_pick(arm, end), 3);
    sheet_number(s, mean_pick(arm, ten), 3);
    sheet_cell(s, "%s", gain_text(&loss, 1, 4, text));
    sheet_cell(s, "%s", gain_verdict(&loss));
}

static void put_equal(struct sheet *s, const struct results *r)
{
    sheet_heading(s, 2, "Text at equal seconds");
    sheet_text(s, "Arms of a task train for the same seconds: steps x the median step time of each stage, as measured "
                  "above, so that no clock that other work disturbs has a say.");
    sheet_table(s, "task|arm|seeds|steps|best look, dense pass|end, dense pass|end, ensemble of 10|lower than dense by|"
                   "verdict");
    for (int t = 0; t < r->count; t++)
        for (int a = 0; a < r->tasks[t].count && has_timed(&r->tasks[t]); a++)
            if (r->tasks[t].arms[a].done)
                put_equal_row(s, &r->tasks[t], &r->tasks[t].arms[a]);
    sheet_table_end(s);
}

/* ---- each task ---- */

/* Of two models together there is no more than what they say. */
static void put_pair(struct sheet *s, const struct arm_results *arm)
{
    sheet_cell(s, "%d/%d", arm->done, arm->arm->seeds);
    for (int i = 0; i < 3; i++)
        sheet_cell(s, "-");
    sheet_number(s, mean_pick(arm, best_dense), digits_of(arm));
    sheet_number(s, 100 * mean_pick(arm, best_right), 1);
    for (int i = 0; i < 6; i++)
        sheet_cell(s, "-");
}

static void put_arm(struct sheet *s, const struct arm_results *arm)
{
    const int digits = digits_of(arm);
    sheet_cell(s, "%s", arm->arm->name);
    sheet_cell(s, "%s%s", arm->arm->about, arm->failed ? " (failed, see below)" : "");
    if (arm->arm->of) {
        put_pair(s, arm);
        return;
    }
    sheet_cell(s, "%d/%d", arm->done, arm->arm->seeds);
    sheet_number(s, mean_of(arm, trained_of), digits);
    sheet_number(s, mean_of(arm, valid_of), digits);
    if (arm->done)
        sheet_cell(s, "%.0f of %.0f", mean_of(arm, best_step_of), mean_of(arm, steps_of));
    else
        sheet_cell(s, "-");
    sheet_number(s, mean_pick(arm, best_dense), digits);
    sheet_number(s, 100 * mean_pick(arm, best_right), 1);
    for (int p = AT_STAGE; p < PLACES; p++) {
        sheet_number(s, mean_pick(arm, (struct pick){(enum place)p, DENSE_PASS, false}), digits);
        sheet_number(s, mean_pick(arm, (struct pick){(enum place)p, 0, false}), digits);
        sheet_number(s, mean_pick(arm, (struct pick){(enum place)p, TEN, false}), digits);
    }
}

static void put_failures(struct sheet *s, const struct task_results *t)
{
    for (int a = 0; a < t->count; a++)
        for (int i = 0; i < t->arms[a].seeds; i++)
            if (t->arms[a].of[i].state == RECORD_FAILED)
                sheet_text(s, "%s, seed %d failed: %s", t->arms[a].arm->name, i + 1, t->arms[a].of[i].why);
}

static const char *task_unit(const struct task_results *t)
{
    for (int a = 0; a < t->count; a++)
        if (t->arms[a].done)
            return unit_of(&t->arms[a]);
    return "not run";
}

static void put_task(struct sheet *s, const struct task_results *t)
{
    char name[96];
    sheet_heading(s, 2, "%s: %s", t->task->name, t->task->title);
    sheet_text(s, "%s%s%s%s", *t->task->like ? "Twin of " : "", t->task->like, *t->task->like ? ". " : "",
               t->task->about);
    sheet_text(s, "Losses: %s. Training: of the last twentieth of the steps, with what is dropped and sampled there.",
               task_unit(t));
    sheet_table(s, "arm|what it is|seeds|training|validation, best|best step|test, best|right, %|before fine-tune: "
                   "dense|one pass|of 10|end: dense|one pass|of 10");
    for (int a = 0; a < t->count; a++)
        if (t->arms[a].arm->seeds)
            put_arm(s, &t->arms[a]);
    sheet_table_end(s);
    put_failures(s, t);
    snprintf(name, sizeof name, "%s-curves", t->task->name);
    sheet_picture(s, name, "Validation loss of a dense pass, mean over seeds, of the first eight arms; past the upper "
                           "edge curves run along it.",
                  draw_curves, t);
    snprintf(name, sizeof name, "%s-ensembles", t->task->name);
    sheet_picture(s, name, "Test loss of self-ensembles against their size.", draw_ensembles, t);
}

/* ---- the end ---- */

static void put_missing(struct sheet *s, const struct results *r)
{
    sheet_heading(s, 2, "What has not run");
    if (r->done + r->failed == r->runs) {
        sheet_text(s, "Nothing: the whole table has.");
        return;
    }
    sheet_table(s, "task|arm|runs missing");
    for (int t = 0; t < r->count; t++)
        for (int a = 0; a < r->tasks[t].count; a++) {
            const struct arm_results *arm = &r->tasks[t].arms[a];
            if (arm->done + arm->failed == arm->arm->seeds)
                continue;
            sheet_cell(s, "%s", arm->task->name);
            sheet_cell(s, "%s", arm->arm->name);
            sheet_cell(s, "%d of %d%s", arm->arm->seeds - arm->done - arm->failed, arm->arm->seeds,
                       arm->other ? ", results there are of other settings" : "");
        }
    sheet_table_end(s);
}

static void put_how(struct sheet *s)
{
    sheet_heading(s, 2, "How to do it again");
    sheet_code(s, "sh demos/repro/run.sh --hours 6          # goes on where it stopped, in the order of the table\n"
                  "sh demos/repro/run.sh --only fashion     # one task; --list says what there is");
    sheet_text(s, "Each run is a file here: TASK/seed-N/ARM.jsonl, whose first line says of which settings, commit and "
                  "machine it is.");
}

static int put_page(struct sheet *s, const struct results *r, const char *folder)
{
    sheet_begin(s, "The paper's claims, measured");
    put_beginning(s, r);
    put_c1(s, r);
    put_c2(s, r);
    put_savings(s, r, folder);
    put_equal(s, r);
    for (int t = 0; t < r->count; t++)
        put_task(s, &r->tasks[t]);
    put_missing(s, r);
    put_how(s);
    sheet_end(s);
    return s->failed ? EXIT_FAILED : 0;
}

static int write_page(const struct results *r, const char *folder, const char *name, bool html)
{
    char path[512];
    struct new_file file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (make_folders(path) || new_file_begin(&file, path))
        return EXIT_FAILED;
    struct sheet sheet = {.out = file.stream, .html = html, .folder = folder};
    const int status = put_page(&sheet, r, folder);
    return new_file_end(&file, !status) || status;
}

int pages_write(const struct session *session, const struct table *table)
{
    struct results results;
    int status = results_read(&results, table, session->results);
    if (!status)
        status = write_page(&results, session->results, "README.md", false) ||
                 write_page(&results, session->results, "index.html", true);
    results_free(&results);
    if (!status)
        say_result("pages: %s/README.md, %s/index.html", session->results, session->results);
    return status;
}
