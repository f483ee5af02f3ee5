/* Folders of JPEG and PNG: a folder a class, perhaps within folders train, val and test; or without classes. */
#include "reader.h"

#include "say.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEEPEST = 32, PROBES = 64 };

/* Why files are not read. */
enum { NO_JPEG, NO_PNG, NO_PICTURE, NOT_THERE, NOT_REGULAR, LOOP, REASONS };
static const char *const reasons[REASONS] = {
    "JPEG, and this build was made without libjpeg", "PNG, and this build was made without libpng",
    "neither .jpg nor .jpeg nor .png", "links to nothing, or cannot be looked at", "neither file nor folder",
    "a folder that contains itself"};

struct walk {
    struct dataset *d;
    const char *root;
    size_t capacity;          /* of d->files */
    struct path_list classes; /* sorted, as folders are walked */
    struct {
        size_t count;
        char first[WHY];
    } skipped[REASONS];
};

/* The folders that we are in, the innermost first. */
struct inside {
    const struct inside *outer;
    dev_t device;
    ino_t inode;
    int depth;
};

static void skip(struct walk *w, int reason, const char *path)
{
    size_t length = strlen(path);
    if (!w->skipped[reason].count++)
        snprintf(w->skipped[reason].first, WHY, "%s%s", length < WHY ? "" : "...",
                 length < WHY ? path : path + length - (WHY - 4));
    w->d->skipped++;
}

static int reason_of_name(const char *path)
{
    if (has_ending(path, ".jpg") || has_ending(path, ".jpeg"))
        return picture_kind_is_read(PICTURE_JPEG) ? REASONS : NO_JPEG;
    if (has_ending(path, ".png"))
        return picture_kind_is_read(PICTURE_PNG) ? REASONS : NO_PNG;
    return NO_PICTURE;
}

static int add_file(struct walk *w, const char *path, int label, enum dataset_part part)
{
    struct dataset *d = w->d;
    if (d->count == w->capacity) {
        size_t capacity = 2 * w->capacity + 1024;
        char **more = realloc(d->files, capacity * sizeof *more);
        if (!more)
            return say_error("%s: no memory for the list of its files", w->root);
        d->files = more;
        w->capacity = capacity;
    }
    if (dataset_grow(d, w->root, 1, part))
        return EXIT_FAILED;
    d->labels[d->count - 1] = label;
    d->files[d->count - 1] = strdup(path);
    return d->files[d->count - 1] ? 0 : say_error("%s: no memory for the list of its files", w->root);
}

/* ---- walking ---- */

static int folder_paths(struct path_list *paths, const char *folder)
{
    struct path_list names = {0};
    int status = folder_names(&names, folder);
    for (size_t i = 0; i < names.count && !status; i++)
        status = path_add(paths, folder, names.items[i]);
    path_free(&names);
    return status;
}

static int walk_folder(struct walk *w, const char *folder, const struct inside *outer, int label,
                       enum dataset_part part);

static int walk_entry(struct walk *w, const char *path, const struct inside *in, int label, enum dataset_part part)
{
    struct stat s;
    if (stat(path, &s))
        return skip(w, NOT_THERE, path), 0;
    if (S_ISREG(s.st_mode)) {
        int reason = reason_of_name(path);
        return reason < REASONS ? skip(w, reason, path), 0 : add_file(w, path, label, part);
    }
    if (!S_ISDIR(s.st_mode))
        return skip(w, NOT_REGULAR, path), 0;
    for (const struct inside *i = in; i; i = i->outer)
        if (i->device == s.st_dev && i->inode == s.st_ino)
            return skip(w, LOOP, path), 0;
    return walk_folder(w, path, in, label, part);
}

static int enter(struct inside *in, const char *folder, const struct inside *outer)
{
    struct stat s;
    *in = (struct inside){.outer = outer, .depth = outer ? outer->depth + 1 : 0};
    if (in->depth > DEEPEST)
        return say_error("%s: lies more than %d folders deep", folder, DEEPEST);
    if (stat(folder, &s))
        return say_error("%s: cannot be looked at: %s", folder, strerror(errno));
    in->device = s.st_dev;
    in->inode = s.st_ino;
    return 0;
}

/* All pictures in it and below. */
static int walk_folder(struct walk *w, const char *folder, const struct inside *outer, int label,
                       enum dataset_part part)
{
    struct path_list paths = {0};
    struct inside in;
    int status = enter(&in, folder, outer);
    if (!status)
        status = folder_paths(&paths, folder);
    for (size_t i = 0; i < paths.count && !status; i++)
        status = walk_entry(w, paths.items[i], &in, label, part);
    path_free(&paths);
    return status;
}

/* ---- classes ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int class_of(const struct walk *w, const char *name)
{
    char *const *found = w->classes.count
        ? bsearch(&name, w->classes.items, w->classes.count, sizeof *w->classes.items, compare_names) : NULL;
    return found ? (int)(found - w->classes.items) : -1;
}

/* What is trained for makes the classes; others must be among them. */
static int walk_class(struct walk *w, const char *path, const struct inside *in, enum dataset_part part)
{
    const char *name = path_end(path);
    bool makes = part == DATASET_TRAIN;
    size_t before = w->d->count;
    int label = makes ? (int)w->classes.count : class_of(w, name);
    if (walk_entry(w, path, in, label, part))
        return EXIT_FAILED;
    if (w->d->count == before)
        return say_note("%s: has no pictures, and is no class", path), 0;
    if (label < 0)
        return say_error("%s: a class without pictures for training", path);
    return makes ? path_add(&w->classes, NULL, name) : 0;
}

static bool has_own_pictures(const struct path_list *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        if (reason_of_name(paths->items[i]) != NO_PICTURE && is_file(paths->items[i]))
            return true;
    return false;
}

/* A part: classes, or without. */
static int walk_part(struct walk *w, const char *folder, enum dataset_part part)
{
    struct path_list paths = {0};
    struct inside in;
    int status = enter(&in, folder, NULL);
    if (!status)
        status = folder_paths(&paths, folder);
    bool classes = !has_own_pictures(&paths) && (part == DATASET_TRAIN || w->classes.count);
    for (size_t i = 0; i < paths.count && !status; i++)
        status = classes && is_folder(paths.items[i]) ? walk_class(w, paths.items[i], &in, part)
                                                      : walk_entry(w, paths.items[i], &in, -1, part);
    path_free(&paths);
    return status;
}

/* "train", "val", "valid_64x64": which part, or -1. */
static int part_of_folder(const char *name)
{
    static const char *const names[] = {"train", "val", "valid", "validation", "test"};
    static const enum dataset_part parts[] = {DATASET_TRAIN, DATASET_VALID, DATASET_VALID, DATASET_VALID, DATASET_TEST};
    size_t length = strcspn(name, "_-");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && !strncmp(name, names[i], length))
            return (int)parts[i];
    return -1;
}

/* Training first: it makes the classes. */
static int walk_parts(struct walk *w, const struct path_list *names)
{
    int status = 0;
    for (int part = DATASET_TRAIN; part < DATASET_PARTS; part++)
        for (size_t i = 0; i < names->count && !status; i++) {
            struct path_list path = {0};
            if (part_of_folder(names->items[i]) != part)
                continue;
            status = path_add(&path, w->root, names->items[i]);
            if (!status && is_folder(path.items[0]))
                status = walk_part(w, path.items[0], (enum dataset_part)part);
            path_free(&path);
        }
    return status;
}

/* A class may be called "train": only where all folders are parts are they that. */
static bool are_parts(const struct walk *w, const struct path_list *names)
{
    struct path_list path = {0};
    int training = 0, others = 0;
    for (size_t i = 0; i < names->count; i++) {
        int part = part_of_folder(names->items[i]);
        bool folder = !path_add(&path, w->root, names->items[i]) && is_folder(path.items[path.count - 1]);
        training += folder && part == DATASET_TRAIN;
        others += folder && part < 0;
    }
    path_free(&path);
    return training && !others;
}

static int walk_all(struct walk *w)
{
    struct path_list names = {0};
    int status = folder_names(&names, w->root);
    if (!status)
        status = are_parts(w, &names) ? walk_parts(w, &names) : walk_part(w, w->root, DATASET_TRAIN);
    path_free(&names);
    return status;
}

/* ---- what they are ---- */

static void tell_skipped(const struct walk *w)
{
    for (int r = 0; r < REASONS; r++)
        if (w->skipped[r].count)
            say_note("%s: %zu %s not read: %s; the first is %s", w->root, w->skipped[r].count,
                     w->skipped[r].count == 1 ? "is" : "are", reasons[r], w->skipped[r].first);
}

/* Some of them, spread over all, tell whether all are of one size and whether there is colour. What cannot be read of
 * those is left to whoever reads it. */
static int probe(struct dataset *d, const char *root)
{
    struct dataset_reader r = {0};
    char why[WHY], first_why[WHY] = "";
    size_t probes = d->count < PROBES ? d->count : PROBES, seen = 0;
    d->channels = 1;
    for (size_t i = 0; i < probes; i++) {
        if (dataset_header(d, &r, (uint32_t)(i * d->count / probes), why)) {
            memcpy(first_why, *first_why ? first_why : why, WHY);
            continue;
        }
        d->channels = r.picture.channels == 3 ? 3 : d->channels;
        d->rows = !seen || d->rows == r.picture.rows ? r.picture.rows : 0;
        d->columns = !seen || d->columns == r.picture.columns ? r.picture.columns : 0;
        seen++;
    }
    d->rows = d->columns ? d->rows : 0;
    d->columns = d->rows ? d->columns : 0;
    dataset_reader_free(&r);
    return seen ? 0 : say_error("%s: none of %zu pictures that were tried can be read; the first %s", root, probes,
                                first_why);
}

/* One folder of all is no class. */
static int name_classes(struct walk *w)
{
    if (w->classes.count < 2) {
        for (size_t i = 0; i < w->d->count; i++)
            w->d->labels[i] = -1;
        return 0;
    }
    char **names = w->classes.items;
    int count = (int)w->classes.count;
    w->classes = (struct path_list){0};
    return dataset_name_classes(w->d, names, count);
}

int read_folder(struct dataset *d, const char *folder)
{
    struct walk w = {.d = d, .root = folder};
    d->kind = "folders of pictures";
    d->folder_length = strlen(folder);
    int status = walk_all(&w);
    tell_skipped(&w);
    if (!status && !d->count)
        status = say_error("%s: there are no pictures in it that this build reads, nor files of MNIST, CIFAR or npz",
                           folder);
    if (!status)
        status = probe(d, folder);
    if (!status)
        status = name_classes(&w);
    path_free(&w.classes);
    return status;
}
