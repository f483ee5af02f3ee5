/* Engines of ranks: finds and loads the module, and tells whether a launcher started this process. $SSACL_MPI_LIBRARY
 * names another module ("" or a bad path: none). */
#define _GNU_SOURCE /* dladdr */
#include "ssacl/ranks.h"
#include "impl.h"
#include "mpi/module.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- launchers ---- */

/* What a launcher says to each process: how many there are, and which one it is. Open MPI; MPICH and its kin, and Slurm
 * by their interface; Slurm by any other, in a step of a job only. */
static const struct launcher {
    const char *size, *rank;
} launchers[] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}, {"PMI_SIZE", "PMI_RANK"},
                 {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
enum { LAUNCHERS = sizeof launchers / sizeof *launchers };

/* A file of /proc/PID as text, with spaces for the zeros in it; empty where it cannot be read. To be freed. */
static char *read_process(long pid, const char *file)
{
    char path[64], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, file);
    FILE *stream = fopen(path, "r");
    ssize_t length = stream ? getdelim(&text, &size, EOF, stream) : -1;
    if (stream)
        fclose(stream);
    for (ssize_t i = 0; i < length; i++)
        text[i] = text[i] ? text[i] : ' ';
    if (length < 0) {
        free(text);
        text = strdup("");
    }
    return text;
}

static bool process_has(long pid, const char *file, const char *words)
{
    char *text = read_process(pid, file);
    bool has = text && strstr(text, words);
    free(text);
    return has;
}

static long parent_of(long pid)
{
    char *stat = read_process(pid, "stat");
    const char *end = stat ? strrchr(stat, ')') : NULL; /* of its name, which may have anything in it */
    long parent = 0;
    if (!end || sscanf(end, ") %*c %ld", &parent) != 1)
        parent = 0;
    free(stat);
    return parent;
}

static bool starts_ranks(long pid)
{
    static const char *const names[] = {"mpirun", "mpiexec", "orterun", "orted", "prterun", "prted", "hydra", "slurmstepd"};
    bool is = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        is = is || process_has(pid, "comm", names[i]);
    return is;
}

/* Whether the words are not for this process but for the rank that started it: between it and the launcher there is one
 * with the same environment that has an MPI loaded. A shell or another wrapper of a rank has none. */
static bool is_child_of_rank(const struct launcher *l)
{
    char words[64];
    snprintf(words, sizeof words, "%s=", l->rank);
    for (long pid = getppid(); pid > 1 && !starts_ranks(pid) && process_has(pid, "environ", words); pid = parent_of(pid))
        if (process_has(pid, "maps", "/libmpi"))
            return true;
    return false;
}

/* The launcher's end of a pipe, through which MPICH and Slurm talk to a rank; handed down without it they mean nothing. */
static bool lacks_pipe(const struct launcher *l)
{
    const char *pipe = ssa_environment("PMI_FD");
    return !strcmp(l->size, "PMI_SIZE") && pipe && fcntl(atoi(pipe), F_GETFD) < 0;
}

int ssa_ranks_launched(void)
{
    for (int i = 0; i < LAUNCHERS; i++) {
        const struct launcher *l = &launchers[i];
        const char *size = ssa_environment(l->size);
        if (!size || atoi(size) < 1 || !ssa_environment(l->rank) || lacks_pipe(l))
            continue;
        return atoi(size) > 1 && is_child_of_rank(l) ? 1 : atoi(size);
    }
    return 1;
}

int ssa_ranks_fail(int status, const char *text)
{
    return ssa_fail(status, "%s", text);
}

void ssa_ranks_close(struct ssa_ranks *ranks, int failed)
{
    if (ranks)
        ranks->finish(ranks, failed);
}

/* Global: plugins of some MPIs look up its symbols among everybody's. Never closed: MPI cannot be unloaded. */
static void *open_module(const char *path)
{
    return *path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
}

/* The module lies beside the library, installed or in a build folder; else where the system looks. */
static void *find_module(void)
{
    static const char here;
    const char *chosen = ssa_environment("SSACL_MPI_LIBRARY"), *slash;
    char beside[4096] = "";
    Dl_info self;
    if (chosen)
        return open_module(chosen);
    if (dladdr(&here, &self) && (slash = strrchr(self.dli_fname, '/')))
        snprintf(beside, sizeof beside, "%.*s/" SSA_MPI_MODULE, (int)(slash - self.dli_fname), self.dli_fname);
    void *module = open_module(beside);
    return module ? module : open_module(SSA_MPI_MODULE);
}

static int check_launcher(const struct ssa_ranks *ranks)
{
    int launched = ssa_ranks_launched();
    return launched == ranks->count ? SSA_OK
        : ssa_fail(SSA_EUNSUPPORTED, "ranks: a launcher started %d processes, MPI knows of %d: the launcher belongs to "
                   "another MPI than " SSA_MPI_MODULE " was built with", launched, ranks->count);
}

int ssa_ranks_open(struct ssa_ranks **ranks, const char *engine)
{
    ssa_mpi_open_function open;
    int err;
    *ranks = NULL;
    REQUIRE(engine && !strcmp(engine, "mpi"), "ranks: engine is \"%s\", there is \"mpi\"", engine ? engine : "NULL");
    void *module = find_module();
    *(void **)&open = module ? dlsym(module, SSA_MPI_OPEN) : NULL;
    if (!open)
        return ssa_fail(SSA_EUNSUPPORTED, "ranks: no module " SSA_MPI_MODULE " (%s); install Open MPI or MPICH "
                        "(Debian: libopenmpi-dev) and build with -Dmpi=enabled", ssa_environment("SSACL_MPI_LIBRARY")
                        ? "$SSACL_MPI_LIBRARY names none" : module ? "it is of another version" : "not found");
    TRY(open(ranks, ssa_ranks_fail));
    TRY(check_launcher(*ranks));
done:
    if (err) {
        ssa_ranks_close(*ranks, 1);
        *ranks = NULL;
    }
    return err;
}
