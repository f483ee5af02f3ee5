/* Batches filled ahead of those who take them, by a thread of their own, as plans are drawn ahead.
 *
 * A batch has a key. Whoever will take some says so, in the order in which it wants them; any may be taken by anybody,
 * in any order and again: what is not there or on its way is filled on demand, before what is only wanted. Nothing is
 * filled by two threads at once. Memory: 1 + SSA_FEED_AHEAD batches a taker, however many are wanted; the oldest that
 * nobody waits for make place.
 *
 * Where the sequences of a batch are of mixed size, what its layers sample depends on it: then the plans are drawn by
 * the same thread, when the batch is filled, and go with it. */
#ifndef SSA_TRAIN_FEED_H
#define SSA_TRAIN_FEED_H

#include "batch.h"

struct ssa_feed;

struct ssa_feed_key {
    uint64_t step, number;
};

enum { SSA_FEED_AHEAD = 2 }; /* batches that each taker wants ahead */

struct ssa_feed_config {
    struct ssa_batch_layout layout;
    int count;  /* sequences of a batch */
    int takers; /* at once, at most */
    /* Both on the feed's thread. A batch comes with the model's length, which the source may lower; and a layer's sample
     * is of that length, too: the feed makes it the batch's. */
    int (*fill)(void *cookie, struct ssa_feed_key key, struct ssa_batch *batch);
    int (*sample)(void *cookie, struct ssa_feed_key key, int layer, struct ssa_sample *how);
    int layers; /* plans that are drawn for a batch; 0: none */
    void *cookie;
};

/* Plans of a batch, for a pass. */
struct ssa_feed_plans {
    int count;
    struct ssa_plan *plans;
    const struct ssa_plan **given; /* a layer each, NULL where dense; NULL: dense throughout */
};
int ssa_feed_plans_create(struct ssa_feed_plans *plans, int layers);
void ssa_feed_plans_finish(struct ssa_feed_plans *plans);

int ssa_feed_create(struct ssa_feed **feed, const struct ssa_feed_config *config);
/* Ends the thread, after the batch at hand: for one whose memory must stay where it is. */
void ssa_feed_stop(struct ssa_feed *feed);
void ssa_feed_destroy(struct ssa_feed *feed); /* NULL is fine. Nobody may be in a call */

void ssa_feed_want(struct ssa_feed *feed, struct ssa_feed_key key);
/* Copies a batch, for which it waits, and takes its plans, for which it leaves those that were in `plans`: of as many
 * layers as the feed's. An error is that of filling it. */
int ssa_feed_take(struct ssa_feed *feed, struct ssa_feed_key key, struct ssa_batch *to, struct ssa_feed_plans *plans);

#endif
