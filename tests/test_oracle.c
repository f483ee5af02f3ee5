/* Attention's oracle itself: against finite differences, and against numbers made elsewhere. */
#include "pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the oracle against finite differences ---- */

static double product(const struct operand *a, const struct operand *b)
{
    double sum = 0;
    for (size_t i = 0; a->there && i < pairs_count(a); i++)
        sum += a->exact[i] * b->exact[i];
    return sum;
}

static double loss_of(struct problem *p)
{
    const struct oracle_attention o = pairs_oracle(p);
    oracle_attention_fwd(&o);
    return product(&p->o[OUT], &p->o[DOUT]) + product(&p->o[SUMS], &p->o[DGATE_SUM]) +
           product(&p->o[LOGITS], &p->o[DSCORES]);
}

static void check_differences(struct problem *p, int input, int gradient)
{
    const double h = 1e-6;
    for (size_t i = 0; i < pairs_count(&p->o[input]); i++) {
        double *x = p->o[input].exact + i, saved = *x;
        *x = saved + h;
        double up = loss_of(p);
        *x = saved - h;
        double down = loss_of(p), got = p->o[gradient].exact[i], want = (up - down) / (2 * h);
        *x = saved;
        ck_assert_msg(fabs(got - want) < 1e-6, "%s[%zu] is %g, the loss says %g (%s)", pairs_names[gradient], i, got,
                      want, test_plan_names[p->s.kind]);
    }
}

START_TEST(finite_differences)
{
    static const struct shape shapes[] = {
        {.kind = UNBIASED_OWN, .batch = 1, .keys = 7, .queries = 5, .heads = 2, .kv_heads = 1, .width = 4,
         .value_width = 8, .causal = 1, .has = ALL & ~HIDING},
        {.kind = LENGTHS_LOCAL, .batch = 2, .keys = 6, .queries = 6, .heads = 2, .kv_heads = 2, .width = 8,
         .value_width = 4, .has = ALL & ~HIDING},
        {.kind = UNBIASED, .batch = 1, .keys = 4, .queries = 9, .heads = 1, .kv_heads = 1, .width = 4,
         .value_width = 4, .has = ALL & ~HIDING},
        {.kind = UNBIASED_OWN, .batch = 1, .keys = 7, .queries = 5, .heads = 2, .kv_heads = 1, .width = 4,
         .value_width = 8, .causal = 1, .has = (ALL & ~HIDING) | DROP_KEYS},
        {.kind = DENSE, .batch = 2, .keys = 6, .queries = 6, .heads = 2, .kv_heads = 2, .width = 8, .value_width = 4,
         .has = DROP_KEYS}};
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        struct problem p;
        pairs_make(&p, &shapes[n]);
        test_draw(&p.plan, p.s.kind, p.s.batch, p.s.keys, p.s.queries);
        pairs_solve(&p);
        check_differences(&p, Q, DQ);
        check_differences(&p, K, DK);
        check_differences(&p, V, DV);
        for (int i = 0; i < 2; i++)
            if (p.o[i ? GATES : BIASES].there)
                check_differences(&p, i ? GATES : BIASES, i ? DGATE : DBIAS);
        pairs_free(&p);
    }
}
END_TEST

/* ---- the oracle against numbers made elsewhere ---- */

static double wave(size_t i, double a, double b, double c)
{
    return c * sin(a * (double)i + b);
}

static void expect(const char *what, size_t n, double got, double want)
{
    ck_assert_msg(fabs(got - want) < 1.5e-6, "case %zu: %s is %.7f, not %.6f", n + 1, what, got, want);
}

/* All of these sources for all queries. */
static void draw_sources(struct ssa_plan *plan, int length, const int32_t *sources, int count)
{
    const int32_t starts[] = {0, count}, first = 0, end = 1;
    OK(ssa_plan_from_layout(plan, &(struct ssa_layout){.length = length, .block = length, .slices = 1, .order = sources,
                                                       .slice_start = starts, .first = &first, .end = &end}));
}

/* EGT's layer: rows before `nodes` are virtual nodes, all others are scaled by z = log(1 + r t), t the sum of gates. In
 * cases 4 and 5 a row does not see a key of the plan, in 4 dropout has a rule of its own. */
enum { EGT_N = 6, EGT_H = 2, EGT_D = 4 };
static const struct {
    int nodes, sources, rule, row, key; /* row -1: all see all */
    int32_t source[EGT_N];
    double r, objective, o[4], sum_o, t[2], lse[2], dq, dk, dv, dbias, dgate;
} egt[] = {
    {0, 6, 0, -1, 0, {0, 1, 2, 3, 4, 5}, 1, 1.636623, {.583218, .845915, .468440, -.263541}, 2.021586,
     {2.973821, 2.980114}, {5.566870, 5.997939}, 0.064180, -1.504882, 4.377067, -0.582827, 0.111568},
    {2, 6, 0, -1, 0, {0, 1, 2, 3, 4, 5}, 1, 1.519480, {.583218, .845915, .468440, -.263541}, 1.628333,
     {2.973821, 2.980114}, {5.566870, 5.997939}, 0.054187, -1.873877, 3.680746, -0.528577, 0.013571},
    {1, 4, 0, -1, 0, {0, 2, 3, 5}, 1, -0.301007, {.906385, .517160, -.263442, -.844676}, -0.244490,
     {1.987696, 1.985484}, {2.704306, 5.992956}, 0.267762, -0.121854, 1.425514, -0.288591, 0.306019},
    {1, 4, 1, 4, 3, {0, 2, 3, 5}, 1.5, 2.796148, {1.634680, .932706, -.475121, -1.523387}, 1.613140,
     {1.987696, 1.985484}, {2.704306, 5.992956}, 0.187919, 0.970497, 0.645880, 0.007421, 0.736700},
    {1, 1, 0, 3, 2, {2}, 1, 0.582549, {0, 0, 0, 0}, 0.471090, {0.880526, 0.855044}, {-4.021803, 5.836899}, -0.168881,
     0.945603, -0.027017, 0.098974, -0.023841}};

/* Dense [head, query, key], golden [query, key, head]. */
static size_t golden_pair(size_t i)
{
    return (i % (EGT_N * EGT_N)) * EGT_H + i / (EGT_N * EGT_N);
}

static double checksum(const double *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i] * sin(0.11 * (double)i + 0.5);
    return sum;
}

static double checksum_of_pairs(const struct operand *o)
{
    double sum = 0;
    for (size_t i = 0; i < pairs_count(o); i++)
        sum += o->exact[i] * sin(0.11 * (double)golden_pair(i) + 0.5);
    return sum;
}

static void fill_egt(struct problem *p, size_t n, double *keep, double *hidden)
{
    static const struct shape s = {.batch = 1, .keys = EGT_N, .queries = EGT_N, .heads = EGT_H, .kv_heads = EGT_H,
                                   .width = EGT_D, .value_width = EGT_D, .has = BIAS | GATE | GATE_SUM | SCORES,
                                   .bias_lie = OF_EDGES, .gate_lie = OF_EDGES, .scores_lie = OF_EDGES};
    pairs_make(p, &s);
    p->clip = 5;
    p->keep = keep;
    p->hidden = hidden;
    draw_sources(&p->plan, EGT_N, egt[n].source, egt[n].sources);
    for (size_t i = 0; i < EGT_N * EGT_H * EGT_D; i++) {
        p->o[Q].exact[i] = wave(i, 0.7, 0.1, 3);
        p->o[K].exact[i] = wave(i, 1.3, 0.4, 3);
        p->o[V].exact[i] = wave(i, 0.9, -0.2, 1);
    }
    for (size_t i = 0; i < EGT_N * EGT_N * EGT_H; i++) {
        const size_t at = golden_pair(i), row = at / EGT_H / EGT_N, key = at / EGT_H % EGT_N, head = at % EGT_H;
        p->o[BIASES].exact[i] = wave(at, 0.37, 0.3, 1);
        p->o[GATES].exact[i] = wave(at, 0.53, -0.6, 2);
        p->o[DSCORES].exact[i] = wave(at, 0.23, 0.9, 0.1);
        keep[i] = !egt[n].rule ? 1 : (5 * row + 3 * key + 2 * head) % 7 < 5 ? 1 / 0.7 : 0;
        hidden[i] = (int)row == egt[n].row && (int)key == egt[n].key;
    }
}

/* o and the objective, from what forward answered; then what backward is given. */
static double scale_rows(struct problem *p, size_t n, double *o)
{
    double objective = product(&p->o[LOGITS], &p->o[DSCORES]);
    for (size_t i = 0; i < EGT_N; i++)
        for (size_t h = 0; h < EGT_H; h++) {
            const bool node = (int)i < egt[n].nodes;
            const double t = p->o[SUMS].exact[h * EGT_N + i], z = node ? 1 : log1p(egt[n].r * t);
            double dz = 0;
            for (size_t at = (i * EGT_H + h) * EGT_D; at < (i * EGT_H + h + 1) * EGT_D; at++) {
                const double given = wave(at, 0.3, 0.2, 1);
                o[at] = z * p->o[OUT].exact[at];
                objective += o[at] * given;
                dz += given * p->o[OUT].exact[at];
                p->o[DOUT].exact[at] = z * given;
            }
            p->o[DGATE_SUM].exact[h * EGT_N + i] = node ? 0 : dz * egt[n].r / (1 + egt[n].r * t);
        }
    return objective;
}

START_TEST(edges_of_molecules)
{
    for (size_t n = 0; n < sizeof egt / sizeof *egt; n++) {
        double keep[EGT_N * EGT_N * EGT_H], hidden[EGT_N * EGT_N * EGT_H], o[EGT_N * EGT_H * EGT_D];
        struct problem p;
        fill_egt(&p, n, keep, hidden);
        pairs_solve(&p);
        expect("objective", n, scale_rows(&p, n, o), egt[n].objective);
        pairs_solve(&p);
        expect("a", n, p.o[LOGITS].exact[2] - p.o[BIASES].exact[2], -5);
        expect("scores", n, checksum_of_pairs(&p.o[LOGITS]), -4.779844);
        for (size_t d = 0; d < EGT_D; d++)
            expect("o", n, o[3 * EGT_H * EGT_D + d], egt[n].o[d]);
        expect("sum of o", n, checksum(o, EGT_N * EGT_H * EGT_D), egt[n].sum_o);
        for (size_t h = 0; h < EGT_H; h++) {
            expect("t", n, p.o[SUMS].exact[h * EGT_N], egt[n].t[h]);
            expect("lse", n, p.o[LSE].exact[h * EGT_N] * log(2), egt[n].lse[h]);
        }
        expect("dq", n, checksum(p.o[DQ].exact, EGT_N * EGT_H * EGT_D), egt[n].dq);
        expect("dk", n, checksum(p.o[DK].exact, EGT_N * EGT_H * EGT_D), egt[n].dk);
        expect("dv", n, checksum(p.o[DV].exact, EGT_N * EGT_H * EGT_D), egt[n].dv);
        expect("dbias", n, checksum_of_pairs(&p.o[DBIAS]), egt[n].dbias);
        expect("dgate", n, checksum_of_pairs(&p.o[DGATE]), egt[n].dgate);
        FOR_TESTED (dev) /* what the operator takes of it: no pairs are hidden but by the plan */
            if (egt[n].row < 0 && test_has_turn(dev, 0))
                pairs_check_on(dev, &p);
        pairs_free(&p);
    }
}
END_TEST

/* Swin's windows, shifted: a window is an example. Tokens of another region get -100, and biases are of a table. */
enum { MOST = 8 * 8 * 4, TABLE = 7 * 7 * 2 };
static const struct {
    int grid, window, shift, sources;
    int32_t source[16];
    double o[4], sum_o, dq, dk, dv, dtable;
} swin[] = {
    {4, 2, 1, 4, {0, 1, 2, 3}, {-.198669, .644218, .999574, .598472}, -4.779262, -1.347737, 0.278303, -4.326419,
     -0.102879},
    {4, 2, 1, 2, {0, 3}, {-.198669, .644218, .999574, .598472}, 0.680178, -0.218265, -1.031194, 2.951867, 0.058548},
    {8, 4, 2, 4, {1, 4, 10, 15}, {-.182168, .650589, .571936, -.250727}, -2.326691, -0.422212, -0.698892, 6.645951,
     0.426568}};

/* Of token t of window w: its row and column once shifted. */
static void shifted(size_t n, int w, int t, int *row, int *column)
{
    const int across = swin[n].grid / swin[n].window;
    *row = w / across * swin[n].window + t / swin[n].window;
    *column = w % across * swin[n].window + t % swin[n].window;
}

static int token_of(size_t n, int w, int t)
{
    int row, column;
    shifted(n, w, t, &row, &column);
    return (row + swin[n].shift) % swin[n].grid * swin[n].grid + (column + swin[n].shift) % swin[n].grid;
}

static int region_of(size_t n, int w, int t)
{
    int row, column;
    shifted(n, w, t, &row, &column);
    const int near = swin[n].grid - swin[n].window, far = swin[n].grid - swin[n].shift;
    return ((row >= near) + (row >= far)) * 3 + (column >= near) + (column >= far);
}

/* The table's row for query i and key j of a window. */
static int relative(size_t n, int i, int j)
{
    const int w = swin[n].window;
    return (i / w - j / w + w - 1) * (2 * w - 1) + i % w - j % w + w - 1;
}

static void fill_swin(struct problem *p, size_t n)
{
    const int across = swin[n].grid / swin[n].window, tokens = swin[n].window * swin[n].window;
    const struct shape s = {.batch = across * across, .keys = tokens, .queries = tokens, .heads = 2, .kv_heads = 2,
                            .width = 2, .value_width = 2, .has = BIAS};
    pairs_make(p, &s);
    draw_sources(&p->plan, tokens, swin[n].source, swin[n].sources);
    for (int i = 0; i < s.batch * tokens * 4; i++) {
        const size_t at = (size_t)token_of(n, i / 4 / tokens, i / 4 % tokens) * 4 + (size_t)i % 4;
        p->o[Q].exact[i] = wave(at, 0.7, 0.1, 2);
        p->o[K].exact[i] = wave(at, 1.3, 0.4, 2);
        p->o[V].exact[i] = wave(at, 0.9, -0.2, 1);
        p->o[DOUT].exact[i] = wave(at, 0.3, 0.2, 1);
    }
    for (int b = 0; b < s.batch * 2; b++)
        for (int i = 0; i < tokens * tokens; i++) {
            const int query = i / tokens, key = i % tokens;
            const bool other = region_of(n, b / 2, query) != region_of(n, b / 2, key);
            p->o[BIASES].exact[b * tokens * tokens + i] =
                wave((size_t)relative(n, query, key) * 2 + (size_t)b % 2, 0.37, 0.3, 0.5) - (other ? 100 : 0);
        }
}

static double checksum_of_tokens(const struct problem *p, size_t n, int operand)
{
    double x[MOST] = {0};
    const int tokens = p->s.keys;
    for (int i = 0; i < p->s.batch * tokens * 4; i++)
        x[token_of(n, i / 4 / tokens, i / 4 % tokens) * 4 + i % 4] = p->o[operand].exact[i];
    return checksum(x, (size_t)(p->s.batch * tokens * 4));
}

START_TEST(windows_of_pictures)
{
    for (size_t n = 0; n < sizeof swin / sizeof *swin; n++) {
        double table[TABLE] = {0};
        struct problem p;
        fill_swin(&p, n);
        pairs_solve(&p);
        const int tokens = p.s.keys, rows = (2 * swin[n].window - 1) * (2 * swin[n].window - 1);
        for (int i = 0; i < p.s.batch * tokens; i++)
            for (int d = 0; d < 4 && token_of(n, i / tokens, i % tokens) == 0; d++)
                expect("o", n, p.o[OUT].exact[i * 4 + d], swin[n].o[d]);
        for (int i = 0; i < p.s.batch * 2 * tokens * tokens; i++)
            table[relative(n, i / tokens % tokens, i % tokens) * 2 + i / tokens / tokens % 2] += p.o[DBIAS].exact[i];
        expect("sum of o", n, checksum_of_tokens(&p, n, OUT), swin[n].sum_o);
        expect("dq", n, checksum_of_tokens(&p, n, DQ), swin[n].dq);
        expect("dk", n, checksum_of_tokens(&p, n, DK), swin[n].dk);
        expect("dv", n, checksum_of_tokens(&p, n, DV), swin[n].dv);
        expect("dtable", n, checksum(table, (size_t)rows * 2), swin[n].dtable);
        pairs_free(&p);
    }
}
END_TEST

int main(void)
{
    return test_run("oracle", (const TTest *const[]){
        finite_differences, edges_of_molecules, windows_of_pictures, NULL});
}
