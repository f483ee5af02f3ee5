/* The linear layers of a GPT, forward and both gradients. */
#include "bench.h"

#include "reference.h"
#include "tensors.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS, IN, OUT };
static const char *const fields[] = {"rows", "in", "out", NULL};
static const double tolerance = 2e-5, rounded = 1e-2;

struct shape {
    int rows, in, out;
};

struct state {
    const struct bench *bench;
    struct ssa_device *device;
    struct shape s;
    struct ssa_tensor x, w, dy, y, dx, dw;
    float *host_x, *host_w, *host_dy;
};

static int forward(void *context)
{
    struct state *c = context;
    return ssa_linear_fwd(c->device, &(struct ssa_linear_fwd){.x = c->x, .w = c->w, .y = c->y, .rows = c->s.rows,
                                                              .in = c->s.in, .out = c->s.out});
}

static int input_gradient(void *context)
{
    struct state *c = context;
    return ssa_linear_bwd(c->device, &(struct ssa_linear_bwd){.w = c->w, .dy = c->dy, .dx = c->dx, .rows = c->s.rows,
                                                              .in = c->s.in, .out = c->s.out});
}

static int weight_gradient(void *context)
{
    struct state *c = context;
    return ssa_linear_bwd(c->device, &(struct ssa_linear_bwd){.x = c->x, .dy = c->dy, .dw = c->dw, .rows = c->s.rows,
                                                              .in = c->s.in, .out = c->s.out});
}

/* The three directions as c = a b^T. */
static struct gemm_check as_gemm(const struct state *c, int direction)
{
    size_t rows = (size_t)c->s.rows, in = (size_t)c->s.in, out = (size_t)c->s.out;
    if (direction == 0)
        return (struct gemm_check){c->host_x, c->host_w, NULL, rows, out, in, in, 1, in, 1};
    if (direction == 1)
        return (struct gemm_check){c->host_dy, c->host_w, NULL, rows, in, out, out, 1, 1, in};
    return (struct gemm_check){c->host_dy, c->host_x, NULL, out, in, rows, 1, out, 1, in};
}

static int check(const struct state *c, int direction, struct ssa_tensor t, double *error)
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

static int run_direction(struct state *c, const struct bench_case *of, int direction)
{
    static const bench_work works[] = {forward, input_gradient, weight_gradient};
    static const char *const names[] = {"fwd", "dx", "dw"};
    struct ssa_tensor *targets[] = {&c->y, &c->dx, &c->dw}, *t = targets[direction];
    double rows = c->s.rows, in = c->s.in, out = c->s.out;
    struct result r = {.direction = names[direction], .flops = 2.0 * rows * in * out,
                       .tolerance = tolerated(c->bench, tolerance, rounded),
                       .moved = 4.0 * (rows * in + in * out + rows * out)};
    struct gemm_check g = as_gemm(c, direction);
    size_t base;
    int err;
    if (!bench_wants(c->bench, "gemm", of->name, names[direction]))
        return SSA_OK;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = make_tensor(t, c->device, g.rows * g.columns, NULL)) ||
        (err = measure_first(c->device, works[direction], c, &r.time)) ||
        (err = check(c, direction, *t, &r.error)) ||
        (err = is_wrong(&r) ? SSA_OK : measure(c->bench, c->device, works[direction], c, r.moved, &r.time)))
        return err;
    r.held = bench_peak_bytes(c->device, base);
    result_path(&r, c->device, direction ? "linear_bwd" : "linear_fwd");
    ssa_buffer_destroy(t->buffer);
    *t = (struct ssa_tensor){0};
    emit(c->bench, &gemm_suite, of, &r);
    return SSA_OK;
}

static int run_state(struct state *c, const struct bench_case *of)
{
    size_t rows = (size_t)c->s.rows, in = (size_t)c->s.in, out = (size_t)c->s.out;
    int err;
    c->host_x = make_values(rows * in, 1);
    c->host_w = make_values(in * out, 2);
    c->host_dy = make_values(rows * out, 3);
    if (!c->host_x || !c->host_w || !c->host_dy)
        return bench_out_of_memory();
    if ((err = make_tensor(&c->x, c->device, rows * in, c->host_x)) ||
        (err = make_tensor(&c->w, c->device, in * out, c->host_w)) ||
        (err = make_tensor(&c->dy, c->device, rows * out, c->host_dy)))
        return err;
    for (int direction = 0; direction < 3; direction++)
        if ((err = run_direction(c, of, direction)))
            return err;
    return SSA_OK;
}

/* As in attention.c, a device for each case. */
static int run(const struct bench *b, const struct bench_case *of)
{
    struct state c = {.bench = b, .s = {of->shape[ROWS], of->shape[IN], of->shape[OUT]}};
    int err = ssa_device_open(&c.device, b->info.id);
    if (!err)
        err = ssa_device_set_precision(c.device, b->precision);
    if (!err)
        err = run_state(&c, of);
    struct ssa_tensor all[] = {c.x, c.w, c.dy, c.y, c.dx, c.dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ssa_buffer_destroy(all[i].buffer);
    ssa_device_close(c.device);
    free(c.host_x);
    free(c.host_w);
    free(c.host_dy);
    return err;
}

/* ---- the list ---- */

static int add(struct case_list *list, struct shape s)
{
    double rows = s.rows, in = s.in, out = s.out, elements = rows * in + in * out + rows * out;
    double most = rows * (in > out ? in : out);
    struct bench_case c = {.fields = fields, .shape = {s.rows, s.in, s.out}, .directions = "fwd|dx|dw",
                           .flops = 6 * rows * in * out, .moved = 12 * elements, .memory = 4 * 3 * elements,
                           .largest = 4 * (most > in * out ? most : in * out),
                           .check_flops = 128 * (in + out + rows)};
    snprintf(c.name, sizeof c.name, "linear rows %d in %d out %d", s.rows, s.in, s.out);
    return case_add(list, &c);
}

/* The layers of a block of width C, and the head of 256 symbols. */
static int list(const struct bench *b, struct case_list *list)
{
    int small = b->quick || b->closed, err = SSA_OK;
    const int widths[] = {b->quick ? 64 : 256, 512}, rows[] = {b->quick ? 200 : 4096, 8192};
    for (int w = 0; w < (small ? 1 : 2); w++) {
        for (int r = 0; r < (small ? 1 : 2); r++) {
            int c = widths[w], t = rows[r];
            const struct shape block[] = {{t, c, 3 * c}, {t, c, c}, {t, c, 4 * c}, {t, 4 * c, c}, {t, c, 256}};
            for (int i = 0; i < (c == 256 || 4 * c == 256 ? 4 : 5) && !err; i++) /* the head is as another */
                err = add(list, block[i]);
        }
    }
    return err;
}

const struct suite gemm_suite = {"gemm", 11, list, run};
