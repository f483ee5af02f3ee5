/* What the files of lib/net share. */
#ifndef SSA_NET_INTERNAL_H
#define SSA_NET_INTERNAL_H

#include "block.h"
#include "net.h"
#include "net/family/family.h"

/* ---- a net as planned: no device yet ---- */

/* What is not public of a parameter. */
struct ssa_parameter_draft {
    struct ssa_start start;
    int block; /* the lowest that has it: its gradient is complete when that one's backward is done */
    bool shared; /* others have it too */
    struct ssa_place place;
};

/* Two tables, whose numbers count from 1 and from -1, then one behind the other: decayed first. The arena has them in
 * another order, bucket by bucket. */
struct ssa_parameters {
    struct ssa_parameter *table;
    struct ssa_parameter_draft *drafts;
    int count, capacity, decayed;
    int branch_ends;
    struct ssa_arena arena;
    struct ssa_model_part *parts;
    struct ssa_place *part_places;
    int part_count;
    struct ssa_bucket *buckets;
    int bucket_count;
};

/* Memory that something without backward may share. */
struct ssa_kept_name {
    const char *what;
    size_t count;
    struct ssa_place place;
};

/* A table that is written once. */
struct ssa_constant_table {
    const struct ssa_block *block;
    struct ssa_place place;
    size_t count;
    ssa_fill_constant fill;
};

enum { SSA_NET_INPUTS = 8, SSA_NET_NAMES = 32, SSA_NET_CONSTANTS = 4 };

struct ssa_net {
    struct ssa_block **blocks;
    int count, capacity;
    int err; /* of adding blocks */
    int length; /* positions of the longest sequence */
    int layers;
    struct ssa_parameters parameters;
    struct ssa_arena kept; /* and scratch */
    struct ssa_place slots[SSA_SLOT_COUNT], dx[SSA_STREAM_COUNT], losses;
    size_t slot_counts[SSA_SLOT_COUNT], dx_count[SSA_STREAM_COUNT];
    size_t edge_width; /* of the stream of edges; 0: there is none */
    bool cells;        /* plans are staged with theirs */
    const char *slot_names[SSA_SLOT_COUNT];
    struct ssa_input inputs[SSA_NET_INPUTS];
    int input_count;
    struct ssa_arena cache; /* only planned: a ring of N rows a block that has some */
    struct ssa_kept_name names[SSA_NET_NAMES];
    int name_count;
    struct ssa_constant_table constants[SSA_NET_CONSTANTS];
    int constant_count;
};
/* Builds the list of a config's family and drafts it. `limit`: elements of the largest buffer; 0: none. */
int ssa_net_plan(struct ssa_net *net, const struct ssa_model_config *config, const struct ssa_model_limits *limits,
                 size_t limit);
void ssa_net_finish(struct ssa_net *net);
/* Places what the drafts asked for. */
int ssa_draft_place(struct ssa_draft *d, size_t limit);

/* Most int32 that the plans of one layer take for one sequence: five arrays of at most N, and the header. */
static inline size_t ssa_plan_room(int length)
{
    return 6 * (size_t)length + 64;
}
/* Elements that `batch` sequences of `length` positions have of an input; of all inputs and plans, of 4 bytes each, as
 * they lie on the device. */
size_t ssa_input_count(const struct ssa_input *input, int batch, int length);
size_t ssa_inputs_count(const struct ssa_net *net, const struct ssa_model_config *config, int batch);

/* plans.c: the most keys that a query of the plan sees, at least 1; and where so many of each are in the stream of edges
 * of `batch` sequences (ssa_staged_plan.cells). `keys` holds a number a position, and one more. */
int ssa_plan_cell_keys(const struct ssa_plan *plan, int32_t *keys);
void ssa_plan_cells(const struct ssa_plan *plan, int batch, int count, int32_t *keys, int32_t *cells);
/* A dense plan in which the first `lead` positions see padding, and it sees them and nothing else. */
int ssa_plan_with_padding(struct ssa_plan *plan, const int32_t *lengths, int batch, int length, int lead);
/* Whether every real query sees every real key. */
bool ssa_plan_is_dense(const struct ssa_plan *plan);

/* The dense plan of all layers of one length, and where it lies on the device. */
struct ssa_dense {
    int length; /* 0: the pass's */
    size_t at, room;
    struct ssa_plan plan; /* of plan.length and plan.queries */
};

/* ---- generation (cached.c) ---- */

/* Sequences that pass side by side, one position after another. */
struct ssa_generation {
    struct ssa_arena *caches; /* as net.cache is laid out, of `room` sequences instead of one: a member's each, */
    int opened, room;         /* so many; they stay */
    int members, sequences;   /* at hand, */
    int passed;               /* positions of each that are in the caches, */
    int32_t *labels;          /* and their classes */
    struct ssa_plan *plans;   /* NULL where they are dense: [members, L] of N positions, of as many examples as there
                                 are sequences, then [L] of the pass at hand */
    int plan_count;
    bool *sampled;                 /* [L] */
    const struct ssa_plan **given; /* [L] to the pass at hand */
};
void ssa_generation_finish(struct ssa_generation *g);

/* ---- a model ---- */

struct ssa_replicas;

/* One that stands for replicas (replicas.h) has its config, its limits and them, and nothing else. */
struct ssa_model {
    struct ssa_replicas *replicas;
    struct ssa_device *device;
    struct ssa_model_config config;
    struct ssa_model_limits limits;
    struct ssa_facts facts;
    struct ssa_net net;
    struct ssa_arena gradients; /* the parameters' layout again */
    struct ssa_generation generation;

    /* Inputs: [dense plans | the net's inputs | plans], the latter two written to the device at once. */
    struct ssa_buffer *inputs;
    int32_t *staging;
    size_t staging_count, dense_room;
    struct ssa_dense dense[SSA_LAYER_LENGTHS];
    int dense_count;
    struct ssa_tensor input[SSA_NET_INPUTS];
    struct ssa_banded banded[SSA_NET_INPUTS];
    struct ssa_staged_plan *plans; /* L, of the last forward; their data is in `staging` and `dense` */

    struct ssa_pass pass; /* the last forward's numbers */
    bool targets;         /* it had some */
    int state;            /* enum ssa_model_state */
};

/* What the activations hold. */
enum ssa_model_state { SSA_MODEL_EMPTY, SSA_MODEL_FORWARD, SSA_MODEL_BACKWARD_READY };

/* inputs.c: allocates and frees what passes are given. Checks a pass, copies inputs and plans to the device, and
 * remembers them. Dense layers see `keys` positions, of which those of the pass are the last; 0: no others. */
int ssa_inputs_create(struct ssa_model *m);
void ssa_inputs_destroy(struct ssa_model *m);
int ssa_inputs_write(struct ssa_model *m, const struct ssa_pass *pass, int keys);

/* net.c: a run of the pass that was written, all blocks' forward, and answers of the head from `row` on. */
struct ssa_run ssa_run_begin(struct ssa_model *m);
int ssa_run_forward(struct ssa_run *r);
int ssa_run_read(struct ssa_run *r, size_t row, int rows, float *logits);

#endif
