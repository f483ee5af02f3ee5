#include "stages.h"

#include "args.h"
#include "say.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define KINDS "dense|unbiased|local"
static const char *const kind_names[] = {"dense", "unbiased", "local"};

/* ---- keys ---- */

enum key_kind {
    KEY_FLAG, KEY_NONE /* a flag that sets SSA_NONE */, KEY_INT, KEY_FLOAT, KEY_RATIO, KEY_KEYS, KEY_EPOCHS
};

static const struct key {
    const char *name;
    enum key_kind kind;
    size_t offset;
    double low, high;
    const char *pattern_of; /* NULL: of the stage; else printed for this kind of attention, "" for both sampled ones */
} keys[] = {
#define FIELD(name) offsetof(struct ssa_stage, name)
    {"ratio", KEY_RATIO, FIELD(pattern.ratio), 0, 1, ""},
    {"keys", KEY_KEYS, FIELD(pattern.ratio), 1, 1 << 20, ""},
    {"ratio-last", KEY_RATIO, FIELD(pattern.ratio_last), 0, 1, ""},
    {"look-back", KEY_FLAG, FIELD(pattern.look_back), 0, 1, "local"},
    {"sigma", KEY_FLOAT, FIELD(pattern.sigma), 0, 1e6, "local"},
    {"fixed-windows", KEY_FLAG, FIELD(pattern.fixed_windows), 0, 1, "local"},
    {"grid", KEY_FLAG, FIELD(pattern.grid), 0, 1, "local"},
    {"first-dense", KEY_INT, FIELD(pattern.dense_first), 0, 1000, ""},
    {"last-dense", KEY_INT, FIELD(pattern.dense_last), 0, 1000, ""},
    {"keep-first", KEY_INT, FIELD(pattern.keep_first), 0, 64, ""},
    {"per-example", KEY_FLAG, FIELD(pattern.per_example), 0, 1, ""},
    {"no-own-key", KEY_NONE, FIELD(pattern.own_key), 0, 1, ""},
    {"steps", KEY_INT, FIELD(steps), 1, INT_MAX, NULL},
    {"epochs", KEY_EPOCHS, FIELD(steps), 0.001, EPOCHS_MOST, NULL},
    {"lr", KEY_FLOAT, FIELD(lr), 1e-12, 100, NULL},
    {"lr-end", KEY_FLOAT, FIELD(lr_end), 0, 100, NULL},
    {"warm-up", KEY_INT, FIELD(warmup), 0, INT_MAX, NULL},
#undef FIELD
};
enum { KEYS = sizeof keys / sizeof *keys };

static int same_name(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length)
        return 0;
    for (size_t i = 0; i < length; i++)
        if (word[i] != name[i] && !(word[i] == '_' && name[i] == '-'))
            return 0;
    return 1;
}

/* ---- parsing ---- */

static int bad(const char *stage, size_t length, const char *what)
{
    say_error("stage '%.*s': %s (see --help)", (int)length, stage, what);
    return EXIT_USAGE;
}

static int set_key(const struct key *key, const char *value, struct ssa_stage *stage)
{
    void *field = (char *)stage + key->offset;
    double number;
    long whole;
    switch (key->kind) {
    case KEY_FLAG:
    case KEY_NONE:
        *(int *)field = key->kind == KEY_NONE ? SSA_NONE : 1;
        return value == NULL ? 0 : -1;
    case KEY_INT:
        if (!value || parse_int(value, (long)key->low, (long)key->high, &whole))
            return -1;
        *(int *)field = (int)whole;
        return 0;
    case KEY_KEYS:
        if (!value || parse_int(value, (long)key->low, (long)key->high, &whole))
            return -1;
        *(float *)field = (float)-whole;
        return 0;
    case KEY_EPOCHS:
        if (!value || parse_real(value, key->low, key->high, &number))
            return -1;
        *(int *)field = stage_epochs(number);
        return 0;
    default:
        if (!value || parse_real(value, key->low, key->high, &number) || (key->kind == KEY_RATIO && number <= 0))
            return -1;
        *(float *)field = (float)number;
        return 0;
    }
}

static void describe_key(const struct key *key, char *text, size_t size)
{
    switch (key->kind) {
    case KEY_FLAG:
    case KEY_NONE:
        snprintf(text, size, "'%s' takes no value", key->name);
        break;
    case KEY_INT:
    case KEY_KEYS:
        snprintf(text, size, "'%s' must be a whole number from %.0f to %.0f", key->name, key->low, key->high);
        break;
    case KEY_FLOAT:
    case KEY_EPOCHS:
        snprintf(text, size, "'%s' must be a number from %g to %g", key->name, key->low, key->high);
        break;
    case KEY_RATIO:
        snprintf(text, size, "'%s' must be over 0 and at most 1", key->name);
        break;
    }
}

static int parse_key(const char *word, size_t length, struct ssa_stage *stage, char *why, size_t why_size)
{
    char value[64];
    size_t name = 0;
    while (name < length && word[name] != '=')
        name++;
    snprintf(value, sizeof value, "%.*s", name < length ? (int)(length - name - 1) : 0, word + name + 1);
    for (int k = 0; k < KEYS; k++)
        if (same_name(word, name, keys[k].name)) {
            describe_key(&keys[k], why, why_size);
            return set_key(&keys[k], name < length ? value : NULL, stage);
        }
    snprintf(why, why_size, "'%.*s' is no setting of a stage", (int)name, word);
    return -1;
}

static int parse_stage(const char *text, size_t length, struct ssa_stage *stage)
{
    char why[160];
    size_t at = 0;
    while (at < length && text[at] != ':')
        at++;
    if ((stage->pattern.kind = parse_choice(text, at, KINDS)) < 0)
        return bad(text, length, "starts with no kind of attention: " KINDS);
    while (at < length) {
        size_t end = ++at;
        while (end < length && text[end] != ',')
            end++;
        if (parse_key(text + at, end - at, stage, why, sizeof why))
            return bad(text, length, why);
        at = end;
    }
    if (!stage->steps)
        return bad(text, length, "has no steps=N");
    return 0;
}

int stages_parse(const char *text, const struct ssa_stage *preset, struct ssa_stage stages[STAGES_MAX], int *count)
{
    static const char blanks[] = " \t\n;";
    int status = 0;
    for (*count = 0, text += strspn(text, blanks); *text && !status; text += strspn(text, blanks)) {
        size_t length = strcspn(text, blanks);
        if (*count == STAGES_MAX)
            return bad(text, length, "is one too many");
        stages[*count] = *preset;
        status = parse_stage(text, length, &stages[(*count)++]);
        text += length;
    }
    return *count ? status : bad(text, 0, "there is none");
}

/* ---- settling ---- */

int stage_epochs(double epochs)
{
    return -(int)(1000 * epochs + 0.5);
}

static int settle_steps(struct ssa_stage *stage, double epoch)
{
    const double steps = ceil(-1e-3 * stage->steps * epoch - 1e-6);
    if (stage->steps >= 0)
        return 0;
    if (epoch <= 0)
        return say_error("how many steps %g epochs take nobody knows without data: give --data, or steps", -1e-3 *
                         stage->steps);
    if (steps > INT_MAX)
        return say_error("%g epochs are %.0f steps, more than %d", -1e-3 * stage->steps, steps, INT_MAX);
    stage->steps = (int)steps;
    return 0;
}

int stages_settle(struct ssa_stage *stages, int count, const struct stage_terms *terms)
{
    for (int i = 0; i < count; i++) {
        struct ssa_stage *s = &stages[i];
        if (settle_steps(s, terms->epoch))
            return EXIT_FAILED;
        if (s->pattern.kind == SSA_LOCAL && terms->mixed)
            return say_error("local: what there is to see is of several sizes, in no order; sample it by 'unbiased'");
        if (s->pattern.ratio < 0 && terms->mixed)
            return say_error("%.0f keys: what there is to see is of several sizes; give a share of it, ratio=R",
                             (double)-s->pattern.ratio);
        if (-s->pattern.ratio > (float)terms->length)
            return say_error("%.0f keys of a sequence that has %d", (double)-s->pattern.ratio, terms->length);
        if (s->pattern.ratio < 0)
            s->pattern.ratio = -s->pattern.ratio / (float)terms->length;
        if (s->pattern.keep_first < 0)
            s->pattern.keep_first = s->pattern.kind != SSA_DENSE ? terms->keep_first : 0;
        if (s->warmup < 0)
            s->warmup = s->steps / 20;
        if (s->warmup > s->steps)
            return say_error("stage %d has %d steps, fewer than the %d of its warm-up: give a shorter --warm-up (of "
                             "--stages warm-up=N)", i + 1, s->steps, s->warmup);
    }
    return 0;
}

int stages_pattern(const char *text, const struct stage_terms *terms, bool or_dense, struct ssa_pattern *pattern)
{
    const struct ssa_stage preset = {.pattern = {.ratio = 0.25f, .keep_first = -1}, .steps = 1};
    struct ssa_stage stages[STAGES_MAX];
    int count, status = stages_parse(text, &preset, stages, &count);
    if (!status && count == 1)
        status = stages_settle(stages, 1, terms);
    if (!status && (count != 1 || (stages->pattern.kind == SSA_DENSE && !or_dense)))
        status = say_error("--pattern: '%s' is not one stage of %s", text, or_dense ? KINDS : "sampling");
    if (!status)
        *pattern = stages->pattern;
    return status;
}

/* ---- printing ---- */

static void print_key(const struct key *key, const struct ssa_stage *stage, FILE *out, const char *comma)
{
    const void *field = (const char *)stage + key->offset;
    if (key->kind == KEY_FLAG || key->kind == KEY_NONE)
        fprintf(out, "%s%s", comma, key->name);
    else if (key->kind == KEY_INT)
        fprintf(out, "%s%s=%d", comma, key->name, *(const int *)field);
    else
        fprintf(out, "%s%s=%g", comma, key->name, (double)*(const float *)field);
}

static int is_said(const struct key *key, const struct ssa_stage *stage, int pattern_only)
{
    const void *field = (const char *)stage + key->offset;
    int kind = stage->pattern.kind;
    if (key->kind == KEY_KEYS || key->kind == KEY_EPOCHS) /* which have become others */
        return 0;
    if (!key->pattern_of ? pattern_only : kind == SSA_DENSE || (*key->pattern_of && kind != SSA_LOCAL))
        return 0;
    if (key->kind == KEY_NONE)
        return *(const int *)field == SSA_NONE;
    return key->kind == KEY_FLAG || key->kind == KEY_INT ? *(const int *)field != 0 : *(const float *)field != 0;
}

void stage_format(const struct ssa_stage *stage, int pattern_only, char *text, size_t size)
{
    const char *comma = ":";
    FILE *out = fmemopen(text, size, "w");
    if (!out) {
        *text = 0;
        return;
    }
    fputs(kind_names[stage->pattern.kind], out);
    for (int k = 0; k < KEYS; k++)
        if (is_said(&keys[k], stage, pattern_only)) {
            print_key(&keys[k], stage, out, comma);
            comma = ",";
        }
    fclose(out);
    text[size - 1] = 0;
}
