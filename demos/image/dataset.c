#include "dataset.h"

#include "disk/hash.h"
#include "reader.h"
#include "say.h"
#include "split.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what readers put there ---- */

static int no_memory(const char *name)
{
    return say_error("%s: no memory for its pictures", name);
}

static int make_room(struct dataset *d, const char *name, size_t count)
{
    size_t capacity = count > d->capacity + d->capacity / 2 ? count : d->capacity + d->capacity / 2;
    int32_t *labels = realloc(d->labels, capacity * sizeof *labels);
    d->labels = labels ? labels : d->labels;
    unsigned char *official = realloc(d->official, capacity);
    d->official = official ? official : d->official;
    if (!labels || !official)
        return no_memory(name);
    d->capacity = capacity;
    return 0;
}

int dataset_grow(struct dataset *d, const char *name, size_t count, enum dataset_part part)
{
    if (count > INT32_MAX - d->count)
        return say_error("%s: more than %d pictures in all", name, INT32_MAX);
    if (d->count + count > d->capacity && make_room(d, name, d->count + count))
        return EXIT_FAILED;
    for (size_t i = d->count; i < d->count + count; i++) {
        d->labels[i] = -1;
        d->official[i] = (unsigned char)part;
    }
    d->count += count;
    return 0;
}

int dataset_shape(struct dataset *d, const char *name, size_t rows, size_t columns, size_t channels)
{
    char why[WHY];
    if (channels != 1 && channels != 3)
        return say_error("%s: its pictures have %zu channels; 1 (grey) and 3 (colour) are read", name, channels);
    if (picture_check_size(rows, columns, SIZE_MAX, 1, why))
        return say_error("%s: a picture of it %s", name, why);
    if (!d->rows) {
        d->rows = (int)rows;
        d->columns = (int)columns;
        d->channels = (int)channels;
    }
    return (size_t)d->rows == rows && (size_t)d->columns == columns && (size_t)d->channels == channels
        ? 0
        : say_error("%s: its pictures are of %zu x %zu pixels, %zu channels; those of the other files of %d x %d, %d",
                    name, columns, rows, channels, d->columns, d->rows, d->channels);
}

void interleave(unsigned char *to, const unsigned char *from, size_t count, size_t channels)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++)
            to[i * channels + c] = *from++;
}

static size_t picture_bytes(const struct dataset *d)
{
    return (size_t)d->rows * (size_t)d->columns * (size_t)d->channels;
}

static int interleave_block(const struct dataset *d, struct dataset_block *block)
{
    size_t size = picture_bytes(d), channels = (size_t)d->channels;
    unsigned char *one = malloc(size);
    for (size_t i = 0; one && i < block->count; i++) {
        unsigned char *at = block->bytes + i * size;
        memcpy(one, at, size);
        interleave(at, one, size / channels, channels);
    }
    free(one);
    block->planar = false;
    return one == NULL;
}

static void release(struct dataset_block *block)
{
    if (!block->bytes)
        close(block->file);
    free(block->bytes);
}

int dataset_add_block(struct dataset *d, const char *name, struct dataset_block block)
{
    struct dataset_block *more = realloc(d->blocks, (d->block_count + 1) * sizeof *more);
    d->blocks = more ? more : d->blocks;
    if (!more || (block.bytes && block.planar && interleave_block(d, &block))) {
        release(&block);
        return no_memory(name);
    }
    block.first = d->count - block.count;
    d->blocks[d->block_count++] = block;
    return 0;
}

int dataset_name_classes(struct dataset *d, char **names, int count)
{
    names_free(d->class_names, (size_t)d->classes);
    d->class_names = names;
    d->classes = count;
    return 0;
}

int dataset_number_classes(struct dataset *d, int count)
{
    struct path_list names = {0};
    char number[16];
    int status = 0;
    for (int i = 0; i < count && !status; i++) {
        snprintf(number, sizeof number, "%d", i);
        status = path_add(&names, NULL, number);
    }
    if (status) {
        path_free(&names);
        return status;
    }
    return dataset_name_classes(d, names.items, count);
}

/* ---- opening ---- */

static int any(const struct path_list *names, bool (*is)(const char *))
{
    int count = 0;
    for (size_t i = 0; i < names->count; i++)
        count += is(names->items[i]);
    return count;
}

static bool is_npz_name(const char *path)
{
    return has_ending(path, ".npz");
}

static int read_files(struct dataset *d, const struct path_list *files, const struct dataset_options *o)
{
    if (any(files, is_npz_name))
        return read_npz(d, files);
    return any(files, is_cifar_name) ? read_cifar(d, files, o) : read_idx(d, files);
}

/* Training first. */
static int choose_kind(struct path_list *files, const char *folder, const struct path_list *names,
                       bool (*is)(const char *))
{
    int status = 0;
    for (enum dataset_part part = 0; part < DATASET_PARTS; part++)
        for (size_t i = 0; i < names->count && !status; i++)
            if (is(names->items[i]) && part_of_name(names->items[i]) == part)
                status = path_add(files, folder, names->items[i]);
    return status;
}

/* The files of a folder that are of the first of the kinds that there is; none: it is a folder of pictures. */
static int choose_files(struct path_list *files, const char *folder, const struct path_list *names)
{
    static bool (*const kinds[])(const char *) = {is_idx_name, is_cifar_name, is_npz_name};
    int status = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds && !files->count && !status; k++)
        status = choose_kind(files, folder, names, kinds[k]);
    return status;
}

static int read_one_folder(struct dataset *d, const char *folder, const struct dataset_options *o)
{
    /* as archives unpack */
    static const char *const inner[] = {"cifar-10-batches-bin", "cifar-100-binary", "FashionMNIST/raw", "MNIST/raw"};
    struct path_list names = {0}, files = {0};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
        if (snprintf(path, sizeof path, "%s/%s", folder, inner[i]) < (int)sizeof path && is_folder(path))
            return read_one_folder(d, path, o);
    int status = folder_names(&names, folder);
    if (!status)
        status = choose_files(&files, folder, &names);
    if (!status)
        status = files.count ? read_files(d, &files, o) : read_folder(d, folder);
    path_free(&names);
    path_free(&files);
    return status;
}

static int read_paths(struct dataset *d, const char *const *paths, int count, const struct dataset_options *o)
{
    struct path_list files = {0};
    struct stat s;
    int status = 0;
    if (!count)
        return say_error("no pictures: give a folder or files of them");
    if (count == 1 && is_folder(paths[0]))
        return read_one_folder(d, paths[0], o);
    for (int i = 0; i < count && !status; i++)
        status = stat(paths[i], &s)      ? say_error("%s: cannot be opened: %s", paths[i], strerror(errno))
                 : S_ISDIR(s.st_mode)    ? say_error("%s: is a folder; give one folder alone, or files", paths[i])
                 : !S_ISREG(s.st_mode)   ? say_error("%s: is not a regular file", paths[i])
                                         : path_add(&files, NULL, paths[i]);
    if (!status)
        status = read_files(d, &files, o);
    path_free(&files);
    return status;
}

static uint64_t hash_pictures(const struct dataset *d)
{
    uint64_t h = ssa_hash(SSA_HASH_START, &d->count, sizeof d->count);
    h = ssa_hash(h, (int[]){d->rows, d->columns, d->channels}, 3 * sizeof(int));
    h = ssa_hash(h, d->labels, d->count * sizeof *d->labels);
    for (size_t b = 0; b < d->block_count; b++)
        if (d->blocks[b].bytes)
            h = ssa_hash(h, d->blocks[b].bytes, d->blocks[b].count * picture_bytes(d));
    for (size_t i = 0; d->files && i < d->count; i++)
        h = ssa_hash(h, d->files[i] + d->folder_length, strlen(d->files[i]) + 1 - d->folder_length);
    for (int p = 0; p < DATASET_PARTS; p++)
        h = ssa_hash(h, d->part[p].images, d->part[p].count * sizeof *d->part[p].images);
    return h;
}

/* A class of the test that nothing is trained for would only ever be wrong. */
static int check_labels(const struct dataset *d, const char *name)
{
    for (size_t i = 0; d->classes && i < d->count; i++)
        if (d->labels[i] < 0 || d->labels[i] >= d->classes)
            return say_error("%s: picture %zu (from 0) is of class %d; there are %d, from 0", name, i,
                             (int)d->labels[i], d->classes);
    return 0;
}

int dataset_open(struct dataset *d, const char *const *paths, int count, const struct dataset_options *options)
{
    *d = (struct dataset){0};
    int status = read_paths(d, paths, count, options);
    if (!status && !d->count)
        status = say_error("%s: there are no pictures", paths[0]);
    if (!status)
        status = check_labels(d, paths[0]);
    if (!status)
        status = dataset_split(d, paths[0], options);
    if (status)
        dataset_free(d);
    else
        d->fingerprint = hash_pictures(d);
    return status;
}

void dataset_free(struct dataset *d)
{
    for (size_t b = 0; b < d->block_count; b++)
        release(&d->blocks[b]);
    for (int p = 0; p < DATASET_PARTS; p++)
        free(d->part[p].images);
    names_free(d->files, d->files ? d->count : 0);
    names_free(d->class_names, (size_t)d->classes);
    free(d->blocks);
    free(d->labels);
    free(d->official);
    *d = (struct dataset){0};
}

/* ---- pictures ---- */

const char *dataset_name(const struct dataset *d, uint32_t image, char name[WHY])
{
    const char *path = d->files ? d->files[image] : NULL;
    size_t length = path ? strlen(path) : 0;
    if (path && length < WHY)
        return memcpy(name, path, length + 1);
    if (path)
        snprintf(name, WHY, "...%s", path + length - (WHY - 4));
    else
        snprintf(name, WHY, "picture %lu (from 0)", (unsigned long)image);
    return name;
}

static const struct dataset_block *block_of(const struct dataset *d, uint32_t image)
{
    size_t low = 0, high = d->block_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(d->blocks[middle].first <= image ? &low : &high) = middle;
    }
    return &d->blocks[low];
}

static int make_file_room(struct dataset_reader *r, size_t size, char why[WHY])
{
    if (size <= r->capacity)
        return 0;
    free(r->file);
    r->file = malloc(size);
    r->capacity = r->file ? size : 0;
    return r->file ? 0 : why_not(why, "takes more memory than there is");
}

static int read_block(const struct dataset *d, struct dataset_reader *r, uint32_t image, char why[WHY])
{
    const struct dataset_block *b = block_of(d, image);
    size_t size = picture_bytes(d), before = image - b->first;
    struct picture *p = &r->picture;
    if (b->bytes) {
        p->rows = d->rows;
        p->columns = d->columns;
        p->channels = d->channels;
        p->pixels = b->bytes + before * size;
        return 0;
    }
    if (make_file_room(r, size, why) || picture_make(p, d->rows, d->columns, d->channels))
        return why_not(why, "takes more memory than there is");
    int error = file_bytes(b->file, b->planar ? r->file : p->own, size, b->at + (uint64_t)before * size);
    if (error)
        return why_not(why, "cannot be read: %s", strerror(error));
    if (b->planar)
        interleave(p->own, r->file, size / (size_t)d->channels, (size_t)d->channels);
    return 0;
}

/* As file_load(), but says nothing, and into the memory that there is. */
static int read_encoded(struct dataset_reader *r, const char *path, size_t *size, char why[WHY])
{
    enum { LARGEST = 1 << 30 };
    struct stat s;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), status = 0, error;
    if (file < 0)
        return why_not(why, "cannot be opened: %s", strerror(errno));
    if (fstat(file, &s) || !S_ISREG(s.st_mode))
        status = why_not(why, "is not a regular file");
    else if (s.st_size > LARGEST)
        status = why_not(why, "has more than %d bytes", LARGEST);
    else if (!(status = make_file_room(r, (size_t)s.st_size + 1, why)) &&
             (error = file_bytes(file, r->file, (size_t)s.st_size, 0)))
        status = why_not(why, "cannot be read: %s", strerror(error));
    close(file);
    *size = status ? 0 : (size_t)s.st_size;
    return status;
}

int dataset_header(const struct dataset *d, struct dataset_reader *r, uint32_t image, char why[WHY])
{
    size_t size = 0;
    return read_encoded(r, d->files[image], &size, why) || picture_decode(&r->picture, r->file, size, true, why);
}

static int read_picture_file(const struct dataset *d, struct dataset_reader *r, uint32_t image, char why[WHY])
{
    struct picture *p = &r->picture;
    size_t size = 0;
    if (read_encoded(r, d->files[image], &size, why) || picture_decode(p, r->file, size, false, why))
        return EXIT_FAILED;
    if (d->rows && (p->rows != d->rows || p->columns != d->columns))
        return why_not(why, "is of %d x %d pixels, the others of %d x %d", p->columns, p->rows, d->columns, d->rows);
    return picture_set_channels(p, d->channels) ? why_not(why, "takes more memory than there is") : 0;
}

int dataset_picture(const struct dataset *d, struct dataset_reader *r, uint32_t image, char why[WHY])
{
    return (d->files ? read_picture_file : read_block)(d, r, image, why);
}

void dataset_reader_free(struct dataset_reader *r)
{
    picture_free(&r->picture);
    free(r->file);
    *r = (struct dataset_reader){0};
}
