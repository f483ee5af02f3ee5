#include "files.h"

#include "say.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_check_target(const char *path)
{
    struct stat info;
    char folder[4096];
    if (!path)
        return 0;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return say_error("%s: is not a regular file and will not be replaced; give another name", path);
    if ((size_t)snprintf(folder, sizeof folder, "%s", path) >= sizeof folder)
        return say_error("%.64s...: the name is too long", path);
    const char *parent = dirname(folder);
    if (stat(parent, &info) != 0)
        return say_error("%s: the folder %s cannot be used: %s", path, parent, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return say_error("%s: %s is not a folder", path, parent);
    if (access(parent, W_OK) != 0)
        return say_error("%s: nothing can be written to the folder %s: %s", path, parent, strerror(errno));
    return 0;
}

/* ---- whole files ---- */

int new_file_begin(struct new_file *file, const char *path)
{
    size_t size = strlen(path) + sizeof ".partial";
    *file = (struct new_file){.path = path, .temporary = malloc(size)};
    if (!file->temporary)
        return say_error("no memory");
    snprintf(file->temporary, size, "%s.partial", path);
    file->stream = fopen(file->temporary, "wb+");
    if (file->stream)
        return 0;
    say_error("%s: cannot be made: %s", file->temporary, strerror(errno));
    free(file->temporary);
    file->temporary = NULL;
    return EXIT_FAILED;
}

int new_file_end(struct new_file *file, bool keep)
{
    int status = 0;
    if (!file->stream)
        return EXIT_FAILED;
    errno = 0;
    bool written = fflush(file->stream) == 0 && !ferror(file->stream) && fsync(fileno(file->stream)) == 0;
    if (fclose(file->stream) != 0 || !written)
        status = say_error("%s: could not be written: %s", file->path, strerror(errno));
    if (keep && !status && rename(file->temporary, file->path) != 0)
        status = say_error("%s: could not be replaced: %s", file->path, strerror(errno));
    if (!keep || status)
        unlink(file->temporary);
    free(file->temporary);
    *file = (struct new_file){0};
    return status;
}

/* ---- logs ---- */

int log_open(struct log_file *log, const char *path, bool append)
{
    log->path = path;
    log->stream = path ? fopen(path, append ? "a" : "w") : NULL;
    return path && !log->stream ? say_error("%s: cannot be opened for the log: %s", path, strerror(errno)) : 0;
}

/* Said once: the log is given up. */
static int log_failed(struct log_file *log)
{
    int status = say_error("%s: the log could not be written: %s", log->path, strerror(errno));
    fclose(log->stream);
    log->stream = NULL;
    return status;
}

int log_write(struct log_file *log, json_t *record)
{
    int status = record ? 0 : say_error("no memory for a line of the log");
    if (log->stream && record &&
        (json_dumpf(record, log->stream, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0 ||
         fputc('\n', log->stream) == EOF || fflush(log->stream) != 0))
        status = log_failed(log);
    json_decref(record);
    return status;
}

int log_close(struct log_file *log)
{
    FILE *stream = log->stream;
    log->stream = NULL;
    if (stream && fclose(stream) != 0)
        return say_error("%s: the log could not be written: %s", log->path, strerror(errno));
    return 0;
}

/* ---- stdout ---- */

int finish_stdout(void)
{
    return fflush(stdout) != 0 || ferror(stdout) ? say_error("the output could not be written: %s", strerror(errno))
                                                 : 0;
}

int print_json(json_t *object)
{
    if (!object)
        return say_error("no memory for the JSON");
    int failed = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
    return failed ? say_error("the JSON could not be written") : finish_stdout();
}
