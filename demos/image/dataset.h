/* Data sets of pictures: what there is, which of it is for training, validation and test, and each picture by number.
 *
 *   struct dataset d;
 *   if (dataset_open(&d, paths, path_count, &(struct dataset_options){.seed = seed, .train = 2000}))
 *       return EXIT_FAILED;                           // it was said why
 *   struct dataset_reader r = {0};
 *   char why[WHY];
 *   uint32_t image = d.part[DATASET_TRAIN].images[0];
 *   if (!dataset_picture(&d, &r, image, why))
 *       use(r.picture.pixels, d.labels[image]);
 *   dataset_reader_free(&r);
 *   dataset_free(&d);
 */
#ifndef IMAGE_DATASET_H
#define IMAGE_DATASET_H

#include "picture.h"

#include <stdint.h>

enum dataset_part { DATASET_TRAIN, DATASET_VALID, DATASET_TEST, DATASET_PARTS };
#define DATASET_PART_NAMES "train|valid|test"

struct dataset_options {
    uint64_t seed;              /* of what is drawn */
    bool coarse_labels;         /* CIFAR-100: the 20 coarse classes, not the 100 fine ones */
    bool valid_last;            /* validation is the last of the training pictures, and not drawn of all */
    /* At most that many pictures; 0: all of an official part, a twentieth of the training pictures for one that is
     * drawn of them, and for training all that are left. A smaller number takes some of what a larger one takes; that
     * of `train` leaves validation and test as they are. */
    size_t train, valid, test;
};

/* Pictures that lie one behind the other. */
struct dataset_block {
    size_t first, count; /* pictures */
    unsigned char *bytes; /* interleaved; NULL: in a file, */
    int file;
    uint64_t at;  /* from this byte on, */
    bool planar;  /* all of a channel before all of the next */
};

struct dataset {
    const char *kind;            /* "MNIST's idx", for people */
    size_t count;                /* pictures of all parts, official ones and what is limited away alike */
    int rows, columns, channels; /* rows and columns 0: they differ, or may */
    int classes;                 /* 0: no labels */
    char **class_names;
    int32_t *labels;             /* 0..classes-1, of each picture */
    struct {
        uint32_t *images;        /* rising */
        size_t count;
    } part[DATASET_PARTS];
    bool drawn;                  /* what is in them depends on dataset_options.seed */
    uint64_t fingerprint;        /* a number that other pictures, labels or parts would hardly have */
    size_t skipped;              /* files of a folder that are not read; dataset_open() says which */

    /* how pictures lie: as blocks or as files */
    struct dataset_block *blocks;
    size_t block_count;
    char **files;
    size_t folder_length;    /* of what all their paths begin with */
    unsigned char *official; /* the part that each is of as it came, enum dataset_part */
    size_t capacity;
};

/* Opens what lies at the paths, which are one folder, or files of one of the first three kinds:
 *  - MNIST's: train-images-idx3-ubyte, its labels and t10k's, as they are or with .gz;
 *  - CIFAR-10's and CIFAR-100's binary version;
 *  - .npz with images and labels: data and labels (ImageNet 64), x_train and y_train and so on, train_images and
 *    train_labels and so on; images [n, 3 R R] planar, [n,R,C], [n,3,R,C] or [n,R,C,1 or 3], of bytes;
 *  - a folder a class, in it JPEG and PNG, at any depth; perhaps that three times, in folders train, val and test;
 *  - a folder with pictures of its own: they have no classes, nor have those in folders below.
 *
 * Parts: official ones stay apart. What is called test or t10k is the test part, and what is called val is the
 * validation; the test part if there is none else. A part that is not there is drawn of the training pictures.
 *
 * Pixels of idx and CIFAR are held in memory, those of npz where they are deflated; else they stay in their files,
 * which must not change. Says what is wrong and returns non-zero; `d` then holds nothing. */
int dataset_open(struct dataset *d, const char *const *paths, int count, const struct dataset_options *options);
void dataset_free(struct dataset *d);

/* Decodes pictures, one thread each: `picture` is valid until the next. Zero it first. */
struct dataset_reader {
    struct picture picture;
    unsigned char *file;
    size_t capacity;
};
/* Sets r->picture, in the channels of the data set. Says nothing, for threads; `why` has half a sentence. */
int dataset_picture(const struct dataset *d, struct dataset_reader *r, uint32_t image, char why[WHY]);
void dataset_reader_free(struct dataset_reader *r);
/* What a picture is called: "folder/file", or "picture 17 (from 0)". */
const char *dataset_name(const struct dataset *d, uint32_t image, char name[WHY]);

#endif
