#include "piece.h"
#include "harness.h"

#include <stdlib.h>

enum { ROWS = 24, WIDTH = 16, HEADS = 2, OUT = 8 };
_Static_assert(PIECE_RESULTS == ROWS * OUT + ROWS * WIDTH + WIDTH * OUT + 1, "what read_results() reads");

enum { X, W, BIAS, GAIN, Y, LOGITS, LOSS, DLOGITS, DY, DX, STATS, DW, M, V, SUM, ATTENDED, LSE, DQ, DK, DV, PLAN,
       TARGETS, TENSORS };
static const size_t sizes[TENSORS] = {
    [X] = ROWS * WIDTH, [W] = WIDTH * OUT, [BIAS] = OUT,           [GAIN] = WIDTH,      [Y] = ROWS * WIDTH,
    [LOGITS] = ROWS * OUT, [LOSS] = ROWS,  [DLOGITS] = ROWS * OUT, [DY] = ROWS * WIDTH, [DX] = ROWS * WIDTH,
    [STATS] = ROWS * 2, [DW] = WIDTH * OUT, [M] = WIDTH * OUT,     [V] = WIDTH * OUT,   [SUM] = 1,
    [ATTENDED] = ROWS * WIDTH, [LSE] = HEADS * ROWS, [DQ] = ROWS * WIDTH, [DK] = ROWS * WIDTH, [DV] = ROWS * WIDTH,
    [PLAN] = 256, [TARGETS] = ROWS,
};

static int make_tensors(struct ssa_device *d, struct ssa_tensor *t)
{
    int32_t targets[ROWS];
    float *values = NULL;
    int err;
    for (int i = 0; i < TENSORS; i++) {
        TRY(ssa_buffer_create(&t[i].buffer, d, sizes[i] * sizeof(float)));
        TRY(ssa_tensor_fill(t[i], 0, sizes[i]));
        t[i].type = i == PLAN || i == TARGETS ? SSA_I32 : SSA_F32;
    }
    for (int i = X; i <= GAIN; i++) {
        values = test_values(sizes[i], (uint64_t)i, -1, 1);
        err = ssa_tensor_write(t[i], values, sizes[i]);
        free(values);
        TRY(err);
    }
    for (int i = 0; i < ROWS; i++)
        targets[i] = i % OUT;
    TRY(ssa_tensor_write(t[TARGETS], targets, ROWS));
done:
    return err;
}

/* Self-attention over x, and its gradients for dy. */
static int attend(struct ssa_device *d, const struct ssa_tensor *t)
{
    struct ssa_plan plan = {0};
    int err;
    TRY(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_LOCAL, .length = ROWS, .keys = 8, .own_key = 1}));
    REQUIRE(plan.stride <= sizes[PLAN], "the plan takes %zu elements", plan.stride);
    TRY(ssa_tensor_write(t[PLAN], plan.data, plan.stride));
    TRY(ssa_attention_fwd(d, &(struct ssa_attention_fwd){{
        .q = t[X], .k = t[X], .v = t[X], .out = t[ATTENDED], .lse = t[LSE], .plan = &plan, .plan_data = t[PLAN],
        .batch = 1, .keys = ROWS, .heads = HEADS, .width = WIDTH / HEADS, .causal = 1}}));
    TRY(ssa_attention_bwd(d, &(struct ssa_attention_bwd){
        .attention = {.q = t[X], .k = t[X], .v = t[X], .out = t[ATTENDED], .lse = t[LSE], .plan = &plan,
        .plan_data = t[PLAN], .batch = 1, .keys = ROWS, .heads = HEADS, .width = WIDTH / HEADS, .causal = 1},
        .dout = t[DY], .dq = t[DQ], .dk = t[DK], .dv = t[DV]}));
    TRY(ssa_add(d, &(struct ssa_add){.x = t[DQ], .y = t[DK], .out = t[DQ], .count = ROWS * WIDTH}));
    TRY(ssa_add(d, &(struct ssa_add){.x = t[DQ], .y = t[DV], .out = t[DX], .count = ROWS * WIDTH}));
done:
    ssa_plan_finish(&plan);
    return err;
}

static int train(struct ssa_device *d, const struct ssa_tensor *t)
{
    int err;
    TRY(ssa_norm_fwd(d, &(struct ssa_norm_fwd){.x = t[X], .gain = t[GAIN], .y = t[Y], .stats = t[STATS], .rows = ROWS,
                                               .width = WIDTH}));
    TRY(ssa_linear_fwd(d, &(struct ssa_linear_fwd){.x = t[Y], .w = t[W], .bias = t[BIAS], .y = t[LOGITS], .rows = ROWS,
                                                   .in = WIDTH, .out = OUT}));
    TRY(ssa_cross_entropy(d, &(struct ssa_cross_entropy){.logits = t[LOGITS], .targets = t[TARGETS], .loss = t[LOSS],
                                                         .dlogits = t[DLOGITS], .rows = ROWS, .vocabulary = OUT}));
    TRY(ssa_linear_bwd(d, &(struct ssa_linear_bwd){.x = t[Y], .w = t[W], .dy = t[DLOGITS], .dx = t[DY], .dw = t[DW],
                                                   .rows = ROWS, .in = WIDTH, .out = OUT}));
    TRY(attend(d, t));
    TRY(ssa_norm_bwd(d, &(struct ssa_norm_bwd){.x = t[X], .gain = t[GAIN], .stats = t[STATS], .dy = t[DY], .dx = t[DX],
                                               .rows = ROWS, .width = WIDTH, .accumulate_dx = 1}));
    TRY(ssa_sum(d, &(struct ssa_sum){.x = t[DW], .out = t[SUM], .count = WIDTH * OUT, .squares = 1}));
    TRY(ssa_adamw(d, &(struct ssa_adamw){.w = t[W], .g = t[DW], .m = t[M], .v = t[V], .sumsq = t[SUM], .clip = 1,
                                         .count = WIDTH * OUT, .lr = 0.1f, .step = 1}));
    TRY(ssa_tensor_copy(t[DY], t[DX], ROWS * WIDTH));
done:
    return err;
}

static int read_results(const struct ssa_tensor *t, float *results)
{
    int err;
    TRY(ssa_tensor_read(t[LOGITS], results, ROWS * OUT));
    TRY(ssa_tensor_read(t[DY], results + ROWS * OUT, ROWS * WIDTH));
    TRY(ssa_tensor_read(t[W], results + ROWS * OUT + ROWS * WIDTH, WIDTH * OUT));
    TRY(ssa_tensor_read(t[SUM], results + PIECE_RESULTS - 1, 1));
done:
    return err;
}

int piece_run(struct ssa_device *d, float *results)
{
    struct ssa_tensor t[TENSORS] = {0};
    int err;
    TRY(make_tensors(d, t));
    TRY(train(d, t));
    TRY(read_results(t, results));
done:
    for (int i = 0; i < TENSORS; i++)
        ssa_buffer_destroy(t[i].buffer);
    return err;
}
