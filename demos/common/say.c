#include "say.h"

#include "progress.h"

#include <ssacl/base.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 16384 }; /* two paths and a sentence */

static const char *program = "ssacl";
static bool is_quiet, holding;
static char held[2048];

void say_set_program(const char *name)
{
    program = name;
}

void say_set_quiet(bool quiet)
{
    is_quiet = quiet;
}

bool say_on_terminal(int file)
{
    const char *kind = getenv("TERM");
    return kind && *kind && strcmp(kind, "dumb") != 0 && isatty(file);
}

static void put_line(FILE *out, const char *who, const char *format, va_list args)
{
    char line[LINE];
    vsnprintf(line, sizeof line, format, args);
    progress_hide();
    fprintf(out, "%s%s%s\n", who, *who ? ": " : "", ssa_plain_text(line, strlen(line)));
}

int say_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (holding)
        vsnprintf(held, sizeof held, format, args);
    else
        put_line(stderr, program, format, args);
    va_end(args);
    return EXIT_FAILED;
}

void say_hold_errors(void)
{
    holding = true;
}

void say_held_error(bool say)
{
    holding = false;
    if (say && *held)
        say_error("%s", held);
    *held = 0;
}

void say_note(const char *format, ...)
{
    if (is_quiet)
        return;
    va_list args;
    va_start(args, format);
    put_line(stderr, "", format, args);
    va_end(args);
}

void say_result(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line(stdout, "", format, args);
    va_end(args);
}

static void log_line(void *cookie, int level, const char *line)
{
    if (level == SSA_LOG_NOTE && !cookie && (is_quiet || progress_note(line)))
        return;
    if (level <= SSA_LOG_NOTE || cookie) {
        progress_hide();
        fprintf(stderr, "%s: %s\n", program, line);
    }
}

void say_library_log(bool all)
{
    static char yes;
    ssa_set_log(log_line, all ? &yes : NULL);
}
