/* Cells of a grid: their shape, and which of them a query sees. */
#include "cells.h"

#include <math.h>

static bool fits(const struct ssa_cells *c, int points, int high)
{
    return points % high == 0 && c->rows % high == 0 && c->columns % (points / high) == 0;
}

/* Of the cells of so many points that divide the grid the one nearest to a square; of two the wider one, whose queries
 * fill more of a kernel's tile. 0: there is none. */
static int nearest_to_square(const struct ssa_cells *c, int points)
{
    int best = 0;
    double least = INFINITY;
    for (int high = 1; high <= c->rows && high <= points; high++) {
        const double away = fabs((double)high * high - points) / high; /* of high and wide from each other */
        if (fits(c, points, high) && away < least) {
            best = high;
            least = away;
        }
    }
    return best;
}

struct ssa_cells ssa_cells_of(const struct ssa_sample *h)
{
    struct ssa_cells c = {.rows = h->rows, .columns = h->columns, .channels = h->channels ? h->channels : 1,
                          .back = h->look_back};
    if (!h->rows)
        return c;
    const int all = ssa_cells_positions(&c), slice = h->look_back ? h->keys / 2 : h->keys;
    c.lead = h->length - all;
    if (!h->look_back && (h->keys == all || h->keys == h->length)) {
        c.high = c.rows;
        c.wide = c.columns;
    } else if (slice % c.channels == 0) {
        const int points = slice / c.channels;
        c.high = !h->cell_rows ? nearest_to_square(&c, points) : fits(&c, points, h->cell_rows) ? h->cell_rows : 0;
        c.wide = c.high ? points / c.high : 0;
    }
    return c;
}

bool ssa_cells_one(const struct ssa_cells *c)
{
    return c->rows && c->high == c->rows && c->wide == c->columns;
}

int ssa_cells_positions(const struct ssa_cells *c)
{
    return c->rows * c->columns * c->channels;
}

int ssa_cells_each(const struct ssa_cells *c)
{
    return c->high * c->wide * c->channels;
}

int ssa_cells_slices(const struct ssa_cells *c)
{
    return c->rows / c->high * (c->columns / c->wide);
}

int ssa_cells_block(const struct ssa_cells *c)
{
    return c->wide * c->channels;
}

int ssa_cells_lack(const struct ssa_cells *c)
{
    const int block = ssa_cells_block(c);
    return (block - c->lead % block) % block;
}

int ssa_cells_runs(const struct ssa_cells *c)
{
    const int before = c->lead > 0, bands = 1 + (c->back && c->high < c->rows);
    return before + (c->wide == c->columns ? 1 : bands * c->high);
}

void ssa_cells_range(const struct ssa_cells *c, int block, int range[2])
{
    const int across = c->columns / c->wide;
    block -= (c->lead + ssa_cells_lack(c)) / ssa_cells_block(c);
    range[0] = 0;
    range[1] = ssa_cells_slices(c);
    if (block < 0)
        return;
    const int band = block / across / c->high, slice = ssa_cells_slice(c, band, block % across);
    range[0] = slice - (c->back && band);
    range[1] = slice + 1;
}
