#include "safetensors.h"

#include "bytes.h"
#include "say.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the header ---- */

static int parse(struct tensors *t, uint64_t length, char why[WHY])
{
    char *text = malloc((size_t)length + 1);
    if (!text)
        return why_not(why, "no memory for its header");
    if (!file_bytes(t->file, text, (size_t)length, 8))
        t->entries = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    json_object_del(t->entries, "__metadata__");
    return json_is_object(t->entries) ? 0 : why_not(why, "is no safetensors file: its header is no JSON");
}

/* Of a file of `all` bytes. */
static int read_header(struct tensors *t, uint64_t all, char why[WHY])
{
    enum { MOST = 1 << 20 }; /* a hundred bytes a tensor: of 800 layers */
    unsigned char length[8] = {0};
    uint64_t n = 0;
    if (all < 8 || file_bytes(t->file, length, 8, 0))
        return why_not(why, "is no safetensors file: it has not the length of a header");
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)length[i] << 8 * i;
    if (n > all - 8 || n > MOST)
        return why_not(why, "is no safetensors file, or cut short: its header would have %llu bytes",
                       (unsigned long long)n);
    t->data = 8 + n;
    t->size = all - t->data;
    return parse(t, n, why);
}

int tensors_open(struct tensors *t, const char *path)
{
    char why[WHY];
    uint64_t all = 0;
    *t = (struct tensors){.path = path, .file = file_open(path, &all)};
    return t->file < 0 ? EXIT_FAILED : read_header(t, all, why) ? say_error("%s: %s", path, why) : 0;
}

bool tensors_look(struct tensors *t, const char *path)
{
    char why[WHY];
    struct stat s;
    *t = (struct tensors){.path = path, .file = is_file(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1};
    return t->file >= 0 && !fstat(t->file, &s) && !read_header(t, (uint64_t)s.st_size, why);
}

void tensors_close(struct tensors *t)
{
    json_decref(t->entries);
    if (t->file >= 0)
        close(t->file);
    *t = (struct tensors){.file = -1};
}

/* ---- tensors ---- */

int tensors_dimension(const struct tensors *t, const char *name, size_t i)
{
    const json_t *shape = json_object_get(json_object_get(t->entries, name), "shape");
    const json_int_t n = json_integer_value(json_array_get(shape, i));
    return n > 0 && n <= 1 << 30 ? (int)n : 0;
}

bool tensors_has(const struct tensors *t, const char *name)
{
    return json_object_get(t->entries, name) != NULL;
}

const char *tensors_shape_text(const json_t *shape, char text[64])
{
    size_t used = 0;
    *text = 0;
    for (size_t i = 0; i < json_array_size(shape) && used < 60; i++)
        used += (size_t)snprintf(text + used, 64 - used, "%s%d", i ? ", " : "[",
                                 (int)json_integer_value(json_array_get(shape, i)));
    snprintf(text + used, used < 64 ? 64 - used : 0, "]");
    return text;
}

static uint64_t count_of(const json_t *shape)
{
    uint64_t count = 1;
    for (size_t i = 0; i < json_array_size(shape); i++)
        count *= (uint64_t)json_integer_value(json_array_get(shape, i));
    return count;
}

int tensors_find(const struct tensors *t, const char *name, const char *type, const json_t *shape, uint64_t *at)
{
    const json_t *entry = json_object_get(t->entries, name), *offsets = json_object_get(entry, "data_offsets");
    const char *has = json_string_value(json_object_get(entry, "dtype"));
    const json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    const json_int_t end = json_integer_value(json_array_get(offsets, 1));
    const uint64_t bytes = count_of(shape) * (strcmp(type, "I64") ? 4 : 8);
    char text[64];
    if (!entry)
        return say_error("%s: has no %s", t->path, name);
    if (!has || strcmp(has, type))
        return say_error("%s: %s is of type %.20s, not %s: convert it before it is saved", t->path, name,
                         has ? has : "?", type);
    if (!json_equal(json_object_get(entry, "shape"), shape))
        return say_error("%s: %s has not the shape of %s", t->path, name, tensors_shape_text(shape, text));
    if (begin < 0 || end < begin || (uint64_t)end > t->size || (uint64_t)(end - begin) != bytes)
        return say_error("%s: %s is not where it should be: cut short?", t->path, name);
    *at = t->data + (uint64_t)begin;
    return 0;
}

int tensors_read(const struct tensors *t, const char *name, void *to, size_t count, size_t each, uint64_t at)
{
    return file_bytes(t->file, to, count * each, at) ? say_error("%s: %s cannot be read", t->path, name) : 0;
}
