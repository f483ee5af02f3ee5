#include "faults.h"
#include "ssacl/device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool faults_find(struct faults *f)
{
    const char *path = getenv("OPENCL_LAYERS");
    void *layer = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    if (layer) {
        *(void **)&f->set = dlsym(layer, "faults_set");
        *(void **)&f->count = dlsym(layer, "faults_count");
        *(void **)&f->hang_in = dlsym(layer, "faults_hang_in");
        *(void **)&f->clock = dlsym(layer, "faults_clock");
        *(void **)&f->struck = dlsym(layer, "faults_struck");
        *(void **)&f->alive = dlsym(layer, "faults_alive");
        *(void **)&f->bytes = dlsym(layer, "faults_bytes");
        *(void **)&f->describe = dlsym(layer, "faults_describe");
    }
    if (layer && f->set && f->count && f->hang_in && f->clock && f->struck && f->alive && f->bytes && f->describe)
        return true;
    fprintf(stderr, "the loader did not take the layer of $OPENCL_LAYERS (%s)\n", path ? path : "not set");
    return false;
}

bool faults_devices(char ids[2][32])
{
    struct ssa_device_info list[64];
    int n = 0, found = 0;
    if (ssa_device_list(list, 64, &n))
        n = 0;
    for (int i = 0; i < n && i < 64 && found < 2; i++)
        if (list[i].kind != SSA_DEVICE_HOST)
            memcpy(ids[found++], list[i].id, sizeof ids[0]);
    if (found < 2)
        fprintf(stderr, "no two OpenCL devices\n");
    return found == 2;
}
