#include "words.h"

#include <ssacl/base.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *json_bytes(const void *bytes, size_t size)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    enum { WIDTH = sizeof replacement - 1 };
    char *plain = malloc(size + 1), *text = malloc(WIDTH * size + 1);
    json_t *string = NULL;
    size_t length = 0;
    if (plain && text) {
        memcpy(plain, bytes, size);
        ssa_plain_text(plain, size);
        for (size_t i = 0; i < size; i++) {
            char byte = ((const char *)bytes)[i];
            bool bad = (byte & 0x80) && plain[i] != byte;
            memcpy(text + length, bad ? replacement : &byte, bad ? WIDTH : 1);
            length += bad ? WIDTH : 1;
        }
        string = json_stringn(text, length);
    }
    free(plain);
    free(text);
    return string;
}

json_t *json_text(const char *bytes)
{
    return bytes ? json_bytes(bytes, strlen(bytes)) : NULL;
}

static void make_string_plain(json_t *string)
{
    size_t size = json_string_length(string);
    char *copy = malloc(size + 1);
    if (!copy)
        return;
    memcpy(copy, json_string_value(string), size);
    json_string_setn(string, ssa_plain_text(copy, size), size);
    free(copy);
}

void json_make_plain(json_t *value)
{
    const char *key;
    json_t *inner;
    size_t i;
    if (json_is_string(value))
        make_string_plain(value);
    json_array_foreach(value, i, inner)
        json_make_plain(inner);
    json_object_foreach(value, key, inner)
        json_make_plain(inner);
}

/* ---- labels ---- */

/* Where the last so many parts of a path begin. */
static const char *last_parts(const char *path, int parts)
{
    const char *at = path + strlen(path);
    for (; at > path; at--)
        if (at[-1] == '/' && *at && *at != '/' && --parts == 0)
            break;
    return at;
}

/* And with single slashes. */
static char *without_ending(const char *path, const char *ending)
{
    char *copy = malloc(strlen(path) + 1);
    size_t n = 0, m = strlen(ending);
    if (!copy)
        return NULL;
    for (const char *c = path; *c; c++)
        if (*c != '/' || c[1] != '/')
            copy[n++] = *c;
    copy[n] = 0;
    if (n > m && copy[n - m - 1] != '/' && !strcmp(copy + n - m, ending))
        copy[n - m] = 0;
    return copy;
}

static bool is_shared(char *const *paths, int count, int i, int parts)
{
    for (int j = 0; j < count; j++)
        if (j != i && paths[j] && !strcmp(last_parts(paths[j], parts), last_parts(paths[i], parts)))
            return true;
    return false;
}

/* Whole, or cut so that a number has room behind it. */
static void number_label(char (*labels)[LABEL_MAX], int i)
{
    enum { NUMBER = 16 };
    for (int j = 0; j < i; j++)
        if (!strcmp(labels[i], labels[j])) {
            size_t used = strlen(labels[i]);
            used = used < LABEL_MAX - NUMBER ? used : LABEL_MAX - NUMBER;
            snprintf(labels[i] + used, NUMBER, " (%d)", i + 1);
            return;
        }
}

void label_files(const char *const *paths, int count, const char *ending, char (*labels)[LABEL_MAX])
{
    char **names = calloc((size_t)count, sizeof *names);
    for (int i = 0; names && i < count; i++)
        names[i] = without_ending(paths[i], ending);
    for (int i = 0; i < count; i++) {
        const char *name = names && names[i] ? names[i] : paths[i];
        int parts = 1;
        while (names && names[i] && last_parts(name, parts) != name && is_shared(names, count, i, parts))
            parts++;
        snprintf(labels[i], LABEL_MAX, "%s", last_parts(name, parts));
        ssa_plain_text(labels[i], strlen(labels[i]));
        number_label(labels, i);
    }
    for (int i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}

int text_columns(const char *text)
{
    int columns = 0;
    for (; *text; text++)
        columns += (*text & 0xc0) != 0x80; /* not a byte that goes on with a character */
    return columns;
}
