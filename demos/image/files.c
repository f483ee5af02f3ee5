/* Files and folders, for the readers. */
#include "reader.h"

#include "say.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

int path_add(struct path_list *list, const char *folder, const char *name)
{
    size_t prefix = folder ? strlen(folder) : 0, size = prefix + strlen(name) + 2;
    if (list->count == list->capacity) {
        size_t capacity = 2 * list->capacity + 64;
        char **more = realloc(list->items, capacity * sizeof *more);
        if (!more)
            return say_error("no memory for a list of files");
        list->items = more;
        list->capacity = capacity;
    }
    char *path = malloc(size);
    if (!path)
        return say_error("no memory for a list of files");
    if (prefix)
        memcpy(path, folder, prefix);
    if (prefix && path[prefix - 1] != '/')
        path[prefix++] = '/';
    memcpy(path + prefix, name, strlen(name) + 1);
    list->items[list->count++] = path;
    return 0;
}

void names_free(char **names, size_t count)
{
    for (size_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}

void path_free(struct path_list *list)
{
    names_free(list->items, list->count);
    *list = (struct path_list){0};
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int folder_names(struct path_list *names, const char *folder)
{
    DIR *d = opendir(folder);
    int status = 0;
    if (!d)
        return say_error("%s: cannot be opened: %s", folder, strerror(errno));
    errno = 0;
    for (const struct dirent *e; !status && (e = readdir(d)); errno = 0)
        if (*e->d_name != '.')
            status = path_add(names, NULL, e->d_name);
    if (!status && errno)
        status = say_error("%s: cannot be read: %s", folder, strerror(errno));
    closedir(d);
    if (!status && names->count)
        qsort(names->items, names->count, sizeof *names->items, by_bytes);
    return status;
}

bool is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

const char *path_end(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool has_ending(const char *path, const char *ending)
{
    size_t all = strlen(path), end = strlen(ending);
    return all > end && !strcasecmp(path + all - end, ending);
}

bool has_word(const char *path, const char *words)
{
    const char *name = path_end(path);
    for (size_t n; *words; words += n + (words[n] == '|')) {
        n = strcspn(words, "|");
        for (const char *at = name; strlen(at) >= n; at++)
            if (!strncasecmp(at, words, n))
                return true;
    }
    return false;
}

enum dataset_part part_of_name(const char *path)
{
    return has_word(path, "test|t10k") ? DATASET_TEST : has_word(path, "val") ? DATASET_VALID : DATASET_TRAIN;
}

/* ---- bytes ---- */

int file_load(const char *path, size_t limit, unsigned char **bytes, size_t *size)
{
    uint64_t all = 0;
    int file = file_open(path, &all), why = 0, status = 0;
    *bytes = NULL;
    *size = 0;
    if (file < 0)
        return EXIT_FAILED;
    if (all > limit)
        status = say_error("%s: has more than %zu bytes", path, limit);
    else if (!(*bytes = malloc((size_t)all + 1)))
        status = say_error("%s: no memory for its %zu bytes", path, (size_t)all);
    else if ((why = file_bytes(file, *bytes, (size_t)all, 0)))
        status = say_error("%s: cannot be read: %s", path, strerror(why));
    close(file);
    if (status) {
        free(*bytes);
        *bytes = NULL;
        return status;
    }
    (*bytes)[all] = 0;
    *size = (size_t)all;
    return 0;
}

int file_lines(struct path_list *lines, const char *path)
{
    enum { LIMIT = 1 << 20 };
    unsigned char *bytes;
    size_t size;
    int status = 0;
    if (!is_file(path))
        return 0;
    if (file_load(path, LIMIT, &bytes, &size))
        return EXIT_FAILED;
    for (char *line = (char *)bytes; !status && *line;) {
        size_t n = strcspn(line, "\r\n");
        char end = line[n];
        line[n] = 0;
        if (n)
            status = path_add(lines, NULL, line);
        line += n + (end != 0);
    }
    free(bytes);
    return status;
}
