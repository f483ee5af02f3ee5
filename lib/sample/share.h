/* How many are drawn of so many, by a ratio. */
#ifndef SSA_SAMPLE_SHARE_H
#define SSA_SAMPLE_SHARE_H

#include <stdint.h>

/* ceil(ratio count), at least 1 of any, where a ratio stands for all numbers that round to it: 0.1f, which is a little
 * more than a tenth, takes 1 of 10. So it is the least k that is no less than ratio count (1 - 2^-24), in integers: 40
 * bits behind the point, of which a float above 2^-16 needs no more. ratio in (0, 1], count below 2^23. */
static inline int ssa_share(float ratio, int count)
{
    const uint64_t one = (uint64_t)1 << 40, all = (uint64_t)((double)ratio * (double)one) * (uint64_t)count;
    const int k = (int)((all - (all >> 24) + one - 1) / one);
    return k || !count ? k : 1;
}

#endif
