/* The linear layer and the matrix multiplication under it, in two shapes: on CPUs our own kernels with everything
 * fused, on GPUs a library's GEMM (else cl/gemm_gpu.cl) and an element-wise kernel after it. A few rows, as of a token
 * that is generated, have a kernel of their own in both. */
#include "gemm.h"

enum { TILES = 24, DEPTH = 128, FEW = 4 }; /* rows in whole tiles of 4, 6 or 8; of a part of column_sum; that are few */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

size_t ssa_gemm_enough_items(const struct ssa_device *device)
{
    const int units = device->info.units > 0 ? device->info.units : 1;
    return (size_t)ssa_tuned(device, SSA_TUNED(gemm, ITEMS)) * (size_t)units;
}

/* ---- CPUs: c = a op(b) with a fused epilogue ---- */

/* Rows of a work-item: 32 items a unit where m allows it, in whole tiles of 6 or 8. */
static size_t block_rows(const struct ssa_device *device, int m)
{
    size_t rows = ssa_divide_up(ssa_divide_up((size_t)m, 8 * ssa_gemm_enough_items(device)), TILES) * TILES;
    size_t most = (size_t)ssa_tuned(device, SSA_TUNED(gemm, ROWS));
    return rows > most ? most : rows;
}

/* Blocks of columns, alike: as many as work-items need, and so many that one's panels of b stay in a core's second
 * cache while all rows pass by (launches go down the rows first). */
static size_t column_blocks(const struct ssa_device *device, size_t panels, size_t row_blocks, int k)
{
    size_t panel_bytes = PANEL_COLUMNS * (size_t)k * sizeof(float);
    size_t cached = ((size_t)ssa_tuned(device, SSA_TUNED(gemm, PANELS)) << 10) / panel_bytes;
    size_t for_cache = ssa_divide_up(panels, cached ? cached : 1);
    size_t for_items = ssa_divide_up(ssa_gemm_enough_items(device), row_blocks);
    return for_cache > for_items ? for_cache : for_items;
}

static int multiply_rows(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e)
{
    int err;
    if (ssa_gemm_parts_serves(device, g, e))
        return ssa_gemm_parts_run(device, g, e);
    ssa_gemm_settle(device);
    size_t mb = block_rows(device, g->m);
    size_t panels = ssa_divide_up((size_t)g->n, PANEL_COLUMNS), row_blocks = ssa_divide_up((size_t)g->m, mb);
    size_t nb = ssa_divide_up(panels, column_blocks(device, panels, row_blocks, g->k)) * PANEL_COLUMNS;
    struct ssa_tensor packed;
    TRY(ssa_scratch(device, 0, panels * PANEL_COLUMNS * (size_t)g->k, &packed));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "gemm",
        .kernel = "gemm_pack_b",
        .args = {ARG_TENSOR(g->b), ARG_TENSOR(packed), ARG_INT(g->ldb), ARG_INT(g->trans_b), ARG_INT(g->n),
                 ARG_INT(g->k)},
        .global = {panels, ssa_divide_up((size_t)g->k, PACK_K)},
    }));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .kernel = "gemm",
        .args = {ARG_TENSOR(g->a), ARG_TENSOR(packed), ARG_TENSOR(g->c), ARG_TENSOR(e->bias), ARG_TENSOR(e->pre),
                 ARG_TENSOR(e->slope_of), ARG_TENSOR(e->addend), ARG_INT(g->lda), ARG_INT(g->ldc), ARG_INT(g->m),
                 ARG_INT(g->n), ARG_INT(g->k), ARG_INT((int)mb), ARG_INT((int)nb), ARG_INT(e->activation)},
        .global = {row_blocks, ssa_divide_up((size_t)g->n, nb)},
        .local = {1, 1, 1},
    }));
done:
    return err;
}

/* ---- few rows, on every device: w is read once, as it lies ---- */

static int multiply_few(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e)
{
    struct ssa_launch l = {
        .file = "linear",
        .kernel = "linear_few",
        .args = {ARG_TENSOR(g->a), ARG_TENSOR_AS(w, g->b), ARG_TENSOR(g->c), ARG_TENSOR(e->bias), ARG_TENSOR(e->pre),
                 ARG_TENSOR(e->slope_of), ARG_TENSOR(e->addend), ARG_INT(g->lda), ARG_INT(g->ldc), ARG_INT_AS(rows, g->m),
                 ARG_INT(g->n), ARG_INT(g->k), ARG_INT(e->activation)},
    };
    const size_t columns = (size_t)g->n;
    return ssa_launch_rows(device, &l, device->info.gpu_shape ? columns : ssa_divide_up(columns, FEW_COLUMNS));
}

/* ---- CPUs: c (+)= a^T op(b), and the column sums of a ---- */

int ssa_sum_planes(struct ssa_device *device, struct ssa_tensor planes, size_t plane, int splits, struct ssa_tensor out,
                   size_t count, bool accumulate)
{
    struct ssa_launch l = {
        .file = "linear",
        .kernel = "sum_planes",
        .args = {ARG_TENSOR(planes), ARG_TENSOR(out), ARG_ULONG(plane), ARG_ULONG(count), ARG_INT(splits),
                 ARG_INT(accumulate)},
    };
    return ssa_launch_chunks(device, &l, count);
}

/* k is cut into `splits` where the output alone has too few blocks; each split has its own plane, summed after. */
static int multiply_ta(struct ssa_device *device, const struct ssa_gemm *g, struct ssa_tensor sums)
{
    ssa_gemm_settle(device);
    size_t plane = (size_t)g->m * (size_t)g->n;
    size_t row_blocks = ssa_divide_up((size_t)g->m, (size_t)ssa_tuned(device, SSA_TUNED(gemm, MB)));
    size_t column_blocks = ssa_divide_up((size_t)g->n, (size_t)ssa_tuned(device, SSA_TUNED(gemm, NB)));
    size_t depth = (size_t)ssa_tuned(device, SSA_TUNED(gemm, KC));
    size_t splits = g->ldc == g->n ? ssa_divide_up(ssa_gemm_enough_items(device), row_blocks * column_blocks) : 1;
    size_t span = ssa_divide_up(ssa_divide_up((size_t)g->k, splits), depth) * depth;
    struct ssa_tensor c = g->c, sums_to = sums;
    bool split, accumulate = g->accumulate;
    int err = SSA_OK;

    splits = ssa_divide_up((size_t)g->k, span);
    split = splits > 1;
    if (split) {
        TRY(ssa_scratch(device, 1, splits * (plane + (size_t)g->m), &c));
        if (ssa_present(sums))
            sums_to = ssa_tensor_add(c, splits * plane);
    }
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "gemm",
        .kernel = "gemm_ta",
        .args = {ARG_TENSOR(g->a), ARG_TENSOR(g->b), ARG_TENSOR(c), ARG_TENSOR(sums_to), ARG_INT(g->lda),
                 ARG_INT(g->ldb), ARG_INT(g->ldc), ARG_INT(g->trans_b), ARG_INT(g->m), ARG_INT(g->n), ARG_INT(g->k),
                 ARG_INT_AS(ks, smaller((int)span, g->k)), ARG_ULONG(plane), ARG_INT(accumulate && !split)},
        .global = {row_blocks, column_blocks, splits},
        .local = {1, 1, 1},
    }));
    if (split)
        TRY(ssa_sum_planes(device, c, plane, (int)splits, g->c, plane, accumulate));
    if (split && ssa_present(sums))
        TRY(ssa_sum_planes(device, sums_to, (size_t)g->m, (int)splits, sums, (size_t)g->m, accumulate));
done:
    return err;
}

/* ---- GPUs ---- */

static int gemm_plain(struct ssa_device *device, const struct ssa_gemm *g)
{
    return ssa_launch(device, &(struct ssa_launch){
        .file = "plain",
        .kernel = "gemm_plain",
        .args = {ARG_TENSOR(g->a), ARG_TENSOR(g->b), ARG_TENSOR(g->c), ARG_INT(g->lda), ARG_INT(g->ldb),
                 ARG_INT(g->ldc), ARG_INT(g->trans_a), ARG_INT(g->trans_b), ARG_INT(g->k), ARG_INT(g->accumulate)},
        .global = {(size_t)g->n, (size_t)g->m},
    });
}

static int library_gemm(struct ssa_device *device, const struct ssa_gemm *g)
{
    return device->backend->gemm ? device->backend->gemm(device, g) : SSA_EUNSUPPORTED;
}

/* A product with too few tiles for the device is cut along k, as a weight's gradient, which has the longest. */
static size_t splits_for(const struct ssa_device *device, const struct ssa_gemm *g, size_t tiles)
{
    enum { LEAST = 256 };
    size_t wanted = ssa_divide_up(2 * (size_t)(device->info.units > 0 ? device->info.units : 1), tiles);
    size_t most = ssa_divide_up((size_t)g->k, LEAST);
    return g->ldc != g->n ? 1 : wanted < most ? wanted : most;
}

static int own_gemm(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *epilogue)
{
    size_t side = (size_t)ssa_tuned(device, SSA_TUNED(gemm_gpu, SIDE));
    size_t tile = (size_t)ssa_tuned(device, SSA_TUNED(gemm_gpu, TILE));
    size_t depth = (size_t)ssa_tuned(device, SSA_TUNED(gemm_gpu, DEPTH)), plane = (size_t)g->m * (size_t)g->n;
    size_t tiles_m = ssa_divide_up((size_t)g->m, tile), tiles_n = ssa_divide_up((size_t)g->n, tile);
    size_t splits = epilogue ? 1 : splits_for(device, g, tiles_m * tiles_n);
    size_t span = ssa_divide_up(ssa_divide_up((size_t)g->k, splits), depth) * depth;
    struct epilogue e = epilogue ? *epilogue : (struct epilogue){0};
    struct ssa_tensor c = g->c;
    int err = SSA_OK;
    splits = ssa_divide_up((size_t)g->k, span);
    if (splits > 1)
        TRY(ssa_scratch(device, 1, splits * plane, &c));
    else if (g->accumulate)
        e.addend = c;
    TRY(ssa_launch(device, &(struct ssa_launch){
        .kernel = "gemm_gpu",
        .args = {ARG_TENSOR(g->a), ARG_TENSOR(g->b), ARG_TENSOR(c), ARG_TENSOR(e.bias), ARG_TENSOR(e.pre),
                 ARG_TENSOR(e.slope_of), ARG_TENSOR(e.addend), ARG_INT(g->lda), ARG_INT(g->ldb), ARG_INT(g->ldc),
                 ARG_INT(g->trans_a), ARG_INT(g->trans_b), ARG_INT(g->m), ARG_INT(g->n), ARG_INT(g->k),
                 ARG_INT(smaller((int)span, g->k)), ARG_ULONG(plane), ARG_INT(e.activation)},
        .global = {tiles_n * side, tiles_m * side, splits},
        .local = {side, side, 1},
    }));
    if (splits > 1)
        TRY(ssa_sum_planes(device, c, plane, (int)splits, g->c, plane, g->accumulate));
done:
    return err;
}

static int gpu_gemm(struct ssa_device *device, const struct ssa_gemm *g)
{
    int err = library_gemm(device, g);
    if (err != SSA_EUNSUPPORTED)
        return err;
    return ssa_gemm_trusted(device, g, "gemm_gpu", NULL, "the plain kernel") ? own_gemm(device, g, NULL)
                                                                             : gemm_plain(device, g);
}

static bool same(struct ssa_tensor a, struct ssa_tensor b)
{
    return a.buffer == b.buffer && a.offset == b.offset;
}

/* Our own kernel does all at once. Another's product goes where the epilogue can take it up in place: to pre if there
 * is one; to c, unless c still holds the addend, which a GEMM can add itself if nothing comes between; else to scratch. */
static int gpu_fused(struct ssa_device *device, const struct ssa_gemm *gemm, const struct epilogue *epilogue)
{
    struct ssa_gemm g = *gemm;
    struct epilogue e = *epilogue;
    bool in_place = ssa_present(e.addend) && same(e.addend, g.c);
    int err = SSA_OK;
    if (in_place && !ssa_present(e.pre) && !e.activation) {
        g.accumulate = true;
        e.addend = (struct ssa_tensor){0};
    } else if (ssa_present(e.pre)) {
        g.c = e.pre;
    } else if (in_place) {
        TRY(ssa_scratch(device, 0, (size_t)g.m * (size_t)g.n, &g.c));
        g.ldc = g.n;
    }
    err = library_gemm(device, &g);
    if (err == SSA_EUNSUPPORTED && ssa_gemm_trusted(device, gemm, "gemm_gpu", NULL, "the plain kernel"))
        return own_gemm(device, gemm, epilogue);
    if (err == SSA_EUNSUPPORTED)
        err = gemm_plain(device, &g);
    if (!err && (ssa_present(e.bias) || ssa_present(e.pre) || e.activation || ssa_present(e.addend))) {
        struct ssa_launch l = {
            .file = "linear",
            .kernel = "linear_epilogue",
            .args = {ARG_TENSOR_AS(product, g.c), ARG_TENSOR(gemm->c), ARG_TENSOR(e.bias), ARG_TENSOR(e.pre),
                     ARG_TENSOR(e.slope_of), ARG_TENSOR(e.addend), ARG_INT_AS(width, g.n),
                     ARG_INT_AS(product_stride, g.ldc), ARG_INT_AS(stride, gemm->ldc), ARG_INT(e.activation)},
        };
        TRY(ssa_launch_rows(device, &l, (size_t)g.m));
    }
done:
    return err;
}

static int column_sum(struct ssa_device *device, const struct ssa_linear_bwd *a, int stride)
{
    size_t splits = ssa_divide_up((size_t)a->rows, DEPTH), width = (size_t)a->out;
    struct ssa_tensor planes;
    int err;
    TRY(ssa_scratch(device, 1, splits * width, &planes));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .file = "linear",
        .kernel = "column_sum",
        .args = {ARG_TENSOR_AS(x, a->dy), ARG_TENSOR_AS(out, planes), ARG_INT(a->rows), ARG_INT_AS(width, a->out),
                 ARG_INT(stride), ARG_INT_AS(span, DEPTH)},
        .global = {ssa_divide_up(width, 4), splits},
    }));
    TRY(ssa_sum_planes(device, planes, width, (int)splits, a->dbias, width, a->accumulate));
done:
    return err;
}

/* ---- the operators ---- */

int ssa_gemm_run(struct ssa_device *device, const struct ssa_gemm *g)
{
    struct epilogue e = {0};
    if (device->info.gpu_shape)
        return gpu_gemm(device, g);
    if (g->trans_a)
        return ssa_gemm_parts_serves(device, g, &e) ? ssa_gemm_parts_run(device, g, &e)
                                                : multiply_ta(device, g, (struct ssa_tensor){0});
    if (g->accumulate)
        e.addend = g->c;
    return multiply_rows(device, g, &e);
}

static int check_shape(const char *op, int rows, int in, int out, int activation)
{
    int err;
    TRY(ssa_check_countable(op, "rows", rows));
    TRY(ssa_check_countable(op, "in", in));
    TRY(ssa_check_countable(op, "out", out));
    TRY(ssa_check_activation(op, activation));
done:
    return err;
}

static int check_stride(const char *op, const char *name, int stride, int width)
{
    if (stride && stride < width)
        return ssa_fail(SSA_EINVAL, "%s: %s is %d, must be 0 or at least the width %d", op, name, stride, width);
    return SSA_OK;
}

int ssa_linear_fwd_check(struct ssa_device *device, const struct ssa_linear_fwd *a)
{
    const char *op = "linear_fwd";
    int err;
    TRY(check_shape(op, a->rows, a->in, a->out, a->activation));
    TRY(check_stride(op, "x_stride", a->x_stride, a->in));
    TRY(check_stride(op, "y_stride", a->y_stride, a->out));
    TRY(ssa_check_loops(device, op, 2 * (size_t)a->in));
    size_t rows = (size_t)a->rows, out = (size_t)a->out, in = (size_t)a->in;
    size_t x = a->x_stride ? (size_t)a->x_stride : in, y = a->y_stride ? (size_t)a->y_stride : out; /* strides */
    bool twice = ssa_present(a->bias) || ssa_present(a->residual) || a->activation; /* y may hold the product first */
    TRY(ssa_check_operands(device, "linear_fwd", (const struct ssa_operand[]){
        {"x", a->x, rows, in, x, SSA_READ},
        VECTOR(w, SSA_READ, out * in),
        VECTOR(bias, SSA_READ | SSA_OPTIONAL, out),
        {"pre", a->pre, rows, out, y, ssa_output(true) | SSA_OPTIONAL},
        {"residual", a->residual, rows, out, y, SSA_READ | SSA_OPTIONAL | SSA_PLACE},
        {"y", a->y, rows, out, y, ssa_output(twice) | SSA_PLACE},
        {0}}));
done:
    return err;
}

int ssa_linear_fwd_run(struct ssa_device *device, const struct ssa_linear_fwd *a)
{
    struct ssa_gemm g = {.a = a->x, .b = a->w, .c = a->y, .m = a->rows, .n = a->out, .k = a->in, .ldb = a->in,
                         .lda = a->x_stride ? a->x_stride : a->in, .ldc = a->y_stride ? a->y_stride : a->out,
                         .trans_b = true};
    struct epilogue e = {.bias = a->bias, .pre = a->pre, .addend = a->residual, .activation = a->activation};
    if (a->rows <= FEW || a->apart)
        return multiply_few(device, &g, &e);
    return device->info.gpu_shape ? gpu_fused(device, &g, &e) : multiply_rows(device, &g, &e);
}

int ssa_linear_bwd_check(struct ssa_device *device, const struct ssa_linear_bwd *a)
{
    const char *op = "linear_bwd";
    int err;
    TRY(check_shape(op, a->rows, a->in, a->out, a->activation));
    TRY(check_stride(op, "x_stride", a->x_stride, a->in));
    TRY(check_stride(op, "dy_stride", a->dy_stride, a->out));
    TRY(ssa_check_loops(device, op, 2 * (size_t)(ssa_present(a->dw) && a->rows > a->out ? a->rows : a->out)));
    REQUIRE(!a->activation || ssa_present(a->x_pre), "linear_bwd: activation is set, but x_pre is absent");
    REQUIRE(!a->accumulate_dx || !ssa_present(a->x_pre), "linear_bwd: accumulate_dx does not go with x_pre");
    size_t rows = (size_t)a->rows, out = (size_t)a->out, in = (size_t)a->in;
    size_t x = a->x_stride ? (size_t)a->x_stride : in, dy = a->dy_stride ? (size_t)a->dy_stride : out; /* strides */
    TRY(ssa_check_operands(device, "linear_bwd", (const struct ssa_operand[]){
        {"x", a->x, rows, in, x, ssa_present(a->dw) ? SSA_READ : SSA_UNUSED},
        VECTOR(w, ssa_present(a->dx) ? SSA_READ : SSA_UNUSED, out * in),
        {"dy", a->dy, rows, out, dy, SSA_READ},
        {"x_pre", a->x_pre, rows, in, x, ssa_present(a->dx) && a->activation ? SSA_READ : SSA_UNUSED},
        {"dx", a->dx, rows, in, x, ssa_output(a->accumulate_dx || a->activation) | SSA_OPTIONAL},
        VECTOR(dw, ssa_output(true) | SSA_OPTIONAL, out * in),
        VECTOR(dbias, ssa_output(true) | SSA_OPTIONAL, out),
        {0}}));
done:
    return err;
}

static int input_gradient(struct ssa_device *device, const struct ssa_linear_bwd *a, int x_stride, int dy_stride)
{
    struct ssa_gemm g = {.a = a->dy, .b = a->w, .c = a->dx, .m = a->rows, .n = a->in, .k = a->out, .lda = dy_stride,
                         .ldb = a->in, .ldc = x_stride};
    struct epilogue e = {.slope_of = a->activation ? a->x_pre : (struct ssa_tensor){0}, .activation = a->activation};
    if (a->accumulate_dx)
        e.addend = a->dx;
    return device->info.gpu_shape ? gpu_fused(device, &g, &e) : multiply_rows(device, &g, &e);
}

int ssa_linear_bwd_run(struct ssa_device *device, const struct ssa_linear_bwd *a)
{
    int x_stride = a->x_stride ? a->x_stride : a->in, dy_stride = a->dy_stride ? a->dy_stride : a->out;
    struct ssa_gemm g = {.a = a->dy, .b = a->x, .c = a->dw, .m = a->out, .n = a->in, .k = a->rows, .lda = dy_stride,
                         .ldb = x_stride, .ldc = a->in, .trans_a = true, .accumulate = a->accumulate};
    const struct epilogue none = {0};
    const bool parts = ssa_present(a->dw) && ssa_gemm_parts_serves(device, &g, &none);
    const bool fused = ssa_present(a->dw) && !device->info.gpu_shape && !parts;
    int err = SSA_OK;
    if (ssa_present(a->dx))
        TRY(input_gradient(device, a, x_stride, dy_stride));
    if (parts)
        TRY(ssa_gemm_parts_run(device, &g, &none));
    else if (fused)
        TRY(multiply_ta(device, &g, a->dbias));
    else if (ssa_present(a->dw))
        TRY(gpu_gemm(device, &g));
    if (ssa_present(a->dbias) && !fused)
        TRY(column_sum(device, a, dy_stride));
done:
    return err;
}
