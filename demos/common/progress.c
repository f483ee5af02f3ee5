#include "progress.h"

#include "say.h"

#include <ssacl/base.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *what;
    double total, start, drawn;
    bool active, visible;
} bar;

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double now_seconds(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double busy_seconds(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

const char *format_seconds(double seconds, char text[32])
{
    long s = seconds < 0 ? 0 : seconds > 1e8 ? 100000000 : (long)(seconds + 0.5);
    if (s < 60)
        snprintf(text, 32, "%ld s", s);
    else if (s < 3600)
        snprintf(text, 32, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld h %02ld min", s / 3600, s / 60 % 60);
    return text;
}

void progress_begin(const char *what, double total)
{
    memset(&bar, 0, sizeof bar);
    bar.what = what;
    bar.total = total;
    bar.start = now_seconds();
    bar.active = say_on_terminal(STDERR_FILENO);
}

static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* Cut to the terminal's width, and maybe within a character. */
static void put_line(char *line, size_t size)
{
    size_t room = (size_t)columns() - 1;
    line[room < size ? room : size - 1] = 0;
    fprintf(stderr, "\r%s\033[K", ssa_plain_text(line, strlen(line)));
    fflush(stderr);
    bar.visible = true;
}

static void draw(double share, double left, const char *text)
{
    enum { WIDTH = 20 };
    char cells[WIDTH + 1], time[32], line[512];
    int full = (int)(share * WIDTH);
    for (int i = 0; i < WIDTH; i++)
        cells[i] = i < full ? '#' : '.';
    cells[WIDTH] = 0;
    snprintf(line, sizeof line, "%s [%s] %3.0f%%  %s left  %s", bar.what, cells, 100 * share,
             format_seconds(left, time), text);
    put_line(line, sizeof line);
}

void progress_update(double done, double left, const char *format, ...)
{
    double now = now_seconds(), elapsed = now - bar.start;
    if (!bar.active || done <= 0 || now - bar.drawn < 0.1)
        return;
    double share = done < bar.total ? done / bar.total : 1;
    /* The first moments of a run are no measure of the rest: wait a little before judging its length. */
    if (elapsed < 0.5 || elapsed / share < 2)
        return;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    draw(share, left < 0 ? elapsed / share - elapsed : left, text);
    bar.drawn = now;
}

bool progress_note(const char *text)
{
    char line[512];
    if (!bar.active)
        return false;
    snprintf(line, sizeof line, "%s: %s", bar.what, text);
    put_line(line, sizeof line);
    return true;
}

void progress_hide(void)
{
    if (bar.visible) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    bar.visible = false;
    bar.drawn = 0;
}

void progress_end(void)
{
    progress_hide();
    bar.active = false;
}
