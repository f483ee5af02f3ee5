/**
 * @file ops.h
 * The operators of a training step, each on tensors of one device.
 *
 * Every operator is `int ssa_NAME(device, &(struct ssa_NAME){...})`: the struct is the arguments, zero means the
 * default, an absent tensor is a zeroed one. All of them:
 *   Order    Enqueued in the order of the calls; tensors stay alive until ssa_device_finish() or a read. On the host
 *            backend the work is done when the call returns.
 *   Errors   SSA_EINVAL before anything is enqueued, naming operator, operand and shape; SSA_ENOMEM (scratch);
 *            SSA_EDEVICE, SSA_EBUILD. After an error, outputs are undefined.
 *   Repeat   The same bits for the same inputs on the same device: no float atomics.
 *   Threads  One thread at a time per device.
 *   Sizes    Offsets and counts of elements are of any size that memory has, past 2^32 too. rows, in and out of linear
 *            layers, and rows of norms and rope, are at most 2^30; other limits are said in the text of the error.
 * Shapes are row-major float32 unless said. B batch, N sequence length, H heads, D head width, C = H*D, V vocabulary.
 * No output may share an element with another operand: SSA_EINVAL. Where an output "may be" an input, it is that
 * exactly: the same elements in the same rows. Views of one wide row that lie beside each other are fine. An operand
 * that a call has no use for, as x of ssa_linear_bwd() without dw, does not count.
 */
#ifndef SSACL_OPS_H
#define SSACL_OPS_H

#include "sample.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The list of operators: what the backends, the parity tests and the benches are made from. */
#define SSA_OPS(X) \
    X(attention_fwd) \
    X(attention_bwd) \
    X(linear_fwd) \
    X(linear_bwd) \
    X(norm_fwd) \
    X(norm_bwd) \
    X(gelu_fwd) \
    X(gelu_bwd) \
    X(glu_fwd) \
    X(glu_bwd) \
    X(add) \
    X(dropout_fwd) \
    X(dropout_bwd) \
    X(embedding_fwd) \
    X(embedding_bwd) \
    X(grid_fwd) \
    X(grid_bwd) \
    X(rope) \
    X(cross_entropy) \
    X(value_loss) \
    X(sum) \
    X(adamw) \
    X(nag) \
    X(gather_rows) \
    X(scatter_rows) \
    X(patches) \
    X(windows) \
    X(window_bias_fwd) \
    X(window_bias_bwd) \
    X(prepend_fwd) \
    X(prepend_bwd) \
    X(mean_fwd) \
    X(mean_bwd) \
    X(centrality_fwd) \
    X(centrality_bwd) \
    X(frame_fwd) \
    X(frame_bwd)

/** Elements between neighbours of a tensor of heads: (b, i, h, d) lies b*batch + i*position + h*head + d elements from
 *  its first one. 0 is the default: of heads their width, of positions heads times width, of the batch what its
 *  positions or its heads take, whichever is more. So [B,N,H,D] is {0}, [B,H,N,D] is {.position = D, .head = N*D}, and
 *  views of rows that are wider, such as q, k and v side by side, have .position alone. */
struct ssa_strides {
    size_t batch, position, head;
};

/** A value for each (query, key) pair of a head: that of (b, h, i, j) lies b*batch + h*head + i*query + j*key elements
 *  from the tensor's first. A stride of 0 broadcasts: one value for all; the gradient of such a one is the sum over
 *  them. With `repeat`, as of the windows of an image, image after image, b is the example's number modulo that: they
 *  share values likewise. No tensor: no values. */
struct ssa_pairs {
    struct ssa_tensor tensor;
    size_t batch, head, query, key;
    int repeat; /**< 0: no two examples share values, unless batch is 0. Not of scores */
};

/** Attention of every query over the keys its plan gives it: what forward and backward are both given.
 *    a_ij = clip(scale q_i . k_j) + bias_ij;   p_i = softmax_j(a_ij);   g_ij = sigmoid(gate_ij)
 *    out_i = sum_j p_ij g_ij u_ij v_j;   lse_i = log2 sum_j exp(a_ij);   gate_sum_i = sum_j g_ij;   scores_ij = a_ij
 *  for head h and kv head h / (heads/kv_heads), over the j that the plan gives query i, and of them, if causal, those
 *  at or before its position, keys - queries + i. u_ij is 0 with probability `dropout`, else 1/(1 - dropout). Or, with
 *  probability `drop_keys`, the key is not there for the softmax: a_ij is -inf, and the others share what is 1. Without
 *  clip, bias, gate, dropout and drop_keys that is plain attention. A query that sees nothing, as padding does, or
 *  whose keys are all dropped, answers 0 (lse -inf). gate_sum is of dropped keys too. `scores` alone are of every pair,
 *  whether the plan and causality give it or not, and as if no key were dropped; those of padding are 0.
 *  Shapes   q [B,T,H,D]; k [B,N,kv_heads,D]; v [B,N,kv_heads,E]; out [B,T,H,E]: E is value_width; lse, gate_sum
 *           [B,H,T]; plan_data int32, the plan's blocks. D and E multiples of 4, at most 256.
 *  Units    scale multiplies the logits, 0 means 1/sqrt(D); clip bounds their absolute value, 0 means none. bias and
 *           gate are of natural logarithms. u comes from the counter of (batch, head, query, key) alone, in positions
 *           of the sequence, so that whatever is sampled drops alike: word j mod 4 of Philox4x32-10 (key seed; low half
 *           of the counter ((first_example + b)*H + h) 2^42 + i 2^20 + j/4, i the position of the query; high half
 *           stream), as a uniform number of 24 bits in [0, 1), is not below `dropout`; drop_keys drops the pairs that
 *           as much dropout would. (first_example + B) H is at most 2^22.
 *  Hiding   a bias of -inf (or below -2.3e38) hides a key. Others are numbers, however low; but lse is a float, and the
 *           probabilities that backward makes from it are wrong by a share of |lse| 2^-24.
 *  Cost     2*H*(D + E) flop per (query, key) pair of the plan. Causal tiles that see nothing are skipped. Scores never
 *           reach memory, unless `scores` is given: 2*H*D flop for each of B T N pairs more.
 *  Source   section 3 of the paper (softmax over the sampled set, no rescaling). Clip, bias, gate, gate_sum and scores:
 *           EGT (Hussain et al., KDD 2022); a broadcast bias: Swin (Liu et al., ICCV 2021); drop_keys: DropKey (Li et
 *           al., CVPR 2023), drawn for each head, as EGT's attn_maskout is. */
struct ssa_attention {
    struct ssa_tensor q, k, v, out, lse;
    const struct ssa_plan *plan; /**< read during the call only */
    struct ssa_tensor plan_data; /**< the plan on the device: see ssa_plan_upload(). The host backend returns SSA_EINVAL
                                      where it is not. On OpenCL nothing can be looked at without waiting: it is taken
                                      on trust, and any other values are read as indices, unless $SSACL_CHECK=1, with
                                      which every call reads it back and compares */
    int batch, keys, queries;    /**< B, N, T; queries 0 means as many as keys. Causal: at most as many */
    int heads, kv_heads;         /**< kv_heads 0 means heads; must divide them */
    int width, value_width;      /**< D, E; value_width 0 means width */
    struct ssa_strides q_strides, k_strides, v_strides, out_strides;
    int causal;
    float scale, clip;
    struct ssa_pairs bias, gate, scores; /**< scores: written by forward */
    struct ssa_tensor gate_sum;          /**< or absent; needs gate */
    float dropout;                       /**< of probabilities, 0 <= dropout < 1 */
    float drop_keys;                     /**< of logits, as much; only one of both is not 0 */
    uint64_t seed, stream;               /**< stream: as of struct ssa_dropout_fwd */
    uint32_t first_example;              /**< number of the batch's first example (micro-batches) */
};

struct ssa_attention_fwd {
    struct ssa_attention attention;
};

/** Its gradients. Scores are made again from lse; nothing of size T*N is stored.
 *    P = exp(a - lse);  w = P g u;  delta_i = dout_i . out_i;  b_ij = dout_i . v_j
 *    dA = w b - P delta + dscores;  dbias = dA;  dgate = (P u b + dgate_sum) g (1 - g)
 *    dS = scale dA where |scale q.k| <= clip;  dq = dS k;  dk = dS^T q;  dv = w^T dout
 *                                                                    (dk, dv summed over the heads of a group)
 *  where pairs that are not seen have w = P = dgate = 0, and dA = dscores still; those of dropped keys have w = P = 0.
 *  Absent outputs of pairs are not computed.
 *  Shapes   as forward; dout [B,T,H,E]; dq [B,T,H,D]; dk [B,N,kv_heads,D]; dv [B,N,kv_heads,E]: rows that nobody sees
 *           become 0; dgate_sum, the gradient of gate_sum, [B,H,T], or absent. dbias, dgate: of every pair, 0 where
 *           none sees it; where a stride is 0, summed over what shares the value, in a fixed order.
 *  Units    dq, dk, dv and dout have the strides of q, k, v and out where all of their own are 0.
 *  Cost     2*H*(3 D + 2 E) flop per pair; dbias and dgate 2*H*(D + E) more, dscores 6*H*D for each of B T N pairs.
 *           Scratch at most a small share of the gradients. */
struct ssa_attention_bwd {
    struct ssa_attention attention;
    struct ssa_tensor dout, dq, dk, dv, dgate_sum;
    struct ssa_strides dout_strides, dq_strides, dk_strides, dv_strides;
    struct ssa_pairs dbias, dgate, dscores; /**< dscores: given; the gradient of scores */
};

/** silu(v) = v/(1 + exp(-v)); quick_gelu(v) = v/(1 + exp(-1.702 v)), within 0.021 of gelu; relu(v) = max(v, 0), with
 *  slope 0 at 0; elu(v) = v above 0, else exp(v) - 1. NaN gives NaN.
 *  Source   GELU in its three forms: Hendrycks and Gimpel, 2016. ELU: Clevert et al., ICLR 2016. */
enum ssa_activation {
    SSA_ACT_NONE,
    SSA_ACT_GELU,
    SSA_ACT_GELU_TANH,
    SSA_ACT_SILU,
    SSA_ACT_QUICK_GELU,
    SSA_ACT_RELU,
    SSA_ACT_ELU
};

/** y = act(x w^T + bias) + residual.
 *  Shapes   x [rows, in]; w [out, in]; bias [out] or absent; pre [rows, out] or absent: what act was applied to, for
 *           backward; residual [rows, out] or absent, may be y itself; y [rows, out].
 *  Units    strides in elements between rows, 0 means contiguous.
 *  Cost     2*rows*in*out flop. */
struct ssa_linear_fwd {
    struct ssa_tensor x, w, bias, residual, pre, y;
    int rows, in, out;
    int x_stride, y_stride; /**< y_stride serves y, pre and residual */
    int activation;         /**< enum ssa_activation */
    int apart;              /**< 1: a row of y has the same bits whatever `rows` is; slower where there are many */
};

/** Gradients of y = x w^T + bias. Absent outputs are not computed.
 *    dx = dy w;  dw = dy^T x;  dbias = sum of dy's rows
 *  With x_pre: x = act(x_pre) was the input, and dx becomes the gradient of x_pre (dx o act'(x_pre)), fused.
 *  Shapes   x, x_pre, dx [rows, in] (x needed for dw only); dy [rows, out]; w, dw [out, in]; dbias [out].
 *  Units    accumulate: dw and dbias are added to; accumulate_dx: dx is added to (not with x_pre).
 *  Cost     4*rows*in*out flop. */
struct ssa_linear_bwd {
    struct ssa_tensor x, w, dy, x_pre, dx, dw, dbias;
    int rows, in, out;
    int x_stride, dy_stride; /**< x_stride serves x, x_pre and dx */
    int activation;          /**< of x_pre */
    int accumulate, accumulate_dx;
};

enum ssa_norm_kind { SSA_NORM_LAYER, SSA_NORM_RMS };

/** Layer norm y = (x - mean)/sqrt(var + eps) gain + bias, or RMS norm y = x/sqrt(mean(x^2) + eps) gain, by row.
 *  Shapes   x, y [rows, width]; gain, bias [width] or absent (1, 0); stats [rows, 2] = mean (0 for RMS), then
 *           1/sqrt(var + eps), or absent. y may be x only if no backward follows.
 *  Units    eps 0 means 1e-5. Bandwidth-bound: 8 bytes an element. */
struct ssa_norm_fwd {
    struct ssa_tensor x, gain, bias, y, stats;
    int rows, width, kind;
    float eps;
};

/** Its gradients, with n = (x - mean)/deviation and g = dy o gain:
 *    dx (+)= (g - mean(g) - n mean(g o n))/deviation   (no mean(g) term for RMS);  dgain (+)= sum dy o n;
 *    dbias (+)= sum dy
 *  Shapes   as forward; dx [rows, width]; dgain, dbias [width] or absent; stats from forward.
 *  Units    accumulate: dgain, dbias are added to; accumulate_dx: dx is added to. dx may be dy.
 *  Cost     bandwidth-bound: 12 bytes an element, the sums included; scratch for their parts. */
struct ssa_norm_bwd {
    struct ssa_tensor x, gain, stats, dy, dx, dgain, dbias;
    int rows, width, kind;
    int accumulate, accumulate_dx;
};

/** y = gelu(x + bias): exact (x/2)(1 + erf(x/sqrt 2)), its tanh form or quick_gelu; or silu, relu or elu of it.
 *  Shapes   x, y [rows, width]; bias [width] or absent. y may be x. activation 0 means SSA_ACT_GELU. */
struct ssa_gelu_fwd {
    struct ssa_tensor x, bias, y;
    int rows, width, activation;
};

/** dx = dy o gelu'(x + bias); dx may be dy. The gradient of the bias is the column sum of dx (ssa_linear_bwd). */
struct ssa_gelu_bwd {
    struct ssa_tensor x, bias, dy, dx;
    int rows, width, activation;
};

/** y[r,i] = act(x[r,i]) x[r, width + i]: the gate of a gated MLP (SwiGLU with SSA_ACT_SILU, GeGLU with SSA_ACT_GELU or
 *  SSA_ACT_GELU_TANH). The first half of a row of x is the gate, as a linear layer with w = [gate; up] makes it.
 *  Shapes   x [rows, 2*width]; y [rows, width], which may not be x. activation 0 means SSA_ACT_SILU.
 *  Cost     bandwidth-bound: 12 bytes an element of y. */
struct ssa_glu_fwd {
    struct ssa_tensor x, y;
    int rows, width, activation;
};

/** Its gradients, of x as it was given to forward: dx[r,i] = dy[r,i] x[r, width + i] act'(x[r,i]);
 *    dx[r, width + i] = dy[r,i] act(x[r,i])
 *  Shapes   x, dx [rows, 2*width]; dy [rows, width]. dx may be x. activation as forward.
 *  Cost     bandwidth-bound: 20 bytes an element of dy. */
struct ssa_glu_bwd {
    struct ssa_tensor x, dy, dx;
    int rows, width, activation;
};

/** out = x + y, element-wise; out may be x or y. */
struct ssa_add {
    struct ssa_tensor x, y, out;
    size_t count;
};

/** Elements that are a part of a larger array, and are counted as that: [.., rows, each] as if each of these lay at
 *  the beginning of one of [.., whole_rows, whole_each]. Element i has the number
 *    (i / (each rows)) whole_rows whole_each + i / each mod rows whole_each + i mod each
 *  So a sequence, or a graph's edges [n, n width], is counted alike however far it is padded. Zeroed: elements are
 *  counted as they lie. rows and whole_rows 0 mean 1. */
struct ssa_within {
    size_t each, rows, whole_each, whole_rows;
};

/** out[i] = residual[i] + (keep_i ? x[i]/(1-p) : 0). keep_i comes from the counter (seed, stream, i) alone: nothing
 *  is stored. With n = first + i it is: word n mod 4 of Philox4x32-10 (key seed, counter n/4 in its low and stream in
 *  its high half), as a uniform number of 24 bits in [0, 1), is not below p. Every device drops the same elements.
 *  With `run` elements are dropped together, as whole branches are by drop path (stochastic depth): n is then
 *  (first + i) / run. With `within`, which is not with `run`, n is first + the number of i.
 *  Shapes   x, out, residual (or absent) [count]; out may be x or residual. 0 <= p < 1; p 0 copies or adds. run divides
 *           count and first; 0 means 1. within.each within.rows divides count.
 *  Source   drop path: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016; by sequence, as timm's. */
struct ssa_dropout_fwd {
    struct ssa_tensor x, residual, out;
    size_t count;
    float p;
    uint64_t seed, stream; /**< stream: a number of one's own for (step, layer, place), below 2^63: the rest is used by
                                ssa_plan_draw() */
    size_t first;          /**< index of the first element in the stream (micro-batches) */
    size_t run;
    struct ssa_within within;
};

/** dx[i] (+)= keep_i ? dy[i]/(1-p) : 0, the same keep_i. dx may be dy. */
struct ssa_dropout_bwd {
    struct ssa_tensor dy, dx;
    size_t count;
    float p;
    uint64_t seed, stream;
    size_t first;
    int accumulate;
    size_t run;
    struct ssa_within within;
};

/** out[t,:] = scale * sum over m < each of table[ids[t each + m],:] + positions[t mod length,:].
 *  Shapes   ids int32 [rows, each]; table [vocabulary, width]; positions [length, width] or absent; out [rows, width].
 *           An id outside [0, vocabulary) takes no row of the table (zeros); with dead 1 neither does id 0: padding.
 *  Units    each 0 means 1; scale, of the table's rows alone, 0 means 1. dead 0 or 1.
 *  Cost     bandwidth-bound: 4 (each + 1) bytes an element of out. */
struct ssa_embedding_fwd {
    struct ssa_tensor ids, table, positions, out;
    int rows, length, width, vocabulary;
    int each;
    float scale;
    int dead;
};

/** dtable[v,:] (+)= scale * sum of dout[t,:] over all t and m with ids[t each + m] = v, a row as often as it was taken;
 *  with dead 1 row 0 is 0, or stays with accumulate. dpositions[n,:] (+)= sum over n = t mod length. In a fixed order.
 *  Absent outputs are not computed; ids may be absent if dtable is.
 *  Cost     bandwidth-bound: every id's row of dout is read once, and its row of dtable read and written. */
struct ssa_embedding_bwd {
    struct ssa_tensor ids, dout, dtable, dpositions;
    int rows, length, width, vocabulary;
    int accumulate;
    int each;
    float scale;
    int dead;
};

/** Learned positions of a grid, such as an image's, as a sum of a table an axis: out[i,:] = row[r,:] + column[c,:] +
 *  channel[k,:], where (r columns + c) channels + k = first + i.
 *  Shapes   row [rows, width]; column [columns, width]; channel [channels, width]: absent ones count nothing; out
 *           [count, width].
 *  Units    first and count in elements of the grid, of which there are at most 2^30.
 *  Source   Sparse Transformer (Child et al., 2019), section 5.2. */
struct ssa_grid_fwd {
    struct ssa_tensor row, column, channel, out;
    int first, count;
    int rows, columns, channels, width;
};

/** Its gradients, of elements 0 to count: drow[r,:] (+)= sum of dout over the elements of row r; dcolumn and dchannel
 *  likewise. In a fixed order. Absent outputs are not computed. An entry sums its elements by itself: where there are a
 *  batch's gradients, sum them over the batch first (dpositions of ssa_embedding_bwd()).
 *  Shapes   dout [count, width]; the others as forward.
 *  Cost     bandwidth-bound: 4 bytes an element of dout for each output. */
struct ssa_grid_bwd {
    struct ssa_tensor dout, drow, dcolumn, dchannel;
    int count;
    int rows, columns, channels, width;
    int accumulate;
};

/** Rotary positions (RoFormer): each pair (x[j], x[j + D/2]) of a head turns by position * base^(-2j/D). In place.
 *  Keys are turned by their original position before sampling. `inverse` turns back: the gradient.
 *  Shapes   x [rows, heads, width], rows `stride` elements apart (0: heads*width); row t has position
 *           first_position + t mod length. width even, at most 512. base above 1; 0 means 10000.
 *  Units    angles are reduced in integers: sine and cosine are within 3e-7 up to position 10^6 and beyond. */
struct ssa_rope {
    struct ssa_tensor x;
    int rows, length, heads, width, stride, first_position, inverse;
    float base;
};

/** Softmax cross-entropy by row, and its gradient in the same pass; probabilities are never a second tensor.
 *    t = (1-smoothing) onehot + smoothing/V;  loss = -sum_v t_v log softmax(x)_v;
 *    dlogits = grad_scale (softmax(x) - t)
 *  With soft_targets s, w = sum_v s_v (1 of mixed or smoothed labels):
 *    t = (1-smoothing) s + w smoothing/V;  dlogits = grad_scale (w softmax(x) - t)
 *  Shapes   logits [rows, vocabulary]; targets int32 [rows], outside [0, vocabulary): ignored (loss 0, gradient 0);
 *           soft_targets [rows, vocabulary], instead of targets, or absent; a row of zeros is ignored; loss [rows]
 *           (nats) or absent; dlogits [rows, vocabulary] or absent, may be logits.
 *  Units    for the mean over n counted rows, grad_scale is 1/n; 0 means 1. 0 <= smoothing < 1.
 *  Infinities  a logit of -inf has probability 0; at a target it makes the loss +inf, the gradient stays finite. */
struct ssa_cross_entropy {
    struct ssa_tensor logits, targets, loss, dlogits;
    int rows, vocabulary;
    float smoothing, grad_scale;
    struct ssa_tensor soft_targets;
};

/** |x - t| and (x - t)^2. */
enum ssa_loss { SSA_LOSS_L1, SSA_LOSS_L2 };

/** The loss of values, and its gradient in the same pass, with d = x[i] - targets[i]:
 *    SSA_LOSS_L1  loss[i] = |d|;  dx[i] = grad_scale sign(d), 0 where d is 0
 *    SSA_LOSS_L2  loss[i] = d^2;  dx[i] = grad_scale 2 d
 *  A target of NaN is ignored: loss 0, gradient 0, whatever x is. Elsewhere an x of NaN makes both NaN.
 *  Shapes   x, targets [count]; loss [count] or absent; dx [count] or absent, may be x.
 *  Units    for the mean over n counted values, grad_scale is 1/n; 0 means 1.
 *  Cost     bandwidth-bound: 16 bytes an element. */
struct ssa_value_loss {
    struct ssa_tensor x, targets, loss, dx;
    size_t count;
    int kind; /**< enum ssa_loss */
    float grad_scale;
};

/** out[0] (+)= sum of x[i], or of x[i]^2 if `squares`. Fixed order; partial sums of 16384 in float. Where `before` [1]
 *  is given and not finite, out is not a number: what must be known of each of a row of sums can be read off the
 *  last. */
struct ssa_sum {
    struct ssa_tensor x, out;
    size_t count;
    int squares, accumulate;
    struct ssa_tensor before;
};

/** AdamW (Loshchilov & Hutter) with decoupled decay:
 *    g' = c g;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2;
 *    w -= lr (m/(1-b1^step) / (sqrt(v/(1-b2^step)) + eps) + decay w)
 *  with c = grad_scale min(1, clip / (grad_scale sqrt(sumsq))) where sumsq [1] is given and clip > 0, else grad_scale.
 *  and, where an average is given, average = ema average + (1 - ema) w of the new w.
 *  Where sumsq is given and not finite nothing changes, whatever clip is: a gradient that is not finite is not taken.
 *  Shapes   w, g, m, v, average [count]. ema is in [0, 1), 0 without an average. step counts from 1. grad_scale 0
 *           means 1; beta1, beta2, eps 0 mean 0.9, 0.999, 1e-8; a beta of SSA_NONE is 0. */
struct ssa_adamw {
    struct ssa_tensor w, g, m, v, sumsq;
    size_t count;
    float lr, beta1, beta2, eps, decay, clip, grad_scale;
    int step;
    struct ssa_tensor average; /**< absent: none is kept */
    float ema;
};

/** Nesterov's accelerated gradient with a momentum that follows the learning rate, decay decoupled, r = lr/last_lr:
 *    g' = c g;  w = (1 - lr decay) w + momentum^2 r m - (1 + momentum) lr g';  m = momentum r m - lr g'
 *  both from the old m, which starts as zeros. c, sumsq, clip, grad_scale, average and ema are as in struct ssa_adamw:
 *  where sumsq is given and not finite nothing changes.
 *  Shapes   w, g, m, average [count].
 *  Units    momentum 0 means 0.99, SSA_NONE 0; last_lr, the lr of the step before, 0 means lr: the first step's.
 *  Cost     bandwidth-bound: 20 bytes an element, 28 with an average.
 *  Source   Nesterov, 1983, in the form that fairseq trains its language models with. */
struct ssa_nag {
    struct ssa_tensor w, g, m, sumsq;
    size_t count;
    float lr, last_lr, momentum, decay, clip, grad_scale;
    struct ssa_tensor average; /**< absent: none is kept */
    float ema;
};

/** out[r,:] = x[rows[r],:].  Shapes: x [source_rows, width]; rows int32 [count]; out [count, width]. An index outside
 *  [0, source_rows) gives a row of zeros. */
struct ssa_gather_rows {
    struct ssa_tensor x, rows, out;
    int count, source_rows, width;
};

/** out[rows[r],:] (+)= x[r,:], the adjoint; rows without repeats. Rows not named stay as they are; an index outside
 *  [0, target_rows) is skipped. */
struct ssa_scatter_rows {
    struct ssa_tensor x, rows, out;
    int count, target_rows, width;
    int accumulate;
};

/** The patches of images as rows, for a linear layer, p = patch:
 *    out[b, u (columns/p) + v, (c p + i) p + j] = x[b, u p + i, v p + j, c]
 *  Shapes   x [batch, rows, columns, channels]; out [batch, rows/p columns/p, channels p^2], each row in the order of a
 *           convolution's weight [width, channels, p, p]. p divides rows and columns.
 *  Cost     bandwidth-bound: 8 bytes an element. */
struct ssa_patches {
    struct ssa_tensor x, out;
    int batch, rows, columns, channels, patch;
};

/** The positions of a grid, window by window, p = window, s = shift:
 *    out[b, (u/p) (columns/p) + v/p, (u mod p) p + v mod p, :] = x[b, (u + s) mod rows, (v + s) mod columns, :]
 *  for u below rows and v below columns; with by_columns the place in a window is (v mod p) p + u mod p. So windows of
 *  2 by columns are the cells that patch merging joins. inverse: x and out change roles, which undoes it, and is its
 *  gradient.
 *  Shapes   x [batch, rows columns, width]; out [batch, rows/p columns/p, p^2, width]. p divides rows and columns;
 *           0 <= s < p. out may not be x.
 *  Cost     bandwidth-bound: 8 bytes an element.
 *  Source   Swin (Liu et al., ICCV 2021): windows that are shifted, and patch merging. */
struct ssa_windows {
    struct ssa_tensor x, out;
    int batch, rows, columns, width;
    int window, shift, by_columns, inverse;
};

/** What attention in windows of a grid adds to its logits: by the distance of two positions, a bias of every head; and
 *  of those that are neighbours only because the grid was shifted, `apart`. i and j are positions of a window, p =
 *  window:
 *    out[w,h,j,i] = table[(i/p - j/p + p-1)(2p-1) + i mod p - j mod p + p-1, h] + (g_w(i) = g_w(j) ? 0 : apart)
 *  for query i and key j: queries lie side by side, which is what attention takes fastest.
 *  g_w is the region that position (u, v) of the shifted grid lies in, of nine, cut at rows - p and rows - s, columns
 *  - p and columns - s.
 *  Shapes   table [(2p-1)^2, heads]; out [windows, heads, p^2, p^2]: rows/p columns/p of them, or with shift 0 one for
 *           all. It is struct ssa_pairs {.batch = heads p^4, .head = p^4, .query = 1, .key = p^2, .repeat = windows}.
 *  Units    apart is below 0, -INFINITY to hide; 0 means -100. p is at most 128.
 *  Source   Swin: "relative position bias", and the mask of shifted windows (-100). */
struct ssa_window_bias_fwd {
    struct ssa_tensor table, out;
    int rows, columns, window, shift, heads;
    float apart;
};

/** Its gradient: dtable[d,h] (+)= sum of dout[h,j,i] over the pairs at distance d. In a fixed order.
 *  Shapes   dout [heads, p^2, p^2], the sum over windows (a dbias of batch stride 0); dtable as table. */
struct ssa_window_bias_bwd {
    struct ssa_tensor dout, dtable;
    int window, heads;
    int accumulate;
};

/** Learned rows before every sequence, such as a class token, and learned positions:
 *    out[b,n,:] = (n < lead ? first[n,:] : x[b,n-lead,:]) + positions[n,:]
 *  Shapes   first [lead, width]; x [batch, length, width]; positions [lead+length, width] or absent; out
 *           [batch, lead+length, width]. lead 0: no first, and out may be x. batch (lead+length) below 2^31.
 *  Cost     bandwidth-bound: 8 bytes an element. */
struct ssa_prepend_fwd {
    struct ssa_tensor first, x, positions, out;
    int batch, lead, length, width;
};

/** Its gradients: dfirst[n,:] (+)= sum over b of dout[b,n,:], n < lead; dx[b,i,:] = dout[b,lead+i,:];
 *    dpositions[n,:] (+)= sum over b of dout[b,n,:]. In a fixed order. Absent outputs are not computed.
 *  Shapes   as forward. accumulate: dfirst and dpositions are added to. */
struct ssa_prepend_bwd {
    struct ssa_tensor dout, dfirst, dx, dpositions;
    int batch, lead, length, width;
    int accumulate;
};

/** out[b,:] = mean of x[b,n,:] over n in [first, first + count): of one position a class token's row, of all of them
 *  mean pooling. With lengths over those of them that are below lengths[b], as padding is not; of none 0.
 *  Shapes   x [batch, length, width]; out [batch, width]; lengths int32 [batch] or absent; past `length` it is that.
 *           count 0 means all from `first` on.
 *  Cost     bandwidth-bound: 4 bytes an element of x that counts. */
struct ssa_mean_fwd {
    struct ssa_tensor x, out;
    int batch, length, first, count, width;
    struct ssa_tensor lengths;
};

/** dx[b,n,:] (+)= dout[b,:]/m for the m positions n that count in forward; other rows become 0, or stay with
 *  accumulate.
 *  Shapes   as forward; dx [batch, length, width]. */
struct ssa_mean_bwd {
    struct ssa_tensor dout, dx;
    int batch, length, first, count, width;
    int accumulate;
    struct ssa_tensor lengths;
};

/** What a node that has listened to much says louder: with t = sums[b,h,n],
 *    out[b,n,h,:] = n < lead ? x[b,n,h,:] : log(1 + ratio t) x[b,n,h,:]
 *  The first `lead` positions, virtual nodes, stay as they are.
 *  Shapes   x, out [batch, length, heads, width]; sums [batch, heads, length], as gate_sum of attention, not negative.
 *           out may be x.
 *  Units    ratio 0 means 1: of sampled attention, what the sum over all would be, against that over the sampled ones.
 *  Cost     bandwidth-bound: 8 bytes an element of x; a logarithm for each of sums.
 *  Source   EGT (Hussain et al., KDD 2022), "dynamic centrality scalers". */
struct ssa_centrality_fwd {
    struct ssa_tensor x, sums, out;
    int batch, length, heads, width, lead;
    float ratio;
};

/** Its gradients: dx[b,n,h,:] = n < lead ? dout[b,n,h,:] : log(1 + ratio t) dout[b,n,h,:];
 *    dsums[b,h,n] = n < lead ? 0 : ratio/(1 + ratio t) dout[b,n,h,:] . x[b,n,h,:]
 *  Shapes   as forward; x as it was given to forward; dx may be dout.
 *  Cost     bandwidth-bound: 12 bytes an element of x. */
struct ssa_centrality_bwd {
    struct ssa_tensor x, sums, dout, dx, dsums;
    int batch, length, heads, width, lead;
    float ratio;
};

/** Pairs of positions with learned rows and columns before them, as virtual nodes have edges to all nodes: for
 *  a < lead <= i, j and a, c < lead
 *    out[b,i,j,:] = x[b,i-lead,j-lead,:];  out[b,a,j,:] = out[b,j,a,:] = vectors[a,:]
 *    out[b,a,c,:] = (vectors[a,:] + vectors[c,:])/2, and so vectors[a,:] where c is a
 *  Shapes   x [batch, length, length, width]; vectors [lead, width]; out [batch, lead+length, lead+length, width].
 *           lead 0: no vectors, and out may be x. (lead+length) width is at most 2^30.
 *  Cost     bandwidth-bound: 8 bytes an element of x. */
struct ssa_frame_fwd {
    struct ssa_tensor x, vectors, out;
    int batch, lead, length, width;
};

/** Its gradients: dx[b,i,j,:] = dout[b,lead+i,lead+j,:];
 *    dvectors[a,:] (+)= sum over b and n of w_n (dout[b,a,n,:] + dout[b,n,a,:]),  w_n = n < lead ? 1/2 : 1
 *  In a fixed order. Absent outputs are not computed.
 *  Shapes   as forward. accumulate: dvectors is added to.
 *  Cost     bandwidth-bound: 8 bytes an element of x. Scratch of batch lead width. */
struct ssa_frame_bwd {
    struct ssa_tensor dout, dx, dvectors;
    int batch, lead, length, width;
    int accumulate;
};

#define SSA_DECLARE(op) SSA_API int ssa_##op(struct ssa_device *device, const struct ssa_##op *arguments);
SSA_OPS(SSA_DECLARE)
#undef SSA_DECLARE

#ifdef __cplusplus
}
#endif
#endif
