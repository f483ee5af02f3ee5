/* What a block of a net is, what it may ask for before a device is touched, and what it has when it runs.
 *
 * A net is a fixed list of blocks: forward walks up it, backward down. A block takes the stream [rows, width] that the
 * one below it left, and leaves one; the first makes it from a pass's inputs, the last makes losses and answers of it.
 * Its struct begins with a struct ssa_block; settings follow, then what draft() fills in.
 *
 * A net of graphs has a stream of edges beside that of positions. A block is of one stream, and is given rows, places and
 * gradients of that one, so that the same kinds serve both; a few see another one, too. What a block leaves alone
 * stays where it is. */
#ifndef SSA_NET_BLOCK_H
#define SSA_NET_BLOCK_H

#include "arena.h"
#include "ssacl/model.h"

#include <stdbool.h>

struct ssa_net;
struct ssa_draft;
struct ssa_run;
struct ssa_block;

/* Of positions, [batch, length, width]; of edges, all pairs of positions, [batch, length, length, width]; of cells, those
 * edges that the plan of the layer at hand samples, [batch, length, keys, width]. */
enum ssa_stream { SSA_STREAM_NODES, SSA_STREAM_EDGES, SSA_STREAM_CELLS, SSA_STREAM_COUNT };

struct ssa_block_kind {
    const char *name;
    size_t size; /* of its struct */
    void (*draft)(struct ssa_block *, struct ssa_draft *);
    int (*forward)(const struct ssa_block *, struct ssa_run *);
    /* Reverses the last forward: from the gradient of what it left to that of what it took, in `dx` both. */
    int (*backward)(const struct ssa_block *, struct ssa_run *);
    /* Heads: answers `row` to row + rows - 1 of the last forward, those of a sequence before those of the next, on the
     * host. Waits. */
    int (*read)(const struct ssa_block *, struct ssa_run *, size_t row, int rows, float *answers);
};

struct ssa_block {
    const struct ssa_block_kind *kind;
    char prefix[32];  /* of its parameters' names: "layer.3." */
    bool ends_bucket; /* when its backward is done, all gradients from here up are complete */
    int stream;       /* enum ssa_stream: what it is of */
    /* draft */
    int number;              /* in the net */
    int cells_layer;         /* the layer of attention below it, or its own: whose cells the stream of cells has */
    int length;              /* positions of a sequence of the stream below it; 0: as many as the pass has */
    struct ssa_place in, out; /* the stream below and above it: the same place where no backward follows */
};

/* ---- drafting: a block's draft() reads as a list, as the first error stays in the draft ---- */

struct ssa_draft {
    struct ssa_net *net;
    struct ssa_block *block;
    size_t batch, rows; /* of the largest pass: sequences, and positions of all of them */
    int answers;        /* of a sequence */
    int length, width;  /* of the stream: positions of a sequence, and elements of one; the first block sets the width.
                           A block that leaves another length sets it, and rows */
    bool training;
    bool in_place; /* what the block leaves lies where it took it: no other block's backward reads that */
    int err;
    int stream; /* that rows, length and width are of, at present: the block's, */
    struct ssa_extent {
        size_t rows;
        int length, width;
        struct ssa_place at;
    } extents[SSA_STREAM_COUNT]; /* unless it turned to another; and those of all */
};

/* Rows, length and width become those of another stream; a block turns back before it ends. Edges have as many rows as
 * pairs of positions, a width when the first block has set it; cells at most the same. */
void ssa_draft_turn(struct ssa_draft *d, int stream);
/* Where the stream turned to lies; and a new place for it, in which the block leaves it. For a block's own stream the
 * net does both: `in` and `out`. */
struct ssa_place ssa_draft_enter(const struct ssa_draft *d);
struct ssa_place ssa_draft_leave(struct ssa_draft *d);
/* Plans are to be staged with lists of the cells that they sample (ssa_staged_plan.cells). */
void ssa_draft_cells(struct ssa_draft *d);

/* How a parameter begins: drawn from N(0, deviation^2) or uniform in (-bound, bound), or where both are 0 all of one
 * value. */
struct ssa_start {
    double deviation, bound;
    float value;
    size_t zeroes;   /* its first elements, which are 0 whatever the rest is: a row of padding */
    bool branch_end; /* the deviation is divided by the square root of the number of these in the net: the stream's
                        variance then does not grow with depth */
};
#define SSA_START_NORMAL ((struct ssa_start){.deviation = 0.02})
#define SSA_START_BRANCH_END ((struct ssa_start){.deviation = 0.02, .branch_end = true})
#define SSA_START_ONE ((struct ssa_start){.value = 1})
#define SSA_START_ZERO ((struct ssa_start){.value = 0})
/* Uniform in +-gain sqrt(6 / (in + out)): Glorot and Bengio, AISTATS 2010. */
struct ssa_start ssa_start_xavier(int in, int out, double gain);
/* A parameter's number, which ssa_value() takes; 0: none. Matrices are decayed by the optimiser, vectors not. */
int ssa_draft_matrix(struct ssa_draft *d, const char *name, int rows, int columns, struct ssa_start start);
int ssa_draft_vector(struct ssa_draft *d, const char *name, int count, struct ssa_start start);
/* A matrix that the optimiser does not decay, as a table of positions. */
int ssa_draft_table(struct ssa_draft *d, const char *name, int rows, int columns, struct ssa_start start);
/* A matrix, or with columns 0 a vector, that starts uniform, bound 1 / sqrt(fan_in): PyTorch's default of linear layers
 * and convolutions. */
int ssa_draft_uniform(struct ssa_draft *d, const char *name, int rows, int columns, int fan_in);
/* One that a block below has, by its whole name: a tied head's. */
int ssa_draft_shared(struct ssa_draft *d, const char *name);

/* Memory of the block's own, written by forward. Without backward, blocks share what has the same name. */
struct ssa_place ssa_draft_keep(struct ssa_draft *d, size_t count, const char *what);
/* The same for backward only: nothing without. */
struct ssa_place ssa_draft_keep_for_backward(struct ssa_draft *d, size_t count, const char *what);

/* Scratch that every block uses again, as much of each as the largest request. NORM keeps what a head's forward left
 * there until its backward. */
enum ssa_slot { SSA_SLOT_NORM, SSA_SLOT_WIDE, SSA_SLOT_BRANCH, SSA_SLOT_PAIRS, SSA_SLOT_COUNT };
void ssa_draft_scratch(struct ssa_draft *d, enum ssa_slot slot, size_t count, const char *what);

/* Room for a whole sequence in the cache of keys that generation has: `each` elements a position. */
struct ssa_place ssa_draft_cache(struct ssa_draft *d, size_t each);

/* A table that never changes, such as sinusoids: `fill` writes its values once, when a model is made. Not a
 * parameter. */
typedef void (*ssa_fill_constant)(const struct ssa_block *, float *values);
struct ssa_place ssa_draft_constant(struct ssa_draft *d, size_t count, const char *what, ssa_fill_constant fill);

/* Ids cut into bands of their numbers, [0, ends[0]), [ends[0], ends[1]), ...: words by frequency. */
enum { SSA_BANDS = 4 };
struct ssa_bands {
    int count; /* 0: they are not cut */
    int ends[SSA_BANDS];
};
static inline int ssa_band_begin(const struct ssa_bands *bands, int band)
{
    return band ? bands->ends[band - 1] : 0;
}
static inline int ssa_band_size(const struct ssa_bands *bands, int band)
{
    return bands->ends[band] - ssa_band_begin(bands, band);
}

/* What a pass is given: int32 or float32, one sequence after another, each with so many elements as follow from the
 * pass's length. The number is what ssa_input() takes. */
enum ssa_per { SSA_PER_POSITION, SSA_PER_SEQUENCE, SSA_PER_PAIR }; /* pairs [n, n] of positions */
struct ssa_input {
    const char *name; /* "token" */
    size_t from;      /* where struct ssa_pass has its address */
    int type;         /* enum ssa_type */
    int per;          /* enum ssa_per: what there are */
    size_t each;      /* elements of; 0 means 1 */
    int lead;         /* positions in front that have none: n = length - lead */
    const char *limit; /* int32: NULL, or what of the config `below` is: "vocabulary" */
    int below;        /* int32: every value is less, */
    bool any_below;   /* and may be negative; else at least 0 */
    bool up_to_length; /* int32: values are lengths, 0 or in [lead of the model, that of the pass] */
    bool or_nan;      /* float32: NaN is as good as a number */
    bool optional;
    bool late;        /* the stream's position t takes value t - 1, and its first -1: a sequence's last is not read */
    bool target;      /* losses are of it; of several, which must be optional, a pass has at most one */
    struct ssa_bands bands; /* int32: ssa_input() gives an id's class, which of the first band is the id itself, of band
                               b the number ends[0] + b - 1; ssa_banded() who is in which. Negative ones are in none */
};
/* Once for each: another block that asks for the same gets its number. */
int ssa_draft_input(struct ssa_draft *d, struct ssa_input input);
/* How long each sequence is, where they are of mixed size. */
#define SSA_INPUT_LENGTHS ((struct ssa_input){.name = "length", .from = offsetof(struct ssa_pass, lengths), \
    .type = SSA_I32, .per = SSA_PER_SEQUENCE, .up_to_length = true})

/* The layer of attention whose plan this block takes, from 0: the next. */
int ssa_draft_layer(struct ssa_draft *d);
/* The head's: a loss an answer. */
struct ssa_place ssa_draft_losses(struct ssa_draft *d);

/* ---- running ---- */

/* A layer's plan, the same on the device, and how many keys all queries of each example see in common, and no others:
 * 0 where that is not so. */
struct ssa_staged_plan {
    struct ssa_plan plan;
    struct ssa_tensor data;
    int common_keys;
    struct ssa_tensor cells; /* int32 [batch, length, cell_keys]: where the keys of each query are in the stream of edges,
                                (b length + query) length + key, ascending; then -1. Absent but after ssa_draft_cells() */
    int cell_keys;           /* the most that a query sees, at least 1 */
    /* Where plan.window is set, and else absent: int32 [batch length], the rows of the stream sequence by sequence in the
     * order of slices; and the dense plan of a window of them. */
    struct ssa_tensor order, window_data;
    struct ssa_plan window;
};

struct ssa_run {
    struct ssa_model *model;
    struct ssa_device *device;
    const struct ssa_pass *pass;
    int batch, length, rows; /* of the stream below the block that runs */
    int longest;     /* length, or where sequences are of mixed size that of the longest in any pass */
    int across, widest; /* positions side by side in the stream, and in the longest: length and longest; but edges have
                           rows of cells */
    bool keep;       /* backward may follow */
    bool losses;     /* targets were given */
    bool cached;     /* keys and values are rows of a cache, to which the pass adds its own: */
    int member;      /* that of this member of an ensemble, */
    int sequence;    /* and from this sequence on */
    int first, keys; /* position of the first token; keys that attention sees */
    bool apart;      /* rows are of sequences each of which is as if it were alone: linear layers have the same bits */
    struct ssa_tensor slots[SSA_SLOT_COUNT];
    struct ssa_tensor dx; /* the gradient of the stream */
    int accumulate;  /* gradients of parameters are added to */
};

/* The run as it is for another stream. */
struct ssa_run ssa_run_turned(const struct ssa_run *r, const struct ssa_block *b, int stream);
/* A parameter and its gradient; absent for 0. */
struct ssa_tensor ssa_value(const struct ssa_run *r, int parameter);
struct ssa_tensor ssa_grad(const struct ssa_run *r, int parameter);
/* Whether another block has it too, whose backward came before. */
bool ssa_shared(const struct ssa_run *r, int parameter);
/* Elements of it. */
size_t ssa_value_count(const struct ssa_run *r, int parameter);
struct ssa_tensor ssa_kept(const struct ssa_run *r, struct ssa_place place);
/* What was kept for backward: absent where none will follow. */
struct ssa_tensor ssa_kept_for_backward(const struct ssa_run *r, struct ssa_place place);
struct ssa_tensor ssa_input(const struct ssa_run *r, int input);

/* An input's positions by band, in order in each: those of band b are at first[b] to first[b + 1] - 1. */
struct ssa_banded {
    struct ssa_tensor rows; /* int32: which row of the stream it is, */
    struct ssa_tensor ids;  /* int32: and its id, counted from where the band begins */
    int first[SSA_BANDS + 1];
};
const struct ssa_banded *ssa_banded(const struct ssa_run *r, int input);
const struct ssa_staged_plan *ssa_staged(const struct ssa_run *r, int layer);
/* The cache's rows of the pass's first sequence from the slot of position `first` on, `each` elements a row; the next
 * sequence's begin N rows later. */
struct ssa_tensor ssa_cached(const struct ssa_run *r, struct ssa_place cache, int first, size_t each);
size_t ssa_cached_stride(const struct ssa_run *r, size_t each);

#endif
