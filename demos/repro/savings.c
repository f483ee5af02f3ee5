#include "savings.h"

#include "times.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- attention ---- */

enum { CASES = 64 };
struct attention_case {
    char name[96];
    bool causal;
    double forward, backward, both; /* seconds, medians */
};

static const char *text_in(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static struct attention_case *find_case(struct attention_case *cases, int *count, const char *name)
{
    for (int i = 0; i < *count; i++)
        if (!strcmp(cases[i].name, name))
            return &cases[i];
    if (*count == CASES)
        return NULL;
    cases[*count] = (struct attention_case){.causal = strstr(name, "causal"), .forward = NAN, .backward = NAN,
                                            .both = NAN};
    snprintf(cases[*count].name, sizeof cases->name, "%s", name);
    return &cases[(*count)++];
}

static void read_case(struct attention_case *cases, int *count, const json_t *row)
{
    const char *direction = text_in(row, "direction");
    struct attention_case *c = strcmp(text_in(row, "suite"), "attention") || strcmp(text_in(row, "status"), "ok")
        ? NULL : find_case(cases, count, text_in(row, "case"));
    if (c)
        *(!strcmp(direction, "fwd") ? &c->forward : !strcmp(direction, "bwd") ? &c->backward : &c->both) =
            json_number(row, "seconds");
}

static int read_cases(struct attention_case cases[CASES], const char *folder, char *machine, size_t size)
{
    char path[512], *text = NULL;
    size_t room = 0;
    int count = 0;
    snprintf(path, sizeof path, "%s/attention.json", folder);
    FILE *file = fopen(path, "r");
    while (file && getline(&text, &room, file) > 0) {
        json_t *row = json_loads(text, 0, NULL);
        read_case(cases, &count, row);
        if (count == 1)
            snprintf(machine, size, "%s, %s backend", text_in(json_object_get(row, "machine"), "processor"),
                     text_in(row, "backend"));
        json_decref(row);
    }
    free(text);
    if (file)
        fclose(file);
    return count;
}

static double dense_of(const struct attention_case *cases, int count, bool causal)
{
    for (int i = 0; i < count; i++)
        if (cases[i].causal == causal && !strncmp(cases[i].name, "dense", 5))
            return cases[i].both;
    return NAN;
}

static void put_attention(struct sheet *s, const char *folder)
{
    static struct attention_case cases[CASES];
    char machine[160] = "";
    const int count = read_cases(cases, folder, machine, sizeof machine);
    sheet_heading(s, 3, "Attention");
    if (!count) {
        sheet_text(s, "Not measured yet: sh demos/repro/run.sh --time 9 --only attention");
        return;
    }
    sheet_text(s, "Forward and backward of one layer, ssacl-bench's medians, each case checked in double precision "
                  "first. %s.", machine);
    sheet_table(s, "case|causal|ms forward|backward|both|dense / this");
    for (int i = 0; i < count; i++) {
        sheet_cell(s, "%s", cases[i].name);
        sheet_cell(s, "%s", cases[i].causal ? "yes" : "no");
        sheet_number(s, 1e3 * cases[i].forward, 2);
        sheet_number(s, 1e3 * cases[i].backward, 2);
        sheet_number(s, 1e3 * cases[i].both, 2);
        sheet_number(s, dense_of(cases, count, cases[i].causal) / cases[i].both, 2);
    }
    sheet_table_end(s);
}

/* ---- memory ---- */

static void put_memory_row(struct sheet *s, const json_t *row)
{
    const char *side;
    json_t *value;
    json_object_foreach(json_object_get(row, "MiB"), side, value) {
        sheet_cell(s, "%.0f", json_number(row, "length"));
        sheet_cell(s, "%s", side);
        sheet_number(s, json_number_value(value), 1);
    }
}

static void put_memory(struct sheet *s, const char *folder)
{
    char path[512];
    snprintf(path, sizeof path, "%s/memory.json", folder);
    json_t *rows = access(path, F_OK) ? NULL : json_load_file(path, 0, NULL);
    sheet_heading(s, 3, "Memory of attention");
    sheet_text(s, rows ? "Of one layer, causal, forward and backward, the most above its inputs, each in a process of "
                         "its own (tests/peers/attention_memory.py): against attention that writes its scores out, and "
                         "against fused attention, which, as ours, never does: there SSA saves time, not memory."
                       : "Not measured yet: tests/peers/attention_memory.py --json results/memory.json");
    if (rows) {
        sheet_table(s, "N|attention|MiB");
        for (size_t i = 0; i < json_array_size(rows); i++)
            put_memory_row(s, json_array_get(rows, i));
        sheet_table_end(s);
    }
    json_decref(rows);
}

/* ---- steps ---- */

/* The first dense arm's first stage, to which others are set in relation. */
static double dense_step(const struct task_results *t, const char *folder)
{
    for (int a = 0; a < t->count; a++) {
        struct arm_times times;
        times_read(&times, folder, t->task, t->arms[a].arm);
        if (t->arms[a].arm->kind == ARM_DENSE && times.stages)
            return times.seconds[0];
    }
    return NAN;
}

static void put_times_row(struct sheet *s, const struct arm_results *arm, double dense, const char *folder)
{
    struct arm_times times;
    times_read(&times, folder, arm->task, arm->arm);
    for (int i = 0; i < times.stages; i++) {
        if (i && !(times.seconds[i] < 0.97 * dense)) /* the dense end, as everywhere */
            continue;
        sheet_cell(s, "%s", arm->task->name);
        sheet_cell(s, "%s%s", arm->arm->name, i ? ", second stage" : "");
        sheet_number(s, 1e3 * times.seconds[i], 1);
        sheet_number(s, 1e3 * times.low[i], 1);
        sheet_number(s, 1e3 * times.high[i], 1);
        sheet_number(s, dense / times.seconds[i], 2);
        sheet_cell(s, "%d", times.rounds);
    }
}

static void put_times(struct sheet *s, const struct results *r, const char *folder)
{
    sheet_heading(s, 3, "Whole steps");
    sheet_text(s, "Of training, forward, backward and update, on the machine of the results; the arms of a task in "
                  "turn, again and again, nothing else running.");
    sheet_table(s, "task|arm|ms a step, median|quartiles: from|to|dense / this|rounds");
    for (int t = 0; t < r->count; t++)
        for (int a = 0; a < r->tasks[t].count; a++)
            put_times_row(s, &r->tasks[t].arms[a], dense_step(&r->tasks[t], folder), folder);
    sheet_table_end(s);
}

/* ---- all of it ---- */

void put_savings(struct sheet *sheet, const struct results *results, const char *folder)
{
    sheet_heading(sheet, 2, "C3: what does it save?");
    put_attention(sheet, folder);
    put_times(sheet, results, folder);
    put_memory(sheet, folder);
}
