/* MNIST's idx: big-endian numbers 0x00000803, pictures, rows, columns and then bytes, or 0x00000801, labels and then
 * bytes; as they are or compressed by gzip. */
#include "reader.h"

#include "say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

/* ---- a file, compressed or not ---- */

struct stream {
    const char *path;
    int file;
    uint64_t size; /* most bytes that it can have, uncompressed */
#ifdef HAVE_ZLIB
    gzFile gz;
#else
    uint64_t at;
#endif
};

enum { MOST_OF_A_BYTE = 1032 }; /* that deflate makes of one */

static int stream_open(struct stream *s, const char *path)
{
    unsigned char start[2] = {0};
    uint64_t size = 0;
    int file = file_open(path, &size);
    if (file < 0)
        return EXIT_FAILED;
    *s = (struct stream){.path = path, .file = file, .size = size};
    bool compressed = size >= 2 && !file_bytes(s->file, start, 2, 0) && start[0] == 0x1f && start[1] == 0x8b;
#ifdef HAVE_ZLIB
    s->size = compressed ? size * MOST_OF_A_BYTE : size;
    s->gz = gzdopen(s->file, "rb");
    if (s->gz)
        return 0;
    close(s->file);
    return say_error("%s: no memory to read it", path);
#else
    if (!compressed)
        return 0;
    close(s->file);
    return say_error("%s: is compressed by gzip, which this build does not read (it was built without zlib); "
                     "decompress it", path);
#endif
}

static void stream_close(struct stream *s)
{
#ifdef HAVE_ZLIB
    gzclose(s->gz);
#else
    close(s->file);
#endif
}

/* At most `size` bytes, fewer only at the end; what is damaged is said. */
static int stream_read(struct stream *s, void *to, size_t size, size_t *got)
{
#ifdef HAVE_ZLIB
    enum { AT_ONCE = 1 << 30 };
    int n = 1, code;
    for (*got = 0; *got < size && n > 0; *got += n > 0 ? (size_t)n : 0) {
        size_t left = size - *got;
        n = gzread(s->gz, (char *)to + *got, (unsigned)(left < AT_ONCE ? left : AT_ONCE));
    }
    const char *what = gzerror(s->gz, &code);
    if (n >= 0 && (code == Z_OK || code == Z_STREAM_END))
        return 0;
    return say_error("%s: cannot be read: %s", s->path, code == Z_ERRNO       ? strerror(errno)
                                                        : code == Z_BUF_ERROR  ? "it is cut short"
                                                        : code == Z_DATA_ERROR ? "it is damaged"
                                                                               : what);
#else
    size_t left = s->at < s->size ? (size_t)(s->size - s->at) : 0;
    *got = size < left ? size : left;
    int why = file_bytes(s->file, to, *got, s->at);
    s->at += *got;
    return why ? say_error("%s: cannot be read: %s", s->path, strerror(why)) : 0;
#endif
}

/* ---- a file of idx ---- */

struct idx {
    const char *path;
    bool labels;
    size_t count, rows, columns;
    unsigned char *bytes;
};

static size_t big_endian(const unsigned char *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static int read_header(struct idx *idx, struct stream *s)
{
    unsigned char header[16];
    size_t got;
    if (stream_read(s, header, 8, &got))
        return EXIT_FAILED;
    if (got == 8 && big_endian(header) == 0x801) {
        idx->labels = true;
        idx->rows = idx->columns = 1;
    } else {
        if (got < 8 || big_endian(header) != 0x803)
            return say_error("%s: is no idx file of bytes, of pictures (magic 0x00000803) or labels (0x00000801)",
                             idx->path);
        if (stream_read(s, header + 8, 8, &got))
            return EXIT_FAILED;
        if (got < 8)
            return say_error("%s: is cut short within its header", idx->path);
        idx->rows = big_endian(header + 8);
        idx->columns = big_endian(header + 12);
    }
    idx->count = big_endian(header + 4);
    return idx->count ? 0 : say_error("%s: is of no %s", idx->path, idx->labels ? "labels" : "pictures");
}

/* As many bytes as the header says, neither fewer nor more. */
static int read_body(struct idx *idx, struct stream *s)
{
    char why[WHY];
    size_t pixels = idx->rows * idx->columns, got = 0, more = 0; /* of 2^16 x 2^16 at most */
    if (picture_check_size(idx->rows, idx->columns, SIZE_MAX, 1, why))
        return say_error("%s: a picture of it %s", idx->path, why);
    if (idx->count > SIZE_MAX / pixels || idx->count * pixels > s->size)
        return say_error("%s: its header says %zu pictures of %zu x %zu, more than the file can hold", idx->path,
                         idx->count, idx->columns, idx->rows);
    size_t size = idx->count * pixels;
    idx->bytes = malloc(size);
    if (!idx->bytes)
        return say_error("%s: no memory for its %zu bytes", idx->path, size);
    if (stream_read(s, idx->bytes, size, &got) || (got == size && stream_read(s, &(char){0}, 1, &more)))
        return EXIT_FAILED;
    if (got < size)
        return say_error("%s: is cut short: its header says %zu bytes follow, there are %zu", idx->path, size, got);
    return more ? say_error("%s: has more bytes than its header says (%zu)", idx->path, size) : 0;
}

static int idx_load(struct idx *idx, const char *path)
{
    struct stream s;
    *idx = (struct idx){.path = path};
    if (stream_open(&s, path))
        return EXIT_FAILED;
    int status = read_header(idx, &s) || read_body(idx, &s);
    stream_close(&s);
    return status ? EXIT_FAILED : 0;
}

/* ---- the files of a data set ---- */

enum { MOST_FILES = 64 };

bool is_idx_name(const char *path)
{
    return has_word(path, "-idx3-ubyte|-idx1-ubyte|.idx3-ubyte|.idx1-ubyte") &&
           (has_ending(path, "ubyte") || has_ending(path, ".gz"));
}

/* The one file of pictures, or labels, of a part; NULL: none. */
static int find(struct idx **found, struct idx *all, size_t count, enum dataset_part part, bool labels)
{
    *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (part_of_name(all[i].path) != part || all[i].labels != labels)
            continue;
        if (*found)
            return say_error("%s and %s: both are %s of one part; give the files to be read", (*found)->path,
                             all[i].path, labels ? "labels" : "pictures");
        *found = &all[i];
    }
    return 0;
}

static int add_part(struct dataset *d, struct idx *pictures, const struct idx *labels, enum dataset_part part)
{
    const char *name = pictures ? pictures->path : labels ? labels->path : NULL;
    if (!name)
        return 0;
    if (!pictures || !labels)
        return say_error("%s: there is no file of the %s that belong to it", name, pictures ? "labels" : "pictures");
    if (pictures->count != labels->count)
        return say_error("%s: %zu pictures, but %s has %zu labels", name, pictures->count, labels->path, labels->count);
    if (dataset_shape(d, name, pictures->rows, pictures->columns, 1) || dataset_grow(d, name, pictures->count, part))
        return EXIT_FAILED;
    for (size_t i = 0; i < labels->count; i++)
        d->labels[d->count - labels->count + i] = labels->bytes[i];
    struct dataset_block block = {.count = pictures->count, .bytes = pictures->bytes};
    pictures->bytes = NULL;
    return dataset_add_block(d, name, block);
}

/* What is trained for says how many classes there are; others that the test has are found by who opens. */
static int name_classes(struct dataset *d, const char *path)
{
    static const char *const fashion[] = {"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt",
                                          "sneaker", "bag", "ankle boot"};
    struct path_list names = {0};
    int most = 0, status = 0;
    for (size_t i = 0; i < d->count; i++)
        if (d->official[i] == DATASET_TRAIN && d->labels[i] > most)
            most = d->labels[i];
    if (most != 9 || (!strstr(path, "fashion") && !strstr(path, "Fashion")))
        return dataset_number_classes(d, most + 1);
    for (int i = 0; i <= most && !status; i++)
        status = path_add(&names, NULL, fashion[i]);
    if (!status)
        return dataset_name_classes(d, names.items, most + 1);
    path_free(&names);
    return status;
}

static int add_all(struct dataset *d, struct idx *all, size_t count)
{
    for (enum dataset_part part = 0; part < DATASET_PARTS; part++) {
        struct idx *pictures, *labels;
        if (find(&pictures, all, count, part, false) || find(&labels, all, count, part, true) ||
            add_part(d, pictures, labels, part))
            return EXIT_FAILED;
    }
    return name_classes(d, all[0].path);
}

int read_idx(struct dataset *d, const struct path_list *files)
{
    struct idx all[MOST_FILES];
    size_t count = 0;
    int status = 0;
    d->kind = "MNIST's idx";
    if (files->count > MOST_FILES)
        return say_error("%s: one of %zu files of a data set; give the four to be read", files->items[0], files->count);
    while (count < files->count && !status) {
        status = idx_load(&all[count], files->items[count]);
        count++;
    }
    if (!status)
        status = add_all(d, all, count);
    for (size_t i = 0; i < count; i++)
        free(all[i].bytes);
    return status;
}
