/* A family of models: a table of its config's fields, and the list of blocks that a config stands for. */
#ifndef SSA_NET_FAMILY_H
#define SSA_NET_FAMILY_H

#include "net/net.h"

struct ssa_net;
struct ssa_block_kind;

enum { SSA_LAYER_LENGTHS = 8 };

struct ssa_family {
    const char *name;                /* in files and on command lines */
    const struct ssa_field *fields;  /* ends with a name of NULL */
    int (*check)(const struct ssa_model_config *);   /* what the table cannot say; its ranges hold */
    void (*settle)(struct ssa_model_config *);       /* fills in what zero means */
    struct ssa_facts (*facts)(const struct ssa_model_config *);
    /* The next narrower model of the kind, for advice; false: there is none. */
    bool (*narrow)(struct ssa_model_config *);
    void (*build)(struct ssa_net *, const struct ssa_model_config *); /* settled; ssa_net_add()s blocks from the first */
    /* A layer's sequences, of SSA_LAYER_LENGTHS lengths at most; NULL: those of the pass, of whatever length it has. */
    struct ssa_layer (*layer)(const struct ssa_model_config *, int layer);
};
extern const struct ssa_family ssa_gpt_family, ssa_vit_family, ssa_pixels_family, ssa_swin_family, ssa_words_family,
                               ssa_egt_family;
/* NULL: there is no such family. */
const struct ssa_family *ssa_family(int number);
/* A number for nets that no family has: a block alone between embedding and head (tests/test_blocks.c). */
enum { SSA_FAMILY_OF_TESTS = -1 };
extern const struct ssa_family *ssa_family_of_tests;

/* What families of heads share: heads of a width that is a multiple of `step`, at most 256; and the next narrower such
 * model, of a hidden width in proportion. False: there is none. */
int ssa_family_check_heads(int width, int heads, int step);
/* What attention drops: below 1, and only one of both. */
int ssa_family_check_drops(float attention_dropout, float drop_keys);
#define SSA_DROP_KEYS_ABOUT "of attention's keys, before the softmax, anew for each query and head (DropKey); below 1"
bool ssa_family_narrow(int *width, int *hidden, int heads, int step);

/* Adds a block, of which `settings` is copied: a struct of kind->size. The first error stays in the net. */
void ssa_net_add(struct ssa_net *net, const struct ssa_block_kind *kind, const void *settings);

#endif
