#include "tree.h"

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
