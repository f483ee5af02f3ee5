/* out = x + y, element-wise.   Shapes: x, y, out [count].   Grid: a chunk each. */
#include "common.h"

__kernel void add(TENSOR(const float, x), TENSOR(const float, y), TENSOR(float, out), const ulong count)
{
    BIND(const float, x);
    BIND(const float, y);
    BIND(float, out);
    FOR_CHUNK (i, part, count)
        STORE(out + i, LOAD(x + i, part) + LOAD(y + i, part), part);
}
