/* The suites: how fast the library is on a device. */
#include "bench.h"
#include "command.h"
#include "peak.h"

#include "args.h"
#include "progress.h"
#include "say.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct suite {
    const char *name;
    int (*run)(const struct bench *);
} suites[] = {
    {"attention", bench_attention},
    {"gemm", bench_gemm},
    {"step", bench_step},
    {"peak", bench_peak},
};

static const struct suite *find_suite(const struct arg_list *words)
{
    for (size_t i = 0; words->count == 1 && i < sizeof suites / sizeof *suites; i++)
        if (!strcmp(words->items[0], suites[i].name))
            return &suites[i];
    return NULL;
}

int bench_out_of_memory(void)
{
    say_error("out of host memory: ask for a shorter --length or a smaller --batch");
    return SSA_ENOMEM;
}

/* The two limits of the device, as the last row of every run. */
int bench_peak(const struct bench *b)
{
    int err = SSA_OK;
    for (int i = 0; i < b->reps && !err; i++)
        err = (err = peak_fma(b->peak)) ? err : peak_triad(b->peak);
    if (err)
        return err;
    double gflops = peak_gflops(b->peak), bandwidth = peak_bandwidth(b->peak);
    if (b->json)
        report_json(json_pack("{ss ss ss ss ss sf sf}", "suite", "peak", "case", "fma and triad", "device",
                              b->info.name, "device_id", b->info.id, "backend", bench_backend(b), "peak_gflops",
                              gflops, "bandwidth_gbs", bandwidth));
    report_note(b, "this device at most: %.1f GFLOP/s (float32 multiply-adds), %.1f GB/s (triad out of cache)", gflops,
                bandwidth);
    return SSA_OK;
}

static int open_peak(struct bench *b, const char *device_name)
{
    struct ssa_device *device;
    int err = ssa_device_open(&device, device_name);
    if (err)
        return err;
    ssa_device_get_info(device, &b->info);
    ssa_device_close(device);
    return peak_open(&b->peak, &b->info);
}

int run_main(int argc, char **argv)
{
    struct bench b = {0};
    struct arg_list words = {0};
    const char *device = "auto";
    const struct arg table[] = {
        ARG_TEXT('d', "device", &device, "NAME", "auto, cpu, opencl, opencl:0:0 or a part of a device's name"),
        ARG_INT('r', "reps", &b.reps, 1, 1000, "N",
                "repetitions of each case (7; of steps 5; quick 3): the median and the least are shown"),
        ARG_FLAG('q', "quick", &b.quick, "small cases: to see that it works, not to judge speed"),
        ARG_FLAG(0, "json", &b.json, "one JSON object a line"),
        ARG_HEADING("Of the attention suite"),
        ARG_INT('b', "batch", &b.batch, 1, 1 << 16, "B", "examples"),
        ARG_INT(0, "heads", &b.heads, 1, 1 << 12, "H", "heads"),
        ARG_INT(0, "width", &b.width, 8, 256, "D", "width of a head, a multiple of 8"),
        ARG_INT('n', "length", &b.length, 16, 1 << 24, "N", "sequence length (default: 1024 and 2048)"),
        ARG_REAL(0, "ratio", &b.ratio, 1e-6, 1, "R", "share of the keys that a query sees, in place of the suite's"),
        ARG_FLAG(0, "own-key", &b.own_key, "queries also see their own key"),
        ARG_END};
    const struct args_page page = {
        .name = "ssacl-bench",
        .usage = "attention|gemm|step|peak [options]",
        .about = "Times operators and training steps, checks a sample of each result in double precision, and "
                 "measures between the repetitions what the device can do at most.\n"
                 "Columns: the median and the least time; GFLOP/s, and as shares of the peak those of the median and "
                 "(best) of the least; busy: the share of the processors' time that was had, which others lower; the "
                 "largest error, relative; the device memory that was needed.",
        .examples = "Examples:\n  ssacl-bench attention --device cpu --length 4096 --ratio 0.125\n"
                    "  ssacl-bench gemm --json > gemm.jsonl\n",
        .rest = &words};
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    say_set_program("ssacl-bench");
    say_library_log(false);
    const struct suite *suite = find_suite(&words);
    if (!suite) {
        say_error("name one suite: attention, gemm, step or peak; see --help");
        return EXIT_USAGE;
    }
    int err = open_peak(&b, device);
    if (!err) {
        b.reps = b.reps ? b.reps : b.quick ? 3 : suite->run == bench_step ? 5 : 7;
        report_begin(&b);
        err = suite->run(&b);
    }
    if (!err && suite->run != bench_peak)
        err = bench_peak(&b);
    peak_close(b.peak);
    const char *why = *ssa_last_error() ? ssa_last_error() : "cannot measure what the device can do at most";
    return err ? say_error("%s (%s)", why, ssa_status_name(err)) : 0;
}
