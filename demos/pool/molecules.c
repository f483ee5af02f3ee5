#include "molecules.h"

#include "cost.h"
#include "draws.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_STEPS = 8, LEAST = 5, LEAD = 4, IDS = 9, VALUES = 128, BOND_IDS = 3, BOND_VALUES = 8, HOPS = 17,
       ENCODINGS = 16 };

static int rising(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* Of a group, whose sorted steps come in another order than that. */
static void deal(int32_t *group, int steps, size_t batch, struct draws *d, int32_t *spare)
{
    const size_t size = batch * sizeof *group;
    qsort(group, (size_t)steps * batch, sizeof *group, rising);
    for (int i = steps - 1; i > 0; i--) {
        const size_t at = (size_t)i * batch, other = (size_t)(draw_uniform(d) * (i + 1)) * batch;
        memcpy(spare, group + at, size);
        memmove(group + at, group + other, size);
        memcpy(group + other, spare, size);
    }
}

int molecules_steps(int together)
{
    return (LEAST_STEPS + together - 1) / together * together;
}

bool molecules_draw(struct molecules *m)
{
    const size_t batch = (size_t)m->batch, count = batch * (size_t)m->steps;
    struct draws d = draws_begin(1, 0, 0, 0);
    m->atoms = malloc((count + batch) * sizeof *m->atoms); /* a step to spare */
    if (!m->atoms)
        return false;
    for (size_t i = 0; i < count; i++) {
        const double u = draw_uniform(&d);
        m->atoms[i] = LEAST + (int32_t)(u * u * (m->most - LEAST + 1));
    }
    for (int step = 0; step < m->steps; step += m->together)
        deal(m->atoms + (size_t)step * batch, m->together, batch, &d, m->atoms + count);
    return true;
}

struct ssa_model_config molecules_model(const struct molecules *m)
{
    return (struct ssa_model_config){.family = SSA_EGT, .egt = {.nodes = m->most, .node_ids = IDS,
        .node_values = VALUES, .edge_ids = BOND_IDS, .edge_values = BOND_VALUES, .hops = HOPS, .encodings = ENCODINGS,
        .layers = m->layers, .heads = m->heads, .width = m->width, .edge_width = m->width / 4, .virtual_nodes = LEAD}};
}

/* ---- the source ---- */

static const int32_t *step_of(const struct molecules *m, const struct ssa_draw *draw)
{
    return m->atoms + (size_t)(draw->step % (uint64_t)m->steps) * (size_t)m->batch + draw->first;
}

/* The table does not change, so that this may be called beside fill(). */
static int sizes(void *cookie, const struct ssa_draw *draw, int32_t *lengths)
{
    const int32_t *atoms = step_of(cookie, draw);
    for (int e = 0; e < draw->count; e++)
        lengths[e] = atoms[e] + LEAD;
    return SSA_OK;
}

/* A chain as example `e`, of n nodes. */
static void put_chain(const struct ssa_batch *b, size_t e, size_t atoms, size_t n)
{
    for (size_t i = 0; i < atoms; i++) {
        for (size_t f = 0; f < IDS; f++)
            b->nodes[(e * n + i) * IDS + f] = 1 + (int32_t)(f * VALUES + (i + e) % 7);
        for (size_t c = 0; c < ENCODINGS; c++)
            b->encodings[(e * n + i) * ENCODINGS + c] = (float)((i + c) % 7) / 7;
        for (size_t j = 0; j < atoms; j++) {
            const size_t at = (e * n + i) * n + j, hops = i > j ? i - j : j - i;
            b->hops[at] = (int32_t)(hops < HOPS ? hops : HOPS);
            for (size_t f = 0; hops == 1 && f < BOND_IDS; f++)
                b->edges[at * BOND_IDS + f] = 1 + (int32_t)(f * BOND_VALUES);
        }
    }
}

static int fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *b)
{
    const int32_t *atoms = step_of(cookie, draw);
    size_t n = LEAST;
    for (int e = 0; e < draw->count; e++)
        n = (size_t)atoms[e] > n ? (size_t)atoms[e] : n;
    const size_t rows = (size_t)draw->count * n, pairs = rows * n;
    memset(b->nodes, 0, rows * IDS * sizeof *b->nodes);
    memset(b->encodings, 0, rows * ENCODINGS * sizeof *b->encodings);
    memset(b->hops, 0, pairs * sizeof *b->hops);
    memset(b->edges, 0, pairs * BOND_IDS * sizeof *b->edges);
    for (int e = 0; e < draw->count; e++) {
        put_chain(b, (size_t)e, (size_t)atoms[e], n);
        b->values[e] = (float)(atoms[e] % 5);
    }
    b->length = (int)n + LEAD;
    return sizes(cookie, draw, b->lengths);
}

struct ssa_data molecules_data(struct molecules *m)
{
    return (struct ssa_data){.fill = fill, .sizes = sizes, .cookie = m, .examples = (size_t)m->batch};
}

/* ---- what a step is ---- */

double molecules_atoms(const struct molecules *m)
{
    double sum = 0;
    for (int i = 0; i < m->steps * m->batch; i++)
        sum += m->atoms[i];
    return sum / m->steps;
}

int molecules_operations(const struct molecules *m, const struct ssa_pattern *pattern, double *operations)
{
    *operations = 0;
    for (int size = LEAST; size <= m->most; size++) {
        struct ssa_model_config config = molecules_model(m);
        struct cost cost;
        int count = 0;
        for (int i = 0; i < m->steps * m->batch; i++)
            count += m->atoms[i] == size;
        config.egt.nodes = size;
        const int err = cost_of_step(&cost, &config, pattern, (double)count / m->steps, 1);
        if (err)
            return err;
        *operations += cost.linear + cost.attention;
    }
    return SSA_OK;
}
