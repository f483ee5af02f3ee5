/* Finds the OpenCL ICD loader at run time. $SSACL_OPENCL_LIBRARY names another one ("" or a bad path: none). */
#define SSA_CL_NO_NAMES
#include "cl.h"
#include "impl.h"
#include "thread.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ssa_cl_table ssa_cl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char problem[256];
static unsigned forks; /* when it was loaded */

static void load(void)
{
    forks = ssa_forks();
    const char *chosen = ssa_environment("SSACL_OPENCL_LIBRARY");
    const char *names[] = {"libOpenCL.so.1", "libOpenCL.so", NULL};
    void *library = NULL;
    if (chosen)
        library = *chosen ? dlopen(chosen, RTLD_NOW | RTLD_LOCAL) : NULL;
    for (int i = 0; !chosen && !library && names[i]; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(problem, sizeof problem, "no OpenCL loader (%s); install ocl-icd-libopencl1 or the like",
                 chosen ? chosen : names[0]);
        return;
    }
#define SSA_CL_LOOK_UP(f) \
    *(void **)&ssa_cl.f = dlsym(library, #f); \
    if (!ssa_cl.f && !*problem) \
        snprintf(problem, sizeof problem, "the OpenCL loader has no %s; OpenCL 1.2 is needed", #f);
    SSA_CL_FUNCTIONS(SSA_CL_LOOK_UP)
}

int ssa_cl_load(void)
{
    pthread_once(&once, load);
    if (!*problem && forks != ssa_forks())
        return ssa_fail(SSA_ENODEVICE, "OpenCL was used before fork(), which drivers do not survive: fork before its "
                        "first use, or run another program in the child");
    return *problem ? ssa_fail(SSA_ENODEVICE, "%s", problem) : SSA_OK;
}
