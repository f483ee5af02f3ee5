/* Facts about the machine and a device, as they stand in every row. New references. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <ssacl/device.h>

#include <jansson.h>

json_t *machine_facts(void);
json_t *device_facts(const struct ssa_device_info *info);
/* "2026-01-31T12:00:00Z" */
json_t *time_now(void);

#endif
