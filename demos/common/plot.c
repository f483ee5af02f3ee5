#include "plot.h"

#include "files.h"
#include "say.h"
#include "svg.h"

#include <ssacl/base.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the script ---- */

/* A gnuplot string: 'it''s'. A control character would end the line, a byte that is no UTF-8 the picture. */
static void put_quoted(FILE *out, const char *text)
{
    char *plain = strdup(text);
    ssa_plain_text(plain, plain ? strlen(plain) : 0);
    fputc('\'', out);
    for (const char *c = plain ? plain : ""; *c; c++)
        fputs(*c == '\'' ? "''" : (char[]){*c, 0}, out);
    fputc('\'', out);
    free(plain);
}

static void put_data(FILE *out, int panel, int number, const struct plot_line *line)
{
    fprintf(out, "$p%dl%d << EOD\n", panel, number);
    for (size_t i = 0; i < line->count; i++)
        if (isfinite(line->x[i]) && isfinite(line->y[i]))
            fprintf(out, "%.9g %.6g\n", line->x[i], line->y[i]);
    fputs("EOD\n", out);
}

static void put_style(FILE *out, const struct plot_line *line)
{
    const char *colour = svg_colour(line->colour) + 1; /* without its # */
    switch (line->style) {
    case PLOT_SOLID:
        fprintf(out, "with linespoints lw 2.5 pt 7 ps 0.55 lc rgb '#%s'", colour);
        break;
    case PLOT_DASHED:
        fprintf(out, "with linespoints lw 1.8 dt (6,4) pt 6 ps 0.55 lc rgb '#%s'", colour);
        break;
    case PLOT_FAINT:
        fprintf(out, "with lines lw 1.2 lc rgb '#90%s'", colour);
        break;
    case PLOT_STEPS:
        fprintf(out, "with steps lw 2.5 lc rgb '#%s'", colour);
        break;
    case PLOT_POINTS:
        fprintf(out, "with points pt 9 ps 1.5 lw 2 lc rgb '#%s'", colour);
        break;
    }
}

static void put_panel(FILE *out, int number, const struct plot_panel *panel)
{
    const char *comma = "plot ";
    fputs("set xlabel ", out);
    put_quoted(out, panel->x_label);
    fputs("\nset ylabel ", out);
    put_quoted(out, panel->y_label);
    if (panel->y_high > panel->y_low)
        fprintf(out, "\nset yrange [%g:%g]\n", panel->y_low, panel->y_high);
    else
        fputs("\nset yrange [*:*]\n", out);
    fprintf(out, "set key %s opaque samplen 2 spacing 1.15\n", panel->key_below ? "bottom left" : "top right");
    fputs(panel->x_binary ? "set logscale x 2\nset xrange [*:*]\n" : "unset logscale x\nset xrange [0:*]\n", out);
    for (int i = 0; i < panel->count; i++, comma = ", \\\n     ") {
        fprintf(out, "%s$p%dl%d using ($1*%.9g):2 ", comma, number, i, panel->x_scale ? panel->x_scale : 1);
        put_style(out, &panel->lines[i]);
        if (panel->lines[i].name) {
            fputs(" title ", out);
            put_quoted(out, panel->lines[i].name);
        } else {
            fputs(" notitle", out);
        }
    }
    fputc('\n', out);
}

static void put_script(FILE *out, enum plot_format format, const char *title, const struct plot_panel *panels,
                       int count)
{
    int width = 560 * count, height = 430;
    fputs("set encoding utf8\n", out);
    if (format == PLOT_SVG)
        fprintf(out, "set terminal svg size %d,%d noenhanced font 'Helvetica,13' background '#ffffff'\n", width,
                height);
    else
        fprintf(out, "set terminal pngcairo size %d,%d noenhanced font 'Helvetica,19' fontscale 1 linewidth 1.6 "
                     "pointscale 1.6 background '#ffffff'\n", 2 * width, 2 * height);
    for (int p = 0; p < count; p++)
        for (int i = 0; i < panels[p].count; i++)
            put_data(out, p, i, &panels[p].lines[i]);
    fputs("set border 3 lc rgb '#606060'\nset tics nomirror textcolor rgb '#303030'\n"
          "set grid y lc rgb '#e2e2e2' lw 1 dt 1\n", out);
    fprintf(out, "set multiplot layout 1,%d title ", count);
    put_quoted(out, title);
    fputc('\n', out);
    for (int p = 0; p < count; p++)
        put_panel(out, p, &panels[p]);
    fputs("unset multiplot\n", out);
}

/* ---- the program ---- */

static int no_gnuplot(int error)
{
    if (error == ENOENT)
        return say_error("gnuplot draws the pictures and is not installed; on Debian: apt-get install gnuplot-nox");
    return say_error("gnuplot could not be started: %s", strerror(error));
}

/* The environment that gnuplot runs in. What the user has set up for it, for fonts or as a language would change
 * pictures: only where programs, libraries and temporary files are is passed on, and where fontconfig keeps its list of fonts. */
static void make_environment(char *variables[8])
{
    static const char *const kept[] = {"PATH=", "LD_LIBRARY_PATH=", "TMPDIR=", "XDG_CACHE_HOME="};
    static char home[] = "HOME=/nonexistent", language[] = "LC_ALL=C", cache[4200];
    const char *own = getenv("HOME");
    int count = 0;
    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (!strncmp(*e, kept[i], strlen(kept[i])) && count < 4)
                variables[count++] = *e;
    variables[count++] = home;
    variables[count++] = language;
    if (own && !getenv("XDG_CACHE_HOME") &&
        (size_t)snprintf(cache, sizeof cache, "XDG_CACHE_HOME=%s/.cache", own) < sizeof cache)
        variables[count++] = cache;
    variables[count] = NULL;
}

/* Runs gnuplot between three files and waits for it. */
static int run_gnuplot(char *const *arguments, int in, int out, int err)
{
    char *variables[8];
    posix_spawn_file_actions_t actions;
    pid_t child;
    int ended = 0;
    make_environment(variables);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    int error = posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, variables);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return no_gnuplot(error);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(ended) && WEXITSTATUS(ended) == 0 ? 0 : -1;
}

int plot_check(void)
{
    int null = open("/dev/null", O_RDWR);
    int status = run_gnuplot((char *[]){"gnuplot", "--version", NULL}, null, null, null);
    close(null);
    return status < 0 ? say_error("gnuplot is installed but does not run; try `gnuplot --version`") : status;
}

/* The first line that gnuplot complained with. */
static int gnuplot_failed(const char *path, FILE *messages)
{
    char line[256] = "it did not say why";
    rewind(messages);
    while (fgets(line, sizeof line, messages) && line[strspn(line, " \t\n^")] == 0)
        ;
    line[strcspn(line, "\n")] = 0;
    return say_error("%s: gnuplot failed: %s", path, line);
}

int plot_draw(const char *path, enum plot_format format, const char *title, const struct plot_panel *panels, int count)
{
    struct new_file picture = {0};
    int status = EXIT_FAILED;
    FILE *script = tmpfile(), *messages = tmpfile();
    if (!script || !messages) {
        say_error("no temporary file can be made: %s", strerror(errno));
        goto done;
    }
    put_script(script, format, title, panels, count);
    if (fflush(script) != 0 || fseek(script, 0, SEEK_SET) != 0) {
        say_error("the temporary file for gnuplot could not be written: %s", strerror(errno));
        goto done;
    }
    if (new_file_begin(&picture, path))
        goto done;
    status = run_gnuplot((char *[]){"gnuplot", "--default-settings", "-", NULL}, fileno(script),
                         fileno(picture.stream), fileno(messages));
    if (status < 0)
        status = gnuplot_failed(path, messages);
    if (new_file_end(&picture, status == 0))
        status = EXIT_FAILED;
done:
    if (script)
        fclose(script);
    if (messages)
        fclose(messages);
    return status;
}
