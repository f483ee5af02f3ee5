#include "recipe.h"

#include "say.h"
#include "run/note.h"
#include "run/program.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- kinds of augmentation ---- */

struct augment recipe_augment(enum augmentation which)
{
    struct augment a = augment_imagenet(0, 0, 0);
    if (which == AUGMENTATION_SWIN)
        return a;
    a.crop = which == AUGMENTATION_LIGHT ? CROP_PAD : CROP_MIDDLE;
    a.flip = which == AUGMENTATION_LIGHT ? 0.5 : 0;
    a.operations = 0;
    a.erase = a.mix = a.smoothing = 0;
    return a;
}

/* ---- options ---- */

void recipe_data_options(struct recipe *r, struct arg options[RECIPE_OPTIONS])
{
    const struct arg table[] = {
        ARG_INT(0, "train-images", &r->train, 0, INT_MAX, "N",
                "at most so many to train on, besides those of validation; 0: all"),
        ARG_INT(0, "valid-images", &r->valid, 0, INT_MAX, "N",
                "so many for validation; 0: all of that part, or where there is none a twentieth of the training "
                "pictures"),
        ARG_INT(0, "test-images", &r->test, 0, INT_MAX, "N", "so many for the test; 0: as of validation"),
        ARG_INT(0, "split-seed", &r->split_seed, 0, INT_MAX, "N", "of which these are; 0, whatever --seed is"),
        ARG_FLAG(0, "valid-last", &r->valid_last, "validation is the last of the training pictures, not drawn"),
        ARG_FLAG(0, "coarse", &r->coarse, "CIFAR-100: its 20 coarse classes"),
        ARG_END};
    memcpy(options, table, sizeof table);
}

void recipe_augment_options(struct recipe *r, int *which, struct arg options[RECIPE_OPTIONS])
{
    struct augment *a = &r->augment;
    const struct arg table[] = {
        ARG_HEADING_OF(SETTLES_RUN, "augmentation"),
        ARG_CHOICE(0, "augment", which, AUGMENTATION_NAMES,
                   "nothing; shifts and flips; or the recipe of Swin and DeiT. Options beside it count over it"),
        ARG_CHOICE(0, "crop", &a->crop, CROP_NAMES,
                   "what of a picture is taken: the middle; the middle, shifted; a box of any area and shape, resized"),
        ARG_INT(0, "pad", &a->pad, 0, 4096, "N", "pad: shifts of up to N pixels each way; 0: an eighth of the picture"),
        ARG_REAL(0, "area-low", &a->area_low, 0.01, 1, "X", "area: the least share of the picture"),
        ARG_REAL(0, "flip", &a->flip, 0, 1, "P", "probability to be flipped left to right"),
        ARG_INT(0, "randaugment", &a->operations, 0, 16, "N", "so many operations of RandAugment"),
        ARG_REAL(0, "level", &a->level, 0, 10, "X", "how strong they are"),
        ARG_REAL(0, "erase", &a->erase, 0, 1, "P", "probability that a box is erased"),
        ARG_REAL(0, "mix", &a->mix, 0, 1, "P", "probability that the pictures of a step are mixed by twos"),
        ARG_REAL(0, "mixup", &a->mixup, 0, 1000, "X", "shape of mixup's share; 0: no mixup"),
        ARG_REAL(0, "cutmix", &a->cutmix, 0, 1000, "X", "shape of cutmix's share; 0: no cutmix"),
        ARG_END};
    memcpy(options, table, sizeof table);
}

/* ---- in checkpoints ---- */

enum group { PARTS, AUGMENT, SCALE };

static const struct note_field fields[] = {
#define FIELD(name, group, kind, place) {name, group, NOTE_##kind, offsetof(struct recipe, place)}
    FIELD("train", PARTS, WHOLE, train),
    FIELD("valid", PARTS, WHOLE, valid),
    FIELD("test", PARTS, WHOLE, test),
    FIELD("split_seed", PARTS, WHOLE, split_seed),
    FIELD("valid_last", PARTS, WHOLE, valid_last),
    FIELD("coarse", PARTS, WHOLE, coarse),
    FIELD("crop", AUGMENT, WHOLE, augment.crop),
    FIELD("pad", AUGMENT, WHOLE, augment.pad),
    FIELD("area_low", AUGMENT, REAL, augment.area_low),
    FIELD("flip", AUGMENT, REAL, augment.flip),
    FIELD("randaugment", AUGMENT, WHOLE, augment.operations),
    FIELD("level", AUGMENT, REAL, augment.level),
    FIELD("erase", AUGMENT, REAL, augment.erase),
    FIELD("mix", AUGMENT, REAL, augment.mix),
    FIELD("mixup", AUGMENT, REAL, augment.mixup),
    FIELD("cutmix", AUGMENT, REAL, augment.cutmix),
    FIELD("mean_0", SCALE, REAL, augment.mean[0]),
    FIELD("mean_1", SCALE, REAL, augment.mean[1]),
    FIELD("mean_2", SCALE, REAL, augment.mean[2]),
    FIELD("deviation_0", SCALE, REAL, augment.deviation[0]),
    FIELD("deviation_1", SCALE, REAL, augment.deviation[1]),
    FIELD("deviation_2", SCALE, REAL, augment.deviation[2]),
#undef FIELD
};
enum { FIELDS = sizeof fields / sizeof *fields };

json_t *recipe_json(const struct recipe *r)
{
    return note_json(r, fields, FIELDS);
}

bool recipe_take_scale(struct recipe *r, const struct ssa_checkpoint *checkpoint)
{
    return note_take_group(r, checkpoint, fields, FIELDS, SCALE);
}

bool recipe_take(struct recipe *r, const struct ssa_checkpoint *checkpoint, bool augment)
{
    for (int i = 0; i < FIELDS; i++)
        if (fields[i].group == PARTS ? note_get(r, &fields[i]) <= 0 : fields[i].group == AUGMENT && augment)
            note_take(r, checkpoint, &fields[i]);
    return recipe_take_scale(r, checkpoint);
}

uint64_t recipe_hash(const struct recipe *r)
{
    return note_hash(r, fields, FIELDS);
}

/* ---- of data ---- */

static size_t count_or_all(int said)
{
    return said > 0 ? (size_t)said : 0;
}

struct dataset_options recipe_parts(const struct recipe *r)
{
    return (struct dataset_options){.seed = count_or_all(r->split_seed), .coarse_labels = r->coarse != 0,
                                    .valid_last = r->valid_last != 0, .train = count_or_all(r->train),
                                    .valid = count_or_all(r->valid), .test = count_or_all(r->test)};
}

struct sums {
    double count, first[3], second[3];
};

static void add_picture(struct sums *s, const struct picture *p)
{
    const size_t pixels = (size_t)p->rows * (size_t)p->columns, channels = (size_t)p->channels;
    for (size_t i = 0; i < pixels * channels; i++) {
        const double v = p->pixels[i] / 255.0;
        s->first[i % channels] += v;
        s->second[i % channels] += v * v;
    }
    s->count += (double)pixels;
}

int recipe_measure(struct recipe *r, const struct dataset *d)
{
    enum { MOST = 1000 };
    const size_t all = d->part[DATASET_TRAIN].count, count = all < MOST ? all : MOST;
    struct dataset_reader reader = {0};
    struct sums s = {0};
    char why[WHY];
    for (size_t i = 0; i < count; i++)
        if (!dataset_picture(d, &reader, d->part[DATASET_TRAIN].images[i * all / count], why))
            add_picture(&s, &reader.picture);
    dataset_reader_free(&reader);
    if (s.count <= 0)
        return say_error("none of the training pictures can be read; the last: it %s", why);
    for (int c = 0; c < d->channels; c++) {
        r->augment.mean[c] = s.first[c] / s.count;
        r->augment.deviation[c] = sqrt(fmax(s.second[c] / s.count - r->augment.mean[c] * r->augment.mean[c], 0));
    }
    return 0;
}
