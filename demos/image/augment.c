#include "augment.h"

#include "places.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 10 };

struct augment augment_imagenet(int rows, int columns, uint64_t seed)
{
    return (struct augment){.seed = seed, .rows = rows, .columns = columns, .channels = 3, .crop = CROP_AREA,
                            .area_low = 0.08, .area_high = 1, .ratio_low = 3.0 / 4, .ratio_high = 4.0 / 3, .flip = 0.5,
                            .erase = 0.25, .operations = 2, .level = 9, .level_spread = 0.5,
                            .mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}, .mix = 1, .mixup = 0.8,
                            .cutmix = 1, .smoothing = 0.1};
}

struct augment augment_evaluation(const struct augment *training)
{
    struct augment a = {.seed = training->seed, .rows = training->rows, .columns = training->columns,
                        .channels = training->channels};
    int side = a.rows > a.columns ? a.rows : a.columns;
    if (training->crop == CROP_AREA)
        a.resize = (int)((int64_t)side * 256 / 224);
    memcpy(a.mean, training->mean, sizeof a.mean);
    memcpy(a.deviation, training->deviation, sizeof a.deviation);
    return a;
}

static bool is_share(double x)
{
    return x >= 0 && x <= 1;
}

int augment_check(const struct augment *a, char why[WHY])
{
    enum { LARGEST = 4096 };
    if (a->rows < 1 || a->columns < 1 || a->rows > LARGEST || a->columns > LARGEST)
        return why_not(why, "pictures of %d x %d pixels; sides are 1 to %d", a->columns, a->rows, LARGEST);
    if (a->channels != 1 && a->channels != 3)
        return why_not(why, "%d channels; there are 1 and 3", a->channels);
    if (a->crop == CROP_AREA && !(a->area_low > 0 && a->area_low <= a->area_high && a->area_high <= 1 &&
                                  a->ratio_low > 0 && a->ratio_low <= a->ratio_high && a->ratio_high < 100))
        return why_not(why, "areas of a crop are above 0 and up to 1, ratios above 0; the lower one first");
    if (a->resize < 0 || a->resize > 2 * LARGEST || a->pad < 0 || a->pad > LARGEST)
        return why_not(why, "resizing to %d, padding by %d pixels", a->resize, a->pad);
    if (!is_share(a->flip) || !is_share(a->erase) || !is_share(a->mix) || !is_share(a->smoothing))
        return why_not(why, "probabilities and smoothing are 0 to 1");
    if (a->operations < 0 || a->operations > 16 || !(a->level >= 0 && a->level <= 10) || !(a->level_spread >= 0))
        return why_not(why, "0 to 16 operations, at level 0 to 10");
    if (!(a->mixup >= 0 && a->mixup < 1e6) || !(a->cutmix >= 0 && a->cutmix < 1e6))
        return why_not(why, "the shapes of mixup and cutmix are 0 or more");
    return 0;
}

static struct draws draws_of(const struct augment *a, enum place place, uint32_t epoch, uint32_t image)
{
    return draws_begin(places_seed(a->seed), place, epoch, image);
}

/* ---- crops ---- */

static struct box middle_box(const struct augment *a, int rows, int columns)
{
    double ratio = (double)columns / rows;
    struct box b = {.rows = rows, .columns = columns};
    if (ratio < a->ratio_low)
        b.rows = (int)rint(columns / a->ratio_low);
    else if (ratio > a->ratio_high)
        b.columns = (int)rint(rows * a->ratio_high);
    b.rows = b.rows < 1 ? 1 : b.rows > rows ? rows : b.rows;
    b.columns = b.columns < 1 ? 1 : b.columns > columns ? columns : b.columns;
    b.row = (rows - b.rows) / 2;
    b.column = (columns - b.columns) / 2;
    return b;
}

static struct box at_random(struct draws *draws, int h, int w, int rows, int columns)
{
    int row = (int)draw_below(draws, (uint32_t)(rows - h + 1));
    return (struct box){row, (int)draw_below(draws, (uint32_t)(columns - w + 1)), h, w};
}

struct box augment_area_box(const struct augment *a, struct draws *draws, int rows, int columns)
{
    for (int i = 0; i < TRIES; i++) {
        double area = draw_between(draws, a->area_low, a->area_high) * rows * columns;
        double ratio = exp(draw_between(draws, log(a->ratio_low), log(a->ratio_high)));
        double w = rint(sqrt(area * ratio)), h = rint(sqrt(area / ratio));
        if (w >= 1 && h >= 1 && w <= columns && h <= rows)
            return at_random(draws, (int)h, (int)w, rows, columns);
    }
    return middle_box(a, rows, columns);
}

/* The size that the whole picture gets, so that it covers the result. */
static void covering_size(const struct augment *a, const struct picture *p, int *rows, int *columns)
{
    int shorter = p->rows < p->columns ? p->rows : p->columns;
    double r = p->rows, c = p->columns, least = fmax(a->rows / r, a->columns / c);
    if (p->rows == a->rows && p->columns == a->columns && !a->resize)
        least = 1;
    *rows = p->rows == shorter ? a->resize : (int)((int64_t)a->resize * p->rows / shorter);
    *columns = p->columns == shorter ? a->resize : (int)((int64_t)a->resize * p->columns / shorter);
    if (*rows < a->rows || *columns < a->columns) {
        *rows = (int)fmax(rint(r * least), a->rows);
        *columns = (int)fmax(rint(c * least), a->columns);
    }
}

static int fit(const struct augment *a, struct augment_room *room, const struct picture *p, unsigned char *to)
{
    int rows, columns;
    covering_size(a, p, &rows, &columns);
    struct box all = {0, 0, p->rows, p->columns};
    struct box part = {(int)rint((rows - a->rows) / 2.0), (int)rint((columns - a->columns) / 2.0), a->rows, a->columns};
    if (rows != p->rows || columns != p->columns)
        return resample(&room->resampler, p, all, rows, columns, part, to);
    size_t step = (size_t)a->columns * (size_t)a->channels, from = (size_t)p->columns * (size_t)a->channels;
    const unsigned char *at = p->pixels + (size_t)part.row * from + (size_t)part.column * (size_t)a->channels;
    for (int r = 0; r < a->rows; r++, at += from)
        memcpy(to + (size_t)r * step, at, step);
    return 0;
}

/* Pixel (r, c) becomes that at (r + down, c + right), where there is one. */
static void shift(const struct augment *a, unsigned char *to, const unsigned char *from, int down, int right)
{
    size_t one = (size_t)a->channels, row = (size_t)a->columns * one;
    int first = right < 0 ? -right : 0, end = right > 0 ? a->columns - right : a->columns;
    memset(to, 0, (size_t)a->rows * row);
    for (int r = 0; r < a->rows && first < end; r++)
        if (r + down >= 0 && r + down < a->rows)
            memcpy(to + (size_t)r * row + (size_t)first * one,
                   from + (size_t)(r + down) * row + (size_t)(first + right) * one, (size_t)(end - first) * one);
}

static int crop(const struct augment *a, struct augment_room *room, const struct picture *p, struct draws draws,
                unsigned char *to)
{
    if (a->crop == CROP_AREA) {
        struct box box = augment_area_box(a, &draws, p->rows, p->columns), all = {0, 0, a->rows, a->columns};
        return resample(&room->resampler, p, box, a->rows, a->columns, all, to);
    }
    if (a->crop != CROP_PAD || !a->pad)
        return fit(a, room, p, to);
    if (fit(a, room, p, room->aside))
        return 1;
    int down = (int)draw_below(&draws, (uint32_t)(2 * a->pad + 1)) - a->pad;
    shift(a, to, room->aside, down, (int)draw_below(&draws, (uint32_t)(2 * a->pad + 1)) - a->pad);
    return 0;
}

/* ---- the rest of a picture ---- */

static void flip(const struct augment *a, unsigned char *pixels)
{
    int n = a->channels;
    for (int r = 0; r < a->rows; r++, pixels += a->columns * n)
        for (int left = 0, right = a->columns - 1; left < right; left++, right--)
            for (int c = 0; c < n; c++) {
                unsigned char keep = pixels[left * n + c];
                pixels[left * n + c] = pixels[right * n + c];
                pixels[right * n + c] = keep;
            }
}

/* A place in the counter for each operation: what one takes does not move the next. */
static void operate(const struct augment *a, struct draws draws, unsigned char *pixels, unsigned char *aside)
{
    for (int i = 0; i < a->operations; i++) {
        enum operation operation = (enum operation)draw_below(&draws, OPERATIONS);
        bool applied = draw_uniform(&draws) < 0.5;
        int sign = draw_uniform(&draws) < 0.5 ? -1 : 1;
        double normal[2];
        draw_normals(&draws, normal);
        double level = fmin(fmax(a->level + a->level_spread * normal[0], 0), 10);
        if (applied)
            operation_apply(operation, level, sign, pixels, aside, a->rows, a->columns, a->channels);
    }
}

int augment_picture(const struct augment *a, struct augment_room *room, const struct picture *p, uint32_t epoch,
                    uint32_t image, unsigned char *to)
{
    size_t size = (size_t)a->rows * (size_t)a->columns * (size_t)a->channels;
    if (room->capacity < size) {
        free(room->aside);
        room->aside = malloc(size);
        room->capacity = room->aside ? size : 0;
    }
    if (!room->aside || crop(a, room, p, draws_of(a, PLACE_CROP, epoch, image), to))
        return 1;
    struct draws draws = draws_of(a, PLACE_FLIP, epoch, image);
    if (a->flip > 0 && draw_uniform(&draws) < a->flip)
        flip(a, to);
    if (a->operations)
        operate(a, draws_of(a, PLACE_OPERATIONS, epoch, image), to, room->aside);
    return 0;
}

void augment_room_free(struct augment_room *room)
{
    resampler_free(&room->resampler);
    free(room->aside);
    *room = (struct augment_room){0};
}

bool augment_erase_box(const struct augment *a, struct draws *draws, struct box *box)
{
    for (int i = 0; i < TRIES; i++) {
        double area = draw_between(draws, 0.02, 1.0 / 3) * a->rows * a->columns;
        double ratio = exp(draw_between(draws, log(0.3), log(1 / 0.3)));
        double h = rint(sqrt(area * ratio)), w = rint(sqrt(area / ratio));
        if (h < 1 || w < 1 || h >= a->rows || w >= a->columns)
            continue;
        *box = at_random(draws, (int)h, (int)w, a->rows, a->columns);
        return true;
    }
    return false;
}

static void erase(const struct augment *a, struct draws *draws, float *values)
{
    struct box b;
    double pair[2];
    if (!augment_erase_box(a, draws, &b))
        return;
    for (int r = b.row, drawn = 0; r < b.row + b.rows; r++) {
        float *at = values + ((size_t)r * (size_t)a->columns + (size_t)b.column) * (size_t)a->channels;
        for (int i = 0; i < b.columns * a->channels; i++, drawn ^= 1) {
            if (!drawn)
                draw_normals(draws, pair);
            at[i] = (float)pair[drawn];
        }
    }
}

void augment_values(const struct augment *a, uint32_t epoch, uint32_t image, const unsigned char *bytes, float *values)
{
    size_t size = (size_t)a->rows * (size_t)a->columns * (size_t)a->channels;
    float scale[3], less[3];
    for (int c = 0; c < 3; c++) {
        double deviation = a->deviation[c] > 0 ? a->deviation[c] : 1;
        scale[c] = (float)(1 / (255 * deviation));
        less[c] = (float)(a->mean[c] / deviation);
    }
    if (a->channels == 1)
        for (size_t i = 0; i < size; i++)
            values[i] = bytes[i] * scale[0] - less[0];
    else
        for (size_t i = 0; i < size; i += 3) {
            values[i] = bytes[i] * scale[0] - less[0];
            values[i + 1] = bytes[i + 1] * scale[1] - less[1];
            values[i + 2] = bytes[i + 2] * scale[2] - less[2];
        }
    struct draws draws = draws_of(a, PLACE_ERASE, epoch, image);
    if (a->erase > 0 && draw_uniform(&draws) < a->erase)
        erase(a, &draws, values);
}
