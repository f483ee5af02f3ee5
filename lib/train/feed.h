/* Batches filled ahead of those who take them, by a thread of their own, as plans are drawn ahead.
 *
 * A batch has a key. Whoever will take some says so, in the order in which it wants them; any may be taken by anybody,
 * in any order and again: what is not there or on its way is filled on demand, before what is only wanted. Nothing is
 * filled by two threads at once. Memory: 1 + SSA_FEED_AHEAD batches a taker, however many are wanted; the oldest that
 * nobody waits for make place. */
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
    /* On the feed's thread. */
    int (*fill)(void *cookie, struct ssa_feed_key key, const struct ssa_batch *batch);
    void *cookie;
};

int ssa_feed_create(struct ssa_feed **feed, const struct ssa_feed_config *config);
/* Ends the thread, after the batch at hand: for one whose memory must stay where it is. */
void ssa_feed_stop(struct ssa_feed *feed);
void ssa_feed_destroy(struct ssa_feed *feed); /* NULL is fine. Nobody may be in a call */

void ssa_feed_want(struct ssa_feed *feed, struct ssa_feed_key key);
/* Copies a batch, for which it waits. An error is that of filling it. */
int ssa_feed_take(struct ssa_feed *feed, struct ssa_feed_key key, struct ssa_batch *to);

#endif
