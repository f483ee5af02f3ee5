/* Engines of ranks: finds and loads the module, and tells whether a launcher started this process. $SSACL_MPI_LIBRARY
 * names another module ("" or a bad path: none). */
#define _GNU_SOURCE /* dladdr */
#include "ssacl/ranks.h"
#include "impl.h"
#include "mpi/module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ssa_ranks_launched(void)
{
    /* Open MPI; MPICH and its kin, and Slurm by their interface; Slurm by any other, in a step of a job only. */
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", NULL};
    for (int i = 0; names[i]; i++) {
        const char *value = ssa_environment(names[i]);
        if (value && atoi(value) > 0)
            return atoi(value);
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
