/* Where random numbers are used in this folder: each place has a counter of its own (draws.h). */
#ifndef IMAGE_PLACES_H
#define IMAGE_PLACES_H

#include <stdint.h>

enum place { PLACE_SPLIT, PLACE_SHUFFLE, PLACE_CROP, PLACE_FLIP, PLACE_OPERATIONS, PLACE_ERASE, PLACE_MIX };

/* The library draws from the seed itself: these are other numbers. */
static inline uint64_t places_seed(uint64_t seed)
{
    return seed ^ UINT64_C(0x706963747572650a);
}

#endif
