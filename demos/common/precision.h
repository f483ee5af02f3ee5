/* Precisions by name, as options take them and logs have them. */
#ifndef PRECISION_H
#define PRECISION_H

#include <ssacl/device.h>

#define PRECISIONS "float32|fast|bf16" /* in the order of enum ssa_precision */

static inline const char *precision_name(int precision)
{
    static const char *const names[] = {"float32", "fast", "bf16"};
    return names[precision];
}

#endif
