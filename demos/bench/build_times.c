/* How long a case's kernels take to build: cold, with every cache empty, and warm, with what the cold run left. Other
 * processes find out, since this one has built them already. */
#include "bench.h"
#include "rows.h"

#include "numbers.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAX_WORDS = 32, MAX_VARIABLES = 1024, WORD_SIZE = 4200 };

/* Where drivers and the library keep what they built, each to be a folder of its own. */
static const char *const caches[] = {"SSACL_CACHE_DIR", "POCL_CACHE_DIR", "MESA_SHADER_CACHE_DIR", "CUDA_CACHE_PATH",
                                     "NEO_CACHE_DIR", "cl_cache_dir", "AMD_SHADER_CACHE_PATH", "XDG_CACHE_HOME"};
enum { CACHES = sizeof caches / sizeof *caches };

/* ---- the other process ---- */

struct command {
    char *words[MAX_WORDS];
    char text[MAX_WORDS][128];
    int count;
};

static void add(struct command *c, const char *word)
{
    snprintf(c->text[c->count], sizeof c->text[0], "%s", word);
    c->words[c->count] = c->text[c->count];
    c->words[++c->count] = NULL;
}

static void add_number(struct command *c, const char *option, double value)
{
    char number[32];
    if (!(value > 0))
        return;
    snprintf(number, sizeof number, "%.10g", value);
    add(c, option);
    add(c, number);
}

/* The same case alone, on the same device. */
static void make_command(struct command *c, const struct bench *b, const struct suite *suite,
                         const struct bench_case *of)
{
    c->count = 0;
    add(c, "ssacl-bench");
    add(c, suite->name);
    add(c, "--json");
    add(c, "--only");
    add(c, of->name);
    add(c, "--device");
    add(c, b->info.id);
    add(c, "--reps");
    add(c, "1");
    if (b->quick)
        add(c, "--quick");
    if (b->own_key)
        add(c, "--own-key");
    add_number(c, "--batch", b->batch);
    add_number(c, "--heads", b->heads);
    add_number(c, "--width", b->width);
    add_number(c, "--length", b->length);
    add_number(c, "--ratio", b->ratio);
}

static bool is_cache(const char *variable)
{
    for (int i = 0; i < CACHES; i++)
        if (!strncmp(variable, caches[i], strlen(caches[i])) && variable[strlen(caches[i])] == '=')
            return true;
    return !strncmp(variable, "SSACL_CACHE=", 12);
}

/* This environment with every cache under `folder`. */
static void make_environment(char **variables, char texts[CACHES][WORD_SIZE], const char *folder)
{
    int count = 0;
    for (char **e = environ; *e && count < MAX_VARIABLES - CACHES - 1; e++)
        if (!is_cache(*e))
            variables[count++] = *e;
    for (int i = 0; i < CACHES; i++) {
        snprintf(texts[i], WORD_SIZE, "%s=%s", caches[i], folder);
        variables[count++] = texts[i];
    }
    variables[count] = NULL;
}

/* Its rows, or NULL. */
static json_t *run(const struct command *command, char **variables)
{
    posix_spawn_file_actions_t actions;
    int ends[2], ended = 0;
    static char line[1 << 16];
    pid_t child;
    if (pipe(ends))
        return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    int error = posix_spawn(&child, "/proc/self/exe", &actions, NULL, command->words, variables);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    json_t *rows = json_array();
    while (!error && in && fgets(line, sizeof line, in)) {
        json_t *row = json_loads(line, 0, NULL);
        if (row)
            json_array_append_new(rows, row);
    }
    if (in)
        fclose(in);
    while (!error && waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    if (!error && WIFEXITED(ended) && WEXITSTATUS(ended) == 0)
        return rows;
    json_decref(rows);
    return NULL;
}

/* ---- the two runs ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static json_t *take(const json_t *cold, const json_t *warm)
{
    json_t *times = json_object(), *row;
    size_t i;
    json_array_foreach((json_t *)cold, i, row) {
        double first = row_number(row, "build_seconds"), again = row_number(json_array_get(warm, i), "build_seconds");
        if (isfinite(first) && isfinite(again))
            json_object_set_new(times, row_text(row, "direction"),
                                json_pack("{so so}", "cold", number_json(first), "warm", number_json(again)));
    }
    return times;
}

json_t *build_times(const struct bench *b, const struct suite *suite, const struct bench_case *c)
{
    static struct command command;
    static char texts[CACHES][WORD_SIZE], *variables[MAX_VARIABLES];
    char folder[4096];
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ssacl-bench-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(folder)) {
        say_error("%s: no folder for empty caches: %s", folder, strerror(errno));
        return NULL;
    }
    make_command(&command, b, suite, c);
    make_environment(variables, texts, folder);
    json_t *cold = run(&command, variables), *warm = cold ? run(&command, variables) : NULL;
    json_t *times = warm ? take(cold, warm) : NULL;
    if (!times && !interrupted)
        say_error("%s: the times of building could not be measured", c->name);
    json_decref(cold);
    json_decref(warm);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return times;
}
