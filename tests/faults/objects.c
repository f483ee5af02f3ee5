/* Devices by number, and every object that is alive: of which device it is, how often it is held. */
#include "faults.h"
#include "layer.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAINS = 4096, PARAMETERS = 80 };

struct parameters {
    char kernel[64];
    struct {
        size_t size;
        unsigned char value[8];
    } of[PARAMETERS];
};

struct object {
    struct object *next;
    void *handle;
    enum object_kind kind;
    int device;
    long held;
    size_t bytes;
    struct parameters *parameters; /* of a kernel */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *chains[CHAINS];

/* ---- devices ---- */

static cl_device_id devices[DEVICES];

static void list_devices(void)
{
    cl_platform_id platforms[AXIS];
    cl_uint n = 0;
    if (next->clGetPlatformIDs(AXIS, platforms, &n) != CL_SUCCESS)
        return;
    for (cl_uint p = 0; p < n && p < AXIS; p++) {
        cl_uint m = 0;
        next->clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, AXIS, devices + p * AXIS, &m);
    }
}

int device_number(cl_device_id id)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, list_devices);
    for (int i = 0; id && i < DEVICES; i++)
        if (devices[i] == id)
            return i;
    return ANY;
}

int device_named(const char *name)
{
    int platform, place, end = 0;
    if (!name)
        return ANY;
    name += strncmp(name, "opencl:", 7) ? 0 : 7;
    bool good = sscanf(name, "%d:%d%n", &platform, &place, &end) == 2 && !name[end] && platform >= 0 &&
                platform < AXIS && place >= 0 && place < AXIS;
    return good ? platform * AXIS + place : -2;
}

/* ---- objects ---- */

static struct object **find(void *handle)
{
    uintptr_t h = (uintptr_t)handle;
    struct object **o = &chains[(h >> 4 ^ h >> 16) % CHAINS];
    while (*o && (*o)->handle != handle)
        o = &(*o)->next;
    return o;
}

void object_new(enum object_kind kind, void *handle, int device, size_t bytes)
{
    struct object *new = handle ? calloc(1, sizeof *new) : NULL;
    if (!new)
        return;
    *new = (struct object){NULL, handle, kind, device, 1, bytes, NULL};
    if (kind == KERNEL)
        new->parameters = calloc(1, sizeof *new->parameters);
    pthread_mutex_lock(&lock);
    struct object **o = find(handle);
    if (*o) { /* drivers may give the same object twice */
        (*o)->held++;
        free(new->parameters);
        free(new);
    } else {
        *o = new;
    }
    pthread_mutex_unlock(&lock);
}

void object_name(void *kernel, const char *name)
{
    pthread_mutex_lock(&lock);
    struct object *o = *find(kernel);
    if (o && o->parameters)
        snprintf(o->parameters->kernel, sizeof o->parameters->kernel, "%s", name);
    pthread_mutex_unlock(&lock);
}

void object_retain(void *handle)
{
    pthread_mutex_lock(&lock);
    struct object *o = *find(handle);
    if (o)
        o->held++;
    pthread_mutex_unlock(&lock);
}

void object_release(void *handle)
{
    pthread_mutex_lock(&lock);
    struct object **at = find(handle), *o = *at;
    if (o && !--o->held) {
        *at = o->next;
        free(o->parameters);
        free(o);
    }
    pthread_mutex_unlock(&lock);
}

int object_device(void *handle)
{
    pthread_mutex_lock(&lock);
    struct object *o = *find(handle);
    int device = o ? o->device : ANY;
    pthread_mutex_unlock(&lock);
    return device;
}

/* ---- parameters of kernels ---- */

void parameter_set(void *kernel, cl_uint i, size_t size, const void *value)
{
    if (i >= PARAMETERS || size > 8 || !value)
        return;
    pthread_mutex_lock(&lock);
    struct object *o = *find(kernel);
    if (o && o->parameters) {
        o->parameters->of[i].size = size;
        memcpy(o->parameters->of[i].value, value, size);
    }
    pthread_mutex_unlock(&lock);
}

bool parameter_get(void *kernel, int i, size_t size, void *value)
{
    pthread_mutex_lock(&lock);
    struct object *o = *find(kernel);
    bool there = o && o->parameters && i >= 0 && i < PARAMETERS && o->parameters->of[i].size == size;
    if (there)
        memcpy(value, o->parameters->of[i].value, size);
    pthread_mutex_unlock(&lock);
    return there;
}

void kernel_name(void *kernel, char *name, size_t size)
{
    pthread_mutex_lock(&lock);
    struct object *o = *find(kernel);
    snprintf(name, size, "%s", o && o->parameters ? o->parameters->kernel : "");
    pthread_mutex_unlock(&lock);
}

/* ---- what is asked ---- */

struct count {
    long of[OBJECT_KINDS];
    size_t bytes;
};

static struct count count(int device)
{
    struct count c = {0};
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CHAINS; i++)
        for (const struct object *o = chains[i]; o; o = o->next)
            if (device == ANY || o->device == device) {
                c.of[o->kind] += o->held;
                c.bytes += o->bytes;
            }
    pthread_mutex_unlock(&lock);
    return c;
}

size_t object_bytes(int device)
{
    return count(device).bytes;
}

long faults_alive(const char *device)
{
    struct count c = count(device_named(device));
    long sum = 0;
    for (int i = 0; i < OBJECT_KINDS; i++)
        sum += c.of[i];
    return sum;
}

size_t faults_bytes(const char *device)
{
    return count(device_named(device)).bytes;
}

void faults_describe(const char *device, char *text, size_t size)
{
    static const char *const kinds[] = {"context", "queue", "buffer", "program", "kernel", "event"};
    struct count c = count(device_named(device));
    *text = 0;
    for (int i = 0; i < OBJECT_KINDS; i++) {
        size_t used = strlen(text);
        if (c.of[i])
            snprintf(text + used, size - used, "%s%ld %s%s", used ? ", " : "", c.of[i], kinds[i], c.of[i] > 1 ? "s" : "");
        used = strlen(text);
        if (c.of[i] && i == BUFFER)
            snprintf(text + used, size - used, " (%zu bytes)", c.bytes);
    }
}
