#include "opencl.h"

#include <string.h>

#ifdef BENCH_OPENCL
#include <dlfcn.h>
#include <stdlib.h>

int opencl_load(struct opencl *cl)
{
    const char *chosen = getenv("SSACL_OPENCL_LIBRARY"); /* the one that the library took */
    cl->library = dlopen(chosen && *chosen ? chosen : "libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!cl->library)
        return SSA_ENODEVICE;
#define LOOK_UP(f) \
    *(void **)&cl->f = dlsym(cl->library, #f); \
    if (!cl->f) \
        return SSA_ENODEVICE;
    OPENCL_FUNCTIONS(LOOK_UP)
    return SSA_OK;
}

void opencl_unload(struct opencl *cl)
{
    if (cl->library)
        dlclose(cl->library);
    cl->library = NULL;
}

static void ask(const struct opencl *cl, const struct ssa_device *device, struct opencl_versions *v)
{
    cl_context context;
    cl_device_id id;
    cl_command_queue queue;
    cl_platform_id platform;
    if (ssa_ocl_objects(device, &context, &id, &queue))
        return;
    cl->clGetDeviceInfo(id, CL_DEVICE_VERSION, sizeof v->device, v->device, NULL);
    if (!cl->clGetDeviceInfo(id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL))
        cl->clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof v->platform, v->platform, NULL);
}

void opencl_versions(const char *device_id, struct opencl_versions *versions)
{
    struct opencl cl = {0};
    struct ssa_device *device = NULL;
    memset(versions, 0, sizeof *versions);
    if (!opencl_load(&cl) && !ssa_device_open(&device, device_id))
        ask(&cl, device, versions);
    ssa_device_close(device);
    opencl_unload(&cl);
}
#else
void opencl_versions(const char *device_id, struct opencl_versions *versions)
{
    (void)device_id;
    memset(versions, 0, sizeof *versions);
}
#endif
