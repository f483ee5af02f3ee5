#include "named.h"

#include "say.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const names[TEXT_PARTS] = {"train", "valid", "test"};

static bool is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

/* "wiki.valid.tokens": one of its words, between signs that are no letters or digits. */
static int part_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *at = slash ? slash + 1 : path;
    while (*at) {
        size_t length = 0;
        while (isalnum((unsigned char)at[length]))
            length++;
        for (int p = 0; p < TEXT_PARTS; p++)
            if (length == strlen(names[p]) && !strncmp(at, names[p], length))
                return p;
        at += length + (at[length] != 0);
    }
    return -1;
}

static int add(struct named_files *f, const char *folder, const char *name)
{
    struct named_file *more = realloc(f->items, ((size_t)f->count + 1) * sizeof *more);
    const size_t size = (folder ? strlen(folder) + 1 : 0) + strlen(name) + 1;
    char *path = malloc(size);
    f->items = more ? more : f->items;
    if (!more || !path) {
        free(path);
        return say_error("no memory for the names of files");
    }
    snprintf(path, size, "%s%s%s", folder ? folder : "", folder ? "/" : "", name);
    f->items[f->count++] = (struct named_file){.path = path, .part = strcmp(name, "-") ? part_of(name) : -1};
    return 0;
}

/* ---- folders ---- */

static bool is_tokens(const char *name)
{
    static const char ending[] = ".tokens";
    const size_t n = strlen(name), m = sizeof ending - 1;
    return n > m && !strcmp(name + n - m, ending);
}

/* Of several for a part, those that end in .tokens count. */
static int choose(const char *folder, const struct dirent *entry, char *chosen[TEXT_PARTS])
{
    const int part = entry->d_name[0] == '.' ? -1 : part_of(entry->d_name);
    if (part < 0 || (chosen[part] && is_tokens(chosen[part]) && !is_tokens(entry->d_name)))
        return 0;
    if (chosen[part] && is_tokens(chosen[part]) == is_tokens(entry->d_name))
        return say_error("%s: has two files for %s: %s and %s; name the files", folder, names[part], chosen[part],
                         entry->d_name);
    free(chosen[part]);
    chosen[part] = strdup(entry->d_name);
    return chosen[part] ? 0 : say_error("no memory for the names of files");
}

static int add_folder(struct named_files *f, const char *folder)
{
    char *chosen[TEXT_PARTS] = {NULL};
    DIR *open = opendir(folder);
    int status = open ? 0 : say_error("%s: cannot be opened: %s", folder, strerror(errno));
    for (struct dirent *entry; !status && (entry = readdir(open));)
        status = choose(folder, entry, chosen);
    for (int p = 0; p < TEXT_PARTS && !status; p++)
        status = !chosen[p] ? say_error("%s: has no file whose name says '%s', as wiki.%s.tokens does", folder,
                                        names[p], names[p])
                            : add(f, folder, chosen[p]);
    for (int p = 0; p < TEXT_PARTS; p++)
        free(chosen[p]);
    if (open)
        closedir(open);
    return status;
}

/* ---- all of them ---- */

static int check_parts(struct named_files *f, int named)
{
    int has[TEXT_PARTS] = {0}, parts = 0;
    bool all = true;
    for (int i = 0; i < f->count; i++) {
        if (f->items[i].part < 0)
            all = false;
        else
            parts += !has[f->items[i].part]++;
    }
    for (int p = 0; named < 0 && all && parts == 2 && p < TEXT_PARTS; p++)
        if (!has[p])
            return say_error("of the three parts there is none for %s: give a file whose name says so, too", names[p]);
    if (named < 0 && !all && parts == TEXT_PARTS)
        return say_error("some files have parts of their names and others have not: give the one or the other");
    f->named = all && (named > 0 || (named < 0 && parts == TEXT_PARTS));
    for (int i = 0; i < f->count && !f->named; i++)
        f->items[i].part = -1;
    return 0;
}

int named_find(struct named_files *f, const struct arg_list *given, int named)
{
    int status = 0;
    *f = (struct named_files){0};
    for (int i = 0; i < given->count && !status; i++)
        status = is_folder(given->items[i]) ? add_folder(f, given->items[i]) : add(f, NULL, given->items[i]);
    return status || check_parts(f, named) ? EXIT_FAILED : 0;
}

void named_free(struct named_files *f)
{
    for (int i = 0; i < f->count; i++)
        free(f->items[i].path);
    free(f->items);
    *f = (struct named_files){0};
}
