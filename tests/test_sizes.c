/* Sizes whose products no integer holds are refused: small operands must not pass for what is a multiple of 2^64
 * (2^32 where a size_t has 32 bits). */
#include "harness.h"
#include "ssacl/train.h"

#include <limits.h>
#include <math.h>
#include <string.h>

START_TEST(extents)
{
    ck_assert_uint_eq(ssa_extent(0, 5, 7), 0);
    ck_assert_uint_eq(ssa_extent(3, 5, 7), 19);
    ck_assert_uint_eq(ssa_extent(SIZE_MAX, 1, 2), SIZE_MAX);
    enum { BITS = 8 * sizeof(size_t) };
    ck_assert_uint_eq(ssa_extent(((size_t)1 << (BITS - 27)) + 1, 8, (size_t)1 << 27), SIZE_MAX); /* 2^BITS + 8 */
    ck_assert_uint_eq(ssa_extent(2, SIZE_MAX, 1), SIZE_MAX);
}
END_TEST

/* 2^30 * 128 rows of 2^27 heads: 2^64 of log-sum-exps, and 2^67 of everything else. */
START_TEST(attention)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_plan plan = {0};
    OK(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_DENSE, .length = 128, .batch = 1}));
    struct ssa_tensor data = test_plan(dev, &plan), t = test_new(dev, 64);
    const struct ssa_attention_fwd forward = {{
        .q = t, .k = t, .v = t, .out = t, .lse = t, .plan = &plan, .plan_data = data, .batch = 1 << 30, .keys = 128,
        .heads = 1 << 27, .width = 8}};
    FAILS(ssa_attention_fwd(dev, &forward), SSA_EINVAL, "q needs");
    const struct ssa_attention_bwd backward = {
        .attention = {.q = t, .k = t, .v = t, .out = t, .lse = t, .plan = &plan, .plan_data = data, .batch = 1 << 30,
        .keys = 128, .heads = 1 << 27, .width = 8}, .dout = t, .dq = t, .dk = t, .dv = t};
    FAILS(ssa_attention_bwd(dev, &backward), SSA_EINVAL, "q needs");
    REFUSES(attention_fwd, forward, attention.heads, INT_MAX, "heads * width is past 2^31");
    REFUSES(attention_fwd, forward, attention.kv_heads, INT_MAX, "kv_heads is");
    test_free(t, 64);
    test_free(data, plan.stride * (size_t)plan.examples);
    ssa_plan_finish(&plan);
}
END_TEST

/* A config and its limits: every field as large as an int. */
START_TEST(models)
{
    const struct ssa_model_config good = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 4, .length = 8};
    struct ssa_memory memory;
    static const size_t fields[] = {offsetof(struct ssa_model_config, layers), offsetof(struct ssa_model_config, heads),
        offsetof(struct ssa_model_config, kv_heads), offsetof(struct ssa_model_config, width),
        offsetof(struct ssa_model_config, hidden), offsetof(struct ssa_model_config, vocabulary),
        offsetof(struct ssa_model_config, length)};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct ssa_model_config c = good;
        *(int *)((char *)&c + fields[i]) = INT_MAX;
        FAILS(ssa_model_check(&c), SSA_EINVAL, "is 2147483647, must be in");
        ck_assert_uint_eq(ssa_model_count(&c), 0);
    }
    FAILS(ssa_model_memory(&good, &(struct ssa_model_limits){.batch = INT_MAX}, &memory), SSA_EINVAL, "batch");
    struct ssa_model_config largest = {.layers = 1024, .heads = 128, .width = 32768, .hidden = 1 << 18,
                                       .vocabulary = 1 << 20, .length = 1 << 20, .untied = 1};
    const struct ssa_model_limits limits = {.batch = 2047, .training = 1};
    if (sizeof(size_t) > 4) {
        OK(ssa_model_memory(&largest, &limits, &memory));
        ck_assert(memory.total > memory.activations && memory.activations >> 25 > (size_t)1 << 25); /* 2^50 */
    } else {
        FAILS(ssa_model_memory(&largest, &limits, &memory), SSA_ENOMEM, "one allocation may be at most");
    }
}
END_TEST

/* Numbers that are none: a checkpoint could not hold them. */
START_TEST(not_numbers)
{
    struct ssa_model_config c = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 4, .length = 8};
    struct ssa_sample sample;
    c.rope_base = (float)INFINITY;
    FAILS(ssa_model_check(&c), SSA_EINVAL, "rope_base inf, must be numbers");
    FAILS(ssa_pattern_sample(&(struct ssa_pattern){.ratio = (float)NAN}, 0, 1, 8, 1, &sample), SSA_EINVAL,
          "ratio is nan");
}
END_TEST

int main(void)
{
    return test_run("sizes", (const TTest *const[]){extents, attention, models, not_numbers, NULL});
}
