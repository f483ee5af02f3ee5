/* Files of pictures, each input as every kind of file there is: MNIST's pictures and labels, CIFAR, npz, and in a
 * folder, as PNG or JPEG. What opens is read whole. PNG also with its sums made right, since whoever changes a file
 * could. */
#define _GNU_SOURCE
#include "dataset.h"
#include "fuzz.h"
#include "said.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef HAVE_JPEG
#include <jpeglib.h>
#endif
#ifdef HAVE_PNG
#include <png.h>
#endif
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

enum { SIDE = 8, COUNT = 6 };

/* ---- seeds ---- */

static size_t big_endian(unsigned char *to, const uint32_t *numbers, int count)
{
    for (int i = 0; i < 4 * count; i++)
        to[i] = (unsigned char)(numbers[i / 4] >> (24 - 8 * (i % 4)));
    return 4 * (size_t)count;
}

static void fill(unsigned char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(i * i + 11 * i);
}

/* As files beside which the mutants of the other one are read, too. */
static void seed_idx(void)
{
    unsigned char pictures[16 + COUNT * SIDE * SIDE], labels[8 + COUNT];
    big_endian(pictures, (uint32_t[]){0x803, COUNT, SIDE, SIDE}, 4);
    fill(pictures + 16, sizeof pictures - 16);
    big_endian(labels, (uint32_t[]){0x801, COUNT}, 2);
    for (int i = 0; i < COUNT; i++)
        labels[8 + i] = (unsigned char)(i % 3);
    fuzz_seed(pictures, sizeof pictures);
    fuzz_seed(labels, sizeof labels);
    fuzz_write(fuzz_path("good-images"), pictures, sizeof pictures);
    fuzz_write(fuzz_path("good-labels"), labels, sizeof labels);
#ifdef HAVE_ZLIB
    gzFile gz = gzopen(fuzz_path("packed"), "wb");
    MUST(gz && gzwrite(gz, pictures, sizeof pictures) == (int)sizeof pictures && gzclose(gz) == Z_OK, "no gz");
    fuzz_seed_file(fuzz_path("packed"));
#endif
}

static void little_endian(unsigned char **at, uint32_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (unsigned char)(number >> 8 * i);
}

/* What both headers of a member have; of its own in the directory. */
static void put_member(unsigned char **at, const char *name, uint32_t crc, uint32_t packed, uint32_t size, int method)
{
    little_endian(at, 20, 2);
    little_endian(at, 0, 2);
    little_endian(at, (uint32_t)method, 2);
    little_endian(at, 0, 4);
    little_endian(at, crc, 4);
    little_endian(at, packed, 4);
    little_endian(at, size, 4);
    little_endian(at, (uint32_t)strlen(name), 2);
    little_endian(at, 0, 2);
}

static uint32_t pack(unsigned char *to, const unsigned char *from, uint32_t size, int method)
{
    memcpy(to, from, size);
#ifdef HAVE_ZLIB
    z_stream z = {.next_in = (unsigned char *)from, .avail_in = size, .next_out = to, .avail_out = size + 100};
    if (method && deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK) {
        deflate(&z, Z_FINISH);
        deflateEnd(&z);
        return (uint32_t)z.total_out;
    }
#endif
    (void)method;
    return size;
}

static uint32_t sum_of(const unsigned char *bytes, uint32_t size)
{
#ifdef HAVE_ZLIB
    return (uint32_t)crc32(0, bytes, size);
#else
    return (void)bytes, (void)size, 0; /* which then nobody looks at */
#endif
}

static uint32_t npy(unsigned char *to, const char *header, uint32_t size)
{
    uint32_t length = (uint32_t)strlen(header);
    memcpy(to, "\x93NUMPY\1\0", 8);
    to[8] = (unsigned char)length;
    to[9] = 0;
    memcpy(to + 10, header, length);
    for (uint32_t i = 0; i < size; i++)
        to[10 + length + i] = (unsigned char)(1 + i % 3);
    return 10 + length + size;
}

static void seed_npz(int method)
{
    static const char *const names[] = {"data.npy", "labels.npy"};
    static const char *const headers[] = {"{'descr': '|u1', 'fortran_order': False, 'shape': (6, 192), }\n",
                                          "{'descr': '|u1', 'fortran_order': False, 'shape': (6,), }\n"};
    unsigned char zip[8192], directory[512], array[2048], *at = zip, *entry = directory;
    for (int i = 0; i < 2; i++) {
        uint32_t size = npy(array, headers[i], i ? 6 : 6 * 192), begin = (uint32_t)(at - zip);
        unsigned char packed[4096];
        uint32_t bytes = pack(packed, array, size, method), crc = sum_of(array, size);
        little_endian(&at, 0x04034b50, 4);
        put_member(&at, names[i], crc, bytes, size, method);
        at = mempcpy(mempcpy(at, names[i], strlen(names[i])), packed, bytes);
        little_endian(&entry, 0x02014b50, 4);
        little_endian(&entry, 20, 2);
        put_member(&entry, names[i], crc, bytes, size, method);
        for (int zero = 0; zero < 5; zero++)
            little_endian(&entry, 0, 2);
        little_endian(&entry, begin, 4);
        entry = mempcpy(entry, names[i], strlen(names[i]));
    }
    uint32_t start = (uint32_t)(at - zip), size = (uint32_t)(entry - directory);
    at = mempcpy(at, directory, size);
    little_endian(&at, 0x06054b50, 4);
    little_endian(&at, 0, 4);
    little_endian(&at, 2 | 2 << 16, 4);
    little_endian(&at, size, 4);
    little_endian(&at, start, 4);
    little_endian(&at, 0, 2);
    fuzz_seed(zip, (size_t)(at - zip));
}

static void seed_png(void)
{
#ifdef HAVE_PNG
    static const png_uint_32 formats[] = {PNG_FORMAT_RGBA, PNG_FORMAT_GRAY, PNG_FORMAT_RGBA_COLORMAP};
    unsigned char pixels[SIDE * SIDE * 4], colours[256 * 4], out[4096];
    fill(pixels, sizeof pixels);
    fill(colours, sizeof colours);
    for (int i = 0; i < 3; i++) {
        png_image image = {.version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = formats[i],
                           .colormap_entries = 256};
        png_alloc_size_t size = sizeof out;
        MUST(png_image_write_to_memory(&image, out, &size, 0, pixels, 0, colours), "%s", image.message);
        fuzz_seed(out, size);
    }
#endif
}

static void seed_jpeg(void)
{
#ifdef HAVE_JPEG
    for (int kind = 0; kind < 3; kind++) { /* colour, progressive, inks */
        struct jpeg_compress_struct j;
        struct jpeg_error_mgr errors;
        unsigned char row[SIDE * 4], *out = NULL, *rows = row;
        unsigned long size = 0;
        j.err = jpeg_std_error(&errors);
        jpeg_create_compress(&j);
        jpeg_mem_dest(&j, &out, &size);
        j.image_width = j.image_height = SIDE;
        j.input_components = kind == 2 ? 4 : 3;
        j.in_color_space = kind == 2 ? JCS_CMYK : JCS_RGB;
        jpeg_set_defaults(&j);
        if (kind == 1)
            jpeg_simple_progression(&j);
        jpeg_start_compress(&j, TRUE);
        for (int r = 0; r < SIDE; r++) {
            fill(row, sizeof row);
            jpeg_write_scanlines(&j, &rows, 1);
        }
        jpeg_finish_compress(&j);
        jpeg_destroy_compress(&j);
        fuzz_seed(out, size);
        free(out);
    }
#endif
}

static void begin(void)
{
    unsigned char record[3073] = {7};
    MUST(!mkdir(fuzz_path("folder"), 0777), "%s", strerror(errno));
    seed_idx();
    fill(record + 1, sizeof record - 1);
    fuzz_seed(record, sizeof record);
    seed_npz(0);
#ifdef HAVE_ZLIB
    seed_npz(8);
#endif
    seed_png();
    seed_jpeg();
}

/* ---- reading ---- */

/* All pixels, for a sanitizer: they are there. */
static void read_all(const struct dataset *d)
{
    struct dataset_reader r = {0};
    char why[WHY];
    unsigned sum = 0;
    for (size_t i = 0; i < d->count && i < 100; i++) {
        *why = 0;
        int status = dataset_picture(d, &r, (uint32_t)i, why);
        MUST(!status || *why, "no reason");
        MUST(!strpbrk(why, "\r\n"), "%s", why);
        size_t size = status ? 0 : (size_t)r.picture.rows * (size_t)r.picture.columns * (size_t)r.picture.channels;
        for (size_t b = 0; b < size; b++)
            sum += r.picture.pixels[b];
    }
    MUST(sum < UINT32_MAX, "%u", sum);
    dataset_reader_free(&r);
}

static bool open_paths(const char *const *paths, int count)
{
    struct dataset d;
    said_begin();
    int status = dataset_open(&d, paths, count, &(struct dataset_options){.seed = 1});
    said_end(status);
    if (status)
        return false;
    size_t parts = d.part[0].count + d.part[1].count + d.part[2].count;
    MUST(d.count && parts <= d.count && d.part[DATASET_TRAIN].count, "%zu of %zu pictures", parts, d.count);
    read_all(&d);
    dataset_free(&d);
    return true;
}

static bool open_as(const char *name, const char *beside, const unsigned char *bytes, size_t size)
{
    char path[512], other[512];
    snprintf(path, sizeof path, "%s", fuzz_path(name));
    remove(path); /* a new file costs nothing, but one that is cut to nothing some milliseconds of the disk */
    fuzz_write(path, bytes, size);
    snprintf(other, sizeof other, "%s", fuzz_path(beside ? beside : ""));
    return open_paths((const char *[]){path, other}, beside ? 2 : 1);
}

static bool open_in_folder(const unsigned char *bytes, size_t size)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", fuzz_path("folder"));
    remove(fuzz_path("folder/picture.png"));
    fuzz_write(fuzz_path("folder/picture.png"), bytes, size);
    return open_paths((const char *[]){folder}, 1);
}

static bool open_all(const unsigned char *bytes, size_t size)
{
    const bool taken[] = {
        open_as("images", "good-labels", bytes, size), open_as("labels", "good-images", bytes, size),
        open_as("data_batch_1.bin", NULL, bytes, size), open_as("data.npz", NULL, bytes, size),
        open_in_folder(bytes, size)};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (taken[i])
            return true;
    return false;
}

/* Of every piece of a PNG that is where the one before says. */
static bool sign(unsigned char *bytes, size_t size)
{
    bool changed = false;
#ifdef HAVE_ZLIB
    for (size_t at = 8; at + 12 <= size;) {
        const unsigned char *p = bytes + at;
        size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (length > size - at - 12)
            break;
        uint32_t crc = (uint32_t)crc32(0, bytes + at + 4, (unsigned)length + 4);
        unsigned char was[4];
        memcpy(was, bytes + at + 8 + length, 4);
        big_endian(bytes + at + 8 + length, &crc, 1);
        changed |= memcmp(was, bytes + at + 8 + length, 4) != 0;
        at += 12 + length;
    }
#else
    (void)bytes, (void)size;
#endif
    return changed;
}

static bool run(const unsigned char *bytes, size_t size)
{
    bool taken = open_all(bytes, size);
    unsigned char *copy = malloc(size + 1);
    MUST(copy, "no memory");
    memcpy(copy, bytes, size);
    if (size > 8 && !memcmp(copy, "\x89PNG", 4) && sign(copy, size))
        taken |= open_in_folder(copy, size);
    free(copy);
    return taken;
}

const struct fuzz_target fuzz_images = {"images", begin, run, NULL,
    "IHDR IDAT IEND tRNS PLTE PK 'shape': (6,192) (3,8,8) (6,3,8,8) (1000000,192) 'descr': '|u1' '<i8' '>u2' True "
    "False data.npy labels.npy x_train.npy y_train.npy \xff\xd8\xff \xff\xc0 \xff\xc2 \xff\xda \xff\xd9 \x1f\x8b\x08"};
