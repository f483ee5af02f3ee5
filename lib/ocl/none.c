/* In place of the OpenCL backend where it was compiled out. */
#include "impl.h"

#include <stdio.h>

int ssa_ocl_list(struct ssa_device_info *list, int capacity, int *count, char *why, size_t why_size)
{
    (void)list, (void)capacity;
    *count = 0;
    snprintf(why, why_size, "this library was built without OpenCL (-Dopencl=disabled)");
    return SSA_OK;
}

int ssa_ocl_open(struct ssa_device **device, const char *id)
{
    *device = NULL;
    return ssa_fail(SSA_ENODEVICE, "device %s: this library was built without OpenCL (-Dopencl=disabled)", id);
}
