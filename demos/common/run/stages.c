#include "stages.h"

#include "args.h"
#include "say.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS "dense|unbiased|local"
static const char *const kind_names[] = {"dense", "unbiased", "local"};

/* ---- keys ---- */

enum key_kind {
    KEY_FLAG, KEY_NONE /* a flag that sets SSA_NONE */, KEY_INT, KEY_FLOAT, KEY_RATIO, KEY_KEYS, KEY_EPOCHS
};

/* What it is a setting of, and printed for. */
enum key_of { OF_STAGE, OF_LAYERS /* of a pattern, over its layers */, OF_SAMPLED /* of any layer */, OF_UNBIASED,
              OF_LOCAL };

static const struct key {
    const char *name;
    enum key_kind kind;
    size_t offset;
    double low, high;
    enum key_of of;
} keys[] = {
#define FIELD(name) offsetof(struct ssa_stage, name)
    {"ratio", KEY_RATIO, FIELD(pattern.ratio), 0, 1, OF_SAMPLED},
    {"keys", KEY_KEYS, FIELD(pattern.ratio), 1, 1 << 20, OF_SAMPLED},
    {"ratio-last", KEY_RATIO, FIELD(pattern.ratio_last), 0, 1, OF_LAYERS},
    {"look-back", KEY_FLAG, FIELD(pattern.look_back), 0, 1, OF_LOCAL},
    {"sigma", KEY_FLOAT, FIELD(pattern.sigma), 0, 1e6, OF_LOCAL},
    {"fixed-windows", KEY_FLAG, FIELD(pattern.fixed_windows), 0, 1, OF_LOCAL},
    {"grid", KEY_FLAG, FIELD(pattern.grid), 0, 1, OF_LOCAL},
    {"permute-queries", KEY_FLAG, FIELD(pattern.permute_queries), 0, 1, OF_LOCAL},
    {"first-dense", KEY_INT, FIELD(pattern.dense_first), 0, 1000, OF_LAYERS},
    {"last-dense", KEY_INT, FIELD(pattern.dense_last), 0, 1000, OF_LAYERS},
    {"keep-first", KEY_INT, FIELD(pattern.keep_first), 0, 64, OF_SAMPLED},
    {"per-example", KEY_FLAG, FIELD(pattern.per_example), 0, 1, OF_SAMPLED},
    {"no-own-key", KEY_NONE, FIELD(pattern.own_key), 0, 1, OF_SAMPLED},
    {"source-dropout", KEY_FLAG, FIELD(pattern.independent), 0, 1, OF_UNBIASED},
    {"steps", KEY_INT, FIELD(steps), 1, INT_MAX, OF_STAGE},
    {"epochs", KEY_EPOCHS, FIELD(steps), 0.001, EPOCHS_MOST, OF_STAGE},
    {"lr", KEY_FLOAT, FIELD(lr), 1e-12, 100, OF_STAGE},
    {"lr-end", KEY_FLOAT, FIELD(lr_end), 0, 100, OF_STAGE},
    {"warm-up", KEY_INT, FIELD(warmup), 0, INT_MAX, OF_STAGE},
    {"dense-every", KEY_INT, FIELD(dense_every), 2, INT_MAX, OF_STAGE},
#undef FIELD
};
enum { KEYS = sizeof keys / sizeof *keys };

static bool same_name(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (word[i] != name[i] && !(word[i] == '_' && name[i] == '-'))
            return false;
    return true;
}

/* "no-look-back"; of what is itself a no, "own-key". */
static bool same_taken_back(const char *word, size_t length, const struct key *key)
{
    if (key->kind == KEY_NONE)
        return same_name(word, length, key->name + 3);
    return key->kind == KEY_FLAG && length > 3 && same_name(word, 3, "no-") && same_name(word + 3, length - 3, key->name);
}

/* NULL: there is none. */
static const struct key *find_key(const char *word, size_t length, bool *taken_back)
{
    for (int k = 0; k < KEYS; k++) {
        *taken_back = same_taken_back(word, length, &keys[k]);
        if (*taken_back || same_name(word, length, keys[k].name))
            return &keys[k];
    }
    return NULL;
}

/* Does attention of this kind (-1: not known yet) read it? */
static bool applies(const struct key *key, int kind)
{
    if (kind < 0)
        return true;
    switch (key->of) {
    case OF_LAYERS:
    case OF_SAMPLED: return kind != SSA_DENSE;
    case OF_UNBIASED: return kind == SSA_UNBIASED;
    case OF_LOCAL: return kind == SSA_LOCAL;
    default: return true;
    }
}

/* ---- parsing ---- */

static int bad(const char *stage, size_t length, const char *what)
{
    say_error("stage '%.*s': %s (see --help)", (int)length, stage, what);
    return EXIT_USAGE;
}

static int set_key(const struct key *key, bool taken_back, const char *value, struct ssa_stage *stage)
{
    void *field = (char *)stage + key->offset;
    double number;
    long whole;
    switch (key->kind) {
    case KEY_FLAG:
    case KEY_NONE:
        *(int *)field = taken_back ? 0 : key->kind == KEY_NONE ? SSA_NONE : 1;
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

/* `single`: of single layers. */
static int parse_key(const char *word, size_t length, bool single, struct ssa_stage *stage, char *why, size_t why_size)
{
    char value[64];
    bool taken_back;
    size_t name = 0;
    while (name < length && word[name] != '=')
        name++;
    snprintf(value, sizeof value, "%.*s", name < length ? (int)(length - name - 1) : 0, word + name + 1);
    const struct key *key = find_key(word, name, &taken_back);
    if (!key || (single && key->of < OF_SAMPLED)) {
        snprintf(why, why_size, "'%.*s' is %s", (int)name, word, key ? "of a whole stage, not of single layers" : single
                 ? "neither a kind of attention nor a setting of a layer's pattern" : "no setting of a stage");
        return -1;
    }
    if (!taken_back && !applies(key, stage->pattern.kind)) {
        snprintf(why, why_size, "%s attention has no '%s'", kind_names[stage->pattern.kind], key->name);
        return -1;
    }
    describe_key(key, why, why_size);
    return set_key(key, taken_back, name < length ? value : NULL, stage);
}

static int parse_keys(const char *text, size_t length, bool single, struct ssa_stage *stage, char *why, size_t why_size)
{
    for (size_t at = 0, end; at <= length; at = end + 1) {
        for (end = at; end < length && text[end] != ',';)
            end++;
        if (parse_key(text + at, end - at, single, stage, why, why_size))
            return -1;
    }
    return 0;
}

static size_t find(const char *text, size_t length, char sign)
{
    const char *found = memchr(text, sign, length);
    return found ? (size_t)(found - text) : length;
}

/* "3", or "last", which is -1. */
static int parse_layer(const char *word, size_t length, int *layer)
{
    char text[16];
    long number = -1;
    snprintf(text, sizeof text, "%.*s", (int)(length < sizeof text ? length : sizeof text - 1), word);
    const int status = strcmp(text, "last") ? parse_int(text, 0, INT_MAX, &number) : 0;
    *layer = (int)number;
    return status;
}

/* What is said of some layers: "1-2:sigma=0.25", behind a slash. */
struct part {
    const char *text;
    size_t length;
    int first, last; /* -1: of the model */
};

/* To the next slash, or the end of the stage's `length`. */
static struct part part_of(const char *text, size_t length)
{
    return (struct part){.text = text, .length = find(text, length, '/')};
}

static int parse_layers(struct part *part)
{
    const size_t length = find(part->text, part->length, ':'), dash = find(part->text, length, '-');
    if (parse_layer(part->text, dash, &part->first))
        return -1;
    part->last = part->first;
    if (dash < length && parse_layer(part->text + dash + 1, length - dash - 1, &part->last))
        return -1;
    return dash < length && (part->first < 0 || (part->last >= 0 && part->last < part->first)) ? -1 : 0;
}

/* What it makes of a layer's pattern. */
static int parse_part(struct part *part, struct ssa_pattern *pattern, char *why, size_t why_size)
{
    struct ssa_stage layer = {.pattern = *pattern};
    size_t at = find(part->text, part->length, ':') + 1;
    snprintf(why, why_size, "begins with no layers: /3:, /1-2: or /last: and then what differs in them");
    if (parse_layers(part) || at >= part->length)
        return -1;
    const size_t kind = find(part->text + at, part->length - at, ':');
    const size_t word = find(part->text + at, kind, ',');
    const int chosen = parse_choice(part->text + at, word, KINDS);
    if (chosen >= 0) {
        layer.pattern.kind = chosen;
        at += word + 1;
    }
    if (at <= part->length && parse_keys(part->text + at, part->length - at, true, &layer, why, why_size))
        return -1;
    *pattern = layer.pattern;
    return 0;
}

/* Only whether they can be read: of how many layers is not known yet, nor what kind earlier parts give to one. */
static int check_parts(const char *text, size_t length, const struct ssa_pattern *stage)
{
    char why[160];
    while (length) {
        struct part part = part_of(text + 1, length - 1);
        struct ssa_pattern layer = *stage;
        layer.kind = -1;
        if (parse_part(&part, &layer, why, sizeof why))
            return bad(text, part.length + 1, why);
        text += part.length + 1;
        length -= part.length + 1;
    }
    return 0;
}

static int parse_stage(const char *text, size_t length, struct stage *stage)
{
    char why[160];
    const size_t own = find(text, length, '/'), kind = find(text, own, ':');
    if ((stage->of.pattern.kind = parse_choice(text, kind, KINDS)) < 0)
        return bad(text, length, "starts with no kind of attention: " KINDS);
    if (kind < own && parse_keys(text + kind + 1, own - kind - 1, false, &stage->of, why, sizeof why))
        return bad(text, length, why);
    if (!stage->of.steps)
        return bad(text, length, "has no steps=N");
    stage->layers = own < length ? text + own : NULL;
    return check_parts(text + own, length - own, &stage->of.pattern);
}

static const char blanks[] = " \t\n;";

int stages_parse(const char *text, const struct ssa_stage *preset, struct stage stages[STAGES_MAX], int *count)
{
    int status = 0;
    for (*count = 0, text += strspn(text, blanks); *text && !status; text += strspn(text, blanks)) {
        size_t length = strcspn(text, blanks);
        if (*count == STAGES_MAX)
            return bad(text, length, "is one too many");
        stages[*count] = (struct stage){.of = *preset};
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

static struct ssa_layer layer_of(const struct stage_terms *terms, int layer)
{
    struct ssa_layer of;
    (void)ssa_model_layer(terms->model, layer, &of); /* the model was checked */
    return of;
}

/* Of what a layer sees; but for what is kept. */
static int settle_keys(struct ssa_pattern *p, const struct ssa_layer *of)
{
    if (p->kind == SSA_LOCAL && of->mixed)
        return say_error("local: what there is to see is of several sizes, in no order; sample it by 'unbiased'");
    if (p->ratio < 0 && of->mixed)
        return say_error("%.0f keys: what there is to see is of several sizes; give a share of it, ratio=R",
                         (double)-p->ratio);
    if (-p->ratio > (float)of->length)
        return say_error("%.0f keys of a sequence that has %d", (double)-p->ratio, of->length);
    if (p->ratio < 0)
        p->ratio = -p->ratio / (float)of->length;
    return 0;
}

static void settle_kept(struct ssa_pattern *p, const struct stage_terms *terms)
{
    if (p->keep_first < 0)
        p->keep_first = p->kind != SSA_DENSE ? terms->keep_first : 0;
}

/* What each layer of a pattern does, as one of its own. */
static int spread(const struct ssa_pattern *p, const struct stage_terms *terms, int count, struct ssa_pattern *layers)
{
    struct ssa_pattern asked = *p;
    settle_kept(&asked, terms);
    asked.kind = p->ratio_last > 0 ? p->kind : SSA_DENSE; /* ratios need not be good where layers have their own */
    for (int l = 0; l < count; l++) {
        struct ssa_sample how;
        if (ssa_model_sample(terms->model, &asked, l, 1, 0, &how))
            return say_error("%s", ssa_last_error());
        layers[l] = *p;
        layers[l].kind = l < p->dense_first || l >= count - p->dense_last ? SSA_DENSE : p->kind;
        layers[l].ratio_last = 0;
        layers[l].dense_first = layers[l].dense_last = 0;
        if (how.kind != SSA_DENSE)
            layers[l].ratio = how.ratio > 0 ? how.ratio : (float)how.keys / (float)how.length;
    }
    return 0;
}

static int apply_part(struct part *part, int count, struct ssa_pattern *layers)
{
    char why[160];
    int status = parse_layers(part); /* which it could be when it was said */
    const int begin = part->first < 0 ? count - 1 : part->first, end = part->last < 0 ? count - 1 : part->last;
    if (end >= count || begin > end)
        return say_error("stage '/%.*s': the model's layers are 0 to %d", (int)part->length, part->text, count - 1);
    for (int l = begin; l <= end && !status; l++)
        if (parse_part(part, &layers[l], why, sizeof why)) /* first-dense may have made it dense */
            status = say_error("stage '/%.*s': layer %d: %s", (int)part->length, part->text, l, why);
    return status;
}

static int settle_layers(const char *said, const struct stage_terms *terms, struct ssa_stage *stage,
                         struct ssa_pattern *layers)
{
    const int count = ssa_model_layers(terms->model);
    size_t length = strcspn(said, blanks);
    int status = spread(&stage->pattern, terms, count, layers);
    while (length && !status) {
        struct part part = part_of(said + 1, length - 1);
        status = apply_part(&part, count, layers);
        said += part.length + 1;
        length -= part.length + 1;
    }
    for (int l = 0; l < count && !status; l++) {
        const struct ssa_layer of = layer_of(terms, l);
        status = settle_keys(&layers[l], &of);
        settle_kept(&layers[l], terms);
    }
    stage->pattern.layers = layers;
    stage->pattern.layer_count = count;
    stage->pattern.ratio_last = 0; /* these are in the layers */
    stage->pattern.dense_first = stage->pattern.dense_last = 0;
    return status;
}

static int settle_stage(const struct stage *said, int number, const struct stage_terms *terms, struct ssa_stage *stage,
                        struct ssa_pattern *layers)
{
    const struct ssa_layer first = layer_of(terms, 0);
    *stage = said->of;
    if (settle_steps(stage, terms->epoch) || settle_keys(&stage->pattern, &first) ||
        (said->layers && settle_layers(said->layers, terms, stage, layers)))
        return EXIT_FAILED;
    settle_kept(&stage->pattern, terms);
    if (stage->warmup < 0)
        stage->warmup = stage->steps / 20;
    if (stage->warmup > stage->steps)
        return say_error("stage %d has %d steps, fewer than the %d of its warm-up: give a shorter --warm-up (of "
                         "--stages warm-up=N)", number, stage->steps, stage->warmup);
    return 0;
}

int stages_settle(const struct stage *said, int count, const struct stage_terms *terms,
                  struct ssa_stage *stages, struct ssa_pattern **layers)
{
    const size_t each = (size_t)ssa_model_layers(terms->model);
    size_t with = 0;
    int status = 0;
    for (int i = 0; i < count; i++)
        with += said[i].layers != NULL;
    *layers = with ? calloc(with * each, sizeof **layers) : NULL;
    if (with && !*layers)
        return say_error("no memory for the patterns of %zu layers", with * each);
    struct ssa_pattern *next = *layers;
    for (int i = 0; i < count && !status; i++) {
        status = settle_stage(&said[i], i + 1, terms, &stages[i], next);
        next += said[i].layers ? each : 0;
    }
    return status;
}

int stages_pattern(const char *text, const struct stage_terms *terms, bool or_dense, struct ssa_pattern *pattern)
{
    const struct ssa_stage preset = {.pattern = {.ratio = 0.25f, .keep_first = -1}, .steps = 1};
    struct stage said[STAGES_MAX];
    struct ssa_stage stage;
    struct ssa_pattern *layers = NULL;
    int count, status = stages_parse(text, &preset, said, &count);
    if (!status && count == 1)
        status = stages_settle(said, 1, terms, &stage, &layers);
    if (!status && (count != 1 || (!pattern_samples(&stage.pattern) && !or_dense)))
        status = say_error("--pattern: '%s' is not one stage of %s", text, or_dense ? KINDS : "sampling");
    if (!status)
        *pattern = stage.pattern;
    else
        free(layers);
    return status;
}

/* ---- patterns ---- */

bool pattern_samples(const struct ssa_pattern *pattern)
{
    bool samples = !pattern->layers && pattern->kind != SSA_DENSE;
    for (int l = 0; pattern->layers && l < pattern->layer_count; l++)
        samples = samples || pattern->layers[l].kind != SSA_DENSE;
    return samples;
}

bool pattern_same(const struct ssa_pattern *a, const struct ssa_pattern *b)
{
    struct ssa_pattern mine = *a, other = *b;
    mine.layers = other.layers = NULL;
    if (!pattern_samples(a) && !pattern_samples(b))
        return true; /* whatever ratio they would have */
    if (memcmp(&mine, &other, sizeof mine) || !a->layers != !b->layers)
        return false;
    return !a->layers || !memcmp(a->layers, b->layers, (size_t)a->layer_count * sizeof *a->layers);
}

/* ---- printing ---- */

/* Printed for this kind of attention? Some have become others. */
static bool is_of(const struct key *key, int kind)
{
    if (key->kind == KEY_KEYS || key->kind == KEY_EPOCHS)
        return false;
    return applies(key, kind);
}

static double value_of(const struct key *key, const struct ssa_stage *stage)
{
    const void *field = (const char *)stage + key->offset;
    if (key->kind == KEY_NONE)
        return *(const int *)field == SSA_NONE;
    return key->kind == KEY_FLAG || key->kind == KEY_INT ? *(const int *)field : (double)*(const float *)field;
}

static void print_key(const struct key *key, double value, FILE *out, const char *comma)
{
    const bool back = value == 0;
    if (key->kind == KEY_NONE)
        fprintf(out, "%s%s", comma, back ? key->name + 3 : key->name);
    else if (key->kind == KEY_FLAG)
        fprintf(out, "%s%s%s", comma, back ? "no-" : "", key->name);
    else if (key->kind == KEY_INT)
        fprintf(out, "%s%s=%d", comma, key->name, (int)value);
    else
        fprintf(out, "%s%s=%g", comma, key->name, value);
}

/* What a layer's pattern differs in from the stage's, "" if in nothing. */
static void format_layer(const struct ssa_pattern *stage, const struct ssa_pattern *layer, char *text, size_t size)
{
    const struct ssa_stage a = {.pattern = *stage}, b = {.pattern = *layer};
    const char *comma = ":";
    FILE *out = fmemopen(text, size, "w");
    *text = 0;
    if (!out)
        return;
    if (layer->kind != stage->kind)
        fprintf(out, ":%s", kind_names[layer->kind]);
    for (int k = 0; k < KEYS; k++) {
        const double was = is_of(&keys[k], stage->kind) ? value_of(&keys[k], &a) : 0, is = value_of(&keys[k], &b);
        if (keys[k].of < OF_SAMPLED || !is_of(&keys[k], layer->kind) || was == is)
            continue;
        print_key(&keys[k], is, out, comma);
        comma = ",";
    }
    fclose(out);
}

/* Those that differ alike in one. */
static void print_layers(const struct ssa_pattern *p, FILE *out)
{
    char text[256], next[256];
    for (int l = 0, end; l < p->layer_count; l = end) {
        format_layer(p, &p->layers[l], text, sizeof text);
        for (end = l + 1; end < p->layer_count; end++) {
            format_layer(p, &p->layers[end], next, sizeof next);
            if (strcmp(next, text))
                break;
        }
        if (*text && end - l > 1)
            fprintf(out, "/%d-%d%s", l, end - 1, text);
        else if (*text)
            fprintf(out, "/%d%s", l, text);
    }
}

void stage_format(const struct ssa_stage *stage, int pattern_only, char *text, size_t size)
{
    const char *comma = ":";
    FILE *out = fmemopen(text, size, "w");
    *text = 0;
    if (!out)
        return;
    fputs(kind_names[stage->pattern.kind], out);
    for (int k = 0; k < KEYS; k++) {
        const double value = value_of(&keys[k], stage);
        if (value == 0 || !is_of(&keys[k], stage->pattern.kind) || (pattern_only && keys[k].of == OF_STAGE))
            continue;
        print_key(&keys[k], value, out, comma);
        comma = ",";
    }
    if (stage->pattern.layers)
        print_layers(&stage->pattern, out);
    const bool cut = fclose(out);
    text[size - 1] = 0;
    if (cut)
        memcpy(text + size - 4, "...", 4);
}
