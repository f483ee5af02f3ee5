#include "converter.h"

#include "signals.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MOST = 64, NO_RDKIT = 3, NOT_RUN = 127 };

bool converter_is_for(const char *path)
{
    static const char *const endings[] = {".csv", ".csv.gz", ".smi"};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(endings[i]);
        if (length > n && !strcmp(path + length - n, endings[i]))
            return true;
    }
    return false;
}

/* ---- where it is ---- */

/* Beside the program, or where it is installed. */
static const char *find_script(char script[PATH_MAX + 32])
{
    static const char *const places[] = {"%s/convert.py", "%s/../share/ssacl/convert.py"};
    char program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return NULL;
    program[n] = 0;
    const char *folder = dirname(program);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(script, PATH_MAX + 32, i ? places[1] : places[0], folder);
        if (!access(script, R_OK))
            return script;
    }
    return NULL;
}

static const char *python(void)
{
    const char *said = getenv("SSACL_PYTHON");
    return said && *said ? said : "python3";
}

/* ---- running it ---- */

static volatile pid_t running;

static int wait_for(pid_t child)
{
    int status = 0;
    running = child;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return say_error("Python cannot be waited for: %s", strerror(errno));
    running = 0;
    if (WIFSIGNALED(status))
        return interrupted ? EXIT_INTERRUPTED : say_error("Python was ended by signal %d", WTERMSIG(status));
    switch (WEXITSTATUS(status)) {
    case 0:
        return 0;
    case EXIT_USAGE:
    case EXIT_INTERRUPTED:
        return WEXITSTATUS(status);
    case NOT_RUN:
        return say_error("%s cannot be run: install Python 3 with RDKit, and name it by SSACL_PYTHON where that is "
                         "another", python());
    case NO_RDKIT:
        return say_error("RDKit is missing: make an environment (python3 -m venv E; E/bin/pip install rdkit) and set "
                         "SSACL_PYTHON=E/bin/python; or convert the molecules where there is one, and give the file of "
                         "graphs");
    default:
        return EXIT_FAILED; /* it was said why */
    }
}

int converter_run(const char *const *arguments)
{
    char script[PATH_MAX + 32];
    const char *words[ARGUMENTS_MOST + 3] = {python(), find_script(script)};
    size_t count = 2;
    if (!words[1])
        return say_error("convert.py is neither beside the program nor where it is installed");
    while (*arguments && count < ARGUMENTS_MOST + 2)
        words[count++] = *arguments++;
    if (*arguments)
        return say_error("more than %d arguments for convert.py", ARGUMENTS_MOST);
    setenv("SSACL_GRAPH", "1", 1);
    fflush(NULL);
    const pid_t child = fork();
    if (child < 0)
        return say_error("Python cannot be started: %s", strerror(errno));
    if (!child) {
        execvp(words[0], (char *const *)(uintptr_t)words);
        _exit(NOT_RUN);
    }
    return wait_for(child);
}

/* ---- for the time being ---- */

static long read_count(const char *path)
{
    FILE *file = fopen(path, "r");
    long count = 0;
    if (!file || fscanf(file, "%ld", &count) != 1)
        count = 0;
    if (file)
        fclose(file);
    return count;
}

int converter_make(struct converted *made, const char *path, const char *smiles, const char *target)
{
    const char *folder = getenv("TMPDIR"), *words[11] = {path, "--brief", "--left-out", made->count, "--out",
                                                            made->file};
    int count = 6;
    folder = folder && *folder ? folder : "/tmp";
    if (snprintf(made->folder, sizeof made->folder, "%s/ssacl-graph.XXXXXX", folder) >= (int)sizeof made->folder ||
        !mkdtemp(made->folder)) {
        *made->folder = 0;
        return say_error("%s: is converted in a folder of $TMPDIR, which cannot be made", path);
    }
    snprintf(made->file, sizeof made->file, "%s/graphs", made->folder);
    snprintf(made->count, sizeof made->count, "%s/left-out", made->folder);
    if (smiles) {
        words[count++] = "--smiles";
        words[count++] = smiles;
    }
    words[count++] = target ? "--target" : "--no-target";
    words[count] = target;
    const int status = converter_run(words);
    made->left_out = read_count(made->count);
    return status;
}

void converter_remove(struct converted *made)
{
    if (!*made->folder)
        return;
    unlink(made->file);
    unlink(made->count);
    rmdir(made->folder);
    *made->folder = 0;
}

/* ---- the command ---- */

/* Python then ends in order, and this with it. */
static void pass_on(int number)
{
    if (running)
        kill(running, number);
}

int convert_main(const struct program *program, int argc, char **argv)
{
    (void)program;
    (void)argc;
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART}, old;
    if (!sigaction(SIGINT, NULL, &old) && old.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
    return converter_run((const char *const *)(uintptr_t)(argv + 1));
}
