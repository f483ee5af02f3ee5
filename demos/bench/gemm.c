/* The linear layers of a GPT, forward and both gradients. */
#include "bench.h"
#include "reference.h"

#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct shape {
    int rows, in, out;
};

struct bench_case {
    const struct bench *bench;
    struct ssa_device *device;
    struct shape s;
    struct ssa_tensor x, w, dy, y, dx, dw;
    float *host_x, *host_w, *host_dy;
};

static int forward(void *context)
{
    struct bench_case *c = context;
    return ssa_linear_fwd(c->device, &(struct ssa_linear_fwd){.x = c->x, .w = c->w, .y = c->y, .rows = c->s.rows,
                                                              .in = c->s.in, .out = c->s.out});
}

static int input_gradient(void *context)
{
    struct bench_case *c = context;
    return ssa_linear_bwd(c->device, &(struct ssa_linear_bwd){.w = c->w, .dy = c->dy, .dx = c->dx, .rows = c->s.rows,
                                                              .in = c->s.in, .out = c->s.out});
}

static int weight_gradient(void *context)
{
    struct bench_case *c = context;
    return ssa_linear_bwd(c->device, &(struct ssa_linear_bwd){.x = c->x, .dy = c->dy, .dw = c->dw, .rows = c->s.rows,
                                                              .in = c->s.in, .out = c->s.out});
}

/* The three directions as c = a b^T. */
static struct gemm_check as_gemm(const struct bench_case *c, int direction)
{
    size_t rows = (size_t)c->s.rows, in = (size_t)c->s.in, out = (size_t)c->s.out;
    if (direction == 0)
        return (struct gemm_check){c->host_x, c->host_w, NULL, rows, out, in, in, 1, in, 1};
    if (direction == 1)
        return (struct gemm_check){c->host_dy, c->host_w, NULL, rows, in, out, out, 1, 1, in};
    return (struct gemm_check){c->host_dy, c->host_x, NULL, out, in, rows, 1, out, 1, in};
}

static int check(const struct bench_case *c, int direction, struct ssa_tensor t, double *error)
{
    struct gemm_check g = as_gemm(c, direction);
    float *got = malloc(g.rows * g.columns * sizeof *got);
    if (!got)
        return bench_out_of_memory();
    int err = ssa_tensor_read(t, got, g.rows * g.columns);
    g.c = got;
    *error = err ? 0 : check_gemm(&g);
    free(got);
    return err;
}

static int run_direction(struct bench_case *c, int direction, double *log_share)
{
    static const bench_work works[] = {forward, input_gradient, weight_gradient};
    static const char *const names[] = {"fwd", "dx", "dw"};
    struct ssa_tensor *targets[] = {&c->y, &c->dx, &c->dw}, *t = targets[direction];
    struct row r = {.suite = "gemm", .direction = names[direction],
                    .flops = 2.0 * c->s.rows * c->s.in * c->s.out};
    struct gemm_check g = as_gemm(c, direction);
    size_t base;
    int err;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = bench_tensor(t, c->device, g.rows * g.columns, NULL)) ||
        (err = measure(c->bench, c->device, works[direction], c, &r.time)) ||
        (err = check(c, direction, *t, &r.error)))
        return err;
    r.bytes = bench_peak_bytes(c->device, base);
    ssa_buffer_destroy(t->buffer);
    *t = (struct ssa_tensor){0};
    snprintf(r.name, sizeof r.name, "linear rows %d in %d out %d", c->s.rows, c->s.in, c->s.out);
    r.more = json_pack("{si si si}", "rows", c->s.rows, "in", c->s.in, "out", c->s.out);
    *log_share += log(r.flops / r.time.seconds / r.time.peak * 1e-9);
    report_row(c->bench, &r);
    return SSA_OK;
}

static int run(struct bench_case *c, double *log_share)
{
    size_t rows = (size_t)c->s.rows, in = (size_t)c->s.in, out = (size_t)c->s.out;
    int err;
    c->host_x = bench_values(rows * in, 1);
    c->host_w = bench_values(in * out, 2);
    c->host_dy = bench_values(rows * out, 3);
    if (!c->host_x || !c->host_w || !c->host_dy)
        return bench_out_of_memory();
    if ((err = bench_tensor(&c->x, c->device, rows * in, c->host_x)) ||
        (err = bench_tensor(&c->w, c->device, in * out, c->host_w)) ||
        (err = bench_tensor(&c->dy, c->device, rows * out, c->host_dy)))
        return err;
    for (int direction = 0; direction < 3; direction++)
        if ((err = run_direction(c, direction, log_share)))
            return err;
    return SSA_OK;
}

/* As in attention.c, a device for each case. */
static int run_case(const struct bench *b, struct shape s, double *log_share)
{
    struct bench_case c = {.bench = b, .s = s};
    int err = ssa_device_open(&c.device, b->info.id);
    if (!err)
        err = run(&c, log_share);
    struct ssa_tensor all[] = {c.x, c.w, c.dy, c.y, c.dx, c.dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ssa_buffer_destroy(all[i].buffer);
    ssa_device_close(c.device);
    free(c.host_x);
    free(c.host_w);
    free(c.host_dy);
    return err;
}

/* The layers of a block of width C, and the head of 256 symbols. */
static int list_shapes(const struct bench *b, struct shape *list)
{
    const int widths[] = {b->quick ? 64 : 256, 512}, rows[] = {b->quick ? 200 : 4096, 8192};
    int n = 0;
    for (int w = 0; w < (b->quick ? 1 : 2); w++) {
        for (int r = 0; r < (b->quick ? 1 : 2); r++) {
            int c = widths[w], t = rows[r];
            const struct shape block[] = {{t, c, 3 * c}, {t, c, c}, {t, c, 4 * c}, {t, 4 * c, c}, {t, c, 256}};
            for (int i = 0; i < (c == 256 ? 4 : 5); i++) /* the head of width 256 is the same as its projection */
                list[n++] = block[i];
        }
    }
    return n;
}

int bench_gemm(const struct bench *b)
{
    struct shape list[32];
    int n = list_shapes(b, list), err = SSA_OK;
    double log_share = 0;
    progress_begin("gemm", n);
    for (int i = 0; i < n && !err; i++) {
        err = run_case(b, list[i], &log_share);
        progress_update(i + 1, -1, "rows %d in %d out %d", list[i].rows, list[i].in, list[i].out);
    }
    progress_end();
    if (!err)
        report_note(b, "geometric mean of the shares of peak: %.1f%%", 100 * exp(log_share / (3 * n)));
    return err;
}
