/* Batches of pictures, prepared ahead by threads. Which picture is where, and what is done to it, depends on the seed
 * and on its number alone: with other threads, from another step on, in other shares, the same comes out bit for bit.
 *
 * Example i of step s is number n = s batch + i of a row that goes through all pictures of a part again and again:
 * epoch n / count, and in it position n mod count of a permutation drawn for it, or as they are (`in_order`). */
#ifndef IMAGE_LOADER_H
#define IMAGE_LOADER_H

#include "augment.h"
#include "dataset.h"

struct loader_options {
    const struct dataset *data; /* must outlive the loader */
    enum dataset_part part;
    struct augment augment;     /* channels: those of the data */
    int batch;                  /* examples of a step */
    bool in_order;              /* for evaluation: no shuffling; what cannot be read is left out, not replaced */
    int threads;                /* 0: none, whoever fills prepares */
    int ahead;                  /* steps that are prepared beyond the last that was asked for */
    int first, count;           /* the examples of each step that are prepared ahead; count 0: all */
    int64_t steps;              /* that there are; 0: no end */
};

struct loader_counters {
    uint64_t examples;      /* filled */
    uint64_t helped;        /* of them not begun when they were wanted */
    double waited;          /* seconds until what was wanted had been prepared */
    double finished;        /* seconds that normalising, erasing and mixing took then */
    double prepared;        /* seconds of all threads, reading, decoding and augmenting */
    size_t unreadable;      /* pictures, each counted once */
    char first_unreadable[2 * WHY]; /* its name, and why */
};

struct loader;
/* Says what is wrong and returns non-zero. */
int loader_create(struct loader **loader, const struct loader_options *options);
void loader_destroy(struct loader *loader); /* NULL is fine */

/* Examples first .. first+count-1 of a step, in any order of steps, from one thread at a time (others wait): pixels
 * [count, rows, columns, channels] normalised, labels [count], soft [count, classes]; each may be NULL. Fastest in
 * rising order, since what follows is prepared.
 * A picture that cannot be read is counted. In training the next of the data set that can be takes its place; in
 * evaluation its pixels are 0, its label is -1 and its targets are 0.
 * Says what is wrong and returns non-zero. */
int loader_fill(struct loader *loader, int64_t step, int first, int count, float *pixels, int32_t *labels, float *soft);

/* The same as bytes, for models that read pixels as tokens: neither normalised nor erased nor mixed. */
int loader_fill_bytes(struct loader *loader, int64_t step, int first, int count, unsigned char *bytes, int32_t *labels);

/* Whether the picture of an example could not be read, and nothing took its place; of the step that was filled last. */
bool loader_lost(struct loader *loader, int64_t step, int example);

/* The picture at that place, before it is looked at; UINT32_MAX without memory. */
uint32_t loader_image(struct loader *loader, int64_t step, int example, uint32_t *epoch);
struct loader_counters loader_counters(struct loader *loader);

#endif
