/* The self-test of a matrix multiplication (verify.h), with gaps in every operand. */
#include "tune/verify.h"

#include <math.h>
#include <stdlib.h>

enum { GAP = 3 };

struct layout {
    struct ssa_gemm gemm; /* without its tensors */
    size_t a, b, c;
};

static int run(struct ssa_device *device, struct ssa_buffer *m, const void *how)
{
    const struct layout *l = how;
    struct ssa_gemm g = l->gemm;
    g.a = ssa_tensor_at(m, l->a);
    g.b = ssa_tensor_at(m, l->b);
    g.c = ssa_tensor_at(m, l->c);
    return ssa_gemm_run(device, &g);
}

static void fill_matrix(float *to, int rows, int columns, int stride, unsigned seed)
{
    for (size_t r = 0; r < (size_t)rows; r++)
        ssa_problem_fill(to + r * (size_t)stride, (size_t)columns, seed + (unsigned)r);
}

/* Libraries have other kernels for large products, which a small one never meets. The limits are where CLBlast's are,
 * or beyond. */
enum { SIZES = 3 };
static const int sizes[SIZES][3] = {{70, 67, 53}, {517, 530, 522}, {1031, 1027, 1030}};

static int size_class(const struct ssa_gemm *g)
{
    const double work = (double)g->m * g->n * g->k;
    return work < 134217728.0 ? 0 : work < 1073741824.0 ? 1 : 2;
}

static int try_product(struct ssa_device *device, struct ssa_device *host, const int *size, bool trans_a, bool trans_b,
                       double *error)
{
    const int m = size[0], n = size[1], k = size[2];
    const int a_rows = trans_a ? k : m, a_width = trans_a ? m : k, b_rows = trans_b ? n : k, b_width = trans_b ? k : n;
    struct layout l = {.gemm = {.m = m, .n = n, .k = k, .lda = a_width + GAP, .ldb = b_width + GAP, .ldc = n + GAP,
                                .trans_a = trans_a, .trans_b = trans_b}};
    struct ssa_problem p = {.how = &l, .run = run};
    int err = SSA_OK;
    l.a = GAP;
    l.b = l.a + (size_t)a_rows * (size_t)l.gemm.lda + GAP;
    l.c = l.b + (size_t)b_rows * (size_t)l.gemm.ldb + GAP;
    p.count = l.c + (size_t)m * (size_t)l.gemm.ldc + GAP;
    p.image = malloc(p.count * sizeof *p.image);
    if (!p.image)
        TRY(ssa_fail(SSA_ENOMEM, "self-test: out of host memory"));
    for (size_t i = 0; i < p.count; i++)
        p.image[i] = NAN;
    fill_matrix(p.image + l.a, a_rows, a_width, l.gemm.lda, 1000);
    fill_matrix(p.image + l.b, b_rows, b_width, l.gemm.ldb, 3000);
    TRY(ssa_problem_compare(device, host, &p, error));
    l.gemm.accumulate = true;
    fill_matrix(p.image + l.c, m, n, l.gemm.ldc, 5000);
    TRY(ssa_problem_compare(device, host, &p, error));
done:
    free(p.image);
    return err;
}

static int test(struct ssa_device *device, struct ssa_device *host, const struct ssa_variant *v, double *error)
{
    return try_product(device, host, sizes[ssa_variant_constant(v, "SIZE", 0)], ssa_variant_constant(v, "TRANS_A", 0),
                       ssa_variant_constant(v, "TRANS_B", 0), error);
}

/* Of one program that serves every transposition. */
static int test_all(struct ssa_device *device, struct ssa_device *host, const struct ssa_variant *v, double *error)
{
    static const int size[] = {301, 67, 150}; /* more rows and depth than a tuned block has */
    int err;
    (void)v;
    TRY(try_product(device, host, size, false, true, error));
    TRY(try_product(device, host, size, false, false, error));
    TRY(try_product(device, host, size, true, false, error));
done:
    return err;
}

void ssa_gemm_settle(struct ssa_device *device)
{
    ssa_trusted(device, &(struct ssa_variant){.name = "gemm", .test = test_all});
}

bool ssa_gemm_engine_trusted(struct ssa_device *device, const struct ssa_gemm *g, int parts)
{
    return ssa_trusted(device, &(struct ssa_variant){
        .name = "gemm_parts",
        .constants = {{"PARTS", parts}, {"TRANS_A", g->trans_a}, {"TRANS_B", g->trans_b}},
        .parts = parts,
        .instead = "float32",
        .test = test,
    });
}

bool ssa_gemm_trusted(struct ssa_device *device, const struct ssa_gemm *g, const char *name, const char *identity,
                      const char *instead)
{
    return ssa_trusted(device, &(struct ssa_variant){
        .name = name,
        .constants = {{"TRANS_A", g->trans_a}, {"TRANS_B", g->trans_b}, {"SIZE", identity ? size_class(g) : 0}},
        .identity = identity,
        .instead = instead,
        .test = test,
    });
}
