/* Results become rows: JSON objects, from which every table and chart is made. */
#include "bench.h"
#include "output.h"
#include "precision.h"
#include "rows.h"

#include "numbers.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void result_path(struct result *r, const struct ssa_device *device, const char *op)
{
    if (ssa_device_path(device, op, r->path, sizeof r->path))
        *r->path = 0;
    snprintf(r->tuning, sizeof r->tuning, "%s", ssa_tuning_origin(device));
}

bool is_wrong(const struct result *r)
{
    return !(r->error <= r->tolerance);
}

static void set(json_t *row, const char *name, double x)
{
    json_object_set_new(row, name, number_json(x));
}

/* What is known of a case before it runs, and of the device and library it runs on. */
static json_t *begin_row(const struct bench *b, const struct suite *suite, const struct bench_case *c,
                         const char *direction, const char *status)
{
    json_t *row = json_pack("{si ss ss ss ss ss}", "schema", BENCH_SCHEMA, "library", ssa_version(), "suite",
                            suite->name, "case", c->name, "direction", direction, "status", status);
    json_t *shape = json_object();
    for (int i = 0; c->fields && c->fields[i]; i++)
        json_object_set_new(shape, c->fields[i], json_integer(c->shape[i]));
    json_object_set_new(row, "precision", json_string(precision_name(b->precision)));
    json_object_set_new(row, "closed", b->closed ? json_string(b->closed) : json_null());
    json_object_set_new(row, "time", time_now());
    json_object_update(row, output_device(b->output));
    json_object_set_new(row, "shape", shape);
    return row;
}

static void add_timing(json_t *row, const struct timing *t)
{
    json_t *samples = json_array();
    for (int i = 0; i < t->count; i++)
        json_array_append_new(samples, number_json(t->samples[i]));
    set(row, "seconds", t->median);
    set(row, "seconds_min", t->least);
    set(row, "seconds_max", t->most);
    set(row, "seconds_q1", t->q1);
    set(row, "seconds_q3", t->q3);
    json_object_set_new(row, "samples", samples);
    json_object_set_new(row, "calls_per_sample", json_integer(t->calls));
    set(row, "busy", t->busy);
    set(row, "processor_seconds", t->processor_seconds);
}

/* Rates, and how near they come to the two roofs. The roof that binds is the one that alone would take longer. */
static void add_rates(json_t *row, const struct result *r)
{
    const struct timing *t = &r->time;
    double gflops = r->flops / t->median * 1e-9, gbs = r->moved / t->median * 1e-9;
    double dense = r->flops_dense > 0 ? r->flops_dense : r->flops;
    double arithmetic = gflops / t->peak, bandwidth = t->bandwidth > 0 && r->moved > 0 ? gbs / t->bandwidth : NAN;
    bool memory = isfinite(bandwidth) && bandwidth > arithmetic;
    set(row, "flops", r->flops);
    set(row, "flops_dense", dense);
    set(row, "gflops", gflops);
    set(row, "gflops_dense", dense / t->median * 1e-9);
    set(row, "bytes_moved", r->moved > 0 ? r->moved : NAN);
    set(row, "gbs", r->moved > 0 ? gbs : NAN);
    set(row, "peak_gflops", t->peak > 0 ? t->peak : NAN);
    set(row, "peak_gbs", t->bandwidth > 0 ? t->bandwidth : NAN);
    set(row, "peak_gbs_set_bytes", t->bandwidth_set > 0 ? t->bandwidth_set : NAN);
    set(row, "share_arithmetic", arithmetic);
    set(row, "share_bandwidth", bandwidth);
    set(row, "share", memory ? bandwidth : arithmetic);
    json_object_set_new(row, "bound", json_string(memory ? "bandwidth" : t->peak > 0 ? "arithmetic" : ""));
    if (r->tokens > 0)
        set(row, "tokens_per_second", r->tokens / t->median);
}

/* What the first call took longer than the others: building kernels, packing, first touches of memory. */
static void add_build(json_t *row, const struct bench *b, const char *direction, const struct timing *t)
{
    const char *own = getenv("SSACL_CACHE");
    set(row, "first_call_seconds", t->first > 0 ? t->first : NAN);
    json_t *builds = json_object_get(b->builds, direction);
    set(row, "build_cold_seconds", row_number(builds, "cold"));
    set(row, "build_warm_seconds", row_number(builds, "warm"));
    set(row, "build_seconds", t->first > t->median && t->median > 0 ? t->first - t->median : t->first > 0 ? 0 : NAN);
    json_object_set_new(row, "build_cache", json_string(own && !strcmp(own, "0") ? "off" : "as the machine had it"));
}

void emit(const struct bench *b, const struct suite *suite, const struct bench_case *c, struct result *r)
{
    bool wrong = is_wrong(r);
    json_t *row = begin_row(b, suite, c, r->direction, wrong ? "wrong" : "ok");
    char reason[96];
    snprintf(reason, sizeof reason, "the error is %.1e, at most %.0e is right: no speed is shown", r->error,
             r->tolerance);
    json_object_set_new(row, "reason", wrong ? json_string(reason) : json_null());
    json_object_set_new(row, "plan", r->plan ? r->plan : json_null());
    set(row, "error", r->error < 1e300 ? r->error : NAN);
    set(row, "tolerance", r->tolerance);
    if (!wrong) { /* a wrong result has no speed */
        add_timing(row, &r->time);
        add_rates(row, r);
        add_build(row, b, r->direction, &r->time);
        json_object_set_new(row, "note", json_text(r->note));
        if (r->more)
            json_object_update(row, r->more);
    }
    set(row, "bytes_held", r->held);
    if (*r->path)
        json_object_set_new(row, "path", json_text(r->path));
    json_object_set_new(row, "tuning", json_text(r->tuning));
    json_decref(r->more);
    r->plan = r->more = NULL;
    output_row(b->output, row);
}

void emit_absence(const struct bench *b, const struct suite *suite, const struct bench_case *c, const char *status,
                  const char *reason)
{
    json_t *row = begin_row(b, suite, c, c->directions, status);
    json_object_set_new(row, "reason", json_text(reason));
    output_row(b->output, row);
}
