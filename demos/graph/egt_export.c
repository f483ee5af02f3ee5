/* From our names to theirs. */
#include "egt.h"

#include "egt_names.h"
#include "say.h"

#include <ssacl/base.h>

#include <stdio.h>
#include <stdlib.h>

struct exported {
    const struct ssa_model *model;
    const struct egt_place *places;
    const char *name; /* what errors call it */
    int heads;
};

static int read_values(void *cookie, const struct tensor_new *tensor, float *x)
{
    const struct exported *of = cookie;
    const struct egt_place *p = &of->places[tensor->number];
    const struct ssa_parameter *ours = ssa_model_find(of->model, p->ours);
    if (!ours)
        return say_error("%s: has no %s", of->name, p->ours);
    const struct ssa_tensor from = ssa_tensor_add(ours->value, p->kind == EGT_SECOND ? egt_place_count(p) : 0);
    if (ssa_tensor_read(from, x, tensor->count))
        return say_error("%s: %s", of->name, ssa_last_error());
    return egt_turn(p, x, of->heads, false) ? 0 : say_error("%s: no memory for %s", of->name, p->theirs);
}

/* What of a model theirs has no settings for; NULL: nothing. */
static const char *other_than_theirs(const struct ssa_egt *c)
{
    return c->activation != SSA_ACT_ELU                       ? "another activation than ELU"
           : !(c->clip >= 5 && c->clip <= 5)                  ? "scores that are not clipped at 5"
           : c->head_layers != 3                              ? "a head of another number of layers than 3"
           : !(c->norm_eps >= 1e-5f && c->norm_eps <= 1e-5f) ? "another epsilon of norms than 1e-5"
           : c->node_values != 128 || c->edge_values != 8     ? "features of other numbers of values than 128 and 8"
           : c->scale_degrees                                 ? "sums of gates that are scaled"
                                                              : NULL;
}

int egt_export(const struct ssa_model *model, const char *name, const char *to)
{
    struct ssa_model_config config = *ssa_model_config(model);
    int count = 0;
    ssa_model_settle(&config);
    const char *other = other_than_theirs(&config.egt);
    if (other)
        return say_error("%s: has %s, which the authors' model has no setting for", name, other);
    struct egt_place *places = egt_places(&config, &count);
    struct tensor_new *tensors = places ? calloc((size_t)count, sizeof *tensors) : NULL;
    int status = tensors ? 0 : say_error("%s: no memory to write it", to);
    for (int i = 0; i < count && !status; i++) {
        const struct egt_place *p = &places[i];
        tensors[i] = (struct tensor_new){.count = egt_place_count(p), .number = i,
                                         .shape = p->columns ? json_pack("[ii]", p->rows, p->columns)
                                                             : json_pack("[i]", p->rows)};
        snprintf(tensors[i].name, sizeof tensors[i].name, "%s", p->theirs);
    }
    if (!status)
        status = tensors_write(to, tensors, count, read_values,
                               &(struct exported){model, places, name, config.egt.heads});
    free(tensors);
    free(places);
    return status;
}

void egt_settings(const struct ssa_model_config *config, char *text, size_t size)
{
    struct ssa_model_config settled = *config;
    const struct ssa_egt *c = &settled.egt;
    ssa_model_settle(&settled);
    snprintf(text, size, "EGT_MOL(model_height=%d, node_width=%d, edge_width=%d, num_heads=%d, num_virtual_nodes=%d, "
             "upto_hop=%d, svd_encodings=%d, node_ffn_multiplier=%.7g, edge_ffn_multiplier=%.7g, output_dim=%d, "
             "scale_degree=True, egt_simple=%s)", c->layers, c->width, c->edge_width, c->heads, c->virtual_nodes,
             c->hops - 1, c->encodings / 2, (double)c->hidden_ratio, (double)c->edge_hidden_ratio, c->targets,
             c->edge_mode == SSA_EDGES_FIXED ? "True" : "False");
}
