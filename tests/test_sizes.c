/* Sizes whose products no integer holds are refused: small operands must not pass for what is a multiple of 2^64
 * (2^32 where a size_t has 32 bits). And elements past the 2^31st and the 2^32nd are those and no others. */
#include "harness.h"
#include "op/attention.h"
#include "ssacl/train.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

/* What the GPU shape leaves to the portable kernel: pairs whose last of a head 32 bits do not number. */
START_TEST(pairs_of_a_head)
{
    const struct ssa_attention a = {.queries = 3, .keys = 6};
    float element;
    struct ssa_pairs p = {.tensor.buffer = (void *)&element, .query = UINT32_MAX / 2, .key = 0};
    ck_assert(ssa_attention_countable_pairs(&a, (struct ssa_pairs){.query = SIZE_MAX})); /* there are none */
    ck_assert(ssa_attention_countable_pairs(&a, p));                                     /* 2^32 - 2 */
    p.head = SIZE_MAX; /* which the kernel adds in 64 bits */
    ck_assert(ssa_attention_countable_pairs(&a, p));
    p.query = (size_t)1 << 31;
    ck_assert(!ssa_attention_countable_pairs(&a, p)); /* 2^32 */
    p.query = UINT32_MAX / 2;
    p.key = 1;
    ck_assert(!ssa_attention_countable_pairs(&a, p));
    p.query = 0;
    p.key = UINT32_MAX / 5;
    ck_assert(ssa_attention_countable_pairs(&a, p)); /* 2^32 - 1 */
    p.key = SIZE_MAX / 5 + 1;
    ck_assert(sizeof(size_t) == 4 || !ssa_attention_countable_pairs(&a, p)); /* past 2^64 */
}
END_TEST

/* ---- elements that no int numbers ---- */

enum { WIDE = 1 << 20, TALL = 5 << 10 }; /* 5 * 2^30 elements: 20 GiB of addresses, of which few pages are touched */
static const size_t sparse_count = (size_t)WIDE * TALL;

/* Zeroes; NULL where there are not so many addresses, or where none are given without memory behind them. */
static float *sparse(struct ssa_device *dev, struct ssa_tensor *t)
{
    const size_t bytes = sizeof(size_t) > 4 ? sparse_count * sizeof(float) : 0;
    float *memory = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                          : MAP_FAILED;
    *t = (struct ssa_tensor){0};
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, bytes, MADV_NOHUGEPAGE); /* whose pages would be 2 MiB each */
    OK(ssa_buffer_wrap(&t->buffer, dev, memory, bytes));
    return memory;
}

static void sparse_free(float *memory, struct ssa_tensor t)
{
    ssa_buffer_destroy(t.buffer);
    munmap(memory, sparse_count * sizeof(float));
}

/* Past 2^31, and past 2^32: rows of a table as wide as WIDE. */
static const int far_rows[] = {2100, 4500};

START_TEST(rows_far_away)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_tensor table, ids = test_new(dev, 1), row = test_new(dev, WIDE);
    float *memory = sparse(dev, &table), *got = malloc(WIDE * sizeof *got);
    ids.type = SSA_I32;
    for (int i = 0; memory && i < 2; i++) {
        float *want = memory + (size_t)far_rows[i] * WIDE;
        OK(ssa_tensor_write(ids, &far_rows[i], 1));
        want[0] = 1;
        want[WIDE - 1] = 2;
        OK(ssa_gather_rows(dev, &(struct ssa_gather_rows){.x = table, .rows = ids, .out = row, .count = 1,
                                                          .source_rows = TALL, .width = WIDE}));
        OK(ssa_tensor_read(row, got, WIDE));
        ck_assert(!memcmp(got, want, WIDE * sizeof *got));
        OK(ssa_scatter_rows(dev, &(struct ssa_scatter_rows){.x = row, .rows = ids, .out = table, .count = 1,
                                                            .target_rows = TALL, .width = WIDE, .accumulate = 1}));
        ck_assert(want[0] == 2 && want[WIDE - 1] == 4);
        OK(ssa_embedding_fwd(dev, &(struct ssa_embedding_fwd){.ids = ids, .table = table, .out = row, .rows = 1,
                                                              .width = WIDE, .vocabulary = TALL}));
        OK(ssa_tensor_read(row, got, WIDE));
        ck_assert(!memcmp(got, want, WIDE * sizeof *got));
        OK(ssa_embedding_bwd(dev, &(struct ssa_embedding_bwd){.ids = ids, .dout = row, .dtable = table, .rows = 1,
                                                              .width = WIDE, .vocabulary = TALL, .accumulate = 1}));
        ck_assert(want[0] == 4 && want[WIDE - 1] == 8);
    }
    if (memory)
        sparse_free(memory, table);
    free(got);
    test_free(ids, 1);
    test_free(row, WIDE);
}
END_TEST

/* Rows of 2, as far apart as a stride may be: the third begins at 2^32 - 2. */
START_TEST(strides_as_large_as_an_int)
{
    struct ssa_device *dev = test_device(0);
    const size_t stride = INT_MAX, at[] = {0, stride, 2 * stride};
    const float one[] = {1, 0, 0, 1};
    struct ssa_tensor x, w = test_new(dev, 4);
    float *memory = sparse(dev, &x);
    OK(ssa_tensor_write(w, one, 4));
    for (int r = 0; memory && r < 3; r++)
        memory[at[r]] = (float)r + 1;
    if (memory) {
        OK(ssa_rope(dev, &(struct ssa_rope){.x = x, .rows = 3, .length = 3, .heads = 1, .width = 2, .stride = INT_MAX}));
        for (int r = 0; r < 3; r++)
            ck_assert(fabs((double)memory[at[r]] - (r + 1) * cos(r)) < 1e-6);
        OK(ssa_linear_fwd(dev, &(struct ssa_linear_fwd){.x = x, .w = w, .y = ssa_tensor_add(x, 8), .rows = 3, .in = 2,
            .out = 2, .x_stride = INT_MAX, .y_stride = INT_MAX}));
        for (int r = 0; r < 3; r++)
            ck_assert(memory[at[r] + 8] == memory[at[r]] && memory[at[r] + 9] == memory[at[r] + 1]);
        OK(ssa_linear_bwd(dev, &(struct ssa_linear_bwd){.x = x, .dy = ssa_tensor_add(x, 8), .dw = w, .rows = 3, .in = 2,
            .out = 2, .x_stride = INT_MAX, .dy_stride = INT_MAX}));
        float dw[4];
        OK(ssa_tensor_read(w, dw, 4));
        ck_assert(fabs((double)dw[0] + (double)dw[3] - 14) < 1e-5); /* the rows' squares: 1, 4, 9 */
        sparse_free(memory, x);
    }
    test_free(w, 4);
}
END_TEST

/* Where a tensor begins, and the last elements of as many as there are. */
START_TEST(offsets_and_counts)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_tensor x;
    float *memory = sparse(dev, &x), got[4];
    for (size_t at = (size_t)1 << 31; memory && at < sparse_count; at *= 2) {
        struct ssa_tensor here = ssa_tensor_add(x, at - 2);
        memory[at] = 3;
        OK(ssa_add(dev, &(struct ssa_add){.x = here, .y = here, .out = here, .count = 4}));
        OK(ssa_tensor_read(here, got, 4));
        ck_assert(got[1] == 0 && got[2] == 6 && memory[at] == 6 && memory[at - 1] == 0);
        OK(ssa_tensor_copy(x, here, 4));
        ck_assert(memory[2] == 6);
    }
    if (memory) {
        FAILS(ssa_add(dev, &(struct ssa_add){.x = x, .y = x, .out = x, .count = sparse_count + 1}), SSA_EINVAL,
              "x needs 5368709121 elements");
        sparse_free(memory, x);
    }
}
END_TEST

/* What a kernel counts in blocks must end before the last int. */
START_TEST(counts_of_blocks)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_tensor t = test_new(dev, 64);
    const struct ssa_linear_fwd forward = {.x = t, .w = t, .y = t, .rows = 1, .in = 1, .out = 1};
    const struct ssa_linear_bwd backward = {.x = t, .w = t, .dy = t, .dx = t, .rows = 1, .in = 1, .out = 1};
    const struct ssa_norm_bwd norm = {.x = t, .stats = t, .dy = t, .dx = t, .rows = 1, .width = 1};
    const struct ssa_rope rope = {.x = t, .rows = 1, .length = 1, .heads = 1, .width = 2};
    REFUSES(linear_fwd, forward, rows, INT_MAX, "rows is 2147483647, must be at most 2^30");
    REFUSES(linear_fwd, forward, in, INT_MAX, "in is 2147483647, must be at most 2^30");
    REFUSES(linear_fwd, forward, out, INT_MAX, "out is 2147483647, must be at most 2^30");
    REFUSES(linear_bwd, backward, rows, INT_MAX, "rows is 2147483647, must be at most 2^30");
    REFUSES(norm_bwd, norm, rows, INT_MAX, "rows is 2147483647, must be at most 2^30");
    REFUSES(rope, rope, rows, INT_MAX, "rows is 2147483647, must be at most 2^30");
    test_free(t, 64);
}
END_TEST

/* A config and its limits: every field as large as an int. */
START_TEST(models)
{
    const struct ssa_model_config good = {.gpt = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 4, .length = 8}};
    struct ssa_memory memory;
    static const size_t fields[] = {offsetof(struct ssa_gpt, layers), offsetof(struct ssa_gpt, heads),
        offsetof(struct ssa_gpt, kv_heads), offsetof(struct ssa_gpt, width), offsetof(struct ssa_gpt, hidden),
        offsetof(struct ssa_gpt, vocabulary), offsetof(struct ssa_gpt, length)};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct ssa_model_config c = good;
        *(int *)((char *)&c.gpt + fields[i]) = INT_MAX;
        FAILS(ssa_model_check(&c), SSA_EINVAL, "is 2147483647, must be in");
        ck_assert_uint_eq(ssa_model_elements(&c), 0);
    }
    FAILS(ssa_model_memory(&good, &(struct ssa_model_limits){.batch = INT_MAX}, &memory), SSA_EINVAL, "batch");
    struct ssa_model_config largest = {.gpt = {.layers = 1024, .heads = 128, .width = 32768, .hidden = 1 << 18,
                                       .vocabulary = 1 << 20, .length = 1 << 20, .untied = 1}};
    const struct ssa_model_limits limits = {.batch = 2047, .training = 1};
    if (sizeof(size_t) > 4) {
        OK(ssa_model_memory(&largest, &limits, &memory));
        ck_assert(memory.total > memory.activations && memory.activations >> 25 > (size_t)1 << 25); /* 2^50 */
    } else {
        FAILS(ssa_model_memory(&largest, &limits, &memory), SSA_ENOMEM, "one allocation may be at most");
    }
}
END_TEST

/* NaN and infinity: a checkpoint could not hold them. */
START_TEST(not_numbers)
{
    struct ssa_model_config c = {.gpt = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 4, .length = 8}};
    struct ssa_sample sample;
    c.gpt.rope_base = (float)INFINITY;
    FAILS(ssa_model_check(&c), SSA_EINVAL, "rope_base is inf, must be a number");
    FAILS(ssa_pattern_sample(&(struct ssa_pattern){.ratio = (float)NAN}, 0, 1, 8, 1, &sample), SSA_EINVAL,
          "ratio is nan");
}
END_TEST

int main(void)
{
    return test_run("sizes", (const TTest *const[]){extents, attention, pairs_of_a_head, rows_far_away,
                                                   strides_as_large_as_an_int, offsets_and_counts, counts_of_blocks, models, not_numbers, NULL});
}
