/* Precisions by name, as options take them and logs have them. */
#ifndef PRECISION_H
#define PRECISION_H

#include <ssacl/device.h>

#define PRECISIONS "float32|fast" /* in the order of enum ssa_precision */

static inline const char *precision_name(int precision)
{
    return precision == SSA_FAST ? "fast" : "float32";
}

#endif
