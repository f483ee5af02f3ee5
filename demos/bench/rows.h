/* Rows: the fields of one, the facts that every one has, and those of earlier runs, read back. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <ssacl/device.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

bool row_is_ok(const json_t *row);
/* Of a dotted path ("shape.length"): the text, "" if there is none; the number, NaN if there is none. */
const char *row_text(const json_t *row, const char *path);
double row_number(const json_t *row, const char *path);
const json_t *row_field(const json_t *row, const char *path);

/* Of the same device, machine, version, and file if they say of which they are. */
bool row_same_device(const json_t *a, const json_t *b);

/* About the machine and a device; "2026-01-31T12:00:00Z". New references. */
json_t *machine_facts(void);
json_t *device_facts(const struct ssa_device_info *info);
json_t *time_now(void);

/* The rows of "FILE" or "FILE@DEVICE" (an id, "opencl", or a part of a device's name): a new array; NULL after saying
 * what is wrong: no such file, no row of ours, another schema, no such device. */
json_t *rows_load(const char *name);
/* The file of that name; returns the device, or NULL. */
const char *rows_path(const char *name, char path[4096]);

#endif
