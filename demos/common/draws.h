/* Random numbers that depend on where they are used and on nothing else: Philox4x32-10 (Salmon et al., SC 2011), keyed
 * by a seed, counted by (place, epoch, image, number of the draw). Whoever draws, on whatever thread, in whatever
 * order, gets the same. Known answer: key 0, counter 0 gives 6627e8d5 e169c58d bc57ac4c 9b00dbd8. */
#ifndef DEMO_DRAWS_H
#define DEMO_DRAWS_H

#include <math.h>
#include <stdint.h>

struct draws {
    uint64_t key, low, high; /* low: the image and, in its lower half, the next block of four words */
    uint32_t words[4];
    int left; /* of the words */
};

static inline void draws_refill(struct draws *d)
{
    uint32_t c0 = (uint32_t)d->low, c1 = (uint32_t)(d->low >> 32), c2 = (uint32_t)d->high;
    uint32_t c3 = (uint32_t)(d->high >> 32), k0 = (uint32_t)d->key, k1 = (uint32_t)(d->key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    d->words[0] = c0;
    d->words[1] = c1;
    d->words[2] = c2;
    d->words[3] = c3;
    d->left = 4;
    d->low++;
}

/* The draws of a place of the program, at its beginning. Each has 2^34 words. */
static inline struct draws draws_begin(uint64_t seed, uint32_t place, uint32_t epoch, uint32_t image)
{
    return (struct draws){.key = seed, .low = (uint64_t)image << 32, .high = (uint64_t)epoch << 32 | place};
}

static inline uint32_t draw_word(struct draws *d)
{
    if (!d->left)
        draws_refill(d);
    return d->words[4 - d->left--];
}

/* [0, 1), of 32 bits. */
static inline double draw_uniform(struct draws *d)
{
    return draw_word(d) * 0x1p-32;
}

static inline double draw_between(struct draws *d, double low, double high)
{
    return low + (high - low) * draw_uniform(d);
}

/* 0..below-1; each by a probability that is right to 2^-32. */
static inline uint32_t draw_below(struct draws *d, uint32_t below)
{
    return (uint32_t)((uint64_t)draw_word(d) * below >> 32);
}

/* Two of N(0,1), by Box and Muller: r cos(t), r sin(t) with r = sqrt(-2 log(1-u)), t = 2 pi v. */
static inline void draw_normals(struct draws *d, double pair[2])
{
    double r = sqrt(-2 * log(1 - draw_uniform(d))), t = 6.283185307179586 * draw_uniform(d);
    pair[0] = r * cos(t);
    pair[1] = r * sin(t);
}

/* A permutation of 0..count-1, each as likely as any other (Fisher and Yates). */
static inline void draw_permutation(struct draws *d, uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = draw_below(d, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}

#endif
