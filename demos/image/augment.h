/* What is done to a picture before a model sees it. All that is drawn depends on (seed, epoch, image, place) alone, of
 * batches on (seed, step): the same picture comes out whoever prepares it. In this order:
 *
 *  crop      CROP_AREA  Ten tries: area A uniform in [area_low, area_high] of the picture's, ratio a = exp U(log
 *                       ratio_low, log ratio_high), w = round sqrt(A a), h = round sqrt(A/a), taken if it fits, at a
 *                       uniform place; else the largest box in the middle within the ratios. Resized to the result.
 *            else       Resized so that the short side is `resize` (the long one int(resize long/short); 0: as little
 *                       as covers the result; no resizing where the size is right) and of that the middle, from row
 *                       round((R - rows)/2) and column alike: what evaluation does.
 *            CROP_PAD   Besides that, shifted by -pad to pad pixels each way, uniform; what comes in is 0.
 *  flip      left to right, with probability `flip`
 *  operations  so many of the fifteen of operations.h, with replacement, each applied with probability 1/2, at level
 *            N(level, level_spread) cut to 0..10, either sign
 *  normalise (v/255 - mean)/deviation
 *  erase     with probability `erase`; ten tries: A uniform in [0.02, 1/3] of the area, a = exp U(log 0.3, log 1/0.3),
 *            h = round sqrt(A a), w = round sqrt(A/a), taken if both are smaller than the picture's, at a uniform
 *            place: every value in it becomes one of N(0,1)
 *  mix       a batch, with probability `mix`: mixup with l of Beta(mixup, mixup), or cutmix with l of Beta(cutmix,
 *            cutmix) (each half of the time where both are above 0), with the picture that is as far from the batch's
 *            end as this one is from its beginning. mixup: l x + (1 - l) x'. cutmix: with h = int(R sqrt(1-l)), rows
 *            r - int(h/2) to r + int(h/2) - 1, columns alike, about a uniform pixel, cut at the edges, are of x'; l
 *            becomes 1 - (pixels of the box)/(all).
 *  targets   l s(y) + (1 - l) s(y'), s(y) has 1 - smoothing + smoothing/classes at y, smoothing/classes elsewhere
 *
 * round() is to the nearest, halves to even. Sources: the recipes of Swin and DeiT; timm and torchvision, whose rules
 * these are (not their random numbers). */
#ifndef IMAGE_AUGMENT_H
#define IMAGE_AUGMENT_H

#include "draws.h"
#include "operations.h"
#include "resample.h"

enum crop { CROP_MIDDLE, CROP_PAD, CROP_AREA };
#define CROP_NAMES "middle|pad|area"

struct augment {
    uint64_t seed;
    int rows, columns, channels; /* of the result */
    int crop;                    /* enum crop */
    int resize, pad;
    double area_low, area_high, ratio_low, ratio_high;
    double flip, erase;
    int operations;
    double level, level_spread;
    double mean[3], deviation[3]; /* deviation 0 means 1 */
    double mix, mixup, cutmix, smoothing;
};
/* Swin's and DeiT's: area 0.08 to 1, ratio 3/4 to 4/3, flip 1/2, two operations at level 9 (spread 0.5), erasing 1/4,
 * mixup 0.8, cutmix 1, smoothing 0.1, ImageNet's means. Of `rows` x `columns` x 3. */
struct augment augment_imagenet(int rows, int columns, uint64_t seed);
/* What evaluation does of it: the short side resized to rows 256/224, the middle; no draws. */
struct augment augment_evaluation(const struct augment *training);
/* Whether all is within its range: half a sentence if not. */
int augment_check(const struct augment *a, char why[WHY]);

/* ---- a picture ---- */

/* The memory of a thread that does it; zero it first. */
struct augment_room {
    struct resampler resampler;
    unsigned char *aside;
    size_t capacity;
};
void augment_room_free(struct augment_room *room);
/* All up to the operations: to bytes [rows, columns, channels]. The picture has as many channels. Non-zero without
 * memory. */
int augment_picture(const struct augment *a, struct augment_room *room, const struct picture *p, uint32_t epoch,
                    uint32_t image, unsigned char *to);
/* Normalises and erases: bytes become values. */
void augment_values(const struct augment *a, uint32_t epoch, uint32_t image, const unsigned char *bytes, float *values);

/* What is drawn of it. */
struct box augment_area_box(const struct augment *a, struct draws *draws, int rows, int columns);
bool augment_erase_box(const struct augment *a, struct draws *draws, struct box *box);

/* ---- a batch ---- */

enum mix_kind { MIX_NONE, MIX_MIXUP, MIX_CUTMIX };
struct mix {
    int kind;     /* enum mix_kind */
    double share; /* l: of the picture itself */
    struct box box;
};
struct mix augment_mix(const struct augment *a, int64_t step);
/* The box about a pixel, and what share is left. */
struct mix augment_cutmix(const struct augment *a, double share, int row, int column);
void augment_mix_values(const struct augment *a, const struct mix *mix, float *values, const float *other);
/* A label below 0 is none: it adds nothing. */
void augment_targets(const struct augment *a, const struct mix *mix, int label, int other, int classes, float *targets);

/* Gamma(shape), by Marsaglia and Tsang (2000): d = shape - 1/3, c = 1/sqrt(9d); v = (1 + c x)^3 of x ~ N(0,1) until
 * v > 0 and log u < x^2/2 + d - d v + d log v; d v. Below shape 1: Gamma(shape + 1) u^(1/shape). */
double draw_gamma(struct draws *draws, double shape);
/* Beta(shape, shape) = g1/(g1 + g2); uniform for 1. */
double draw_beta(struct draws *draws, double shape);

#endif
