/* Attention's two shapes: attention.c checks, fills in the defaults and launches the CPU shape; a device of GPU shape
 * gets the same arguments, checked and with nothing left at 0 that means a default, from here. */
#ifndef SSA_ATTENTION_H
#define SSA_ATTENTION_H

#include "impl.h"

/* How a kernel is cut (cl/attention_gpu.h): side x tall work-items of each x 4 scores. Where the device's own shape is
 * the CPU's it has none, all 0. Short blocks and slices take a small tile, which does with 64 work-items. */
struct attention_tile {
    int side, tall, each, rows;
    int registers; /* REGISTERS, where it is not the device's; else 0 */
};
enum { ATTENTION_SMALL_ROWS = 32 };

/* Of the kernels of cl/<file>.cl for at most `rows` rows, without pairs or with them. */
struct attention_tile ssa_attention_tile(const struct ssa_device *device, const char *file, int rows, int width,
                                         bool pairs);

/* What kernels of every shape take, in the order of cl/: ATTENTION_SIZES, ATTENTION_PAIRS and a tensor's strides. */
#define ATTENTION_SIZES(a) \
    ARG_ULONG(ssa_attention_plan_stride((a)->plan)), ARG_INT_AS(query_begin, ssa_attention_first(a)), \
        ARG_INT_AS(query_end, ssa_attention_first(a) + (a)->queries), ARG_INT((a)->heads), ARG_INT((a)->width), \
        ARG_INT((a)->value_width), ARG_INT((a)->causal), ARG_FLOAT((a)->scale)
#define ATTENTION_STRIDES(s) \
    ARG_ULONG((s).batch), ARG_ULONG_AS(stride of s, (s).position), ARG_ULONG((s).head)
#define ATTENTION_PAIR_STRIDES(p) ARG_ULONG((p).batch), ARG_ULONG((p).head), ARG_ULONG((p).query), ARG_ULONG((p).key)
#define ATTENTION_PAIRS(a) \
    ARG_TENSOR((a)->bias.tensor), ATTENTION_PAIR_STRIDES((a)->bias), ARG_TENSOR((a)->gate.tensor), \
        ATTENTION_PAIR_STRIDES((a)->gate), ARG_INT_AS(bias_repeat, (a)->bias.repeat), \
        ARG_INT_AS(gate_repeat, (a)->gate.repeat), ARG_FLOAT((a)->clip), \
        ARG_FLOAT_AS(dropout, ssa_attention_dropout(a)), ARG_ULONG((a)->seed), ARG_ULONG((a)->stream), \
        ARG_INT((int)(a)->first_example)

/* The position of the first query in the sequence of keys, of which the queries are the last. More queries than keys
 * have positions of their own, from 0. */
int ssa_attention_first(const struct ssa_attention *a);
size_t ssa_attention_plan_stride(const struct ssa_plan *plan); /* between examples; 0 where one serves all */
/* Whether there is more to a pair than its product. */
bool ssa_attention_has_pairs(const struct ssa_attention *a);
/* PAIRS in cl/, and `dropout` there, of keys where it is below 0. */
enum { ATTENTION_NO_PAIRS, ATTENTION_PAIRS_KEPT, ATTENTION_KEYS_DROPPED };
int ssa_attention_pairs(const struct ssa_attention *a);
float ssa_attention_dropout(const struct ssa_attention *a);

/* What builds are specialised for beside the width: the tile, of the GPU shape, and what `a` has. */
void ssa_attention_constants(struct ssa_constant *constants, const struct ssa_attention *a, struct attention_tile tile);
/* The one that builds without a tile of their own have at most: on the host some widths, elsewhere PAIRS. */
struct ssa_constant ssa_attention_constant(const struct ssa_device *device, const struct ssa_attention *a);

/* `a` and `b` below have no 0 left that means a default. */
int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention *a);
int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *b);
/* Whether 32 bits count the pairs of a head, as PAIR_AT() in cl/attention.h does; else cl/plain.cl takes them. */
bool ssa_attention_countable_pairs(const struct ssa_attention *a, struct ssa_pairs p);
/* cl/plain.cl, where the device's own shape failed its self-test. */
int ssa_attention_fwd_plain(struct ssa_device *device, const struct ssa_attention *a);
int ssa_attention_bwd_plain(struct ssa_device *device, const struct ssa_attention_bwd *b);

/* cl/attention_pairs.cl, after the above: scores written out; dbias and dgate; what dscores adds to dq, dk and
 * dbias. */
int ssa_attention_scores(struct ssa_device *device, const struct ssa_attention *a);
int ssa_attention_pairs_bwd(struct ssa_device *device, const struct ssa_attention_bwd *b);
int ssa_attention_scores_bwd(struct ssa_device *device, const struct ssa_attention_bwd *b);

/* cl/attention_heads.cl, which does all of that at once: whether it serves, and the launches. */
bool ssa_attention_heads_serve(const struct ssa_device *device, const struct ssa_attention *a);
bool ssa_attention_heads_serve_bwd(const struct ssa_device *device, const struct ssa_attention_bwd *b);
int ssa_attention_heads_fwd(struct ssa_device *device, const struct ssa_attention *a);
int ssa_attention_heads_bwd(struct ssa_device *device, const struct ssa_attention_bwd *b);

/* Whether cl/<file>.cl may be built for what `a` is, heads this wide, and this tile: see verify.h. Where a larger tile
 * fails, ssa_tuned() gives the small one from then on. */
bool ssa_attention_trusted(struct ssa_device *device, const char *file, bool backward, const struct ssa_attention *a,
                           int build_width, struct attention_tile tile);

/* The same of the build that has its products on a matrix engine. */
bool ssa_attention_engine_trusted(struct ssa_device *device, const char *file, bool backward,
                                  const struct ssa_attention *a);

#endif
