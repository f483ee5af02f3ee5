/* out[0] = n, counted in a loop: some drivers end a kernel's loops early, without a word (lib/ocl/loops.c).
 *
 * Shapes  out int [3], out[1] = out[2] = 1: read each time, so that no compiler replaces the loop by a product.
 * Grid    one work-item.
 * Macros  none.
 */
#include "common.h"

__kernel void loops_gpu(TENSOR(int, out), const int n)
{
    BIND(int, out);
    int count = 0;
    for (int i = 0; i < n; i++)
        count += out[1 + (count & 1)];
    out[0] = count;
}
