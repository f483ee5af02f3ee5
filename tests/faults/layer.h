/* What the files of the layer share. */
#ifndef SSA_TEST_FAULTS_LAYER_H
#define SSA_TEST_FAULTS_LAYER_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_layer.h>

#include <stdbool.h>
#include <stddef.h>

extern const cl_icd_dispatch *next; /* the loader's functions */

/* ---- devices (objects.c): platform * AXIS + place on it, as in the library's ids; ANY: none in particular ---- */

enum { AXIS = 16, DEVICES = AXIS * AXIS, ANY = -1 };

int device_number(cl_device_id id);
int device_named(const char *name); /* "0:1", "opencl:0:1"; ANY for NULL; -2 if it is no name */

/* ---- rules (rules.c) ---- */

enum { FUNCTIONS_MAX = 64 };
extern const char *const function_names[]; /* layer.c */
extern const int function_count;

double now(void);
/* Counts a call, hangs if a rule says so; not 0: the code the call fails with. */
cl_int called(int function, int device);
/* Slowness of a device at this launch: 1, or what a rule says. */
double slowness(int device);
/* A launch took so long: what a device `factor` times as slow takes beside it, slept. */
void slow_down(int device, double seconds, double factor);

enum spoil { SPOIL_NOT, SPOIL_NAN, SPOIL_FLIP };
/* Whether this launch computes wrongly, and which parameter it spoils. */
enum spoil spoilt(const char *kernel, int device, int *parameter);

/* Whether the device calls itself, its vendor and so on by other bytes (a platform is no device: ANY). */
bool says(const char *what, int device, char bytes[64]);

/* Bytes a device claims to have, 0: the truth; and whether so many more than `held` may be allocated. */
size_t claimed_memory(int device);
bool has_room(int device, size_t held, size_t bytes);

/* Those of $SSA_FAULTS; false, with a line on stderr, if they are not understood. */
bool rules_from_environment(void);

/* ---- objects that are alive (objects.c) ---- */

enum object_kind { CONTEXT, QUEUE, BUFFER, PROGRAM, KERNEL, EVENT, OBJECT_KINDS };

void object_new(enum object_kind kind, void *handle, int device, size_t bytes);
void object_name(void *kernel, const char *name);
void object_retain(void *handle);
void object_release(void *handle); /* before the driver is told: it may give the handle to another at once */
int object_device(void *handle);
size_t object_bytes(int device);
/* Parameters of a kernel: those of up to eight bytes are remembered. */
void parameter_set(void *kernel, cl_uint i, size_t size, const void *value);
bool parameter_get(void *kernel, int i, size_t size, void *value);
/* The kernel's name; "" if it is not known. */
void kernel_name(void *kernel, char *name, size_t size);

#endif
