#include "text.h"

#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int append(struct text *text, enum text_part part, const unsigned char *bytes, size_t size)
{
    unsigned char *more = realloc(text->part[part], text->size[part] + size + 1);
    if (!more)
        return say_error("no memory for %zu bytes of text; give less of it", text->size[part] + size);
    memcpy(more + text->size[part], bytes, size);
    text->part[part] = more;
    text->size[part] += size;
    return 0;
}

/* Reads to the end: the size is asked for a first guess only, since a pipe has none. */
static int read_whole(FILE *file, const char *path, unsigned char **bytes, size_t *size)
{
    struct stat info;
    size_t capacity = fstat(fileno(file), &info) == 0 && info.st_size > 0 ? (size_t)info.st_size + 1 : 65536;
    *bytes = NULL;
    *size = 0;
    do {
        capacity = *bytes ? 2 * capacity : capacity;
        unsigned char *more = realloc(*bytes, capacity);
        if (!more)
            return say_error("%s: no memory for %zu bytes; give a smaller file", path, capacity);
        *bytes = more;
        *size += fread(*bytes + *size, 1, capacity - *size, file);
    } while (*size == capacity);
    if (ferror(file))
        return say_error("%s: cannot be read: %s", path, strerror(errno));
    if (*size == 0)
        return say_error("%s: is empty; give a file of text", path);
    return 0;
}

static int load_file(struct text *text, const char *path)
{
    unsigned char *bytes = NULL;
    size_t size;
    FILE *file = fopen(path, "rb");
    if (!file)
        return say_error("%s: cannot be opened: %s", path, strerror(errno));
    int status = read_whole(file, path, &bytes, &size);
    if (!status) {
        size_t held_out = size / 20, train = size - 2 * held_out;
        status = append(text, TEXT_TRAIN, bytes, train);
        status = status ? status : append(text, TEXT_VALID, bytes + train, held_out);
        status = status ? status : append(text, TEXT_TEST, bytes + train + held_out, held_out);
    }
    free(bytes);
    fclose(file);
    return status;
}

int text_load(struct text *text, const struct arg_list *files, int length)
{
    memset(text, 0, sizeof *text);
    int status = files->count ? 0 : say_error("no text: give --data FILE (see --help)");
    for (int i = 0; i < files->count && !status; i++)
        status = load_file(text, files->items[i]);
    if (!status && text->size[TEXT_TEST] <= (size_t)length)
        status = say_error("%s: too short: its last 5%% hold %zu bytes, a window takes %d; give at least %zu bytes of "
                           "text, or train with a smaller --length", files->items[0], text->size[TEXT_TEST],
                           length + 1, 20 * ((size_t)length + 1));
    if (status)
        text_free(text);
    return status;
}

void text_free(struct text *text)
{
    for (int i = 0; i < TEXT_PARTS; i++)
        free(text->part[i]);
    memset(text, 0, sizeof *text);
}

/* ---- using ---- */

struct ssa_data text_data(const struct text *text, enum text_part part)
{
    return (struct ssa_data){.items = text->part[part], .count = text->size[part], .item_size = 1};
}

uint64_t text_fingerprint(const struct text *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int p = 0; p < TEXT_PARTS; p++)
        for (size_t i = 0; i < text->size[p]; i++)
            hash = (hash ^ text->part[p][i]) * 0x100000001b3u;
    return hash;
}
