/* The fixed order in which a step's micro-batches are summed: a binary tree over their numbers, so that a sum has the
 * same bits whoever computed which part of it.
 *
 * Node (level l, index j) covers micro-batches [j 2^l, (j+1) 2^l), cut at the step's count. Its value is left + right,
 * or left alone where the right one is empty. Whoever works through a run of numbers keeps one value at hand and a
 * stack of those that wait for their right sibling; ssa_tree_next() says what to do with the one at hand. */
#ifndef SSA_TRAIN_TREE_H
#define SSA_TRAIN_TREE_H

#include <stdbool.h>
#include <stddef.h>

enum { SSA_TREE_DEPTH = 31 };

struct ssa_node {
    int level, index;
};

struct ssa_tree {
    int count;      /* micro-batches of the step */
    int first, end; /* of the run */
    int depth;
    struct ssa_node stack[SSA_TREE_DEPTH];
};

/* What becomes of the value at hand. */
enum ssa_tree_move {
    SSA_TREE_PUSH,  /* onto the stack, at depth - 1 */
    SSA_TREE_MERGE, /* add it to the one on the stack at depth, which leaves; the sum is at hand: ask again */
    SSA_TREE_OUT    /* it goes no further within this run */
};

struct ssa_tree ssa_tree_begin(int count, int first, int end);
/* `node` at hand came next in the run; it becomes the node that the value stands for after the move. */
enum ssa_tree_move ssa_tree_next(struct ssa_tree *tree, struct ssa_node *node);
bool ssa_tree_is_root(struct ssa_node node, int count);
int ssa_node_first(struct ssa_node node);
int ssa_node_end(struct ssa_node node, int count);

/* The node of the last value of a run [first, end), merged with all of the run that it can be. */
struct ssa_node ssa_tree_last(int count, int first, int end);

/* A sum of gradients on the host, in its order (net/arena.h). */
struct ssa_gradients {
    struct ssa_node node;
    float *values;
    bool finite; /* these, and the losses of the micro-batches beneath the node */
};
/* Sums of whatever runs become those of the tree's, which they cover: of `size` elements from `first` on, into `to`. A
 * run that is no node adds up its nodes from the left. `sums`, of which the memory is taken for what lies between, are
 * sorted. */
void ssa_tree_merge(struct ssa_gradients *sums, int count, struct ssa_tree tree, size_t first, size_t size, float *to);

/* The deepest that a stack gets over `count` micro-batches. */
int ssa_tree_depth(int count);
/* The sum of values that lie on the host. */
float ssa_tree_sum(const float *values, int count);

#endif
