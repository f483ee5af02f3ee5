/* Encodings of graphs: distances against Floyd-Warshall's, spectra that are known, that encodings make up A + I again,
 * signs, what is not connected, one node, many, bad input. */
#include "harness.h"

#include "ssacl/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 24 };

/* ---- graphs ---- */

struct graph {
    struct ssa_graph of;
    int32_t edges[2 * MOST * MOST];
    double near[MOST][MOST]; /* A + I */
};

static void add(struct graph *g, int i, int j)
{
    int32_t *e = g->edges + 2 * g->of.edge_count++;
    e[0] = i;
    e[1] = j;
    g->near[i][j] = g->near[j][i] = 1;
}

static void begin(struct graph *g, int nodes)
{
    *g = (struct graph){.of.nodes = nodes};
    g->of.edges = g->edges;
    for (int i = 0; i < nodes; i++)
        g->near[i][i] = 1;
}

static void make_path(struct graph *g, int nodes)
{
    begin(g, nodes);
    for (int i = 1; i < nodes; i++)
        add(g, i, i - 1);
}

/* A tree with some more edges, named both ways; of two parts where `apart`. */
static void make_any(struct graph *g, int nodes, uint64_t seed, bool apart)
{
    float *x = test_values(2 * MOST, seed, 0, 1);
    begin(g, nodes);
    for (int i = 1; i < nodes; i++)
        if (!apart || i != nodes / 2) {
            const int first = apart && i > nodes / 2 ? nodes / 2 : 0;
            add(g, i, first + (int)(x[i] * (float)(i - first)));
            add(g, g->edges[2 * g->of.edge_count - 1], i);
        }
    for (int i = 0; i + 2 < nodes / 2; i += 3)
        add(g, i, i + 2);
    add(g, 0, 0); /* counts for nothing */
    free(x);
}

/* ---- distances ---- */

static void check_hops(const struct graph *g, int most)
{
    const int n = g->of.nodes, stride = n + 3;
    int want[MOST][MOST];
    int32_t got[MOST * (MOST + 3)];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            want[i][j] = i == j ? 0 : g->near[i][j] > 0 ? 1 : 1000;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                if (want[i][k] + want[k][j] < want[i][j])
                    want[i][j] = want[i][k] + want[k][j];
    memset(got, 0xff, sizeof got);
    OK(ssa_graph_hops(&g->of, most, got, (size_t)stride));
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            ck_assert_int_eq(got[i * stride + j], want[i][j] < most ? want[i][j] : most);
        ck_assert_int_eq(got[i * stride + n], -1);
    }
}

START_TEST(hops_as_floyd_warshall)
{
    static const int most[] = {1, 3, 17, 500};
    struct graph g;
    for (int n = 1; n <= MOST; n++)
        for (int m = 0; m < 4; m++) {
            make_path(&g, n);
            check_hops(&g, most[m]);
            for (int apart = 0; apart < 2; apart++) {
                make_any(&g, n, (uint64_t)n, apart);
                check_hops(&g, most[m]);
            }
        }
}
END_TEST

/* ---- encodings ---- */

static void encode(const struct graph *g, int components, float *to)
{
    OK(ssa_graph_encodings(&g->of, components, to, 0));
}

/* All of them make up A + I: sum over c of u_ic v_jc. */
static void check_reconstruction(const struct graph *g)
{
    const int n = g->of.nodes;
    float x[MOST * 2 * MOST];
    encode(g, n, x);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int c = 0; c < n; c++)
                sum += (double)x[(i * n + c) * 2] * (double)x[(j * n + c) * 2 + 1];
            ck_assert_msg(fabs(sum - g->near[i][j]) < 2e-6, "%d nodes: (%d, %d) is %g, not %g", n, i, j, sum,
                          g->near[i][j]);
        }
}

/* Falling, and orthogonal: u_c . u_d = S_c if c = d. The first are those of a call for few. */
static void check_components(const struct graph *g)
{
    enum { FEW = 4 };
    const int n = g->of.nodes, few = n < FEW ? n : FEW;
    float x[MOST * 2 * MOST], first[MOST * 2 * FEW];
    double before = 1e9;
    encode(g, n, x);
    encode(g, FEW, first);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < 2 * FEW; c++)
            ck_assert_float_eq(first[i * 2 * FEW + c], c < 2 * few ? x[i * 2 * n + c] : 0);
    for (int c = 0; c < n; c++) {
        double s = 0, largest = 0;
        for (int d = 0; d <= c; d++) {
            double u = 0, v = 0;
            for (int i = 0; i < n; i++) {
                u += (double)x[(i * n + c) * 2] * (double)x[(i * n + d) * 2];
                v += (double)x[(i * n + c) * 2 + 1] * (double)x[(i * n + d) * 2 + 1];
            }
            ck_assert_double_eq_tol(u, v, 1e-5);
            ck_assert(c == d || fabs(u) < 2e-5);
            s = u;
        }
        ck_assert_double_le(s, before + 1e-5);
        before = s;
        for (int i = 0; i < n; i++)
            largest = fmax(largest, fabs((double)x[(i * n + c) * 2]));
        int first = 0;
        while (fabs((double)x[(first * n + c) * 2]) < 0.999 * largest)
            first++;
        ck_assert(x[(first * n + c) * 2] >= 0);
    }
}

START_TEST(encodings_make_up_the_graph)
{
    struct graph g;
    for (int n = 1; n <= MOST; n++)
        for (int kind = 0; kind < 3; kind++) {
            if (kind)
                make_any(&g, n, (uint64_t)(7 * n), kind > 1);
            else
                make_path(&g, n);
            check_reconstruction(&g);
            check_components(&g);
        }
}
END_TEST

/* Of a path of three nodes, worked out by hand: |l| = 1 + sqrt 2, 1, sqrt 2 - 1, of signs +, +, -. */
START_TEST(path_of_three)
{
    static const double u[3][3] = {{0.776887, 1.098684, 0.776887}, {0.707107, 0, -0.707107},
                                   {0.321797, -0.455090, 0.321797}};
    struct graph g;
    float x[3 * 6];
    make_path(&g, 3);
    encode(&g, 3, x);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 3; i++) {
            const double sign = c == 2 ? -1 : 1, flipped = c == 2 ? -1 : 1; /* the farthest from 0 is positive */
            ck_assert_double_eq_tol((double)x[i * 6 + 2 * c], sign * u[c][i], 1e-6);
            ck_assert_double_eq_tol((double)x[i * 6 + 2 * c + 1], flipped * sign * u[c][i], 1e-6);
        }
}
END_TEST

/* A path of n has 1 + 2 cos(pi k / (n + 1)), a ring 1 + 2 cos(2 pi k / n), a complete graph n and zeros, nodes alone
 * 1. */
static void check_spectrum(const struct graph *g, double (*value)(int n, int k))
{
    const int n = g->of.nodes;
    float x[MOST * 2 * MOST];
    double want[MOST];
    for (int k = 0; k < n; k++) {
        double v = fabs(value(n, k));
        int at = k;
        for (; at > 0 && want[at - 1] < v; at--)
            want[at] = want[at - 1];
        want[at] = v;
    }
    encode(g, n, x);
    for (int c = 0; c < n; c++) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += (double)x[(i * n + c) * 2] * (double)x[(i * n + c) * 2];
        ck_assert_double_eq_tol(s, want[c], 2e-5);
    }
}

static const double pi = 3.14159265358979323846;

static double of_path(int n, int k)
{
    return 1 + 2 * cos(pi * (k + 1) / (n + 1));
}

static double of_ring(int n, int k)
{
    return 1 + 2 * cos(2 * pi * k / n);
}

static double of_complete(int n, int k)
{
    return k ? 0 : n;
}

static double of_alone(int n, int k)
{
    (void)n;
    (void)k;
    return 1;
}

START_TEST(known_spectra)
{
    struct graph g;
    for (int n = 1; n <= MOST; n++) {
        make_path(&g, n);
        check_spectrum(&g, of_path);
        if (n > 2) {
            add(&g, 0, n - 1);
            check_spectrum(&g, of_ring);
        }
        begin(&g, n);
        check_spectrum(&g, of_alone);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < i; j++)
                add(&g, i, j);
        check_spectrum(&g, of_complete);
    }
}
END_TEST

START_TEST(one_node)
{
    struct ssa_graph g = {.nodes = 1};
    int32_t hops = -1;
    float x[16];
    memset(x, 0xff, sizeof x);
    OK(ssa_graph_hops(&g, 17, &hops, 0));
    OK(ssa_graph_encodings(&g, 8, x, 0));
    ck_assert_int_eq(hops, 0);
    for (int c = 0; c < 16; c++)
        ck_assert_float_eq(x[c], c < 2 ? 1 : 0);
}
END_TEST

/* A ring with chords, of 600 nodes: the largest component's quotient is its singular value. */
START_TEST(many_nodes)
{
    enum { N = 600, COMPONENTS = 8 };
    int32_t *edges = malloc(4 * N * sizeof *edges), *hops = malloc((size_t)N * N * sizeof *hops);
    float *x = malloc((size_t)N * 2 * COMPONENTS * sizeof *x);
    struct ssa_graph g = {.nodes = N, .edges = edges, .edge_count = 2 * N};
    for (int i = 0; i < N; i++) {
        edges[4 * i] = edges[4 * i + 2] = i;
        edges[4 * i + 1] = (i + 1) % N;
        edges[4 * i + 3] = i * 7 % N;
    }
    OK(ssa_graph_hops(&g, 17, hops, 0));
    OK(ssa_graph_encodings(&g, COMPONENTS, x, 0));
    for (int c = 0; c < COMPONENTS; c++) {
        double s = 0, worst = 0;
        double *y = calloc(N, sizeof *y);
        bool *seen = calloc((size_t)N * N, sizeof *seen);
        for (int i = 0; i < N; i++)
            y[i] = (double)x[i * 2 * COMPONENTS + 2 * c + 1];
        for (int e = 0; e < 2 * N; e++) {
            const int a = edges[2 * e], b = edges[2 * e + 1];
            if (a == b || seen[a * N + b])
                continue;
            seen[a * N + b] = seen[b * N + a] = true;
            y[a] += (double)x[b * 2 * COMPONENTS + 2 * c + 1];
            y[b] += (double)x[a * 2 * COMPONENTS + 2 * c + 1];
        }
        for (int i = 0; i < N; i++)
            s += (double)x[i * 2 * COMPONENTS + 2 * c] * (double)x[i * 2 * COMPONENTS + 2 * c];
        for (int i = 0; i < N; i++) /* (A + I) v sqrt S = S u sqrt S */
            worst = fmax(worst, fabs(y[i] - s * (double)x[i * 2 * COMPONENTS + 2 * c]));
        ck_assert_msg(worst < 1e-4 && s > 1, "component %d: S %g, worst %g", c, s, worst);
        free(y);
        free(seen);
    }
    ck_assert(hops[1] == 1 && hops[N * 300] == hops[300]);
    free(edges);
    free(hops);
    free(x);
}
END_TEST

/* ---- signs ---- */

START_TEST(flips)
{
    enum { NODES = 3, COMPONENTS = 150, STRIDE = 2 * COMPONENTS + 1, EXAMPLES = 200 };
    int turned[COMPONENTS] = {0}, as_before = 0;
    float x[NODES * STRIDE], before[COMPONENTS];
    for (int e = 0; e < EXAMPLES; e++) {
        for (int i = 0; i < NODES * STRIDE; i++)
            x[i] = (float)(i + 1);
        ssa_graph_flip(x, NODES, COMPONENTS, STRIDE, 9, 4, (uint64_t)e);
        for (int c = 0; c < COMPONENTS; c++) {
            const float sign = x[2 * c] < 0 ? -1 : 1;
            turned[c] += sign < 0;
            as_before += e && (sign < 0) == (before[c] < 0);
            before[c] = x[2 * c];
            for (int i = 0; i < NODES; i++)
                for (int side = 0; side < 2; side++)
                    ck_assert_float_eq(x[i * STRIDE + 2 * c + side], sign * (float)(i * STRIDE + 2 * c + side + 1));
        }
        ck_assert_float_eq(x[STRIDE - 1], STRIDE);
    }
    for (int c = 0; c < COMPONENTS; c++)
        ck_assert_msg(abs(turned[c] - EXAMPLES / 2) < 45, "component %d is turned %d times", c, turned[c]);
    ck_assert_int_lt(abs(as_before - EXAMPLES * COMPONENTS / 2), 700);
    /* the same again; of another seed, or step, others */
    float y[NODES * STRIDE], z[NODES * STRIDE];
    for (int i = 0; i < NODES * STRIDE; i++)
        x[i] = y[i] = z[i] = 1;
    ssa_graph_flip(x, NODES, COMPONENTS, STRIDE, 9, 4, 5);
    ssa_graph_flip(y, NODES, COMPONENTS, STRIDE, 9, 4, 5);
    ssa_graph_flip(z, NODES, COMPONENTS, STRIDE, 9, 5, 5);
    ck_assert(!memcmp(x, y, sizeof x) && memcmp(x, z, sizeof x));
}
END_TEST

/* ---- bad input ---- */

START_TEST(bad_arguments)
{
    static const int32_t edges[] = {0, 1, 1, 4, -1, 0};
    int32_t hops[16];
    float x[64];
    struct ssa_graph g = {.nodes = 4, .edges = edges, .edge_count = 1};
    FAILS(ssa_graph_hops(&g, 0, hops, 0), SSA_EINVAL, "most is 0");
    FAILS(ssa_graph_hops(&g, 3, hops, 3), SSA_EINVAL, "stride is 3, must be at least 4");
    FAILS(ssa_graph_encodings(&g, 0, x, 0), SSA_EINVAL, "components is 0");
    FAILS(ssa_graph_encodings(&g, 8, x, 15), SSA_EINVAL, "stride is 15, must be at least 16");
    g.edge_count = 2;
    FAILS(ssa_graph_hops(&g, 3, hops, 0), SSA_EINVAL, "graph_hops: edge 1 is of node 4, must be in [0, 4)");
    g.nodes = 5;
    g.edge_count = 3;
    FAILS(ssa_graph_encodings(&g, 2, x, 0), SSA_EINVAL, "edge 2 is of node -1");
    g.edges = NULL;
    FAILS(ssa_graph_hops(&g, 3, hops, 0), SSA_EINVAL, "edges is NULL, and edge_count 3");
    for (int i = 0; i < 2; i++) {
        g = (struct ssa_graph){.nodes = i ? 32769 : 0};
        FAILS(ssa_graph_hops(&g, 3, hops, 0), SSA_EINVAL, i ? "nodes is 32769" : "nodes is 0, must be in [1, 32768]");
        FAILS(ssa_graph_encodings(&g, 3, x, 0), SSA_EINVAL, "nodes is");
    }
}
END_TEST

int main(void)
{
    return test_run("graph", (const TTest *const[]){
        hops_as_floyd_warshall, encodings_make_up_the_graph, path_of_three, known_spectra, one_node, many_nodes, flips,
        bad_arguments, NULL});
}
