#include "tests.h"

#include "figures.h"
#include "numbers.h"
#include "words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES_AT = 8, COLUMNS = 2 + PASSES_AT, DENSE = 0, SINGLE = 1, NAME = 160 };
static const int passes_at[PASSES_AT] = {2, 5, 10, 25, 50, 100, 250, 500};

/* Numbers of a row: its step, the run's validation loss there (dense), seconds of training until there, of them in
 * attention, and of a step of its last stage; of the test its losses and shares of right answers, COLUMNS each. NAN:
 * not known. */
enum { STEP, VALID, SECONDS, ATTENTION, OF_STEP, LOSS, RIGHT = LOSS + COLUMNS, NUMBERS = RIGHT + COLUMNS };

/* A checkpoint of one run. */
struct row {
    const json_t *seed;
    double number[NUMBERS];
    bool dense; /* trained without sampling */
};

/* The same of several seeds, or one row alone. */
struct group {
    char name[NAME];
    int log, place; /* of the first: its run, and which of its tests */
    struct row *rows;
    int count;
};

static struct {
    const struct unit *unit;
    struct group *groups;
    int count, columns[COLUMNS], column_count;
    bool judged; /* some have RIGHT */
    const struct group *against;
} s;

/* ---- a row ---- */

static bool is_dense(const json_t *stage)
{
    const char *text = json_string_value(stage);
    return text && !strncmp(text, "dense", 5) && !strchr(text, '/'); /* no layer of it samples */
}

/* Which stage, from 0, is at work in a step; `ends`: with it. */
static size_t stage_at(const struct run *run, double step, bool *ends)
{
    const json_t *stages = json_object_get(run->start, "stages");
    double end = run->step0;
    size_t i = 0;
    for (*ends = false; i < json_array_size(stages); i++) {
        end += run_stage_steps(json_array_get(stages, i));
        *ends = end <= step && end >= step;
        if (*ends || !(end <= step))
            break;
    }
    return i;
}

/* How long attention took until there, by the profile of each stage, and takes in a step of the last of them. */
static void read_attention(struct row *row, const struct run *run, double step)
{
    const json_t *stages = json_object_get(run->profile, "stages");
    double sum = 0, begin = 0, of_step = NAN;
    for (size_t i = 0; i < json_array_size(stages) && begin < step; i++) {
        const double steps = json_number(json_array_get(stages, i), "steps");
        of_step = json_number(json_array_get(stages, i), "attention_seconds");
        sum += fmin(steps, step - begin) * of_step;
        begin += steps;
    }
    const bool known = begin >= step && run->step0 <= 0;
    row->number[ATTENTION] = known ? sum : NAN;
    row->number[OF_STEP] = known ? of_step : NAN;
}

static double valid_at(const struct run *run, double step)
{
    for (size_t i = run->dense.count; i-- > 0;)
        if (run->dense.step[i] <= step && run->dense.step[i] >= step)
            return run->dense.bits[i];
    return NAN;
}

static void read_values(double *value, const json_t *test, const char *key)
{
    const json_t *ensemble = json_object_get(test, "ensemble");
    char single[64];
    snprintf(single, sizeof single, "single_%s", key);
    value[DENSE] = json_number(json_object_get(test, "dense"), key);
    value[SINGLE] = json_number(ensemble, single);
    for (int i = 0; i < PASSES_AT; i++)
        value[2 + i] = json_of_first(ensemble, key, passes_at[i]);
}

static struct row read_row(const struct run *run, const json_t *test)
{
    const double step = json_number(test, "step");
    const json_t *stages = json_object_get(run->start, "stages");
    bool ends;
    const double seconds = run_seconds_at(run, step);
    struct row row = {.seed = json_object_get(run->start, "seed"), .dense = true};
    row.number[STEP] = step;
    row.number[VALID] = valid_at(run, step);
    row.number[SECONDS] = seconds > 0 ? seconds : NAN;
    read_attention(&row, run, step);
    read_values(row.number + LOSS, test, s.unit->key);
    read_values(row.number + RIGHT, test, "top1");
    const size_t last = stage_at(run, step, &ends);
    for (size_t i = 0; i <= last && i < json_array_size(stages); i++)
        row.dense = row.dense && is_dense(json_array_get(stages, i));
    return row;
}

/* ---- names ---- */

/* "ssa, end of stage 1 (unbiased)"; of a look that was the best of several where that is not the run's end. */
static void name_row(char name[NAME], const char *label, const struct run *run, double step, bool with_step)
{
    const json_t *stages = json_object_get(run->start, "stages");
    bool ends;
    const size_t stage = stage_at(run, step, &ends), count = json_array_size(stages);
    const char *kind = json_string_value(json_array_get(stages, stage));
    char at[48] = "";
    if (with_step)
        snprintf(at, sizeof at, " (step %.0f)", step);
    if (ends && count > 1)
        snprintf(name, NAME, "%.80s, end of stage %zu (%.*s)", label, stage + 1, (int)(kind ? strcspn(kind, ":/") : 0),
                 kind ? kind : "");
    else if (run->looks > 1 && run->best_step >= step && run->best_step <= step)
        snprintf(name, NAME, "%.80s, at its best%s", label, at);
    else if (ends)
        snprintf(name, NAME, "%.80s, at its end%s", label, at);
    else
        snprintf(name, NAME, "%.80s, step %.0f", label, step);
    ssa_plain_text(name, strlen(name));
}

/* "dense" of "seed-1/dense.jsonl". */
static void base_name(const char *log, char name[LABEL_MAX])
{
    const char *slash = strrchr(log, '/');
    snprintf(name, LABEL_MAX, "%s", slash ? slash + 1 : log);
    char *ending = strstr(name, ".jsonl");
    if (ending && !ending[strlen(".jsonl")])
        *ending = '\0';
}

/* ---- groups ---- */

static struct group *find_group(const char *const *logs, int log, int place, bool seeds)
{
    char name[LABEL_MAX], other[LABEL_MAX];
    base_name(logs[log], name);
    for (int g = 0; g < s.count && seeds; g++) {
        base_name(logs[s.groups[g].log], other);
        if (s.groups[g].place == place && !strcmp(name, other))
            return &s.groups[g];
    }
    s.groups[s.count] = (struct group){.log = log, .place = place};
    return &s.groups[s.count++];
}

static bool has_seed(const struct group *g, const json_t *seed)
{
    for (int i = 0; i < g->count; i++)
        if (json_equal(g->rows[i].seed, seed))
            return true;
    return false;
}

static int add_row(const struct run *runs, const char *const *logs, int log, int place, bool seeds)
{
    const struct run *run = &runs[log];
    const json_t *test = json_array_get(run->tests, (size_t)place);
    char label[LABEL_MAX];
    struct group *g = find_group(logs, log, place, seeds);
    struct row *rows = realloc(g->rows, ((size_t)g->count + 1) * sizeof *rows);
    if (!rows)
        return say_error("no memory for the tests of %s", logs[log]);
    g->rows = rows;
    const struct row row = read_row(run, test);
    if (g->count && has_seed(g, row.seed))
        return say_error("%s: is of the same seed as another log of this name; a row takes one of each", logs[log]);
    if (!g->count) {
        base_name(logs[log], label);
        name_row(g->name, seeds ? label : run->name, run, row.number[STEP], !seeds);
    }
    g->rows[g->count++] = row;
    return 0;
}

static double mean(const struct group *g, int number)
{
    double sum = 0;
    for (int i = 0; i < g->count; i++)
        sum += g->rows[i].number[number];
    return sum / g->count;
}

/* What the others are compared with: trained densely, the least loss in validation. */
static void choose_against(void)
{
    s.against = NULL;
    for (int i = 0; i < s.count; i++) {
        const struct group *g = &s.groups[i];
        if (g->rows[0].dense && isfinite(mean(g, LOSS + DENSE)) &&
            (!s.against || mean(g, VALID) < mean(s.against, VALID)))
            s.against = g;
    }
}

static void choose_columns(void)
{
    s.column_count = 0;
    for (int c = 0; c < COLUMNS; c++) {
        bool known = false;
        for (int i = 0; i < s.count; i++)
            known |= isfinite(mean(&s.groups[i], LOSS + c));
        if (known)
            s.columns[s.column_count++] = c;
    }
    s.judged = false;
    for (int i = 0; i < s.count; i++)
        s.judged |= isfinite(mean(&s.groups[i], RIGHT + DENSE)) || isfinite(mean(&s.groups[i], RIGHT + SINGLE));
}

/* ---- differences ---- */

struct difference {
    double mean, error; /* the mean's; NAN for one seed */
    int count;
};

/* How much less than the other's dense pass; of what is right how much more. */
static struct difference gain_of(const struct group *g, int measure, int column)
{
    const int sign = measure == LOSS ? 1 : -1;
    const struct row *a = g->rows, *b = s.against->rows;
    double sum = 0, squares = 0;
    int n = 0;
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < s.against->count; k++)
            if (json_equal(a[i].seed, b[k].seed)) {
                const double d = sign * (b[k].number[measure + DENSE] - a[i].number[measure + column]);
                sum += d;
                squares += d * d;
                n++;
            }
    const double spread = sqrt(fmax(squares - sum * sum / n, 0) / (n - 1));
    return (struct difference){sum / n, n > 1 ? spread / sqrt(n) : NAN, n};
}

/* The largest ensemble that was measured; 0: none. */
static int largest(const struct group *g)
{
    for (int c = COLUMNS - 1; c > SINGLE; c--)
        if (isfinite(mean(g, LOSS + c)))
            return c;
    return 0;
}

static void say_gain(const struct group *g, int column)
{
    const struct difference loss = gain_of(g, LOSS, column), right = gain_of(g, RIGHT, column);
    if (!isfinite(loss.mean))
        return;
    if (column == DENSE)
        printf("  dense pass: ");
    else
        printf("  ensemble of %d: ", passes_at[column - 2]);
    printf("%s by %.4f", loss.mean >= 0 ? "better" : "worse", fabs(loss.mean));
    if (loss.count > 1)
        printf(" +- %.4f", loss.error);
    printf(" %s", s.unit->brief);
    if (isfinite(right.mean) && right.count > 1)
        printf(", right %+.2f +- %.2f%%", 100 * right.mean, 100 * right.error);
    else if (isfinite(right.mean))
        printf(", right %.2f -> %.2f%%", 100 * mean(s.against, RIGHT + DENSE), 100 * mean(g, RIGHT + column));
    puts(loss.count > 1 && fabs(loss.mean) < 2 * loss.error ? " (chance?)" : "");
}

static void print_gains(void)
{
    if (!s.against || s.count < 2)
        return;
    printf("\nAgainst the dense pass of %s:\n", s.against->name);
    for (int i = 0; i < s.count; i++) {
        const struct group *g = &s.groups[i];
        const int ensemble = largest(g), seeds = gain_of(g, LOSS, DENSE).count;
        if (g == s.against || !seeds)
            continue;
        if (seeds > 1)
            printf("%s, %d seeds, +- standard errors\n", g->name, seeds);
        else
            printf("%s\n", g->name);
        say_gain(g, DENSE);
        if (ensemble)
            say_gain(g, ensemble);
    }
}

/* ---- the table ---- */

static void print_cell(double value, int width, int digits)
{
    if (isfinite(value))
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s", width, "-");
}

static void print_heads(void)
{
    printf("%-14s", "");
    for (int c = 0; c < s.column_count; c++)
        printf(" %7s", s.columns[c] == DENSE ? "dense" : s.columns[c] == SINGLE ? "sampled" : "passes");
    printf(" training attention ms per\n%-14s", "");
    for (int c = 0; c < s.column_count; c++)
        if (s.columns[c] > SINGLE)
            printf(" %7d", passes_at[s.columns[c] - 2]);
        else
            printf(" %7s", "pass");
    puts("        s         s   step");
}

static void print_group(const struct group *g)
{
    if (g->count > 1)
        printf("%s, %d seeds\n", g->name, g->count);
    else
        printf("%s\n", g->name);
    printf("  %-12s", s.unit->brief);
    for (int c = 0; c < s.column_count; c++)
        print_cell(mean(g, LOSS + s.columns[c]), 7, 4);
    print_cell(mean(g, SECONDS), 8, 1);
    print_cell(mean(g, ATTENTION), 9, 1);
    print_cell(1e3 * mean(g, OF_STEP), 6, 2);
    if (s.judged)
        printf("\n  %-12s", "right, %");
    for (int c = 0; c < s.column_count && s.judged; c++)
        print_cell(100 * mean(g, RIGHT + s.columns[c]), 7, 2);
    putchar('\n');
}

/* ---- JSON ---- */

static const char *column_key(int column, char key[32])
{
    snprintf(key, 32, "%s", column == DENSE ? "dense" : "single");
    if (column > SINGLE)
        snprintf(key, 32, "ensemble_%d", passes_at[column - 2]);
    return key;
}

static json_t *group_json(const struct group *g)
{
    char key[32];
    json_t *row = json_pack("{s:s, s:i, s:b, s:o, s:o, s:o, s:o, s:o}", "name", g->name, "seeds", g->count,
        "dense_trained", g->rows[0].dense, "step", number_json(mean(g, STEP)), "valid", number_json(mean(g, VALID)),
        "seconds", number_json(mean(g, SECONDS)), "attention_seconds", number_json(mean(g, ATTENTION)),
        "attention_seconds_of_step", number_json(mean(g, OF_STEP)));
    for (int c = 0; c < s.column_count; c++) {
        json_t *cell = json_pack("{s:o}", s.unit->key, number_json(mean(g, LOSS + s.columns[c])));
        if (s.judged)
            json_object_set_new(cell, "top1", number_json(mean(g, RIGHT + s.columns[c])));
        json_object_set_new(row, column_key(s.columns[c], key), cell);
    }
    return row;
}

static void add_gains(json_t *list, const struct group *g)
{
    char key[32];
    for (int c = 0; c < s.column_count; c++) {
        const struct difference loss = gain_of(g, LOSS, s.columns[c]), right = gain_of(g, RIGHT, s.columns[c]);
        if (isfinite(loss.mean))
            json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o}", "name", g->name, "of",
                column_key(s.columns[c], key), "seeds", loss.count, "less_loss", number_json(loss.mean), "error",
                number_json(loss.error), "more_top1", number_json(right.mean), "top1_error", number_json(right.error)));
    }
}

static json_t *all_json(void)
{
    json_t *rows = json_array(), *gains = json_array();
    for (int i = 0; i < s.count; i++) {
        json_array_append_new(rows, group_json(&s.groups[i]));
        if (s.against && &s.groups[i] != s.against)
            add_gains(gains, &s.groups[i]);
    }
    return json_pack("{s:o, s:s?, s:o}", "rows", rows, "against", s.against ? s.against->name : NULL, "differences",
                     gains);
}

/* ---- all of it ---- */

static int check_units(const struct program *program, const struct run *runs, const char *const *logs, int count)
{
    s.unit = figures_unit(program, &runs[0]);
    for (int r = 0; r < count; r++) {
        if (!s.unit || figures_unit(program, &runs[r]) != s.unit)
            return say_error("%s: its losses are in another unit; give those of one unit", logs[r]);
        if (!json_array_size(runs[r].tests))
            return say_error("%s: holds no test; `%s eval --log` adds one", logs[r], program->name);
    }
    return 0;
}

static int collect(const struct program *program, const struct run *runs, const char *const *logs, int count,
                   bool seeds)
{
    size_t tests = 0;
    if (check_units(program, runs, logs, count))
        return EXIT_FAILED;
    for (int r = 0; r < count; r++)
        tests += json_array_size(runs[r].tests);
    s.groups = calloc(tests, sizeof *s.groups);
    if (!s.groups)
        return say_error("no memory for %zu tests", tests);
    for (int r = 0; r < count; r++)
        for (size_t t = 0; t < json_array_size(runs[r].tests); t++)
            if (add_row(runs, logs, r, (int)t, seeds))
                return EXIT_FAILED;
    choose_columns();
    choose_against();
    return 0;
}

static void print(void)
{
    print_heads();
    for (int i = 0; i < s.count; i++)
        print_group(&s.groups[i]);
    print_gains();
}

int tests_report(const struct program *program, const struct run *runs, const char *const *logs, int count, bool seeds,
                 json_t **json)
{
    int status = collect(program, runs, logs, count, seeds);
    if (!status && json)
        *json = all_json();
    else if (!status)
        print();
    for (int i = 0; i < s.count; i++)
        free(s.groups[i].rows);
    free(s.groups);
    memset(&s, 0, sizeof s);
    return status;
}
