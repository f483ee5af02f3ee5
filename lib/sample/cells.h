/* Cells of a grid, what SSA_LOCAL cuts in two dimensions: see ssacl/sample.h. */
#ifndef SSA_SAMPLE_CELLS_H
#define SSA_SAMPLE_CELLS_H

#include "ssacl/sample.h"

#include <stdbool.h>

struct ssa_cells {
    int rows, columns, channels; /* of the grid; rows 0: there is none */
    int high, wide;              /* rows and columns of a cell; 0: none that is as `how` says divides the grid */
    int lead;                    /* positions before the grid */
    bool back;
};
struct ssa_cells ssa_cells_of(const struct ssa_sample *how);

/* One cell that every query sees is dense. */
bool ssa_cells_one(const struct ssa_cells *c);

/* Of the grid, and of a cell. */
int ssa_cells_positions(const struct ssa_cells *c);
int ssa_cells_each(const struct ssa_cells *c);

/* Slices go down the columns of cells, so that the cell above is the slice before. */
int ssa_cells_slices(const struct ssa_cells *c);
static inline int ssa_cells_slice(const struct ssa_cells *c, int band, int column)
{
    return column * (c->rows / c->high) + band;
}

/* What block `block` sees: a cell's width of queries in one row, or (first ones) those before the grid. Without a
 * common slice. */
void ssa_cells_range(const struct ssa_cells *c, int block, int range[2]);
/* The most runs of blocks, side by side, that see one slice. */
int ssa_cells_runs(const struct ssa_cells *c);
/* Positions in a block, and by how many the first one is shorter, that rows begin with a block. */
int ssa_cells_block(const struct ssa_cells *c);
int ssa_cells_lack(const struct ssa_cells *c);

#endif
