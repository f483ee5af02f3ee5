#include "tree.h"

#include <stdlib.h>
#include <string.h>

int ssa_node_first(struct ssa_node node)
{
    return node.index << node.level;
}

int ssa_node_end(struct ssa_node node, int count)
{
    long long end = ((long long)node.index + 1) << node.level;
    return end < count ? (int)end : count;
}

bool ssa_tree_is_root(struct ssa_node node, int count)
{
    return ssa_node_first(node) == 0 && ssa_node_end(node, count) == count;
}

struct ssa_tree ssa_tree_begin(int count, int first, int end)
{
    return (struct ssa_tree){.count = count, .first = first, .end = end};
}

enum ssa_tree_move ssa_tree_next(struct ssa_tree *t, struct ssa_node *node)
{
    while (!ssa_tree_is_root(*node, t->count)) {
        struct ssa_node parent = {node->level + 1, node->index / 2};
        if (ssa_node_first(parent) < t->first || ssa_node_end(parent, t->count) > t->end)
            return SSA_TREE_OUT;
        if (node->index % 2) {
            t->depth--;
            *node = parent;
            return SSA_TREE_MERGE;
        }
        if (ssa_node_end(*node, t->count) < t->count) {
            t->stack[t->depth++] = *node;
            return SSA_TREE_PUSH;
        }
        *node = parent; /* the right one is empty */
    }
    return SSA_TREE_OUT;
}

struct ssa_node ssa_tree_last(int count, int first, int end)
{
    struct ssa_tree tree = {.count = count, .first = first, .end = end, .depth = SSA_TREE_DEPTH};
    struct ssa_node node = {.index = end - 1};
    while (ssa_tree_next(&tree, &node) == SSA_TREE_MERGE)
        ;
    return node;
}

static int by_number(const void *a, const void *b)
{
    const struct ssa_gradients *x = a, *y = b;
    return ssa_node_first(x->node) - ssa_node_first(y->node);
}

static void add(float *restrict to, const float *restrict x, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] += x[i];
}

static void merge_piece(const struct ssa_gradients *sums, int count, struct ssa_tree tree, size_t first, size_t size,
                        float *to)
{
    float *stack[SSA_TREE_DEPTH];
    bool begun = false;
    for (int i = 0; i < count; i++) {
        struct ssa_node node = sums[i].node;
        float *sum = sums[i].values + first;
        enum ssa_tree_move move;
        while ((move = ssa_tree_next(&tree, &node)) == SSA_TREE_MERGE) {
            add(stack[tree.depth], sum, size);
            sum = stack[tree.depth];
        }
        if (move == SSA_TREE_PUSH)
            stack[tree.depth - 1] = sum;
        else if (begun)
            add(to, sum, size);
        else
            memcpy(to, sum, size * sizeof *to);
        begun = begun || move == SSA_TREE_OUT;
    }
}

/* Piece by piece, so that what lies between stays in a cache. */
void ssa_tree_merge(struct ssa_gradients *sums, int count, struct ssa_tree tree, size_t first, size_t size, float *to)
{
    enum { PIECE = 4096 };
    qsort(sums, (size_t)count, sizeof *sums, by_number);
    for (size_t at = 0; at < size; at += PIECE)
        merge_piece(sums, count, tree, first + at, size - at < PIECE ? size - at : PIECE, to + at);
}

int ssa_tree_depth(int count)
{
    int depth = 0;
    while (count >> (depth + 1))
        depth++;
    return depth;
}

float ssa_tree_sum(const float *values, int count)
{
    if (count <= 1)
        return count ? *values : 0;
    int left = 1 << ssa_tree_depth(count - 1);
    return ssa_tree_sum(values, left) + ssa_tree_sum(values + left, count - left);
}
