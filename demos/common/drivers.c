#define _GNU_SOURCE /* sched_getaffinity */
#include "drivers.h"

#include <ssacl/device.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Processors that this process may run on: fewer than there are where a launcher has bound it to some, or a container
 * allows less. The host backend's threads say it, unless they were set. */
static int processors(void)
{
    struct ssa_device_info host = {0};
    struct ssa_device *device;
    cpu_set_t set;
    int bound = sched_getaffinity(0, sizeof set, &set) ? 0 : CPU_COUNT(&set);
    if (getenv("SSACL_THREADS") || ssa_device_open(&device, "cpu"))
        return bound;
    ssa_device_info(device, &host);
    ssa_device_close(device);
    return host.units;
}

void prepare_drivers(void)
{
    int mine = processors();
    if (mine > 0 && mine < sysconf(_SC_NPROCESSORS_ONLN)) { /* PoCL would take all of them */
        char count[16];
        snprintf(count, sizeof count, "%d", mine);
        setenv("POCL_MAX_PTHREAD_COUNT", count, 0);
        setenv("POCL_CPU_MAX_CU_COUNT", count, 0); /* the same, from PoCL 5 on */
        return;
    }
    setenv("POCL_AFFINITY", "1", 0); /* PoCL's threads may else share a core for a second: half the speed */
}
