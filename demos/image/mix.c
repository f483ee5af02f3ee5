/* What is drawn for a whole batch: mixup, cutmix, and the targets of both. */
#include "augment.h"
#include "places.h"

#include <math.h>
#include <string.h>

double draw_gamma(struct draws *draws, double shape)
{
    double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d), more = 1, pair[2];
    if (shape < 1)
        more = pow(1 - draw_uniform(draws), 1 / shape);
    for (;;) {
        draw_normals(draws, pair);
        double v = 1 + c * pair[0], u = 1 - draw_uniform(draws);
        v = v * v * v;
        if (v > 0 && log(u) < pair[0] * pair[0] / 2 + d - d * v + d * log(v))
            return d * v * more;
    }
}

double draw_beta(struct draws *draws, double shape)
{
    if (shape == 1)
        return draw_uniform(draws);
    double a = draw_gamma(draws, shape), b = draw_gamma(draws, shape);
    return a + b > 0 ? a / (a + b) : draw_uniform(draws) < 0.5; /* both too small for a number: all of one */
}

struct mix augment_cutmix(const struct augment *a, double share, int row, int column)
{
    double side = sqrt(1 - share);
    int h = (int)(a->rows * side) / 2, w = (int)(a->columns * side) / 2;
    int top = row - h > 0 ? row - h : 0, left = column - w > 0 ? column - w : 0;
    int bottom = row + h < a->rows ? row + h : a->rows, right = column + w < a->columns ? column + w : a->columns;
    struct box box = {top, left, bottom - top, right - left};
    return (struct mix){.kind = MIX_CUTMIX, .box = box,
                        .share = 1 - (double)box.rows * box.columns / ((double)a->rows * a->columns)};
}

struct mix augment_mix(const struct augment *a, int64_t step)
{
    struct draws d = draws_begin(places_seed(a->seed), PLACE_MIX, (uint32_t)step, (uint32_t)((uint64_t)step >> 32));
    bool mixes = draw_uniform(&d) < a->mix && (a->mixup > 0 || a->cutmix > 0), cuts = draw_uniform(&d) < 0.5;
    if (!mixes)
        return (struct mix){.share = 1};
    cuts = a->cutmix > 0 && (cuts || !(a->mixup > 0));
    double share = draw_beta(&d, cuts ? a->cutmix : a->mixup);
    if (!cuts)
        return (struct mix){.kind = MIX_MIXUP, .share = share};
    int row = (int)draw_below(&d, (uint32_t)a->rows);
    return augment_cutmix(a, share, row, (int)draw_below(&d, (uint32_t)a->columns));
}

void augment_mix_values(const struct augment *a, const struct mix *mix, float *values, const float *other)
{
    size_t one = (size_t)a->channels, row = (size_t)a->columns * one, size = (size_t)a->rows * row;
    const struct box *b = &mix->box;
    float share = (float)mix->share, rest = (float)(1 - mix->share);
    if (mix->kind == MIX_MIXUP)
        for (size_t i = 0; i < size; i++)
            values[i] = share * values[i] + rest * other[i];
    for (int r = b->row; mix->kind == MIX_CUTMIX && r < b->row + b->rows; r++) {
        size_t at = (size_t)r * row + (size_t)b->column * one;
        memcpy(values + at, other + at, (size_t)b->columns * one * sizeof *values);
    }
}

static void add_target(double smoothing, double share, int label, int classes, float *targets)
{
    float low = (float)(share * smoothing / classes);
    for (int i = 0; label >= 0 && i < classes; i++)
        targets[i] += i == label ? (float)(share * (1 - smoothing + smoothing / classes)) : low;
}

void augment_targets(const struct augment *a, const struct mix *mix, int label, int other, int classes, float *targets)
{
    memset(targets, 0, (size_t)classes * sizeof *targets);
    add_target(a->smoothing, mix->kind ? mix->share : 1, label, classes, targets);
    if (mix->kind)
        add_target(a->smoothing, 1 - mix->share, other, classes, targets);
}
