/* Which gradients are complete when: backward goes from the last layer to the first. */
#include "group.h"
#include "internal.h"

static bool side_by_side(const struct ssa_range *r, const struct ssa_parameter *p)
{
    return r->part == p->part && r->offset + r->count == p->offset;
}

static void add(const struct ssa_model *m, struct ssa_bucket *b, int i)
{
    const struct ssa_parameter *p = i < 0 ? NULL : &m->parameters.table[i];
    struct ssa_range *last = b->range_count ? &b->ranges[b->range_count - 1] : NULL;
    if (!p)
        return;
    if (last && side_by_side(last, p))
        last->count += ssa_arena_padded(p->count);
    else
        b->ranges[b->range_count++] = (struct ssa_range){p->part, p->offset, ssa_arena_padded(p->count)};
}

static void add_layer(const struct ssa_model *m, struct ssa_bucket *b, int l)
{
    const struct ssa_layer_parameters *p = &m->parameters.layers[l];
    const int all[] = {p->qkv, p->proj, p->up, p->down, p->norm1_gain, p->norm1_bias, p->norm2_gain, p->norm2_bias,
                       p->qkv_bias, p->proj_bias, p->up_bias, p->down_bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        add(m, b, all[i]);
}

int ssa_model_bucket_count(const struct ssa_model *m)
{
    return ssa_model_serving(m)->shape.layers + 1;
}

struct ssa_bucket ssa_model_bucket(const struct ssa_model *m, int bucket)
{
    struct ssa_bucket b = {.range_count = 0};
    m = ssa_model_serving(m);
    const struct ssa_parameters *p = &m->parameters;
    if (bucket < m->shape.layers) {
        add_layer(m, &b, m->shape.layers - 1 - bucket);
    } else {
        add(m, &b, p->embed);
        add(m, &b, p->position);
    }
    if (!bucket) {
        add(m, &b, p->norm_gain);
        add(m, &b, p->norm_bias);
        add(m, &b, p->head == p->embed ? -1 : p->head);
    }
    for (int i = 0; i < b.range_count; i++)
        b.count += b.ranges[i].count;
    return b;
}
