#include "bench.h"

#include <ssacl/tuning.h>

#include <stdio.h>

void result_path(struct result *r, const struct ssa_device *device, const char *op)
{
    if (ssa_device_path(device, op, r->path, sizeof r->path))
        *r->path = 0;
    snprintf(r->tuning, sizeof r->tuning, "%s", ssa_tuning_origin(device));
}
