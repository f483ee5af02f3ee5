#include "faults.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

bool faults_find(struct faults *f)
{
    const char *path = getenv("OPENCL_LAYERS");
    void *layer = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    if (layer) {
        *(void **)&f->set = dlsym(layer, "faults_set");
        *(void **)&f->count = dlsym(layer, "faults_count");
        *(void **)&f->struck = dlsym(layer, "faults_struck");
        *(void **)&f->alive = dlsym(layer, "faults_alive");
        *(void **)&f->bytes = dlsym(layer, "faults_bytes");
        *(void **)&f->describe = dlsym(layer, "faults_describe");
    }
    if (layer && f->set && f->count && f->struck && f->alive && f->bytes && f->describe)
        return true;
    fprintf(stderr, "the loader did not take the layer of $OPENCL_LAYERS (%s)\n", path ? path : "not set");
    return false;
}
