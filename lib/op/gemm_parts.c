/* Matrix multiplication on a matrix engine of bf16, float32 operands taken apart (cl/gemm_parts.cl): b is packed by
 * tiles, then work-items pack their rows of a and multiply. */
#include "gemm.h"

#include "gemm_parts.h"

enum {
    ROWS = 128,    /* of a work-item, at most */
    COLUMNS = 256, /* of one, at least, where there are more */
    SPLIT = 512,   /* of k, at least, of one of its splits */
    ACROSS_SPAN = 64, ACROSS_PANELS = 32, /* of a work-item that packs b, whose rows lie across k, or along it */
    ALONG_SPAN = 512, ALONG_PANELS = 1,
};

/* Whether nothing but a bias follows the product. */
static bool is_plain(const struct epilogue *e)
{
    return !ssa_present(e->pre) && !ssa_present(e->addend) && !e->activation;
}

/* Of k, what a work-item has at hand at once of one panel. */
static size_t share_of(int parts)
{
    return PARTS_SHARE / ((size_t)parts * sizeof(uint16_t) * PARTS_PANEL);
}

/* With an epilogue all of k must be at hand at once, of a panel at least. */
static bool fits(const struct ssa_gemm *g, const struct epilogue *e, int parts)
{
    return is_plain(e) || (size_t)g->k <= share_of(parts);
}

bool ssa_gemm_parts_serves(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e)
{
    const int parts = ssa_engine_parts(device);
    return parts && g->m >= PARTS_PANEL && g->n >= PARTS_PANEL && g->k >= PARTS_DEPTH && fits(g, e, parts) &&
           ssa_gemm_engine_trusted(device, g, parts);
}

static size_t panels_of(int width)
{
    return ssa_divide_up((size_t)width, PARTS_PANEL);
}

/* Floats of memory that an operand takes, packed. */
static size_t packed_size(int width, int k, int parts)
{
    return panels_of(width) * PARTS_PANEL * ssa_divide_up((size_t)k, PARTS_DEPTH) * PARTS_DEPTH * (size_t)parts / 2;
}

static int pack(struct ssa_device *device, const struct ssa_gemm *g, struct ssa_tensor packed)
{
    const int span = g->trans_b ? ALONG_SPAN : ACROSS_SPAN, panels = g->trans_b ? ALONG_PANELS : ACROSS_PANELS;
    return ssa_launch(device, &(struct ssa_launch){
        .file = "gemm_parts",
        .kernel = "gemm_parts_pack",
        .constants = {{"PARTS", ssa_engine_parts(device)}},
        .args = {ARG_TENSOR(g->b), ARG_TENSOR(packed), ARG_INT(g->ldb), ARG_INT(g->trans_b), ARG_INT(g->n),
                 ARG_INT(g->k), ARG_INT(span), ARG_INT(panels)},
        .global = {ssa_divide_up((size_t)g->k, (size_t)span), ssa_divide_up(panels_of(g->n), (size_t)panels)},
    });
}

static size_t at_most(size_t a, size_t most)
{
    return a < most ? a : most;
}

/* How the product is cut: rows and columns of a work-item, k of a split, and of that at a time. */
struct cut {
    size_t rows, columns, splits;
    int span, depth;
};

/* `plain`: c is the product and a bias; `bare`: without that. Where there are too few rows for all, k is cut if it may
 * be, or else columns, for each of which a's share is packed again. */
static struct cut cut_of(const struct ssa_device *device, const struct ssa_gemm *g, bool plain, bool bare)
{
    const size_t enough = ssa_gemm_enough_items(device), k = (size_t)g->k;
    const size_t whole = ssa_divide_up(k, PARTS_DEPTH) * PARTS_DEPTH;
    const size_t share = share_of(ssa_engine_parts(device));
    struct cut c = {.splits = 1};
    size_t panels = at_most(ROWS / PARTS_PANEL, ssa_divide_up(panels_of(g->m), enough)), blocks, missing;
    if (!plain) /* all of k at once */
        panels = at_most(panels, share / whole);
    c.rows = panels * PARTS_PANEL;
    blocks = ssa_divide_up((size_t)g->m, c.rows);
    missing = ssa_divide_up(enough, blocks);
    if (bare && g->ldc == g->n) {
        c.splits = at_most(missing, ssa_divide_up(k, SPLIT));
        missing = ssa_divide_up(missing, c.splits);
    }
    missing = at_most(missing, ssa_divide_up((size_t)g->n, COLUMNS));
    c.columns = ssa_divide_up(panels_of(g->n), missing) * PARTS_PANEL;
    c.span = (int)(ssa_divide_up(ssa_divide_up(k, c.splits), PARTS_DEPTH) * PARTS_DEPTH);
    c.splits = ssa_divide_up(k, (size_t)c.span);
    c.depth = (int)at_most(share / panels / PARTS_DEPTH * PARTS_DEPTH, (size_t)c.span);
    return c;
}

int ssa_gemm_parts_run(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e)
{
    const bool plain = is_plain(e);
    const struct cut cut = cut_of(device, g, plain, plain && !ssa_present(e->bias));
    const size_t plane = (size_t)g->m * (size_t)g->n;
    struct ssa_tensor packed, c = g->c;
    int err;
    TRY(ssa_scratch(device, 0, packed_size(g->n, g->k, ssa_engine_parts(device)), &packed));
    if (cut.splits > 1)
        TRY(ssa_scratch(device, 1, cut.splits * plane, &c));
    TRY(pack(device, g, packed));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .kernel = "gemm_parts",
        .constants = {{"PARTS", ssa_engine_parts(device)}},
        .args = {ARG_TENSOR(g->a), ARG_TENSOR(packed), ARG_TENSOR(c), ARG_TENSOR(e->bias), ARG_TENSOR(e->pre),
                 ARG_TENSOR(e->slope_of), ARG_TENSOR(e->addend), ARG_INT(g->lda), ARG_INT(g->trans_a), ARG_INT(g->ldc),
                 ARG_INT(g->m), ARG_INT(g->n), ARG_INT(g->k), ARG_INT_AS(mb, (int)cut.rows),
                 ARG_INT_AS(nb, (int)cut.columns), ARG_INT_AS(ks, cut.span), ARG_INT_AS(kb, cut.depth),
                 ARG_ULONG(plane), ARG_INT_AS(accumulate, g->accumulate && plain && cut.splits == 1),
                 ARG_INT(e->activation)},
        .global = {ssa_divide_up((size_t)g->m, cut.rows), ssa_divide_up((size_t)g->n, cut.columns), cut.splits},
    }));
    if (cut.splits > 1)
        TRY(ssa_sum_planes(device, c, plane, (int)cut.splits, g->c, plane, g->accumulate));
done:
    return err;
}
