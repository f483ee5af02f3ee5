/* Operands that share memory: refused, unless an output takes the place of an input that it may be. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 6, WIDTH = 8, COUNT = ROWS * WIDTH, WIDE = 64, ROOM = 80 * COUNT };

static struct ssa_buffer *room(struct ssa_device *dev)
{
    struct ssa_buffer *b;
    OK(ssa_buffer_create(&b, dev, ROOM * sizeof(float)));
    OK(ssa_tensor_fill(ssa_tensor_at(b, 0), 0.5f, ROOM));
    return b;
}

#define AT(n) ssa_tensor_at(b, (size_t)(n) * COUNT)
#define FAR(n) AT((n) * WIDE / WIDTH) /* operands of attention, of the width that others build too */
#define INTS(n) ssa_tensor_as(AT(n), SSA_I32)
#define SHIFTED(t, by) ssa_tensor_add(t, by)

/* "attention.q" is called q. */
static const char *called(const char *field)
{
    return strrchr(field, '.') ? strrchr(field, '.') + 1 : field;
}

/* Each operator with an output one element past each operand: refused by the names of the two. */
#define MEETS(op, good, out, other) \
    do { \
        struct ssa_##op changed_ = (good); \
        changed_.out = SHIFTED(ssa_tensor_as(changed_.other, SSA_F32), 1); \
        FAILS(ssa_##op(dev, &changed_), SSA_EINVAL, #op ": "); \
        ck_assert_msg(strstr(ssa_last_error(), "overlaps") && strstr(ssa_last_error(), called(#out)) && \
                      strstr(ssa_last_error(), called(#other)), "%s", ssa_last_error()); \
    } while (0)
/* The same in its place exactly. */
#define REPLACES(op, good, out, other) \
    do { \
        struct ssa_##op changed_ = (good); \
        changed_.out = ssa_tensor_as(changed_.other, SSA_F32); \
        OK(ssa_##op(dev, &changed_)); \
    } while (0)
#define TAKES(op, good, out, other) \
    do { \
        struct ssa_##op changed_ = (good); \
        changed_.out = ssa_tensor_as(changed_.other, SSA_F32); \
        FAILS(ssa_##op(dev, &changed_), SSA_EINVAL, "overlaps"); \
    } while (0)

START_TEST(elements)
{
    FOR_DEVICES (dev) {
        struct ssa_buffer *b = room(dev);
        struct ssa_add add = {.x = AT(0), .y = AT(2), .out = AT(4), .count = COUNT};
        MEETS(add, add, out, x);
        MEETS(add, add, out, y);
        REPLACES(add, add, out, x);
        REPLACES(add, add, out, y);
        struct ssa_gelu_fwd gelu = {.x = AT(0), .bias = AT(2), .y = AT(4), .rows = ROWS, .width = WIDTH};
        MEETS(gelu_fwd, gelu, y, x);
        MEETS(gelu_fwd, gelu, y, bias);
        REPLACES(gelu_fwd, gelu, y, x);
        struct ssa_gelu_bwd back = {.x = AT(0), .dy = AT(2), .dx = AT(4), .rows = ROWS, .width = WIDTH};
        MEETS(gelu_bwd, back, dx, dy);
        REPLACES(gelu_bwd, back, dx, dy);
        TAKES(gelu_bwd, back, dx, x);
        struct ssa_glu_fwd glu = {.x = AT(0), .y = AT(4), .rows = ROWS, .width = WIDTH};
        MEETS(glu_fwd, glu, y, x);
        TAKES(glu_fwd, glu, y, x);
        struct ssa_glu_bwd glu_back = {.x = AT(0), .dy = AT(2), .dx = AT(4), .rows = ROWS, .width = WIDTH};
        MEETS(glu_bwd, glu_back, dx, x);
        MEETS(glu_bwd, glu_back, dx, dy);
        REPLACES(glu_bwd, glu_back, dx, x);
        TAKES(glu_bwd, glu_back, dx, dy);
        struct ssa_dropout_fwd drop = {.x = AT(0), .residual = AT(2), .out = AT(4), .count = COUNT, .p = 0.5f};
        MEETS(dropout_fwd, drop, out, x);
        REPLACES(dropout_fwd, drop, out, residual);
        struct ssa_adamw adamw = {.w = AT(0), .g = AT(2), .m = AT(4), .v = AT(6), .count = COUNT, .step = 1, .lr = 1};
        MEETS(adamw, adamw, m, v);
        adamw.average = AT(8);
        MEETS(adamw, adamw, average, w);
        TAKES(adamw, adamw, w, g);
        struct ssa_nag nag = {.w = AT(0), .g = AT(2), .m = AT(4), .sumsq = AT(6), .average = AT(8), .count = COUNT};
        MEETS(nag, nag, m, w);
        MEETS(nag, nag, average, m);
        TAKES(nag, nag, w, g);
        TAKES(nag, nag, m, sumsq);
        struct ssa_value_loss values = {.x = AT(0), .targets = AT(2), .loss = AT(4), .dx = AT(6), .count = COUNT};
        MEETS(value_loss, values, dx, x);
        MEETS(value_loss, values, loss, targets);
        REPLACES(value_loss, values, dx, x);
        TAKES(value_loss, values, dx, targets);
        TAKES(value_loss, values, loss, x);
        struct ssa_sum sum = {.x = AT(0), .out = AT(2), .count = COUNT};
        MEETS(sum, sum, out, x);
        struct ssa_dropout_bwd drop_back = {.dy = AT(0), .dx = AT(2), .count = COUNT, .p = 0.5f};
        MEETS(dropout_bwd, drop_back, dx, dy);
        REPLACES(dropout_bwd, drop_back, dx, dy);
        FAILS(ssa_tensor_copy(AT(0), SHIFTED(AT(0), COUNT - 1), COUNT), SSA_EINVAL, "overlap");
        ssa_buffer_destroy(b);
    }
}
END_TEST

START_TEST(rows)
{
    FOR_DEVICES (dev) {
        struct ssa_buffer *b = room(dev);
        struct ssa_norm_fwd norm = {.x = AT(0), .gain = AT(2), .bias = AT(3), .y = AT(4), .stats = AT(6), .rows = ROWS,
                                    .width = WIDTH};
        MEETS(norm_fwd, norm, y, x);
        MEETS(norm_fwd, norm, stats, y);
        TAKES(norm_fwd, norm, y, gain);
        REPLACES(norm_fwd, norm, y, x);
        struct ssa_norm_bwd back = {.x = AT(0), .gain = AT(2), .stats = AT(3), .dy = AT(4), .dx = AT(6), .dgain = AT(8),
                                    .dbias = AT(9), .rows = ROWS, .width = WIDTH};
        MEETS(norm_bwd, back, dx, dy);
        TAKES(norm_bwd, back, dx, x);
        TAKES(norm_bwd, back, dgain, dbias);
        REPLACES(norm_bwd, back, dx, dy);
        struct ssa_cross_entropy ce = {.logits = AT(0), .targets = INTS(2), .loss = AT(3), .dlogits = AT(4), .rows = ROWS,
                                       .vocabulary = WIDTH};
        MEETS(cross_entropy, ce, dlogits, logits);
        TAKES(cross_entropy, ce, loss, targets);
        REPLACES(cross_entropy, ce, dlogits, logits);
        ce.targets = (struct ssa_tensor){0};
        ce.soft_targets = AT(6);
        MEETS(cross_entropy, ce, dlogits, soft_targets);
        TAKES(cross_entropy, ce, dlogits, soft_targets);
        struct ssa_prepend_fwd join = {.first = AT(0), .x = AT(2), .positions = AT(4), .out = AT(6), .batch = 2,
                                       .lead = 1, .length = 2, .width = WIDTH};
        MEETS(prepend_fwd, join, out, first);
        MEETS(prepend_fwd, join, out, positions);
        TAKES(prepend_fwd, join, out, x);
        join.lead = 0;
        MEETS(prepend_fwd, join, out, x);
        REPLACES(prepend_fwd, join, out, x);
        struct ssa_prepend_bwd parted = {.dout = AT(0), .dfirst = AT(2), .dx = AT(4), .dpositions = AT(6), .batch = 2,
                                         .lead = 1, .length = 2, .width = WIDTH};
        TAKES(prepend_bwd, parted, dx, dout);
        MEETS(prepend_bwd, parted, dpositions, dfirst);
        struct ssa_mean_fwd mean = {.x = AT(0), .out = AT(2), .batch = 2, .length = 3, .width = WIDTH};
        TAKES(mean_fwd, mean, out, x);
        mean.lengths = INTS(4);
        TAKES(mean_fwd, mean, out, lengths);
        struct ssa_mean_bwd mean_back = {.dout = AT(0), .dx = AT(2), .batch = 2, .length = 3, .width = WIDTH};
        MEETS(mean_bwd, mean_back, dx, dout);
        mean_back.lengths = INTS(4);
        TAKES(mean_bwd, mean_back, dx, lengths);
        struct ssa_centrality_fwd scaled = {.x = AT(0), .sums = AT(2), .out = AT(4), .batch = 2, .length = 3,
                                            .heads = 2, .width = 4};
        MEETS(centrality_fwd, scaled, out, x);
        REPLACES(centrality_fwd, scaled, out, x);
        TAKES(centrality_fwd, scaled, out, sums);
        struct ssa_centrality_bwd scaled_back = {.x = AT(0), .sums = AT(2), .dout = AT(3), .dx = AT(5), .dsums = AT(7),
                                                 .batch = 2, .length = 3, .heads = 2, .width = 4};
        MEETS(centrality_bwd, scaled_back, dx, dout);
        REPLACES(centrality_bwd, scaled_back, dx, dout);
        TAKES(centrality_bwd, scaled_back, dx, x);
        TAKES(centrality_bwd, scaled_back, dsums, sums);
        struct ssa_frame_fwd frame = {.x = AT(0), .vectors = AT(2), .out = AT(4), .batch = 1, .lead = 1, .length = 2,
                                      .width = 4};
        TAKES(frame_fwd, frame, out, x);
        MEETS(frame_fwd, frame, out, vectors);
        frame.lead = 0;
        MEETS(frame_fwd, frame, out, x);
        REPLACES(frame_fwd, frame, out, x);
        struct ssa_frame_bwd frame_back = {.dout = AT(0), .dx = AT(2), .dvectors = AT(4), .batch = 1, .lead = 1,
                                           .length = 2, .width = 4};
        TAKES(frame_bwd, frame_back, dx, dout);
        MEETS(frame_bwd, frame_back, dx, dvectors);
        struct ssa_patches cut = {.x = AT(0), .out = AT(2), .batch = 1, .rows = 4, .columns = 4, .channels = 3,
                                  .patch = 2};
        TAKES(patches, cut, out, x);
        struct ssa_windows turn = {.x = AT(0), .out = AT(2), .batch = 1, .rows = 2, .columns = 4, .width = 8,
                                   .window = 2};
        TAKES(windows, turn, out, x);
        struct ssa_window_bias_fwd bias = {.table = AT(0), .out = AT(2), .rows = 2, .columns = 4, .window = 2,
                                           .heads = 2};
        TAKES(window_bias_fwd, bias, out, table);
        struct ssa_window_bias_bwd bias_back = {.dout = AT(0), .dtable = AT(2), .window = 2, .heads = 2};
        TAKES(window_bias_bwd, bias_back, dtable, dout);
        struct ssa_embedding_fwd embed = {.ids = INTS(0), .table = AT(1), .out = AT(4), .rows = ROWS, .length = ROWS,
                                          .width = WIDTH, .vocabulary = 4};
        TAKES(embedding_fwd, embed, out, table);
        struct ssa_embedding_bwd embed_back = {.ids = INTS(0), .dout = AT(1), .dtable = AT(4), .rows = ROWS,
                                               .length = ROWS, .width = WIDTH, .vocabulary = 4};
        TAKES(embedding_bwd, embed_back, dtable, dout);
        struct ssa_grid_fwd grid = {.row = AT(0), .column = AT(1), .channel = AT(2), .out = AT(4), .count = 6,
                                    .rows = 3, .columns = 2, .channels = 1, .width = WIDTH};
        MEETS(grid_fwd, grid, out, column);
        TAKES(grid_fwd, grid, out, row);
        struct ssa_grid_bwd grid_back = {.dout = AT(0), .drow = AT(2), .dcolumn = AT(3), .dchannel = AT(4), .count = 6,
                                         .rows = 3, .columns = 2, .channels = 1, .width = WIDTH};
        MEETS(grid_bwd, grid_back, dchannel, dout);
        TAKES(grid_bwd, grid_back, drow, dcolumn);
        struct ssa_gather_rows gather = {.x = AT(0), .rows = INTS(2), .out = AT(4), .count = 2, .source_rows = ROWS,
                                         .width = WIDTH};
        MEETS(gather_rows, gather, out, x);
        struct ssa_scatter_rows scatter = {.x = AT(0), .rows = INTS(2), .out = AT(4), .count = 2, .target_rows = ROWS,
                                           .width = WIDTH};
        MEETS(scatter_rows, scatter, out, x);
        ssa_buffer_destroy(b);
    }
}
END_TEST

/* Views of rows of 3 WIDTH: beside each other is fine, one column over is not. */
START_TEST(strides)
{
    FOR_DEVICES (dev) {
        struct ssa_buffer *b = room(dev);
        struct ssa_linear_fwd good = {.x = AT(0), .w = AT(8), .y = SHIFTED(AT(0), WIDTH), .rows = ROWS, .in = WIDTH,
                                      .out = WIDTH, .x_stride = 3 * WIDTH, .y_stride = 3 * WIDTH};
        OK(ssa_linear_fwd(dev, &good));
        for (size_t by = 1; by < 3 * WIDTH; by++) {
            struct ssa_linear_fwd a = good;
            a.y = SHIFTED(a.x, by);
            if (by < WIDTH || by > 2 * WIDTH) /* past 2 WIDTH it ends in x's next row */
                FAILS(ssa_linear_fwd(dev, &a), SSA_EINVAL, "linear_fwd: y overlaps x");
            else
                OK(ssa_linear_fwd(dev, &a));
        }
        struct ssa_linear_fwd residual = good;
        residual.residual = residual.y;
        OK(ssa_linear_fwd(dev, &residual));
        TAKES(linear_fwd, residual, pre, y);
        struct ssa_linear_fwd between = good; /* a vector that lies in a gap of the rows, and one that does not */
        between.bias = SHIFTED(AT(0), 2 * WIDTH);
        OK(ssa_linear_fwd(dev, &between));
        between.bias = SHIFTED(AT(0), 2 * WIDTH - 1);
        FAILS(ssa_linear_fwd(dev, &between), SSA_EINVAL, "linear_fwd: y overlaps bias");
        struct ssa_linear_fwd other = good; /* strides that differ */
        other.y_stride = 2 * WIDTH;
        FAILS(ssa_linear_fwd(dev, &other), SSA_EINVAL, "overlaps");
        struct ssa_linear_bwd back = {.x = AT(0), .w = AT(8), .dy = AT(10), .dx = AT(12), .dw = AT(14), .dbias = AT(16),
                                      .rows = ROWS, .in = WIDTH, .out = WIDTH};
        OK(ssa_linear_bwd(dev, &back));
        MEETS(linear_bwd, back, dx, dy);
        TAKES(linear_bwd, back, dw, w);
        TAKES(linear_bwd, back, dx, x);
        back.activation = SSA_ACT_GELU;
        back.x_pre = AT(18);
        TAKES(linear_bwd, back, dx, x_pre);
        ssa_buffer_destroy(b);
    }
}
END_TEST

/* What a call has no use for does not count, wherever it lies and however small it is. */
START_TEST(unused)
{
    FOR_DEVICES (dev) {
        struct ssa_buffer *b = room(dev);
        const struct ssa_linear_bwd good = {.x = AT(0), .w = AT(8), .dy = AT(10), .x_pre = AT(12), .rows = ROWS,
                                            .in = WIDTH, .out = WIDTH};
        struct ssa_linear_bwd to_x = good, to_w = good, to_bias = good;
        to_x.dx = AT(14);
        REPLACES(linear_bwd, to_x, dx, x);
        REPLACES(linear_bwd, to_x, dx, x_pre); /* no activation: its slope is not taken */
        to_x.x = ssa_tensor_at(b, ROOM);
        OK(ssa_linear_bwd(dev, &to_x));
        to_w.dw = AT(14);
        to_w.activation = SSA_ACT_GELU;
        REPLACES(linear_bwd, to_w, dw, w);
        REPLACES(linear_bwd, to_w, dw, x_pre);
        TAKES(linear_bwd, to_w, dw, x);
        to_bias.dbias = AT(14);
        REPLACES(linear_bwd, to_bias, dbias, x);
        REPLACES(linear_bwd, to_bias, dbias, w);
        TAKES(linear_bwd, to_bias, dbias, dy);
        struct ssa_embedding_bwd embed = {.ids = INTS(0), .dout = AT(1), .dpositions = AT(4), .rows = ROWS,
                                          .length = ROWS, .width = WIDTH, .vocabulary = 4};
        REPLACES(embedding_bwd, embed, dpositions, ids);
        embed.dtable = AT(6);
        TAKES(embedding_bwd, embed, dpositions, ids);
        ssa_buffer_destroy(b);
    }
}
END_TEST

START_TEST(attention)
{
    FOR_DEVICES (dev) {
        struct ssa_buffer *b = room(dev);
        struct ssa_plan plan = {0};
        struct ssa_tensor data = {0};
        OK(ssa_plan_draw(&plan, &(struct ssa_sample){.length = ROWS}));
        OK(ssa_plan_upload(dev, &plan, &data));
        struct ssa_attention_fwd a = {{
            .q = FAR(0), .k = FAR(1), .v = FAR(2), .out = FAR(3), .lse = FAR(4), .plan = &plan, .plan_data = data,
            .batch = 1, .keys = ROWS, .heads = 1, .width = WIDE}};
        MEETS(attention_fwd, a, attention.out, attention.q);
        TAKES(attention_fwd, a, attention.out, attention.q);
        TAKES(attention_fwd, a, attention.lse, attention.v);
        struct ssa_attention_bwd back = {
            .attention = a.attention, .dout = FAR(5), .dq = FAR(6), .dk = FAR(7),
            .dv = FAR(8)};
        MEETS(attention_bwd, back, dq, attention.q);
        TAKES(attention_bwd, back, dk, attention.k);
        TAKES(attention_bwd, back, dv, dk);
        TAKES(attention_bwd, back, dq, dout);
        ssa_buffer_destroy(data.buffer);
        ssa_plan_finish(&plan);
        ssa_buffer_destroy(b);
    }
}
END_TEST

/* ---- plans that are not where operators look ---- */

START_TEST(plans)
{
    FOR_DEVICES (dev) {
        struct ssa_buffer *b = room(dev);
        struct ssa_plan plan = {0}, other = {0};
        struct ssa_tensor data = {0};
        const struct ssa_sample how = {.kind = SSA_UNBIASED, .length = ROWS, .keys = 3, .own_key = 1, .seed = 1};
        OK(ssa_plan_draw(&plan, &how));
        OK(ssa_plan_upload(dev, &plan, &data));
        struct ssa_attention_fwd a = {{
            .q = FAR(0), .k = FAR(1), .v = FAR(2), .out = FAR(3), .lse = FAR(4), .plan = &plan, .plan_data = data,
            .batch = 1, .keys = ROWS, .heads = 1, .width = WIDE}};
        struct ssa_attention_bwd back = {
            .attention = a.attention, .dout = FAR(5), .dq = FAR(6), .dk = FAR(7),
            .dv = FAR(8)};
        setenv("SSACL_CHECK", "1", 1);
        OK(ssa_attention_fwd(dev, &a));
        OK(ssa_attention_bwd(dev, &back));
        OK(ssa_tensor_fill(ssa_tensor_as(data, SSA_F32), 0, plan.stride)); /* as memory is that nobody wrote */
        FAILS(ssa_attention_fwd(dev, &a), SSA_EINVAL, "attention_fwd: plan_data does not hold the plan");
        FAILS(ssa_attention_bwd(dev, &back), SSA_EINVAL, "attention_bwd: plan_data does not hold the plan");
        OK(ssa_tensor_fill(ssa_tensor_as(data, SSA_F32), -7e11f, plan.stride));
        FAILS(ssa_attention_fwd(dev, &a), SSA_EINVAL, "attention_fwd: plan_data does not hold the plan");
        OK(ssa_plan_draw(&other, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = ROWS, .keys = 3, .own_key = 1,
                                                      .seed = 9}));
        ck_assert(memcmp(plan.data, other.data, plan.stride * 4));
        OK(ssa_plan_upload(dev, &other, &data)); /* into the same memory: of another draw */
        ck_assert_ptr_eq(data.buffer, a.attention.plan_data.buffer);
        FAILS(ssa_attention_fwd(dev, &a), SSA_EINVAL, "attention_fwd: plan_data does not hold the plan");
        OK(ssa_plan_upload(dev, &plan, &data));
        OK(ssa_attention_fwd(dev, &a));
        unsetenv("SSACL_CHECK");
        OK(ssa_attention_fwd(dev, &a));
        struct ssa_tensor small = test_too_small(data);
        FAILS(ssa_plan_upload(dev, &plan, &small), SSA_EINVAL, "plan_upload: data needs");
        FAILS(ssa_plan_upload(dev, &(struct ssa_plan){0}, &data), SSA_EINVAL, "not drawn");
        FAILS(ssa_plan_upload(NULL, &plan, &data), SSA_EINVAL, "device is NULL");
        ssa_buffer_destroy(data.buffer);
        ssa_plan_finish(&plan);
        ssa_plan_finish(&other);
        ssa_buffer_destroy(b);
    }
}
END_TEST

int main(void)
{
    return test_run("overlap", (const TTest *const[]){elements, rows, strides, unused, attention, plans, NULL});
}
