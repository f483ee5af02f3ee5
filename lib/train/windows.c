/* Where the sequences of a training lie among token ids: from (seed, step, number in the step) alone. */
#include "internal.h"
#include "rng.h"

/* Draws of different purpose must not share a key. */
#define SEED_DATA 0x64617461ull   /* "data" */
#define SEED_BLOCKS 0x626c6f63ull /* "bloc" */

enum { ROUNDS = 8 };

static size_t anywhere(const struct ssa_train_config *config, size_t places, uint64_t step, uint64_t example)
{
    const struct ssa_philox r = ssa_philox(config->seed ^ SEED_DATA, step, example);
    return (size_t)(((uint64_t)r.v[1] << 32 | r.v[0]) % places);
}

/* Number i of an order of `count` things, which is drawn for each epoch, without a list of them: a Feistel network
 * permutes numbers of twice `half` bits, and what it makes too large goes through it again (Black and Rogaway 2002,
 * "Ciphers with Arbitrary Finite Domains"), fewer than four times on average. */
static uint64_t shuffled(uint64_t i, uint64_t count, uint64_t seed, uint64_t epoch)
{
    int half = 1;
    while (half < 32 && (count - 1) >> 2 * half)
        half++;
    const uint64_t mask = (1ull << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            const struct ssa_philox r = ssa_philox(seed ^ SEED_BLOCKS, epoch, right << 8 | round);
            const uint64_t mixed = left ^ (r.v[0] & mask);
            left = right;
            right = mixed;
        }
        i = left << half | right;
    } while (i >= count);
    return i;
}

size_t ssa_window_start(const struct ssa_train_config *config, size_t count, size_t length, uint64_t step,
                        uint64_t example)
{
    const uint64_t number = step * (uint64_t)config->batch + example, blocks = (count - 1) / length;
    return config->blocks ? (size_t)shuffled(number % blocks, blocks, config->seed, number / blocks) * length
                          : anywhere(config, count - length, step, example);
}
