#include "graph.h"
#include "rng.h"
#include "impl.h"

#include <math.h>
#include <stdlib.h>

/* A + I */
static void fill(const struct ssa_graph *g, double *matrix)
{
    const size_t n = (size_t)g->nodes;
    for (size_t i = 0; i < n; i++)
        matrix[i * (n + 1)] = 1;
    for (size_t e = 0; e < 2 * g->edge_count; e++)
        matrix[(size_t)g->edges[e] * n + (size_t)g->edges[e ^ 1]] = 1;
}

/* The number of the largest value that is left, in magnitude: of equal ones the first. */
static int largest(int n, const double *values)
{
    int at = 0;
    for (int i = 1; i < n; i++)
        if (fabs(values[i]) > fabs(values[at]))
            at = i;
    return at;
}

/* Of elements that are equal but for rounding, as those of a symmetric graph, the first one says it. */
static double sign_of(int n, const double *x)
{
    const double most = fabs(x[largest(n, x)]);
    int at = 0;
    while (fabs(x[at]) < 0.999 * most)
        at++;
    return x[at] < 0 ? -1 : 1;
}

static void write_component(int n, double value, const double *vector, float *to, size_t stride)
{
    const double root = sqrt(fabs(value)) * sign_of(n, vector);
    for (int i = 0; i < n; i++) {
        to[(size_t)i * stride] = (float)(root * vector[i]);
        to[(size_t)i * stride + 1] = (float)((value < 0 ? -root : root) * vector[i]);
    }
}

static void clear(int n, int count, float *to, size_t stride)
{
    for (int i = 0; i < n; i++)
        for (int c = 0; c < count; c++)
            to[(size_t)i * stride + (size_t)c] = 0;
}

int ssa_graph_encodings(const struct ssa_graph *graph, int components, float *encodings, size_t stride)
{
    const size_t n = graph->nodes > 0 ? (size_t)graph->nodes : 0;
    double *all = NULL;
    int err;
    REQUIRE(components >= 1 && components <= 1 << 15, "graph_encodings: components is %d, must be in [1, %d]",
            components, 1 << 15);
    TRY(ssa_graph_check("graph_encodings", graph, 2 * (size_t)components, &stride));
    all = calloc(2 * n * n + n, sizeof *all);
    if (!all)
        TRY(ssa_fail(SSA_ENOMEM, "graph_encodings: out of host memory"));
    double *matrix = all, *vectors = all + n * n, *values = vectors + n * n;
    fill(graph, matrix);
    ssa_jacobi(graph->nodes, matrix, values, vectors);
    clear(graph->nodes, 2 * components, encodings, stride);
    for (int c = 0; c < components && c < graph->nodes; c++) {
        const int at = largest(graph->nodes, values);
        write_component(graph->nodes, values[at], vectors + (size_t)at * n, encodings + 2 * c, stride);
        values[at] = 0; /* taken */
    }
done:
    free(all);
    return err;
}

void ssa_graph_flip(float *encodings, int nodes, int components, size_t stride, uint64_t seed, uint64_t step,
                    uint64_t example)
{
    const uint64_t key = seed ^ 0x666c6970666c6970ull; /* "flip" */
    stride = stride ? stride : 2 * (size_t)components;
    for (int c = 0; c < components; c++) {
        const struct ssa_philox words = ssa_philox(key, example, step << 16 | (uint64_t)c / 128);
        if (!(words.v[c / 32 % 4] >> c % 32 & 1))
            continue;
        for (int i = 0; i < nodes; i++)
            for (int side = 0; side < 2; side++)
                encodings[(size_t)i * stride + 2 * (size_t)c + (size_t)side] *= -1;
    }
}
