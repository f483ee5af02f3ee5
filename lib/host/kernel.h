/* Kernels of cl/ compiled natively: what cl/embed.py generates and the host backend reads. */
#ifndef SSA_HOST_KERNEL_H
#define SSA_HOST_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifndef STACK
#define STACK 0 /* see cl/attention_fwd.cl */
#endif

struct ssa_host_arg {
    void *memory; /* a tensor's buffer */
    uint64_t at;  /* and its offset; all ones: absent */
    int32_t i;
    float f;
    uint64_t u;
};

struct ssa_host_kernel {
    const char *name;
    struct {
        const char *name;
        int value;
    } constants[4]; /* what this build is specialised for */
    void (*run)(const struct ssa_host_arg *); /* one work-item, that of ssa_host_global_id */
    size_t stack;                             /* that this needs, where it is much: STACK of its file */
};

struct ssa_host_table {
    int isa; /* 0: any processor of the architecture; higher: see lib/host/device.c */
    const struct ssa_host_kernel *kernels; /* ends at the first without a name */
};

extern const struct ssa_host_table ssa_host_tables[]; /* ends at the first without kernels */

#endif
