/* Results of earlier runs, read back. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <jansson.h>

/* The rows of "FILE" or "FILE@DEVICE" (an id, "opencl", or a part of a device's name): a new array; NULL after saying
 * what is wrong: no such file, no row of ours, another schema, no such device. */
json_t *rows_load(const char *name);
/* The file of that name; returns the device, or NULL. */
const char *rows_path(const char *name, char path[4096]);

#endif
