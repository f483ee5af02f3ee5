/* What test_images.py asks of demos/image: probe COMMAND ARGUMENTS. Numbers come out as JSON, bytes as digits of 16. */
#include "augment.h"
#include "dataset.h"
#include "loader.h"
#include "places.h"
#include "say.h"
#include "words.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef HAVE_JPEG
#include <jpeglib.h>
#endif

static int integer(const char *word)
{
    return (int)strtol(word, NULL, 10);
}

static json_t *hex(const unsigned char *bytes, size_t size)
{
    char *text = malloc(2 * size + 1);
    for (size_t i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    json_t *value = json_stringn(text, 2 * size);
    free(text);
    return value;
}

static int print(json_t *value)
{
    json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    json_decref(value);
    return 0;
}

/* The picture that the test makes too. */
static unsigned char *pattern(size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * i * 7 + i * 31 + (i >> 3) * 13);
    return bytes;
}

static json_t *picture_json(const struct picture *p)
{
    size_t size = (size_t)p->rows * (size_t)p->columns * (size_t)p->channels;
    return json_pack("{s:[i,i,i],s:o}", "shape", p->rows, p->columns, p->channels, "pixels", hex(p->pixels, size));
}

/* ---- data sets ---- */

static json_t *all_pictures(const struct dataset *d)
{
    struct dataset_reader r = {0};
    json_t *list = json_array();
    char why[WHY], name[WHY];
    for (size_t i = 0; i < d->count; i++)
        json_array_append_new(list, dataset_picture(d, &r, (uint32_t)i, why)
            ? json_pack("{s:s,s:o}", "why", why, "name", json_text(dataset_name(d, (uint32_t)i, name)))
            : picture_json(&r.picture));
    dataset_reader_free(&r);
    return list;
}

static json_t *labels_of(const struct dataset *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->count; i++)
        json_array_append_new(list, json_integer(d->labels[i]));
    return list;
}

static json_t *part_of(const struct dataset *d, enum dataset_part part)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->part[part].count; i++)
        json_array_append_new(list, json_integer(d->part[part].images[i]));
    return list;
}

/* dataset SEED TRAIN VALID TEST FLAGS PATH...; flags: c coarse labels, l validation is the last, s no pixels, - none */
static int dataset(int argc, char **argv)
{
    struct dataset d;
    struct dataset_options o = {.seed = strtoull(argv[0], NULL, 10), .train = (size_t)integer(argv[1]),
                                .valid = (size_t)integer(argv[2]), .test = (size_t)integer(argv[3]),
                                .coarse_labels = strchr(argv[4], 'c'), .valid_last = strchr(argv[4], 'l')};
    if (dataset_open(&d, (const char *const *)argv + 5, argc - 5, &o))
        return EXIT_FAILED;
    json_t *names = json_array(), *o_ = json_pack("{s:s,s:[i,i,i],s:i,s:I}", "kind", d.kind, "shape", d.rows, d.columns,
                                                 d.channels, "classes", d.classes, "skipped", (json_int_t)d.skipped);
    for (int i = 0; i < d.classes; i++)
        json_array_append_new(names, json_text(d.class_names[i]));
    json_object_set_new(o_, "names", names);
    json_object_set_new(o_, "labels", labels_of(&d));
    json_object_set_new(o_, "fingerprint", json_integer((json_int_t)(d.fingerprint >> 1)));
    json_object_set_new(o_, "parts", json_pack("[o,o,o]", part_of(&d, DATASET_TRAIN), part_of(&d, DATASET_VALID),
                                              part_of(&d, DATASET_TEST)));
    json_object_set_new(o_, "pictures", strchr(argv[4], 's') ? json_null() : all_pictures(&d));
    dataset_free(&d);
    return print(o_);
}

/* jpeg FILE ROWS COLUMNS grey|colour|cmyk|adobe|progressive: by libjpeg, of smooth colours */
static int jpeg(int argc, char **argv)
{
    (void)argc;
#ifdef HAVE_JPEG
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    int rows = integer(argv[1]), columns = integer(argv[2]);
    bool inks = !strcmp(argv[3], "cmyk") || !strcmp(argv[3], "adobe"), grey = !strcmp(argv[3], "grey");
    FILE *file = fopen(argv[0], "wb");
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_stdio_dest(&j, file);
    j.image_width = (JDIMENSION)columns;
    j.image_height = (JDIMENSION)rows;
    j.input_components = grey ? 1 : inks ? 4 : 3;
    j.in_color_space = grey ? JCS_GRAYSCALE : inks ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 95, TRUE);
    if (!strcmp(argv[3], "progressive"))
        jpeg_simple_progression(&j);
    j.write_Adobe_marker = !strcmp(argv[3], "adobe");
    jpeg_start_compress(&j, TRUE);
    unsigned char *row = malloc((size_t)columns * 4);
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < columns * j.input_components; i++)
            row[i] = (unsigned char)(40 + 50 * (i % j.input_components) + 3 * r + i / j.input_components);
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    free(row);
    return fclose(file) ? EXIT_FAILED : 0;
#else
    (void)argv;
    return 77;
#endif
}

/* kinds: what this build reads */
static int kinds(int argc, char **argv)
{
    (void)argc, (void)argv;
#ifdef HAVE_ZLIB
    bool zlib = true;
#else
    bool zlib = false;
#endif
    return print(json_pack("{s:b,s:b,s:b}", "jpeg", picture_kind_is_read(PICTURE_JPEG), "png",
                           picture_kind_is_read(PICTURE_PNG), "zlib", zlib));
}

/* ---- augmentation ---- */

/* resample ROWS COLUMNS CHANNELS  BOX(4)  ROWS COLUMNS  PART(4) */
static int resample_pattern(int argc, char **argv)
{
    int n[13];
    for (int i = 0; i < 13 && i < argc; i++)
        n[i] = integer(argv[i]);
    unsigned char *from = pattern((size_t)n[0] * (size_t)n[1] * (size_t)n[2]);
    unsigned char *to = malloc((size_t)n[11] * (size_t)n[12] * (size_t)n[2]);
    struct picture p = {.rows = n[0], .columns = n[1], .channels = n[2], .pixels = from};
    struct resampler r = {0};
    struct box box = {n[3], n[4], n[5], n[6]}, part = {n[9], n[10], n[11], n[12]};
    int status = resample(&r, &p, box, n[7], n[8], part, to);
    json_t *value = hex(to, (size_t)n[11] * (size_t)n[12] * (size_t)n[2]);
    resampler_free(&r);
    free(from);
    free(to);
    return status ? EXIT_FAILED : print(value);
}

/* operation NUMBER LEVEL SIGN ROWS COLUMNS CHANNELS */
static int operation(int argc, char **argv)
{
    (void)argc;
    int rows = integer(argv[3]), columns = integer(argv[4]), channels = integer(argv[5]);
    size_t size = (size_t)rows * (size_t)columns * (size_t)channels;
    unsigned char *pixels = pattern(size), *aside = malloc(size);
    operation_apply((enum operation)integer(argv[0]), strtod(argv[1], NULL), integer(argv[2]), pixels, aside, rows,
                    columns, channels);
    json_t *value = hex(pixels, size);
    free(pixels);
    free(aside);
    return print(value);
}

/* The recipe of the test: all of it but what the flags leave out. */
static struct augment recipe(const char *flags, int rows, int columns, int channels, uint64_t seed)
{
    struct augment a = augment_imagenet(rows, columns, seed);
    a.channels = channels;
    a.crop = strchr(flags, 'p') ? CROP_PAD : strchr(flags, 'm') ? CROP_MIDDLE : CROP_AREA;
    a.pad = 4;
    a.resize = strchr(flags, 'r') ? rows + 3 : 0;
    a.flip = strchr(flags, 'f') ? a.flip : 0;
    a.operations = strchr(flags, 'o') ? 2 : 0;
    a.erase = strchr(flags, 'e') ? 0.9 : 0;
    return a;
}

/* augment FLAGS SEED EPOCH IMAGE  ROWS COLUMNS CHANNELS  ROWS COLUMNS */
static int augment(int argc, char **argv)
{
    int n[5];
    for (int i = 0; i < 5 && i + 4 < argc; i++)
        n[i] = integer(argv[4 + i]);
    struct augment a = recipe(argv[0], n[3], n[4], n[2], strtoull(argv[1], NULL, 10));
    size_t size = (size_t)n[3] * (size_t)n[4] * (size_t)n[2];
    unsigned char *from = pattern((size_t)n[0] * (size_t)n[1] * (size_t)n[2]), *to = malloc(size);
    struct picture p = {.rows = n[0], .columns = n[1], .channels = n[2], .pixels = from};
    struct augment_room room = {0};
    uint32_t epoch = (uint32_t)integer(argv[2]), image = (uint32_t)integer(argv[3]);
    float *values = malloc(size * sizeof *values);
    int status = augment_picture(&a, &room, &p, epoch, image, to);
    augment_values(&a, epoch, image, to, values);
    json_t *list = json_array();
    for (size_t i = 0; i < size; i++)
        json_array_append_new(list, json_real(values[i]));
    json_t *value = json_pack("{s:o,s:o}", "bytes", hex(to, size), "values", list);
    augment_room_free(&room);
    free(from);
    free(to);
    free(values);
    return status ? EXIT_FAILED : print(value);
}

static json_t *mix_json(const struct mix *m)
{
    return json_pack("{s:i,s:f,s:[i,i,i,i]}", "kind", m->kind, "share", m->share, "box", m->box.row, m->box.column,
                     m->box.rows, m->box.columns);
}

/* mix SEED STEPS MIXUP CUTMIX */
static int mix(int argc, char **argv)
{
    (void)argc;
    struct augment a = augment_imagenet(16, 24, strtoull(argv[0], NULL, 10));
    a.mixup = strtod(argv[2], NULL);
    a.cutmix = strtod(argv[3], NULL);
    json_t *list = json_array();
    for (int step = 0; step < integer(argv[1]); step++) {
        struct mix m = augment_mix(&a, step);
        json_array_append_new(list, mix_json(&m));
    }
    return print(list);
}

/* cutmix SIDE SHARE ROW COLUMN */
static int cutmix(int argc, char **argv)
{
    (void)argc;
    struct augment a = augment_imagenet(integer(argv[0]), integer(argv[0]), 0);
    struct mix m = augment_cutmix(&a, strtod(argv[1], NULL), integer(argv[2]), integer(argv[3]));
    return print(mix_json(&m));
}

/* targets KIND SHARE LABEL OTHER CLASSES SMOOTHING */
static int targets(int argc, char **argv)
{
    (void)argc;
    struct augment a = {.smoothing = strtod(argv[5], NULL)};
    struct mix m = {.kind = integer(argv[0]), .share = strtod(argv[1], NULL)};
    int classes = integer(argv[4]);
    float *soft = malloc((size_t)classes * sizeof *soft);
    augment_targets(&a, &m, integer(argv[2]), integer(argv[3]), classes, soft);
    json_t *list = json_array();
    for (int i = 0; i < classes; i++)
        json_array_append_new(list, json_real(soft[i]));
    free(soft);
    return print(list);
}

/* draws SEED PLACE EPOCH IMAGE COUNT */
static int draws(int argc, char **argv)
{
    (void)argc;
    struct draws d = draws_begin(strtoull(argv[0], NULL, 10), (uint32_t)integer(argv[1]), (uint32_t)integer(argv[2]),
                                 (uint32_t)integer(argv[3]));
    json_t *list = json_array();
    for (int i = 0; i < integer(argv[4]); i++)
        json_array_append_new(list, json_integer(draw_word(&d)));
    return print(list);
}

/* ---- loading ---- */

static json_t *filled(struct loader *l, const struct loader_options *o, const char *what)
{
    long long step = 0;
    int first = 0, count = 0, classes = o->data->classes;
    if (sscanf(what, "%lld,%d,%d", &step, &first, &count) != 3)
        return NULL;
    size_t size = (size_t)o->augment.rows * (size_t)o->augment.columns * (size_t)o->augment.channels;
    size_t many = count > 0 ? (size_t)count : 1;
    float *pixels = malloc(many * size * sizeof *pixels), *soft = malloc(many * (size_t)(classes + 1) * sizeof *soft);
    int32_t *labels = malloc(many * sizeof *labels), *again = malloc(many * sizeof *again);
    unsigned char *bytes = malloc(many * size);
    json_t *value = json_null(), *list = json_array();
    if (!loader_fill(l, step, first, count, pixels, labels, classes ? soft : NULL)) {
        for (size_t i = 0; i < many; i++)
            json_array_append_new(list, json_integer(labels[i]));
        value = json_pack("{s:o,s:O,s:o}", "pixels", hex((unsigned char *)pixels, many * size * sizeof *pixels),
                          "labels", list, "soft", hex((unsigned char *)soft, many * (size_t)classes * sizeof *soft));
        if (!loader_fill_bytes(l, step, first, count, bytes, again) && !memcmp(again, labels, many * sizeof *labels))
            json_object_set_new(value, "bytes", hex(bytes, many * size));
    }
    json_decref(list);
    free(pixels);
    free(labels);
    free(again);
    free(bytes);
    free(soft);
    return value;
}

/* loader FLAGS SEED THREADS AHEAD BATCH FIRST COUNT PART ROWS COLUMNS PATH  STEP,FIRST,COUNT...; flags as of augment,
 * and i in order, x mixing */
static int load(int argc, char **argv)
{
    struct dataset d;
    const char *flags = argv[0];
    uint64_t seed = strtoull(argv[1], NULL, 10);
    if (dataset_open(&d, (const char *const *)argv + 10, 1, &(struct dataset_options){.seed = seed}))
        return EXIT_FAILED;
    struct loader_options o = {.data = &d, .part = (enum dataset_part)integer(argv[7]), .batch = integer(argv[4]),
                               .in_order = strchr(flags, 'i'), .threads = integer(argv[2]), .ahead = integer(argv[3]),
                               .first = integer(argv[5]), .count = integer(argv[6]), .steps = 1000};
    o.augment = recipe(flags, integer(argv[8]), integer(argv[9]), d.channels, seed);
    o.augment.mix = strchr(flags, 'x') ? 1 : 0;
    struct loader *l;
    int status = loader_create(&l, &o);
    json_t *fills = json_array();
    for (int i = 11; i < argc && !status; i++)
        json_array_append_new(fills, filled(l, &o, argv[i]));
    struct loader_counters c = status ? (struct loader_counters){0} : loader_counters(l);
    status = status || print(json_pack("{s:o,s:I,s:I,s:I,s:o,s:b}", "fills", fills, "examples", (json_int_t)c.examples,
                                       "helped", (json_int_t)c.helped, "unreadable", (json_int_t)c.unreadable, "first",
                                       json_text(c.first_unreadable), "timed",
                                       c.waited >= 0 && c.finished >= 0 && c.prepared > 0));
    loader_destroy(l);
    dataset_free(&d);
    return status;
}

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct cost {
    struct augment augment;
    struct dataset_reader reader;
    struct augment_room room;
    unsigned char *bytes;
    float *values, *other;
    double read, augmented, finished; /* seconds, of all pictures so far */
};

static int add_cost(struct cost *c, const struct dataset *d, int number)
{
    const uint32_t image = d->part[DATASET_TRAIN].images[(size_t)number % d->part[DATASET_TRAIN].count];
    const struct mix mix = augment_mix(&c->augment, number);
    char why[WHY];
    double times[4] = {thread_seconds()};
    int status = dataset_picture(d, &c->reader, image, why);
    times[1] = thread_seconds();
    status = status || augment_picture(&c->augment, &c->room, &c->reader.picture, (uint32_t)number, image, c->bytes);
    times[2] = thread_seconds();
    augment_values(&c->augment, (uint32_t)number, image, c->bytes, c->values);
    if (mix.kind) {
        augment_values(&c->augment, (uint32_t)number, image, c->bytes, c->other);
        augment_mix_values(&c->augment, &mix, c->values, c->other);
    }
    times[3] = thread_seconds();
    c->read += times[1] - times[0];
    c->augmented += times[2] - times[1];
    c->finished += times[3] - times[2];
    return status;
}

/* cost COUNT ROWS COLUMNS swin|light|none PATH: what a picture takes of one processor, in seconds: to be read and
 * decoded, cut and augmented, made values of a batch, mixed. */
static int cost(int argc, char **argv)
{
    const int count = integer(argv[0]), light = !strcmp(argv[3], "light"), swin = !strcmp(argv[3], "swin");
    struct cost c = {.augment = augment_imagenet(integer(argv[1]), integer(argv[2]), 1)};
    struct augment *a = &c.augment;
    struct dataset d;
    (void)argc;
    if (dataset_open(&d, (const char *const *)argv + 4, 1, &(struct dataset_options){.seed = 1}))
        return EXIT_FAILED;
    a->channels = d.channels;
    if (!swin) {
        a->crop = light ? CROP_PAD : CROP_MIDDLE;
        a->pad = a->rows / 8;
        a->flip = light ? 0.5 : 0;
        a->operations = 0;
        a->erase = a->mix = 0;
    }
    const size_t size = (size_t)a->rows * (size_t)a->columns * (size_t)a->channels;
    c.bytes = malloc(size);
    c.values = malloc(size * sizeof *c.values);
    c.other = malloc(size * sizeof *c.other);
    int status = 0;
    for (int i = 0; i < count && !status; i++)
        status = add_cost(&c, &d, i);
    augment_room_free(&c.room);
    dataset_reader_free(&c.reader);
    dataset_free(&d);
    free(c.bytes);
    free(c.values);
    free(c.other);
    return status ? EXIT_FAILED : print(json_pack("{s:f,s:f,s:f}", "read", c.read / count, "augment",
                                                  c.augmented / count, "values", c.finished / count));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int least;
        int (*run)(int, char **);
    } commands[] = {{"dataset", 5, dataset}, {"jpeg", 4, jpeg}, {"kinds", 0, kinds}, {"resample", 13, resample_pattern},
                    {"operation", 6, operation}, {"augment", 9, augment}, {"mix", 4, mix}, {"cutmix", 4, cutmix},
                    {"targets", 6, targets}, {"draws", 5, draws},
                    {"loader", 11, load}, {"cost", 5, cost}};
    say_set_program("probe");
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].least)
            return commands[i].run(argc - 2, argv + 2);
    return say_error("no such command, or too few words for it"), EXIT_USAGE;
}
