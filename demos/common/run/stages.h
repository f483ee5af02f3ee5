/* Stages of training, written in one line:
 *
 *   local:ratio=0.25,look-back,steps=900,lr=2e-3/0:fixed-windows/1-2:sigma=0.25/last:dense dense:steps=100,lr=2e-4
 *
 * Stages are parted by spaces, a stage is `kind` or `kind:key=value,...`; kinds are dense, unbiased and local. What a
 * stage does not say it takes from a preset. Then layers may have a pattern of their own: `/LAYERS:` and settings of a
 * pattern, or first another kind, over what the stage says, and over what was said of them before; LAYERS is a number
 * from 0, a range a-b, or `last` in place of either number. A flag `x` is taken back by `no-x`, no-own-key by own-key.
 */
#ifndef RUN_STAGES_H
#define RUN_STAGES_H

#include <ssacl/train.h>

#include <stdbool.h>

enum { STAGES_MAX = 64 };

/* A stage as it was said: keys and epochs are kept as a negative ratio, the number of keys, and as negative steps; what
 * was not said of the warm-up and of kept positions is -1. */
struct stage {
    struct ssa_stage of;
    const char *layers; /* NULL, or where the text that was parsed begins to say something of single layers */
};

/* Says what is wrong and where, and returns EXIT_USAGE. The text must live until stages are settled. */
int stages_parse(const char *text, const struct ssa_stage *preset, struct stage stages[STAGES_MAX], int *count);

/* What the library knows is made of it once this is known: */
struct stage_terms {
    const struct ssa_model_config *model;
    double epoch;   /* steps; 0: there are no data */
    int keep_first; /* where a sampled stage does not say it */
};
/* Says what is wrong and returns non-zero. *layers is what their patterns point to, if anything, until free(). */
int stages_settle(const struct stage *said, int count, const struct stage_terms *terms,
                  struct ssa_stage *stages, struct ssa_pattern **layers);
/* Steps that stand for so many epochs. */
#define EPOCHS_MOST 2e6
int stage_epochs(double epochs);

/* What --pattern says: the pattern of one stage, which may be dense if `or_dense`; pattern->layers is the caller's to
 * free(). Says what is wrong and returns non-zero. */
int stages_pattern(const char *text, const struct stage_terms *terms, bool or_dense, struct ssa_pattern *pattern);

/* Whether any layer samples; and whether two say the same. */
bool pattern_samples(const struct ssa_pattern *pattern);
bool pattern_same(const struct ssa_pattern *a, const struct ssa_pattern *b);

/* The same syntax back, without steps and rates if `pattern_only`; of layers what differs. What finds no room ends in
 * "...". */
enum { STAGE_TEXT = 8192 };
void stage_format(const struct ssa_stage *stage, int pattern_only, char *text, size_t size);

/* For --help. */
#define STAGES_HELP \
    "stages:\n"                                                                             \
    "  --stages 'local:ratio=0.25,look-back,steps=900,lr=2e-3 dense:steps=100,lr=2e-4'\n"   \
    "  Stages follow each other, parted by spaces. A stage is a kind of attention, dense,\n"\
    "  unbiased or local, then its settings; what it leaves out comes from the options.\n"  \
    "    steps=N, lr=X, lr-end=X, warm-up=N   length, peak and last learning rate, warm-up\n"\
    "    epochs=X         instead of steps: so many times all that there is to train on\n"  \
    "    dense-every=N    every N-th step of the stage is dense, from 2 on\n"               \
    "    ratio=R          keys that a query sees, as a share of the length, over 0 to 1\n"  \
    "    keys=N           instead of it: so many keys\n"                                    \
    "    ratio-last=R     the ratio of the last layer; those between grow evenly\n"         \
    "    look-back        local: see the slice before one's own too, each half as long\n"   \
    "    sigma=S          local: how far keys are shuffled, in slices\n"                    \
    "    fixed-windows    local: no shuffle at all\n"                                       \
    "    grid             local: in rows and columns of images, cells instead of slices\n"  \
    "    permute-queries  local: a query sees the slice that its own key is in\n"           \
    "    first-dense=N, last-dense=N          so many layers stay dense\n"                  \
    "    keep-first=N     so many first positions are seen by all; else a class token, if any\n"\
    "    per-example      every sequence of the batch has its own sample\n"                 \
    "    source-dropout   unbiased: each key stays with probability ratio, not exactly so many\n"\
    "    no-own-key       a query does not see its own key unless it was drawn\n"            \
    "    no-X             takes back a flag X that the options set; own-key: no-own-key\n"   \
    "  Then a slash and layers, counted from 0, have a pattern of their own: a number, a\n"  \
    "  range or 'last', and what differs in it from the stage's, which may begin with a kind:\n"\
    "  --stages 'local:ratio=0.125,look-back,steps=900/0:fixed-windows/1-2:sigma=0.25/last:dense'\n"

#endif
