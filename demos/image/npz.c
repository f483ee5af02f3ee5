/* numpy's .npz: a zip file of .npy, each an array with a header in Python's words. Pictures that are stored stay in the
 * file: ImageNet 64 is 16 GB of them. */
#include "reader.h"

#include "say.h"
#include "zip.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HEADER = 4096, MOST_DIMS = 4, MOST_CLASSES = 1 << 20 };

struct array {
    const struct zip_member *member;
    char type;      /* 'u' or 'i' */
    int bytes;      /* of an element */
    bool big_endian;
    int dims;
    uint64_t shape[MOST_DIMS], count;
    size_t header;  /* bytes before the first element */
};

/* ---- headers ---- */

/* What follows 'key': in the header, or NULL. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    at = at ? at + strlen(key) : NULL;
    return at ? at + strspn(at, " :") : NULL;
}

/* "(10, 3072)", "(10,)" */
static int read_shape(struct array *a, const char *text)
{
    if (!text || *text != '(')
        return 1;
    a->count = 1;
    for (text++; *(text += strspn(text, " ,")) != ')'; a->dims++) {
        char *end;
        uint64_t n = strtoull(text, &end, 10);
        if (end == text || *text == '-' || a->dims == MOST_DIMS || n > UINT32_MAX || (n && a->count > INT64_MAX / n))
            return 1;
        a->shape[a->dims] = n;
        a->count *= n;
        text = end;
    }
    return 0;
}

static int read_type(struct array *a, const char *text)
{
    if (!text || *text != '\'' || !strchr("<>|=", text[1]) || !strchr("ui", text[2]) || !strchr("1248", text[3]) ||
        text[4] != '\'')
        return 1;
    a->big_endian = text[1] == '>';
    a->type = text[2];
    a->bytes = text[3] - '0';
    return 0;
}

static int parse(struct array *a, const char *header)
{
    const char *order = value_of(header, "'fortran_order'");
    if (read_type(a, value_of(header, "'descr'")) || read_shape(a, value_of(header, "'shape'")) || !order ||
        strncmp(order, "False", 5))
        return 1;
    return a->count > (UINT64_MAX - a->header) / (uint64_t)a->bytes ||
           a->header + a->count * (uint64_t)a->bytes != a->member->size;
}

static int read_array(struct array *a, const struct zip *zip, const struct zip_member *member)
{
    unsigned char start[MOST_HEADER + 1] = {0};
    size_t size = member->size < MOST_HEADER ? (size_t)member->size : MOST_HEADER, skip, length;
    *a = (struct array){.member = member};
    if (zip_begin(zip, member, start, size))
        return EXIT_FAILED;
    bool known = size >= 12 && !memcmp(start, "\x93NUMPY", 6) && start[6] >= 1 && start[6] <= 3;
    skip = known && start[6] > 1 ? 12 : 10;
    length = known ? (size_t)start[8] | (size_t)start[9] << 8 : 0;
    length |= skip == 12 ? (size_t)start[10] << 16 | (size_t)start[11] << 24 : 0;
    a->header = skip + length;
    if (known && a->header <= size) {
        start[a->header] = 0;
        if (!parse(a, (char *)start + skip))
            return 0;
    }
    return say_error("%s: %s is no array of whole numbers that is read, or its header does not fit its %" PRIu64
                     " bytes", zip->path, member->name, member->size);
}

/* ---- labels ---- */

static int64_t element(const struct array *a, const unsigned char *at)
{
    uint64_t n = 0;
    for (int i = 0; i < a->bytes; i++)
        n = n << 8 | at[a->big_endian ? i : a->bytes - 1 - i];
    if (a->type == 'i' && a->bytes < 8 && n >> (8 * a->bytes - 1))
        n -= UINT64_C(1) << 8 * a->bytes;
    return n > INT64_MAX && a->type == 'u' ? INT64_MAX : (int64_t)n;
}

static int read_labels(struct dataset *d, const struct zip *zip, const struct array *a, size_t count)
{
    unsigned char *bytes;
    int status = 0;
    if (a->count != count)
        return say_error("%s: %zu pictures, but %s has %" PRIu64 " labels", zip->path, count, a->member->name,
                         a->count);
    if (zip_load(zip, a->member, &bytes))
        return EXIT_FAILED;
    for (size_t i = 0; i < count && !status; i++) {
        int64_t label = element(a, bytes + a->header + i * (size_t)a->bytes);
        d->labels[d->count - count + i] = (int32_t)(label & INT32_MAX);
        if (label < 0 || label > MOST_CLASSES)
            status = say_error("%s: label %zu (from 0) of %s is %" PRId64, zip->path, i, a->member->name, label);
    }
    free(bytes);
    return status;
}

/* ---- pictures ---- */

static uint64_t root(uint64_t n)
{
    uint64_t r = 0;
    while (r < PICTURE_SIDE && (r + 1) * (r + 1) <= n)
        r++;
    return r;
}

/* [n, 3 R R], [n,R,C], [n,3,R,C] or [n,R,C,1 or 3]. */
static int read_form(struct dataset *d, const struct zip *zip, const struct array *a, bool *planar)
{
    const uint64_t *s = a->shape;
    uint64_t side = a->dims == 2 ? root(s[1] / 3) : 0;
    *planar = a->dims == 2 || (a->dims == 4 && s[1] == 3 && s[3] != 3);
    if (a->bytes == 1 && a->type == 'u' && s[0]) {
        if (a->dims == 2 && side && 3 * side * side == s[1])
            return dataset_shape(d, zip->path, side, side, 3);
        if (a->dims == 3)
            return dataset_shape(d, zip->path, s[1], s[2], 1);
        if (a->dims == 4)
            return dataset_shape(d, zip->path, s[*planar ? 2 : 1], s[*planar ? 3 : 2], s[*planar ? 1 : 3]);
    }
    return say_error("%s: %s is no array of pictures: bytes [n, 3 R R], [n,R,C], [n,3,R,C] or [n,R,C,1 or 3]",
                     zip->path, a->member->name);
}

static int add_pictures(struct dataset *d, const struct zip *zip, const struct array *a, bool planar)
{
    struct dataset_block block = {.count = (size_t)a->shape[0], .planar = planar, .at = a->member->at + a->header};
    if (a->member->method == 0) {
        block.file = fcntl(zip->file, F_DUPFD_CLOEXEC, 0);
        return block.file < 0 ? say_error("%s: cannot be opened once more", zip->path)
                              : dataset_add_block(d, zip->path, block);
    }
    if (zip_load(zip, a->member, &block.bytes))
        return EXIT_FAILED;
    memmove(block.bytes, block.bytes + a->header, (size_t)a->count);
    return dataset_add_block(d, zip->path, block);
}

/* ---- files ---- */

/* How arrays are called; where the name says no part, the file's does. */
static const struct naming {
    const char *pictures, *labels;
    int part; /* -1: of the file */
} namings[] = {
    {"data.npy", "labels.npy", -1},           {"x_train.npy", "y_train.npy", DATASET_TRAIN},
    {"x_test.npy", "y_test.npy", DATASET_TEST}, {"train_images.npy", "train_labels.npy", DATASET_TRAIN},
    {"val_images.npy", "val_labels.npy", DATASET_VALID}, {"test_images.npy", "test_labels.npy", DATASET_TEST},
    {"images.npy", "labels.npy", -1}};

static const struct zip_member *find(const struct zip *zip, const char *name)
{
    for (size_t i = 0; i < zip->count; i++)
        if (!strcmp(zip->members[i].name, name))
            return &zip->members[i];
    return NULL;
}

static int add_part(struct dataset *d, const struct zip *zip, const struct naming *naming)
{
    const struct zip_member *pictures = find(zip, naming->pictures), *labels = find(zip, naming->labels);
    enum dataset_part part = naming->part < 0 ? part_of_name(zip->path) : (enum dataset_part)naming->part;
    struct array p, l;
    bool planar;
    if (!labels)
        return say_error("%s: has %s, but not %s", zip->path, naming->pictures, naming->labels);
    if (read_array(&p, zip, pictures) || read_array(&l, zip, labels) || read_form(d, zip, &p, &planar) ||
        dataset_grow(d, zip->path, (size_t)p.shape[0], part) || read_labels(d, zip, &l, (size_t)p.shape[0]))
        return EXIT_FAILED;
    return add_pictures(d, zip, &p, planar);
}

static int read_file(struct dataset *d, const char *path)
{
    struct zip zip;
    int status = 0, found = 0;
    if (zip_open(&zip, path))
        return EXIT_FAILED;
    for (size_t i = 0; i < sizeof namings / sizeof *namings && !status; i++)
        if (find(&zip, namings[i].pictures)) {
            status = add_part(d, &zip, &namings[i]);
            found++;
        }
    if (!status && !found)
        status = say_error("%s: has no arrays of pictures and labels: data and labels, x_train and y_train, or "
                           "train_images and train_labels", path);
    zip_close(&zip);
    return status;
}

/* From 0, or if none is 0 from 1, as in ImageNet 64. */
static int number_classes(struct dataset *d)
{
    int32_t least = 1, most = 0;
    for (size_t i = 0; i < d->count; i++) {
        least = d->labels[i] < least ? d->labels[i] : least;
        most = d->official[i] == DATASET_TRAIN && d->labels[i] > most ? d->labels[i] : most;
    }
    for (size_t i = 0; i < d->count; i++)
        d->labels[i] -= least;
    return dataset_number_classes(d, most - least + 1);
}

int read_npz(struct dataset *d, const struct path_list *files)
{
    int status = 0;
    d->kind = "numpy's npz";
    for (size_t i = 0; i < files->count && !status; i++)
        status = read_file(d, files->items[i]);
    return status ? status : number_classes(d);
}
