#include "text.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading: once, into one buffer ---- */

struct buffer {
    unsigned char *bytes;
    size_t size, capacity;
};

static int reserve(struct buffer *b, size_t capacity)
{
    unsigned char *more = realloc(b->bytes, capacity);
    if (!more)
        return say_error("no memory for %zu bytes of text; give less of it", capacity);
    b->bytes = more;
    b->capacity = capacity;
    return 0;
}

/* Reads to the end, behind what is there. Files have been made room for; for pipes the buffer grows by half. */
static int append_all(struct buffer *b, int file, const char *name)
{
    enum { AT_ONCE = 1 << 30 }; /* no call reads 2 GiB */
    for (;;) {
        if (b->size == b->capacity && reserve(b, b->size + b->size / 2 + 65536))
            return EXIT_FAILED;
        size_t room = b->capacity - b->size;
        ssize_t n = read(file, b->bytes + b->size, room < AT_ONCE ? room : AT_ONCE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return say_error("%s: cannot be read: %s", name, strerror(errno));
        if (n == 0)
            return 0;
        b->size += (size_t)n;
    }
}

static bool is_stdin(const char *path)
{
    return !strcmp(path, "-");
}

static int append_file(struct buffer *b, const char *path)
{
    const char *name = is_stdin(path) ? "stdin" : path;
    int file = is_stdin(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t before = b->size;
    if (file < 0)
        return say_error("%s: cannot be opened: %s", path, strerror(errno));
    int status = append_all(b, file, name);
    if (!is_stdin(path))
        close(file);
    return !status && b->size == before ? say_error("%s: is empty; give a file of text", name) : status;
}

int text_read(const char *path, unsigned char **bytes, size_t *size)
{
    struct buffer b = {0};
    int status = append_file(&b, path);
    *bytes = b.bytes;
    *size = b.size;
    return status;
}

/* Of all files that have one, and room for the read that finds the end. */
static size_t expected_size(const struct arg_list *files)
{
    struct stat info;
    size_t size = 1;
    for (int i = 0; i < files->count; i++)
        if (!is_stdin(files->items[i]) && !stat(files->items[i], &info) && S_ISREG(info.st_mode))
            size += (size_t)info.st_size;
    return size;
}

/* ---- parts ---- */

static size_t held_out(size_t size)
{
    return size / 20;
}

static void measure_parts(struct text *text, const size_t *sizes, int count)
{
    for (int i = 0; i < count; i++) {
        text->size[TEXT_TRAIN] += sizes[i] - 2 * held_out(sizes[i]);
        text->size[TEXT_VALID] += held_out(sizes[i]);
        text->size[TEXT_TEST] += held_out(sizes[i]);
    }
}

/* Files lie one behind the other, each with its three parts. What is held out is set aside, and put behind what is left
 * of all: a tenth of the text is twice in memory for a moment, and no more. */
static int gather(struct text *text, const size_t *sizes, int count)
{
    size_t unit = (size_t)text->token_size, all = unit * (text->size[TEXT_VALID] + text->size[TEXT_TEST]);
    unsigned char *aside = malloc(all + 1), *valid = aside, *test = aside + unit * text->size[TEXT_VALID];
    unsigned char *train = text->bytes, *from = text->bytes;
    if (!aside)
        return say_error("no memory for a tenth of the text; give less of it");
    for (int i = 0; i < count; i++) {
        size_t held = unit * held_out(sizes[i]), kept = unit * sizes[i] - 2 * held;
        memcpy(valid, from + kept, held);
        memcpy(test, from + kept + held, held);
        memmove(train, from, kept);
        valid += held;
        test += held;
        train += kept;
        from += unit * sizes[i];
    }
    memcpy(train, aside, all);
    free(aside);
    return 0;
}

/* FNV-1a. */
static uint64_t hash(const unsigned char *bytes, size_t size)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

/* The same bytes as other tokens are another text. */
static uint64_t fingerprint(const struct text *text)
{
    size_t tokens = text->size[TEXT_TRAIN] + text->size[TEXT_VALID] + text->size[TEXT_TEST];
    return hash(text->bytes, tokens * (size_t)text->token_size) + (uint64_t)text->token_size - 1;
}

static int make_parts(struct text *text, const size_t *sizes, int count)
{
    measure_parts(text, sizes, count);
    if (count > 1 && gather(text, sizes, count))
        return EXIT_FAILED;
    text->part[TEXT_TRAIN] = text->bytes;
    for (int p = TEXT_TRAIN + 1; p < TEXT_PARTS; p++)
        text->part[p] = text->part[p - 1] + text->size[p - 1] * (size_t)text->token_size;
    text->fingerprint = fingerprint(text);
    return 0;
}

/* Before files are cut. */
static void find_largest(struct text *text, const struct arg_list *files, const size_t *sizes)
{
    struct ssa_data data = {.items = text->bytes, .item_size = text->token_size};
    size_t first = 0;
    for (int f = 0; f < files->count; first += sizes[f++])
        for (size_t i = 0; i < sizes[f]; i++) {
            uint32_t id = text_token(&data, first + i);
            if (!text->largest.file || id > text->largest.id) {
                text->largest.id = id;
                text->largest.file = files->items[f];
                text->largest.at = i;
            }
        }
}

static int count_tokens(const char *file, size_t bytes, int token_size, size_t *tokens)
{
    *tokens = bytes / (size_t)token_size;
    return bytes % (size_t)token_size == 0
        ? 0
        : say_error("%s: its %zu bytes are no whole number of tokens of %d bits; is it a token file, of that "
                    "width?", file, bytes, 8 * token_size);
}

static int read_files(struct text *text, const struct arg_list *files, size_t *sizes)
{
    struct buffer b = {0};
    int status = reserve(&b, expected_size(files));
    for (int i = 0; i < files->count && !status; i++) {
        size_t before = b.size;
        status = append_file(&b, files->items[i]) ||
                 count_tokens(files->items[i], b.size - before, text->token_size, &sizes[i]);
    }
    text->bytes = b.bytes;
    if (status)
        return EXIT_FAILED;
    find_largest(text, files, sizes);
    return make_parts(text, sizes, files->count);
}

int text_load(struct text *text, const struct arg_list *files, int token_size, int length)
{
    size_t *sizes = calloc((size_t)files->count + 1, sizeof *sizes);
    const char *what = token_size > 1 ? "tokens" : "bytes";
    *text = (struct text){.token_size = token_size};
    int status = !files->count ? say_error("no text: give --data FILE (see --help)")
                 : !sizes      ? say_error("no memory")
                               : read_files(text, files, sizes);
    if (!status && text->size[TEXT_TEST] <= (size_t)length)
        status = say_error("%s: too short: its last 5%% hold %zu %s, a window takes %d; give at least %zu %s of "
                           "text, or train with a smaller --length", files->items[0], text->size[TEXT_TEST], what,
                           length + 1, 20 * ((size_t)length + 1), what);
    free(sizes);
    if (status)
        text_free(text);
    return status;
}

void text_free(struct text *text)
{
    free(text->bytes);
    memset(text, 0, sizeof *text);
}

/* ---- using ---- */

int text_check_ids(const struct text *text, int vocabulary)
{
    if (text->largest.id < (uint32_t)vocabulary)
        return 0;
    return say_error("%s: %s %zu (from 0) is %" PRIu32 ", and the vocabulary has %d", text->largest.file,
                     text->token_size > 1 ? "token" : "byte", text->largest.at, text->largest.id, vocabulary);
}

uint32_t text_token(const struct ssa_data *data, size_t i)
{
    const unsigned char *at = (const unsigned char *)data->items + i * (size_t)data->item_size;
    uint16_t two;
    uint32_t four;
    if (data->item_size == 1)
        return *at;
    if (data->item_size == 2) {
        memcpy(&two, at, sizeof two);
        return two;
    }
    memcpy(&four, at, sizeof four);
    return four;
}

struct ssa_data text_data(const struct text *text, enum text_part part)
{
    return (struct ssa_data){.items = text->part[part], .count = text->size[part], .item_size = text->token_size};
}
