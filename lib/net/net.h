/* What the rest of the library knows of models beyond the public header: what follows from a config, memory laid out
 * as the parameters are, gradients in the order in which they are complete, and generation's passes. Replicas on a pool
 * are in replicas.h. What blocks see is block.h; nobody outside lib/net includes that, nor internal.h. */
#ifndef SSA_NET_NET_H
#define SSA_NET_NET_H

#include "ssacl/model.h"
#include "arena.h"

#include <stdbool.h>

/* ---- what follows from a config, which must have been checked ---- */

/* How a self-ensemble makes one answer of its passes'. */
enum ssa_join {
    SSA_JOIN_PROBABILITIES, /* their mean, in log space; the loss is -log p */
    SSA_JOIN_VALUES         /* their mean; the loss is its distance from the target, or the square of that */
};

struct ssa_facts {
    int layers;     /* of attention: as many plans a pass */
    int length;     /* N */
    int width;      /* of the stream */
    int vocabulary; /* of tokens and answers */
    bool causal;
    bool absolute;  /* positions are learned, or sinusoids: none past N */
    bool starts;    /* a sequence begins by itself: the answer at a position is the token there, not the one after it */
    int classes;    /* of sequences, one of which a pass must name; 0: none */
    bool whole;     /* every sequence has all N positions */
    bool mixed;     /* sequences are of mixed size, and a pass says of which: N is that of the longest */
    int lead;       /* of mixed ones: positions in front that all have, and every layer keeps: virtual nodes */
    bool sees_padding; /* those in front see padding, which sees them; all plans are dense then */
    bool unsmoothed; /* its losses know no smoothing of labels */
    int rows, columns, channels; /* of the grid that the last positions are; 0: none */
    int answers;    /* of a sequence, each with a target and a loss: N where every position has one */
    enum ssa_join join;
    bool squares;   /* of values: a loss is the square of the distance, else itself */
    /* Of mixed ones multiplications of a forward pass, roughly: for each position and each pair of positions of a
     * padded batch, and for each pair that attention sees, of real ones. All 0: as a transformer's (train/work.c). */
    double per_position, per_pair, per_seen;
};
/* The number of the family of that name; false: there is none. */
bool ssa_model_named(const char *name, int *family);
struct ssa_facts ssa_model_facts(const struct ssa_model_config *config);
/* Answers of a sequence in a pass of `length` positions. */
static inline int ssa_pass_answers(const struct ssa_facts *f, int length)
{
    return f->answers == f->length && f->join == SSA_JOIN_PROBABILITIES ? length : f->answers;
}
/* ssa_model_layer() of a layer that there is. */
struct ssa_layer ssa_model_layer_facts(const struct ssa_model_config *config, int layer);

/* SSA_EFORMAT: "it is of another model", and what differs. SSA_OK where a model of `ours` can take the parameters of
 * one of `theirs`. */
int ssa_model_same(const struct ssa_model_config *theirs, const struct ssa_model_config *ours);

/* The parameters of such a model, without tensors; the caller frees the table. */
struct ssa_parameter_list {
    struct ssa_parameter *table;
    int count;
};
int ssa_model_list(const struct ssa_model_config *config, struct ssa_parameter_list *list);

/* An input of the net: where struct ssa_pass has its address, and the bytes of a sequence, each of its n = length - lead
 * positions, and each of their n n pairs: of two of these none. False: there are no more. */
struct ssa_given {
    size_t from, sequence, position, pair;
    int lead;
};
bool ssa_model_given(const struct ssa_model *m, int input, struct ssa_given *given);

/* Logits [batch, answers of a sequence, V] of the last forward, which was not for training, on the host; waits. */
int ssa_model_read_answers(struct ssa_model *m, float *logits);

/* ---- memory ---- */

/* What a trainer takes in addition: copies of the parameters, and by the number of micro-batches that a step's `batch`
 * sequences are cut into more of them, and bytes. Batch 0: no trainer. */
struct ssa_extra {
    int batch, kept;
    int (*copies)(int micros);
    size_t (*bytes)(int micros);
};
/* Total memory with a trainer's; SSA_ENOMEM with advice if the device has less. */
int ssa_model_fit(struct ssa_device *device, const struct ssa_model_config *config,
                  const struct ssa_model_limits *limits, struct ssa_extra extra, struct ssa_memory *memory);

/* The parameters; their gradients, of a model for training; and more memory laid out like them, zeroed. On the host it
 * is in the same order everywhere, buckets one after another (arena.h): parameter `i` begins at ssa_model_number(). */
const struct ssa_arena *ssa_model_values(const struct ssa_model *m);
const struct ssa_arena *ssa_model_gradients(const struct ssa_model *m);
int ssa_model_arena(const struct ssa_model *m, struct ssa_arena *arena);
size_t ssa_model_number(const struct ssa_model *m, int i);
/* Part `i` of such memory. */
struct ssa_tensor ssa_model_part_at(const struct ssa_model *m, const struct ssa_arena *arena, int i);

/* ---- gradients ---- */

/* In the order in which backward completes them: a bucket is what is complete when some block's backward is done, the
 * last is the embeddings. Parameters lie in that order, so that a bucket is a range: elements [first, first + count). */
struct ssa_bucket {
    size_t first, count;
};
int ssa_model_bucket_count(const struct ssa_model *m);
struct ssa_bucket ssa_model_bucket(const struct ssa_model *m, int bucket);

/* ssa_model_backward(), which calls `complete` when all that completes a bucket is enqueued. */
typedef int (*ssa_bucket_complete)(void *cookie, int bucket);
int ssa_model_backward_in_buckets(struct ssa_model *m, ssa_bucket_complete complete, void *cookie);

/* ---- generation's passes, over sequences of one length side by side ---- */

struct ssa_beginning {
    const int32_t *tokens; /* [sequences, N] */
    int count;             /* that are there of each, at most N; of a model that starts by itself from none to N - 1 */
    int sequences;         /* up to limits.batch */
    const int32_t *labels; /* [sequences], where there are classes */
    int members;           /* of an ensemble; dense: 1 */
    const struct ssa_sample *samples; /* NULL: dense; else how each layer samples its N positions, of as many examples
                                         as there are sequences. Member i draws with `step` + i */
};
/* Both leave what ssa_model_read_logits() takes, of the last member, as a forward pass does. Begin: the caches then hold
 * keys and values of these tokens, and no others. Continue: the token after them, [sequences], which sees those of the
 * cache and itself, or of both what a causal pass over all N positions would see there. Dense, past N, it takes the
 * oldest one's place: that is for rotary positions, learned ones end at N, as sampled keys do.
 * Both: `logits` [members, sequences, V] of what comes next, on the host, the same bits as of each sequence alone;
 * waits. */
int ssa_model_begin(struct ssa_model *m, const struct ssa_beginning *beginning, float *logits);
int ssa_model_continue(struct ssa_model *m, const int32_t *tokens, float *logits);
/* Positions that have passed since the last begin; 0: none has. */
int ssa_model_passed(const struct ssa_model *m);

#endif
