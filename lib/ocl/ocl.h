/* What the files of the OpenCL backend share. What is not of one file alone has the prefix ssa_: a static library hides
 * none of its names from its callers. */
#ifndef SSA_OCL_BACKEND_H
#define SSA_OCL_BACKEND_H

#include "impl.h"
#include "cl.h"

#include <stdatomic.h>

struct ocl_program;

/* Values on their way to the device; see upload.c. */
struct ocl_upload {
    void *values;
    size_t room; /* bytes */
    cl_event done;
};
enum { OCL_UPLOADS = 4 };

/* Of patience.c. */
struct ocl_patience {
    atomic_int fresh;      /* kernels made since the device was last waited for */
    double next, interval; /* when the log may have a line again, and how long after that the next */
};

struct ocl_device {
    struct ssa_device base;
    cl_context context;
    cl_device_id id;
    cl_command_queue queue;
    cl_command_queue reads;      /* of ocl_fetch(); made when it is first called */
    bool out_of_order;           /* the caller's queue: put barriers between our commands */
    cl_command_queue set_aside;  /* the device's queue while a self-test runs on one of its own */
    bool set_aside_order;
    bool no_library_gemm;        /* CLBlast is missing or failed: our own kernels serve */
    int sub_group;               /* SUB_GROUP of cl/common.h; 0: none */
    cl_mem absent;               /* stands in for absent tensors: some drivers dislike NULL */
    struct ocl_program *programs;
    int program_count;
    bool library_called; /* CLBlast, which builds its kernels at the first call */
    struct ocl_patience patience;
    struct ocl_upload uploads[OCL_UPLOADS];
    unsigned upload_count; /* so far: they take turns */
    char identity[1024];         /* all that a built program depends on but for its text; "": none is kept */
    int binaries;                /* of binary.c: whether they are worth keeping, and what one saves in seconds */
    double binary_saves;
};

static inline struct ocl_device *ocl(const struct ssa_device *device)
{
    return (struct ocl_device *)device;
}

static inline cl_mem ocl_memory(struct ssa_tensor t)
{
    return t.buffer->memory;
}

const char *ssa_ocl_code_name(cl_int code);
/* SSA_OK, or an error with the text "what: CL_NAME (code)". */
int ssa_ocl_check(cl_int code, const char *what);
/* After a command was enqueued: keeps the order on an out-of-order queue. */
int ssa_ocl_ordered(struct ocl_device *device, cl_int code, const char *what);

/* program.c. Creates and builds; `program` is not NULL where there is something to release. */
cl_int ssa_ocl_build(struct ocl_device *device, const char *options, const char *text, cl_program *program);
/* The kernel of `launch`, built on first use and kept. */
int ssa_ocl_kernel(struct ocl_device *device, const struct ssa_launch *launch, cl_kernel *kernel);
void ssa_ocl_programs_release(struct ocl_device *device);
int ssa_ocl_identity(struct ssa_device *device, const char *file, char **text);

/* patience.c: what is called between the two is said in the log if it takes more than two seconds, while it does. NULL
 * is fine. */
struct ocl_watch;
struct ocl_watch *ssa_ocl_watch(struct ocl_device *device, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void ssa_ocl_watch_end(struct ocl_watch *watch);
/* Around a wait for the device: NULL where it has no kernel that is new since the last. */
struct ocl_watch *ssa_ocl_watch_first_run(struct ocl_device *device);

/* binary.c: built programs kept on disk. A program or NULL; then build it from source and let it be kept. */
void ssa_ocl_identify(struct ocl_device *device, cl_platform_id platform); /* sets `identity` */
cl_program ssa_ocl_binary_load(struct ocl_device *device, const char *options, const char *text);
void ssa_ocl_binary_keep(struct ocl_device *device, const char *options, const char *text, cl_program program);

/* upload.c: the backend's `write`. */
int ssa_ocl_write(struct ssa_device *device, struct ssa_tensor tensor, const void *source, size_t bytes);
void ssa_ocl_uploads_release(struct ocl_device *device);

/* loops.c: sets the device's loop_limit. */
int ssa_ocl_probe_loops(struct ssa_device *device);

/* gemm.c: CLBlast. */
int ssa_ocl_gemm(struct ssa_device *device, const struct ssa_gemm *gemm);
void ssa_ocl_gemm_forget(struct ocl_device *device);

#endif
