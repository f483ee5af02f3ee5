#include "safetensors.h"

#include "files.h"
#include "say.h"

#include "disk/json.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor_new *)a)->name, ((const struct tensor_new *)b)->name);
}

/* To be freed; NULL: no memory. */
static char *header_of(const struct tensor_new *tensors, int count)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    json_int_t begin = 0;
    int status = !header;
    for (int i = 0; !status && i < count; i++) {
        const json_int_t end = begin + (json_int_t)(sizeof(float) * tensors[i].count);
        status = !tensors[i].shape ||
                 json_object_set_new(header, tensors[i].name,
                                     json_pack("{s:s, s:O, s:[II]}", "dtype", "F32", "shape", tensors[i].shape,
                                               "data_offsets", begin, end));
        begin = end;
    }
    char *text = status ? NULL : ssa_json_text(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

/* What cannot be written is told when the file ends. */
static void write_header(FILE *to, const char *text)
{
    unsigned char length[8];
    const size_t size = strlen(text), padded = (size + 7) / 8 * 8;
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(padded >> 8 * i);
    fwrite(length, 1, sizeof length, to);
    fprintf(to, "%-*s", (int)padded, text);
}

static int write_all(FILE *file, const char *to, const struct tensor_new *tensors, int count,
                     int (*values)(void *cookie, const struct tensor_new *tensor, float *x), void *cookie)
{
    for (int i = 0; i < count; i++) {
        float *x = malloc(tensors[i].count * sizeof *x);
        const int status = x ? values(cookie, &tensors[i], x) : say_error("%s: no memory for %s", to, tensors[i].name);
        if (!status)
            fwrite(x, sizeof *x, tensors[i].count, file);
        free(x);
        if (status)
            return EXIT_FAILED;
    }
    return 0;
}

int tensors_write(const char *to, struct tensor_new *tensors, int count,
                  int (*values)(void *cookie, const struct tensor_new *tensor, float *x), void *cookie)
{
    struct new_file file;
    qsort(tensors, (size_t)count, sizeof *tensors, by_name);
    char *header = header_of(tensors, count);
    int status = header ? new_file_begin(&file, to) : say_error("%s: no memory to write it", to);
    if (!status) {
        write_header(file.stream, header);
        status = write_all(file.stream, to, tensors, count, values, cookie);
        status = new_file_end(&file, !status) || status ? EXIT_FAILED : 0;
    }
    free(header);
    for (int i = 0; i < count; i++)
        json_decref(tensors[i].shape);
    return status;
}
