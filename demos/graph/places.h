/* Where random numbers are used in this folder: each place has a counter of its own (draws.h). */
#ifndef GRAPH_PLACES_H
#define GRAPH_PLACES_H

#include <stdint.h>

enum place { PLACE_SPLIT, PLACE_EPOCH, PLACE_GROUPS };

/* The library draws from the seed itself: these are other numbers. */
static inline uint64_t places_seed(uint64_t seed)
{
    return seed ^ UINT64_C(0x6772617068730a0a);
}

#endif
