#include "say.h"

#include "progress.h"

#include <ssacl/base.h>

#include <stdarg.h>
#include <stdio.h>

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

int say_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (holding) {
        vsnprintf(held, sizeof held, format, args);
    } else {
        progress_hide();
        fprintf(stderr, "%s: ", program);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
    }
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
    progress_hide();
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void log_line(void *cookie, int level, const char *line)
{
    if (level <= SSA_LOG_WARNING || cookie) {
        progress_hide();
        fprintf(stderr, "%s: %s\n", program, line);
    }
}

void say_library_log(bool all)
{
    static char yes;
    ssa_set_log(log_line, all ? &yes : NULL);
}
