/* Rows as a table for people, or as one JSON object a line. */
#include "bench.h"

#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *bench_backend(const struct bench *b)
{
    return b->info.kind == SSA_DEVICE_HOST ? "host" : "opencl";
}

void report_begin(const struct bench *b)
{
    if (b->json)
        return;
    printf("%s (%s), %s, %d units\n", b->info.name, b->info.platform, b->info.id, b->info.units);
    printf("%-44s %-8s %10s %10s %8s %8s %7s %5s %8s %8s\n", "case", "", "median", "least", "GFLOP/s", "of peak",
           "best", "busy", "error", "MiB");
}

static json_t *as_json(const struct bench *b, const struct row *r)
{
    const struct timing *t = &r->time;
    double gflops = r->flops / t->seconds * 1e-9, best = r->flops / t->seconds_min * 1e-9;
    json_t *o = json_pack("{ss ss ss ss ss ss sf sf sf sf sf sf sf sf sf sf sf sf}", "suite", r->suite, "case", r->name,
                          "device", b->info.name, "device_id", b->info.id, "backend", bench_backend(b), "direction",
                          r->direction, "seconds", t->seconds, "seconds_min", t->seconds_min, "gflops", gflops,
                          "gflops_best", best, "peak_gflops", t->peak, "share", gflops / t->peak, "share_best",
                          best / t->peak, "bandwidth_gbs", t->bandwidth, "busy", t->busy, "processor_seconds",
                          t->processor_seconds, "error", r->error, "bytes", r->bytes);
    if (o && r->tokens > 0)
        json_object_set_new(o, "tokens_per_second", json_real(r->tokens / t->seconds));
    if (o && r->more)
        json_object_update(o, r->more);
    return o;
}

void report_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
}

void report_row(const struct bench *b, struct row *r)
{
    const struct timing *t = &r->time;
    progress_hide();
    if (b->json) {
        report_json(as_json(b, r));
    } else {
        printf("%-44s %-8s %7.3f ms %7.3f ms %8.1f %7.1f%% %6.1f%% %4.0f%% %8.1e %8.2f", r->name, r->direction,
               t->seconds * 1e3, t->seconds_min * 1e3, r->flops / t->seconds * 1e-9,
               r->flops / t->seconds / t->peak * 1e-7, r->flops / t->seconds_min / t->peak * 1e-7, 100 * t->busy,
               r->error, r->bytes / 1048576);
        if (r->tokens > 0)
            printf("  %.0f tokens/s", r->tokens / t->seconds);
        printf("%s%s\n", *r->note ? "  " : "", r->note);
    }
    fflush(stdout);
    json_decref(r->more);
    r->more = NULL;
}

void report_note(const struct bench *b, const char *format, ...)
{
    va_list args;
    if (b->json)
        return;
    progress_hide();
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}
