/* What the files of lib/model share. */
#ifndef SSA_MODEL_INTERNAL_H
#define SSA_MODEL_INTERNAL_H

#include "ssacl/model.h"
#include "arena.h"

#include <stdbool.h>

/* The widths that follow from a config. */
struct ssa_shape {
    int layers, heads, kv_heads, head_width, width, hidden, qkv, vocabulary;
};
struct ssa_shape ssa_model_shape(const struct ssa_model_config *config);

/* Indices of a layer's parameters in the table; -1 where the model has none. */
struct ssa_layer_parameters {
    int qkv, proj, up, down;
    int norm1_gain, norm1_bias, qkv_bias, proj_bias, norm2_gain, norm2_bias, up_bias, down_bias;
};

/* The table of parameters and where each lies. Built without a device. */
struct ssa_parameters {
    struct ssa_parameter *table;
    struct ssa_place *places;
    int count, capacity;
    struct ssa_layer_parameters *layers;
    int embed, position, head, norm_gain, norm_bias;
    struct ssa_arena arena;
    struct ssa_model_part *parts;
    struct ssa_place *part_places;
    int part_count;
};
int ssa_parameters_plan(struct ssa_parameters *p, const struct ssa_model_config *config, size_t limit);
void ssa_parameters_finish(struct ssa_parameters *p);

/* What backward needs of a layer, and nothing more: norm outputs and gelu are computed again. */
struct ssa_layer_activations {
    struct ssa_place x;      /* [R, C] the residual stream before the layer */
    struct ssa_place stats1; /* [R, 2] */
    struct ssa_place qkv;    /* [R, (H + 2 kv_heads) D], turned by their positions */
    struct ssa_place lse;    /* [B, H, N] */
    struct ssa_place att;    /* [R, C] what attention gave */
    struct ssa_place mid;    /* [R, C] the residual stream between the branches */
    struct ssa_place stats2; /* [R, 2] */
    struct ssa_place pre;    /* [R, hidden] before gelu; training only */
};

struct ssa_activations {
    struct ssa_layer_activations *layers;
    struct ssa_place out;   /* [R, C] the residual stream after the last layer */
    struct ssa_place stats; /* [R, 2] of the last norm */
    struct ssa_place loss;  /* [R] */
    struct ssa_place norm;  /* [R, C] scratch: a norm's output */
    struct ssa_place wide;  /* [R, max(hidden, qkv, V)] scratch: gelu's output, gradients of qkv, logits */
    struct ssa_place dx;    /* [R, C] the gradient of the residual stream; training only */
    struct ssa_place dt;    /* [R, C] scratch: the gradient of a branch; training only */
    struct ssa_arena arena;
};
int ssa_activations_plan(struct ssa_activations *a, const struct ssa_model_config *config,
                         const struct ssa_model_limits *limits, size_t limit);
void ssa_activations_finish(struct ssa_activations *a);

/* Keys and values of the tokens of one sequence that have passed, for generation: a ring of N rows a layer. */
struct ssa_cache {
    struct ssa_place *layers; /* [N, 2 kv_heads D], keys turned by their positions; NULL: not allocated yet */
    struct ssa_arena arena;
    int position; /* of the next token */
};
int ssa_cache_plan(struct ssa_cache *cache, const struct ssa_model_config *config, size_t limit);
void ssa_cache_finish(struct ssa_cache *cache);

/* Most int32 that the plans of one layer take for one sequence: five arrays of at most N, and the header. */
static inline size_t ssa_plan_room(const struct ssa_model_config *config)
{
    return 6 * (size_t)config->length + 64;
}
size_t ssa_inputs_count(const struct ssa_model_config *config, const struct ssa_model_limits *limits);

struct ssa_group;

/* A front (group.h) has its config, its limits and the group, and nothing else. */
struct ssa_model {
    struct ssa_group *group;
    struct ssa_device *device;
    struct ssa_model_config config;
    struct ssa_model_limits limits;
    struct ssa_shape shape;
    struct ssa_parameters parameters;
    struct ssa_arena gradients; /* the parameters' layout again */
    struct ssa_activations activations;
    struct ssa_cache cache;

    /* Inputs: [dense plan | tokens | targets | plans], written to the device at once. */
    struct ssa_buffer *inputs;
    int32_t *staging;
    size_t staging_count, dense_room;
    struct ssa_plan dense; /* of dense.length and dense.queries */
    struct ssa_tensor tokens, targets;
    struct ssa_plan *plans;        /* L, of the last forward; their data is in `staging` and `dense`, */
    struct ssa_tensor *plan_data;  /* and here on the device */

    struct ssa_pass pass; /* the last forward's numbers */
    int state;            /* enum ssa_model_state */
};

/* What the activations hold. */
enum ssa_model_state { SSA_MODEL_EMPTY, SSA_MODEL_FORWARD, SSA_MODEL_BACKWARD_READY };

/* The i-th parameter's value and gradient; absent for i = -1. */
struct ssa_tensor ssa_model_value(const struct ssa_model *m, int i);
struct ssa_tensor ssa_model_grad(const struct ssa_model *m, int i);

/* What a trainer takes besides, by the number of micro-batches that a step's `batch` sequences are cut into: copies of
 * the parameters, and bytes. Batch 0: no trainer. */
struct ssa_extra {
    int batch;
    int (*copies)(int micros);
    size_t (*bytes)(int micros);
};
/* Total memory with a trainer's; SSA_ENOMEM with advice if the device has less. */
int ssa_model_fit(struct ssa_device *device, const struct ssa_model_config *config,
                  const struct ssa_model_limits *limits, struct ssa_extra extra, struct ssa_memory *memory);

/* Allocates memory laid out as the parameters are, zeroed. */
int ssa_model_arena(const struct ssa_model *m, struct ssa_arena *arena);

/* The gradients in the order in which backward completes them: bucket b < layers is layer (layers - 1 - b), the first
 * with what is above the layers; the last bucket is the embeddings. Ranges of parts, end to end the same on every
 * device: each parameter with its padding. */
enum { SSA_BUCKET_RANGES = 16 };
struct ssa_range {
    int part;
    size_t offset, count;
};
struct ssa_bucket {
    struct ssa_range ranges[SSA_BUCKET_RANGES];
    int range_count;
    size_t count; /* elements of all ranges */
};
int ssa_model_bucket_count(const struct ssa_model *m);
struct ssa_bucket ssa_model_bucket(const struct ssa_model *m, int bucket);

/* ssa_model_backward(), which calls `complete` when all that completes a bucket is enqueued. */
typedef int (*ssa_bucket_complete)(void *cookie, int bucket);
int ssa_model_backward_in_buckets(struct ssa_model *m, int accumulate, ssa_bucket_complete complete, void *cookie);

/* Generation's passes, over one sequence; dense. Both leave what ssa_model_read_logits() takes, as a forward pass does.
 * Begin: `count` tokens, at most N, whose keys and values the cache then holds, and no others. Continue: the token
 * after them, which sees those of the cache and itself; past N it takes the oldest one's place. That is for rotary
 * positions: learned ones end at N. */
int ssa_model_begin(struct ssa_model *m, const int32_t *tokens, int count);
int ssa_model_continue(struct ssa_model *m, int32_t token);

/* inputs.c: allocates and frees what passes are given. Checks a pass, copies tokens and plans to the device, and
 * remembers them. Dense layers see `keys` positions, of which those of the pass are the last; 0: no others. */
int ssa_inputs_create(struct ssa_model *m);
void ssa_inputs_destroy(struct ssa_model *m);
int ssa_inputs_write(struct ssa_model *m, const struct ssa_pass *pass, int keys);

#endif
