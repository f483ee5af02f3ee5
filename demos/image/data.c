#include "data.h"

#include "classes.h"
#include "presets.h"
#include "source.h"
#include "weights.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAMILY_NAMES "vit|pixels|swin"
static const int families[] = {SSA_VIT, SSA_PIXELS, SSA_SWIN};
enum { FAMILIES = sizeof families / sizeof *families };
enum { THREADS_MOST = 64, SIDE = 224 /* of pictures whose sizes differ */ };

int data_threads;

static struct dataset set;
static bool is_open;
static struct source sources[DATASET_PARTS];
static struct recipe recipe;
static int family, augmentation, size; /* family: of `families` */
static struct {
    int family, augmentation;          /* -1: not said */
    int channels, classes;             /* 0: not said */
} looked = {.family = -1, .augmentation = -1};

static const struct unit of_images = {.key = "loss", .name = "nats per image", .brief = "nats/image", .item = "image",
                                      .nats = 1};
static const struct unit of_dimensions = {.key = "bits", .name = "bits per dimension", .brief = "bits/dim",
                                          .item = "dimension", .datum = "image", .nats = 0.69314718055994531};
const struct unit *const data_units[] = {&of_images, &of_dimensions, NULL};

const struct dataset *data_set(void)
{
    return &set;
}

/* ---- a first look at the command line ---- */

static int look_for_word(int argc, char **argv, const char *option, size_t least, const char *words)
{
    const char *word = args_look(argc, argv, option, least);
    return word ? parse_choice(word, strlen(word), words) : -1;
}

/* Whether it is right is said where it is read. */
static int look_for_number(int argc, char **argv, const char *option, size_t least)
{
    const char *word = args_look(argc, argv, option, least);
    long number = 0;
    return word && !parse_int(word, 0, INT_MAX, &number) ? (int)number : 0;
}

void data_look(int argc, char **argv)
{
    looked.channels = look_for_number(argc, argv, "--channels", strlen("--cha"));
    looked.classes = look_for_number(argc, argv, "--classes", strlen("--cl"));
    looked.family = look_for_word(argc, argv, "--family", strlen("--fa"), FAMILY_NAMES);
    looked.augmentation = look_for_word(argc, argv, "--augment", strlen("--au"), AUGMENTATION_NAMES);
    family = looked.family;
    for (int f = 0; f < FAMILIES && family < 0; f++) { /* each family has presets of its own */
        const char *name = args_look(argc, argv, "--preset", strlen("--pre"));
        if (name && preset_is_of(name, families[f]))
            family = f;
    }
    family = family < 0 ? 0 : family;
}

/* ---- options ---- */

const struct arg *data_train_options(void)
{
    static struct arg table[2 * RECIPE_OPTIONS], more[RECIPE_OPTIONS];
    const struct arg first[] = {
        ARG_CHOICE(0, "family", &family, FAMILY_NAMES,
                   "vit, and swin with attention in windows: tell classes; pixels: makes pictures, pixel by pixel. It "
                   "is that of --preset, too. Each has a model of its own settings: --family swin --help"),
        ARG_INT(0, "size", &size, 0, 4096, "N",
                "rows and columns that the model sees, to which pictures are resized; 0: as they are, or where they "
                "differ 224"),
        ARG_END};
    const struct arg threads[] = {ARG_INT(0, "threads", &data_threads, 0, THREADS_MOST, "N", DATA_THREADS_HELP),
                                  ARG_END};
    int count = args_append(table, 0, 2 * RECIPE_OPTIONS - 1, first);
    recipe_data_options(&recipe, more);
    count = args_append(table, count, 2 * RECIPE_OPTIONS - 1, more);
    count = args_append(table, count, 2 * RECIPE_OPTIONS - 1, threads);
    recipe_augment_options(&recipe, &augmentation, more);
    args_append(table, count, 2 * RECIPE_OPTIONS - 1, more);
    return table;
}

static void choose_augmentation(struct train_options *o, int which)
{
    augmentation = which;
    recipe.augment = recipe_augment((enum augmentation)which);
    if (recipe.augment.smoothing > 0)
        o->training.smoothing = (float)recipe.augment.smoothing;
    recipe.augment.smoothing = 0; /* the library's, of soft targets too */
}

static int default_threads(void)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 2 ? 1 : cores > 32 ? 16 : (int)(cores / 2);
}

void data_defaults(struct train_options *o)
{
    static const struct ssa_model_config models[] = {
        {.family = SSA_VIT, .vit = {.patch = 4, .layers = 4, .heads = 6, .width = 96}},
        {.family = SSA_PIXELS, .pixels = {.layers = 6, .heads = 4, .width = 128, .values = 256}},
        {.family = SSA_SWIN, .swin = {.patch = 2, .layers = {2, 2}, .heads = {2}, .width = 32}}};
    const bool tokens = families[family] == SSA_PIXELS;
    o->model = models[family];
    o->training.beta2 = 0.999f;
    o->training.decay = 0.05f;
    o->micro_batch = tokens ? 4 : 50;
    o->eval_windows = tokens ? 32 : 1000;
    data_threads = default_threads();
    size = 0;
    recipe = (struct recipe){.train = -1, .valid = -1, .test = -1, .split_seed = -1};
    choose_augmentation(o, looked.augmentation > 0 ? looked.augmentation : AUGMENTATION_NONE);
}

void data_adapt(struct train_options *o, const struct preset *preset)
{
    const char *word = preset->augmentation ? preset->augmentation : "none";
    if (looked.augmentation < 0)
        choose_augmentation(o, parse_choice(word, strlen(word), AUGMENTATION_NAMES));
}

/* ---- the model ---- */

struct shape {
    int *rows, *columns, *channels, *classes;
};

static struct shape shape_of(struct ssa_model_config *m)
{
    switch (m->family) {
    case SSA_SWIN:
        return (struct shape){&m->swin.rows, &m->swin.columns, &m->swin.channels, &m->swin.classes};
    case SSA_PIXELS:
        return (struct shape){&m->pixels.rows, &m->pixels.columns, &m->pixels.channels, &m->pixels.classes};
    default:
        return (struct shape){&m->vit.rows, &m->vit.columns, &m->vit.channels, &m->vit.classes};
    }
}

/* What is said of pictures that are there must be so; a preset's may be others. */
static int check_said(const struct settings *s)
{
    const char *path = s->o->data.items[0];
    if (looked.channels && looked.channels != set.channels)
        return say_error("--channels is %d, and the pictures of %s have %d: leave it out", looked.channels, path,
                         set.channels);
    if (looked.classes && looked.classes != set.classes)
        return say_error("--classes is %d, and the pictures of %s have %d: leave it out%s", looked.classes, path,
                         set.classes, s->model.family == SSA_PIXELS ? ", or give that" : "");
    return 0;
}

/* Of a new one: as said, else as the data are. */
static int settle_model(struct settings *s)
{
    const struct shape shape = shape_of(&s->model);
    const bool tokens = s->model.family == SSA_PIXELS;
    if (size)
        *shape.rows = *shape.columns = size;
    if (!*shape.rows && is_open) {
        *shape.rows = set.rows ? set.rows : SIDE;
        *shape.columns = set.columns ? set.columns : SIDE;
    }
    *shape.columns = *shape.columns ? *shape.columns : *shape.rows;
    if (is_open)
        *shape.channels = set.channels;
    if (is_open && (!tokens || *shape.classes))
        *shape.classes = set.classes;
    if (!*shape.rows || !*shape.channels || (!tokens && !*shape.classes && !is_open))
        return say_error("without --data nobody knows what the pictures are: give --size N, --channels N%s",
                         tokens ? "" : " and --classes N");
    return 0;
}

/* Weights of timm's may be of other classes. */
static int settle_head(struct settings *s)
{
    if (!s->o->from || !set.classes || set.classes == model_int(&s->model, "classes"))
        return 0;
    if (weights_new_head(&s->source, s->program, s->source_name, set.classes, s->training.seed))
        return EXIT_FAILED;
    s->model = *ssa_checkpoint_model(s->source);
    return 0;
}

/* Of a checkpoint: the data must be such. */
static int check_model(const struct settings *s)
{
    struct ssa_model_config model = s->model;
    const struct shape shape = shape_of(&model);
    if (set.channels != *shape.channels)
        return say_error("%s: reads pictures of %d channel%s, and the data have %d", s->source_name, *shape.channels,
                         *shape.channels > 1 ? "s" : "", set.channels);
    if (*shape.classes && set.classes > *shape.classes)
        return say_error("%s: knows %d classes, and the data have %d", s->source_name, *shape.classes, set.classes);
    return 0;
}

static int check_kind(const struct settings *s)
{
    const bool tokens = s->model.family == SSA_PIXELS;
    const struct augment *a = &recipe.augment;
    if (looked.family >= 0 && s->model.family != families[looked.family])
        return say_error("--family %s: %s is of family %s", ssa_model_family(families[looked.family]),
                         s->source_name ? s->source_name : "the preset", ssa_model_family(s->model.family));
    if (tokens && (a->erase > 0 || a->mix > 0))
        return say_error("pixels are learned as they are: --erase and --mix are for classifiers");
    if (tokens && s->model.pixels.values != 256 && s->model.pixels.values)
        return say_error("%s: reads %d values a pixel, and pictures have 256", s->source_name, s->model.pixels.values);
    return 0;
}

static int check_parts(const struct settings *s)
{
    static const char *const names[] = {"training", "validation", "the test"};
    struct ssa_model_config model = s->model;
    const char *path = s->o->data.items[0];
    if (!set.classes && s->model.family != SSA_PIXELS)
        return say_error("%s: its pictures have no classes: put those of each into a folder of its own, or learn to "
                         "make such with --family pixels", path);
    if (!set.classes && *shape_of(&model).classes)
        return say_error("%s: its pictures have no classes, which the model is of", path);
    for (int p = 0; p < DATASET_PARTS; p++)
        if (!set.part[p].count)
            return say_error("%s: has no pictures for %s; give more, or fewer for the others", path, names[p]);
    return 0;
}

/* ---- opening ---- */

static void take_note(const struct settings *s, bool *scaled)
{
    const bool goes_on = s->source && !s->o->from;
    *scaled = false;
    if (goes_on)
        *scaled = recipe_take(&recipe, s->source, s->o->resume != NULL);
    else if (s->source)
        *scaled = recipe_take_scale(&recipe, s->source);
}

/* Of a run, which may be one that goes on; an evaluation has none. */
static const struct ssa_train_config *training_of(const struct settings *s)
{
    return s->o->resume ? ssa_checkpoint_training(s->source) : &s->training;
}

static void make_sources(struct settings *s)
{
    const struct ssa_train_config *training = training_of(s);
    const struct shape shape = shape_of(&s->model);
    struct augment a = recipe.augment;
    a.seed = training ? training->seed : 0;
    a.rows = *shape.rows;
    a.columns = *shape.columns ? *shape.columns : *shape.rows;
    a.channels = set.channels;
    a.pad = a.crop == CROP_PAD && !a.pad ? (a.rows + 7) / 8 : a.pad;
    for (int p = 0; p < DATASET_PARTS; p++) {
        sources[p] = (struct source){.data = &set, .part = (enum dataset_part)p, .augment = a,
                                     .batch = training ? training->batch : 0, .micro_batch = s->micro_batch,
                                     .threads = data_threads, .tokens = s->model.family == SSA_PIXELS,
                                     .classes = *shape.classes};
        s->data.part[p] = (struct ssa_data){.fill = source_fill, .cookie = &sources[p], .examples = set.part[p].count,
                                            .identity = set.fingerprint ^ recipe_hash(&recipe)};
    }
    s->data.part[PART_TRAIN].soft = sources[0].batch && a.mix > 0 && (a.mixup > 0 || a.cutmix > 0);
}

/* Classes of the data may be fewer than the model's, whose soft targets have all of them. */
static int check_soft(const struct settings *s)
{
    const int classes = model_int(&s->model, "classes");
    return s->data.part[PART_TRAIN].soft && set.classes != classes
        ? say_error("%s: knows %d classes, and the data have %d: that cannot be mixed; give --mix 0", s->source_name,
                    classes, set.classes)
        : 0;
}

static int open_set(struct settings *s)
{
    char why[WHY];
    bool scaled, seed_said = recipe.split_seed >= 0;
    take_note(s, &scaled);
    const struct dataset_options parts = recipe_parts(&recipe);
    if (dataset_open(&set, s->o->data.items, s->o->data.count, &parts))
        return EXIT_FAILED;
    is_open = true;
    if (seed_said && !set.drawn)
        return say_error("--split-seed %d: these pictures come in parts, of which nothing is drawn; leave it out",
                         recipe.split_seed);
    if (check_parts(s) || (s->source ? settle_head(s) || check_model(s) : check_said(s) || settle_model(s)) ||
        (!scaled && recipe_measure(&recipe, &set)))
        return EXIT_FAILED;
    make_sources(s);
    s->data.fingerprint = set.fingerprint;
    return augment_check(&sources[0].augment, why) ? say_error("augmentation: %s", why) : check_soft(s);
}

int data_open(struct settings *s)
{
    const bool tokens = s->model.family == SSA_PIXELS;
    s->data = (struct run_data){.unit = tokens ? &of_dimensions : &of_images, .judge = tokens ? NULL : &classes_judge};
    if (check_kind(s))
        return EXIT_FAILED;
    if (s->o->data.count)
        return open_set(s);
    return s->source ? 0 : settle_model(s);
}

/* In evaluations. */
static void tell_left_out(const struct source *s)
{
    const struct loader_counters c = s->in_order ? loader_counters(s->in_order) : (struct loader_counters){0};
    if (c.unreadable)
        say_note("%zu picture%s could not be read, and %s left out; the first: %s", c.unreadable,
                 c.unreadable == 1 ? "" : "s", c.unreadable == 1 ? "was" : "were", c.first_unreadable);
}

void data_close(struct settings *s)
{
    (void)s;
    for (int p = 0; p < DATASET_PARTS; p++) {
        tell_left_out(&sources[p]);
        source_close(&sources[p]);
    }
    if (is_open)
        dataset_free(&set);
    is_open = false;
    classes_finish();
}

/* ---- telling ---- */

void data_describe(const struct settings *s, json_t *start)
{
    (void)s;
    json_object_set_new(start, "data", json_pack("{s:s, s:i, s:I, s:I, s:I}", "kind", set.kind, "classes", set.classes,
                                                 "train", (json_int_t)set.part[DATASET_TRAIN].count, "valid",
                                                 (json_int_t)set.part[DATASET_VALID].count, "test",
                                                 (json_int_t)set.part[DATASET_TEST].count));
    json_object_set_new(start, "recipe", recipe_json(&recipe));
}

void data_note(const struct settings *s, json_t *note)
{
    (void)s;
    json_object_set_new(note, "recipe", recipe_json(&recipe));
}

void data_describe_model(const struct ssa_model_config *model, char *words, size_t room)
{
    struct ssa_model_config m = *model;
    const struct shape shape = shape_of(&m);
    char pixels[64];
    ssa_model_settle(&m);
    snprintf(pixels, sizeof pixels, "length %d, %d x %d x %d pixels", ssa_model_length(model), *shape.rows,
             *shape.columns ? *shape.columns : *shape.rows, *shape.channels);
    if (m.family == SSA_VIT)
        snprintf(words, room, "%s in patches of %d, %d classes", pixels, m.vit.patch, m.vit.classes);
    else if (m.family == SSA_SWIN)
        snprintf(words, room, "MLP %g times as wide, %s in patches of %d, windows of %d, %d classes",
                 (double)m.swin.hidden_ratio, pixels, m.swin.patch, m.swin.window, m.swin.classes);
    else
        snprintf(words, room, "%s", pixels);
}

/* What training waited for pictures, of all its time. The next steps' are prepared meanwhile, so that this is 0 where
 * they are ready sooner than they are wanted. */
void data_account(const struct settings *s, json_t *record, double seconds, bool ends)
{
    struct loader *loader = sources[DATASET_TRAIN].training;
    (void)s;
    if (!loader)
        return;
    const struct loader_counters c = loader_counters(loader);
    const double share = seconds > 0 ? fmin(c.waited / seconds, 1) : 0;
    json_object_set_new(record, "waited_for_images", json_real(share));
    if (!ends)
        return;
    say_note("pictures: waited for %.1f%% of the time, %d thread%s prepared them", 100 * share, data_threads,
             data_threads == 1 ? "" : "s");
    json_object_set_new(record, "unreadable_images", json_integer((json_int_t)c.unreadable));
    if (c.unreadable)
        say_note("%zu of them could not be read, and others took their place; the first: %s", c.unreadable,
                 c.first_unreadable);
}

/* ---- passes ---- */

/* Memory for the inputs of `count` sequences, and the batch that lies in it. */
static void *make_batch(const struct settings *s, int count, struct ssa_batch *batch)
{
    struct ssa_model_config model = s->model;
    const struct shape shape = shape_of(&model);
    const size_t each = (size_t)*shape.rows * (size_t)*shape.columns * (size_t)*shape.channels, n = (size_t)count;
    const bool tokens = model.family == SSA_PIXELS;
    float *pixels = malloc(n * (2 * each + 2) * sizeof *pixels);
    int32_t *first = (int32_t *)pixels;
    *batch = tokens ? (struct ssa_batch){.tokens = first, .targets = first + n * each,
                                         .labels = *shape.classes ? first + 2 * n * each : NULL}
                    : (struct ssa_batch){.pixels = pixels, .targets = first + n * each};
    return pixels;
}

/* The first pictures to train on. */
int data_fill(const struct settings *s, struct ssa_pass *pass, void **memory)
{
    struct ssa_batch batch;
    *memory = make_batch(s, pass->batch, &batch);
    if (!*memory)
        return SSA_ENOMEM;
    pass->tokens = batch.tokens;
    pass->targets = batch.targets;
    pass->labels = batch.labels;
    pass->pixels = batch.pixels;
    return source_fill(&sources[DATASET_TRAIN], &(struct ssa_draw){.count = pass->batch, .length = pass->length},
                       &batch);
}

/* Noise. */
static int fill_noise(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const struct settings *s = cookie;
    struct ssa_model_config model = s->model;
    const struct shape shape = shape_of(&model);
    const size_t each = (size_t)*shape.rows * (size_t)*shape.columns * (size_t)*shape.channels;
    uint32_t x = (uint32_t)(draw->step * 2654435761u + draw->first) | 1;
    for (size_t i = 0; i < (size_t)draw->count * each; i++) {
        x = x * 1664525u + 1013904223u;
        if (batch->tokens)
            batch->tokens[i] = batch->targets[i] = (int32_t)(x >> 24);
        else
            batch->pixels[i] = (float)(int32_t)x / 1.2e9f;
    }
    for (int i = 0; i < draw->count; i++) {
        if (batch->labels)
            batch->labels[i] = i % *shape.classes;
        if (batch->pixels)
            batch->targets[i] = i % *shape.classes;
    }
    return SSA_OK;
}

struct ssa_data data_invent(const struct settings *s)
{
    return (struct ssa_data){.fill = fill_noise, .cookie = (void *)(uintptr_t)s, .examples = 1};
}
