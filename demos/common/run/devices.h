/* The devices of a run: opened as a pool, what becomes of them in the log, their shares in words. */
#ifndef RUN_DEVICES_H
#define RUN_DEVICES_H

#include "program.h"
#include "files.h"
#include "precision.h"

#include <ssacl/pool.h>

/* What --device takes. */
#define DEVICES_HELP \
    "all, or names with commas between (may be repeated): auto, cpu, opencl, opencl:PLATFORM:DEVICE, or a part of a " \
    "name"

/* Of --precision. */
#define PRECISION_HELP \
    "products on a matrix engine of bf16. fast: operands in two parts, to 4e-6; bf16: rounded, to 2e-3. Other bits, " \
    "as another machine's would be. Where a device has no such engine float32 serves, and that is said"

struct devices {
    struct ssa_pool *pool;
    json_t *events;        /* until there is a log */
    struct log_file *log;
    double (*seconds)(const void *cookie); /* of the run, for the log */
    const void *cookie;
    int failed;            /* the log could not be written */
};

/* Opens them. `config` lacks only who is told. */
int devices_open(struct devices *d, const char *names, const struct ssa_pool_config *config);
/* What happened until now, and from here on, goes to this log. */
int devices_log(struct devices *d, struct log_file *log);
void devices_close(struct devices *d);

/* How many have not been lost. */
int devices_live(const struct ssa_pool *pool);
/* Most bytes that were allocated at once, of the device that held most, since they were opened or since the reset. */
size_t devices_peak(const struct ssa_pool *pool);
void devices_reset_peak(const struct ssa_pool *pool);
/* [{"id", "name", "platform", "driver", "units", "lost"}] */
json_t *devices_json(const struct ssa_pool *pool);
/* Adds "shares" (micro-batches) and "rates" (tokens/s) to a record, an entry a device. */
void devices_add_shares(const struct ssa_pool *pool, json_t *record);
/* " = opencl:0:0 9/16 1560/s + cpu 7/16 1210/s"; "" for one device. */
const char *devices_text(const struct ssa_pool *pool, char *text, size_t size);

#endif
