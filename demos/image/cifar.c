/* The binary version of CIFAR-10, records of a label and 3072 planar pixels, and of CIFAR-100, with two labels, the
 * coarse one first. */
#include "reader.h"

#include "say.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE, PICTURE = 3 * PIXELS, LARGEST = 1 << 30 };

struct cifar {
    int labels; /* bytes before the pixels: 1 or 2 */
    int which;  /* of them, is the class */
    int classes;
};

static bool is_cifar10_name(const char *path)
{
    return has_word(path, "data_batch_|test_batch");
}

bool is_cifar_name(const char *path)
{
    const char *name = path_end(path);
    bool hundred = !strcmp(name, "train.bin") || !strcmp(name, "test.bin");
    return has_ending(path, ".bin") && (hundred || is_cifar10_name(path));
}

static int check_record(const struct cifar *cifar, const char *path, const unsigned char *record, size_t i)
{
    int most = cifar->labels == 2 && cifar->which == 0 ? 20 : cifar->classes, label = record[cifar->which];
    return label < most ? 0
                        : say_error("%s: record %zu (from 0) is of class %d, classes are 0 to %d", path, i, label,
                                    most - 1);
}

/* Takes the bytes. */
static int add_records(struct dataset *d, const struct cifar *cifar, const char *path, unsigned char *bytes,
                       size_t count)
{
    size_t record = (size_t)cifar->labels + PICTURE, first = d->count;
    if (dataset_shape(d, path, SIDE, SIDE, 3) || dataset_grow(d, path, count, part_of_name(path)))
        return free(bytes), EXIT_FAILED;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *at = bytes + i * record;
        if (check_record(cifar, path, at, i))
            return free(bytes), EXIT_FAILED;
        d->labels[first + i] = at[cifar->which];
        memmove(bytes + i * PICTURE, at + cifar->labels, PICTURE);
    }
    return dataset_add_block(d, path, (struct dataset_block){.count = count, .bytes = bytes, .planar = true});
}

static int read_file(struct dataset *d, const struct cifar *cifar, const char *path)
{
    size_t record = (size_t)cifar->labels + PICTURE, size;
    unsigned char *bytes;
    if (file_load(path, LARGEST, &bytes, &size))
        return EXIT_FAILED;
    if (size && size % record == 0)
        return add_records(d, cifar, path, bytes, size / record);
    free(bytes);
    return say_error("%s: its %zu bytes are no whole number of records of %zu; is it CIFAR-%d's binary version?", path,
                     size, record, cifar->labels == 1 ? 10 : 100);
}

/* Beside the files; without one, numbers. */
static int name_classes(struct dataset *d, const struct cifar *cifar, const char *beside, const char *file)
{
    struct path_list place = {0}, names = {0};
    int length = (int)(path_end(beside) - beside);
    char *folder = strndup(beside, (size_t)length);
    int status = !folder ? say_error("no memory") : path_add(&place, *folder ? folder : NULL, file);
    free(folder);
    if (!status)
        status = file_lines(&names, place.items[0]);
    if (!status && names.count == (size_t)cifar->classes)
        return path_free(&place), dataset_name_classes(d, names.items, cifar->classes);
    if (!status && names.count)
        status = say_error("%s: %zu names, the data set has %d classes", place.items[0], names.count, cifar->classes);
    path_free(&place);
    path_free(&names);
    return status ? status : dataset_number_classes(d, cifar->classes);
}

int read_cifar(struct dataset *d, const struct path_list *files, const struct dataset_options *options)
{
    bool coarse = options->coarse_labels, ten = is_cifar10_name(files->items[0]);
    struct cifar cifar = {.labels = ten ? 1 : 2, .which = !ten && !coarse, .classes = ten ? 10 : coarse ? 20 : 100};
    const char *names = ten ? "batches.meta.txt" : coarse ? "coarse_label_names.txt" : "fine_label_names.txt";
    int status = 0;
    d->kind = ten ? "CIFAR-10" : "CIFAR-100";
    for (size_t i = 0; i < files->count && !status; i++)
        status = is_cifar10_name(files->items[i]) == ten
            ? read_file(d, &cifar, files->items[i])
            : say_error("%s and %s are of different data sets", files->items[0], files->items[i]);
    return status ? status : name_classes(d, &cifar, files->items[0], names);
}
