#include "order.h"

#include "draws.h"
#include "places.h"

#include <stdbool.h>
#include <stdlib.h>

static bool make_room(struct order *o)
{
    const uint32_t in_epoch = o->count / (uint32_t)o->batch;
    o->steps = (uint32_t)o->together <= in_epoch ? o->together : in_epoch ? (int)in_epoch : 1;
    o->of_epoch = malloc(o->count * sizeof *o->of_epoch);
    o->of_pool = malloc((size_t)o->steps * (size_t)o->batch * sizeof *o->of_pool);
    o->turns = malloc((size_t)o->steps * sizeof *o->turns);
    o->epoch = o->pool = UINT64_MAX; /* none */
    return o->of_epoch && o->of_pool && o->turns;
}

static void draw_epoch(struct order *o, uint64_t epoch)
{
    struct draws d = draws_begin(places_seed(o->seed), PLACE_EPOCH, (uint32_t)epoch, 0);
    draw_permutation(&d, o->of_epoch, o->count);
    o->epoch = epoch;
}

static int rising(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void draw_pool(struct order *o, uint64_t pool)
{
    const uint64_t size = (uint64_t)o->steps * (uint64_t)o->batch, first = pool * size;
    struct draws d = draws_begin(places_seed(o->seed), PLACE_GROUPS, (uint32_t)pool, 0);
    draw_permutation(&d, o->turns, (uint32_t)o->steps);
    for (uint64_t i = 0; i < size; i++) {
        const uint64_t epoch = (first + i) / o->count;
        if (epoch != o->epoch)
            draw_epoch(o, epoch);
        o->of_pool[i] = o->of_epoch[(first + i) % o->count];
    }
    qsort(o->of_pool, (size_t)size, sizeof *o->of_pool, rising);
    o->pool = pool;
}

const uint32_t *order_step(struct order *o, uint64_t seed, uint64_t step)
{
    if (!o->of_pool && !make_room(o)) {
        order_free(o);
        return NULL;
    }
    const uint64_t pool = step / (uint64_t)o->steps;
    if (seed != o->seed)
        o->epoch = o->pool = UINT64_MAX;
    o->seed = seed;
    if (pool != o->pool)
        draw_pool(o, pool);
    return o->of_pool + (size_t)o->turns[step % (uint64_t)o->steps] * (size_t)o->batch;
}

void order_free(struct order *o)
{
    free(o->of_epoch);
    free(o->of_pool);
    free(o->turns);
    o->of_epoch = o->of_pool = o->turns = NULL;
}
