#include "data.h"

#include "errors.h"
#include "presets.h"

#include "disk/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ATOM_IDS = 9, ATOM_VALUES = 128, BOND_IDS = 3, BOND_VALUES = 8 }; /* OGB's, as convert.py writes them */

static struct graphs graphs;
static struct parts parts;
static struct recipe recipe;
static struct source sources[GRAPH_PARTS];
static bool is_open;
static int preset_nodes; /* that nobody asked for */

/* ---- how losses are told ---- */

/* In the target's unit, once the data are open. */
static char brief_absolute[32] = "MAE", brief_squared[32] = "MSE";
static struct unit of_absolute = {.key = "loss", .name = "mean absolute error", .brief = brief_absolute,
                                  .item = "molecule", .nats = 1};
static struct unit of_squared = {.key = "loss", .name = "mean squared error", .brief = brief_squared,
                                 .item = "molecule", .nats = 1};
const struct unit *const data_units[] = {&of_absolute, &of_squared, NULL};

static void settle_units(void)
{
    of_absolute.nats = 1 / recipe.deviation;
    of_squared.nats = 1 / (recipe.deviation * recipe.deviation);
    snprintf(brief_absolute, sizeof brief_absolute, "%s%sMAE", graphs.unit, *graphs.unit ? " " : "");
    snprintf(brief_squared, sizeof brief_squared, "%s%sMSE", graphs.unit, *graphs.unit ? "^2 " : "");
}

const struct graphs *data_graphs(void)
{
    return &graphs;
}

const uint32_t *data_part(enum data_part part)
{
    return parts.part[part].graphs;
}

const struct recipe *data_recipe(void)
{
    return &recipe;
}

const char *data_target(const struct graphs *g, char text[64])
{
    snprintf(text, 64, "%s%s%s", *g->target ? g->target : "a number", *g->unit ? ", in " : "", g->unit);
    return text;
}

/* ---- options ---- */

const struct arg *data_train_options(void)
{
    static struct arg table[RECIPE_OPTIONS];
    recipe_options(&recipe, table);
    return table;
}

void data_defaults(struct train_options *o)
{
    o->model = (struct ssa_model_config){.family = SSA_EGT,
                                         .egt = {.layers = 4, .heads = 8, .width = 64, .edge_width = 16,
                                                 .virtual_nodes = 4, .hops = 17, .encodings = 16}};
    o->training.beta2 = 0.999f;
    o->training.decay = o->training.clip = 0;
    o->micro_batch = 64;
    o->eval_windows = 2000;
    preset_nodes = 0;
    recipe_defaults(&recipe);
}

/* Presets of others' recipes learn targets as they are. */
void data_adapt(struct train_options *o, const struct preset *preset)
{
    recipe.raw_targets = preset->augmentation && !strcmp(preset->augmentation, "raw");
    preset_nodes = o->model.egt.nodes;
}

/* ---- the model ---- */

struct graph_shape data_shape(const struct ssa_model_config *model)
{
    struct ssa_model_config m = *model;
    ssa_model_settle(&m);
    return (struct graph_shape){.virtual_nodes = m.egt.virtual_nodes, .hops = m.egt.hops, .encodings = m.egt.encodings};
}

/* Of weights that a run starts from, what they fit whatever it is. What sees padding cannot sample. */
static void settle_free(struct settings *s)
{
    struct ssa_egt *m = &s->model.egt;
    m->nodes = graphs.most_atoms;
    if (m->virtual_see_padding)
        say_note("%s: its virtual nodes see padding; from here on they do not", s->source_name);
    m->virtual_see_padding = 0;
}

/* Of a new one: as said, else as the data are, else as convert.py makes them. */
static int settle_model(struct settings *s)
{
    struct ssa_egt *m = &s->model.egt;
    if (is_open && (!m->nodes || m->nodes == preset_nodes))
        m->nodes = graphs.most_atoms;
    if (!m->nodes)
        return say_error("without --data nobody knows how large the molecules are: give --nodes N");
    m->node_ids = is_open ? graphs.atom_ids : ATOM_IDS;
    m->node_values = is_open ? graphs.atom_values : ATOM_VALUES;
    m->edge_ids = is_open ? graphs.bond_ids : BOND_IDS;
    m->edge_values = is_open ? graphs.bond_values : BOND_VALUES;
    return m->encodings % 2 ? say_error("--encodings %d: must be even, two for each component", m->encodings) : 0;
}

int data_check_vocabulary(const struct graphs *g, const struct ssa_model_config *model, const char *name)
{
    struct ssa_model_config settled = *model;
    const struct ssa_egt *m = &settled.egt;
    ssa_model_settle(&settled);
    if (m->targets > 1)
        return say_error("%s: answers %d numbers, and %s has one", name, m->targets, g->path);
    if (m->node_ids == g->atom_ids && m->node_values == g->atom_values && m->edge_ids == g->bond_ids &&
        m->edge_values == g->bond_values)
        return 0;
    return say_error("%s: knows %d features of an atom with %d values and %d of a bond with %d, and %s has %d with %d "
                     "and %d with %d: convert the molecules as those were that it was trained on", name, m->node_ids,
                     m->node_values, m->edge_ids, m->edge_values, g->path, g->atom_ids, g->atom_values, g->bond_ids,
                     g->bond_values);
}

/* ---- opening ---- */

/* Mean and deviation are a checkpoint's where it has them: its answers are in them. */
static void settle_recipe(const struct settings *s)
{
    bool scaled = false;
    if (s->source && !s->o->from)
        scaled = recipe_take(&recipe, s->source, true);
    else if (s->source)
        scaled = recipe_take_scale(&recipe, s->source);
    if (!scaled)
        recipe_measure(&recipe, &graphs, &parts);
}

static void tell_left_out(const struct settings *s)
{
    const int most = s->model.egt.nodes;
    if (parts.large)
        say_note("%s: %zu molecule%s left out, of more than the %d atoms that the model takes (--nodes); the first is "
                 "of line %u", graphs.path, parts.large, parts.large == 1 ? "" : "s", most, parts.first_large);
    if (parts.no_target)
        say_note("%s: %zu molecule%s without a target %s left out", graphs.path, parts.no_target,
                 parts.no_target == 1 ? "" : "s", parts.no_target == 1 ? "is" : "are");
    if (parts.test_is_valid)
        say_note("%s: no molecule of its test part has a target: that of validation is taken for it", graphs.path);
}

/* Of a run, which may be one that goes on; an evaluation has none. */
static const struct ssa_train_config *training_of(const struct settings *s)
{
    return s->o->resume ? ssa_checkpoint_training(s->source) : &s->training;
}

/* A training needs its own and what it is measured on, an evaluation that alone. */
static int check_parts(const struct settings *s)
{
    const struct ssa_train_config *training = training_of(s);
    return (training && training->batch && parts_check(&parts, &graphs, GRAPH_TRAIN)) ||
           parts_check(&parts, &graphs, (enum graph_part)s->measured) ? EXIT_FAILED : 0;
}

static void make_sources(struct settings *s)
{
    const struct ssa_train_config *training = training_of(s);
    const size_t room = source_room() / GRAPH_PARTS;
    uint64_t print = graphs.fingerprint;
    for (int p = 0; p < GRAPH_PARTS; p++)
        print = ssa_hash(print, parts.part[p].graphs, parts.part[p].count * sizeof *parts.part[p].graphs);
    for (int p = 0; p < GRAPH_PARTS; p++) {
        const size_t count = parts.part[p].count;
        const struct order order = {.count = (uint32_t)count, .together = recipe.together,
                                    .batch = training && training->batch ? training->batch : 1};
        sources[p] = (struct source){.data = &graphs, .graphs = parts.part[p].graphs, .count = count,
                                     .shape = data_shape(&s->model), .mean = recipe.mean,
                                     .deviation = recipe.deviation, .flip = !recipe.fixed_signs, .room = room,
                                     .order = order, .of_sizes = order};
        s->data.part[p] = (struct ssa_data){.fill = source_fill, .sizes = source_sizes,
                                            .cookie = &sources[p], .examples = count,
                                            .identity = print ^ recipe_hash(&recipe)};
    }
    s->data.fingerprint = print;
}

/* What a checkpoint's note says its target is; of no checkpoint nothing. */
static void tell_other_target(const struct settings *s)
{
    json_t *note = s->source ? json_loads(ssa_checkpoint_note(s->source), 0, NULL) : NULL;
    const char *theirs = json_string_value(json_object_get(note, "target"));
    if (theirs && *theirs && *graphs.target && strcmp(theirs, graphs.target))
        say_note("%s learned '%s', and the target of %s is '%s'", s->source_name, theirs, graphs.path, graphs.target);
    json_decref(note);
}

static int open_graphs(struct settings *s)
{
    if (graphs_open(&graphs, s->o->data.items[0]))
        return EXIT_FAILED;
    is_open = true;
    if (s->source ? data_check_vocabulary(&graphs, &s->model, s->source_name) : settle_model(s))
        return EXIT_FAILED;
    if (s->o->from)
        settle_free(s);
    const bool seed_said = recipe.split_seed >= 0;
    if (s->source && !s->o->from)
        recipe_take(&recipe, s->source, true);
    const struct parts_options o = recipe_parts(&recipe, s->model.egt.nodes);
    if (parts_make(&parts, &graphs, &o) || check_parts(s))
        return EXIT_FAILED;
    if (seed_said && !parts.drawn)
        return say_error("--split-seed %d: %s has a split of its own, of which nothing is drawn; leave it out, or draw "
                         "one by --split seeded", recipe.split_seed, graphs.path);
    settle_recipe(s);
    settle_units();
    make_sources(s);
    tell_left_out(s);
    tell_other_target(s);
    return 0;
}

int data_open(struct settings *s)
{
    s->data = (struct run_data){.unit = s->model.egt.loss == SSA_LOSS_L2 ? &of_squared : &of_absolute,
                                .judge = &errors_judge};
    if (s->o->data.count > 1)
        return say_error("--data: give one file of graphs, not %d", s->o->data.count);
    if (errors_check(s))
        return EXIT_FAILED;
    if (s->o->data.count)
        return open_graphs(s);
    return s->source ? 0 : settle_model(s);
}

void data_close(struct settings *s)
{
    (void)s;
    for (int p = 0; p < GRAPH_PARTS; p++)
        source_close(&sources[p]);
    parts_free(&parts);
    if (is_open)
        graphs_close(&graphs);
    is_open = false;
    errors_finish();
}

/* ---- telling ---- */

void data_describe(const struct settings *s, json_t *start)
{
    (void)s;
    json_object_set_new(start, "data", json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "target", graphs.target, "unit",
                                                 graphs.unit, "official", parts.official, "train",
                                                 (json_int_t)parts.part[GRAPH_TRAIN].count, "valid",
                                                 (json_int_t)parts.part[GRAPH_VALID].count, "test",
                                                 (json_int_t)parts.part[GRAPH_TEST].count));
    json_object_set_new(start, "recipe", recipe_json(&recipe));
}

void data_note(const struct settings *s, json_t *note)
{
    (void)s;
    json_object_set_new(note, "recipe", recipe_json(&recipe));
    json_object_set_new(note, "target", json_string(graphs.target));
    json_object_set_new(note, "unit", json_string(graphs.unit));
}

void data_describe_model(const struct ssa_model_config *model, char *words, size_t room)
{
    struct ssa_model_config m = *model;
    ssa_model_settle(&m);
    snprintf(words, room, "edges of width %d, up to %d atoms and %d virtual nodes", m.egt.edge_width, m.egt.nodes,
             m.egt.virtual_nodes);
}

/* ---- passes ---- */

/* Memory for the inputs of `count` molecules of the largest size, and the batch that lies in it. */
static void *make_batch(const struct settings *s, int count, struct ssa_batch *batch)
{
    struct ssa_model_config m = s->model;
    ssa_model_settle(&m);
    const size_t B = (size_t)count, n = (size_t)m.egt.nodes, edges = B * n * n;
    const size_t nodes = B * n * (size_t)m.egt.node_ids, encodings = B * n * (size_t)m.egt.encodings;
    int32_t *at = malloc((2 * B + nodes + encodings + edges * (size_t)(m.egt.edge_ids + 1)) * sizeof *at);
    if (!at)
        return NULL;
    *batch = (struct ssa_batch){.lengths = at, .values = (float *)(at + B), .nodes = at + 2 * B,
                                .encodings = m.egt.encodings ? (float *)(at + 2 * B + nodes) : NULL,
                                .hops = m.egt.hops ? at + 2 * B + nodes + encodings : NULL,
                                .edges = at + 2 * B + nodes + encodings + edges,
                                .length = m.egt.nodes + m.egt.virtual_nodes};
    return at;
}

/* The first step's molecules, or as many of them. */
int data_fill(const struct settings *s, struct ssa_pass *pass, void **memory)
{
    struct ssa_batch batch;
    *memory = make_batch(s, pass->batch, &batch);
    if (!*memory)
        return SSA_ENOMEM;
    const struct ssa_draw draw = {.training = 1, .count = pass->batch, .length = batch.length,
                                  .seed = s->training.seed};
    const int status = source_fill(&sources[GRAPH_TRAIN], &draw, &batch);
    pass->length = batch.length;
    pass->lengths = batch.lengths;
    pass->nodes = batch.nodes;
    pass->encodings = batch.encodings;
    pass->edges = batch.edges;
    pass->hops = batch.hops;
    pass->values = batch.values;
    return status;
}

/* Chains of as many atoms as there may be. */
static int fill_chains(void *cookie, const struct ssa_draw *draw, struct ssa_batch *b)
{
    const struct settings *s = cookie;
    struct ssa_model_config m = s->model;
    ssa_model_settle(&m);
    const size_t n = (size_t)m.egt.nodes, ids = (size_t)m.egt.node_ids, bonds = (size_t)m.egt.edge_ids;
    for (size_t i = 0; i < (size_t)draw->count * n * ids; i++)
        b->nodes[i] = 1 + (int32_t)(i % ids) * m.egt.node_values;
    for (size_t i = 0; b->encodings && i < (size_t)draw->count * n * (size_t)m.egt.encodings; i++)
        b->encodings[i] = (float)(i % 7) / 7;
    for (size_t c = 0; c < (size_t)draw->count * n * n; c++) {
        const size_t from = c / n % n, to = c % n, hops = from > to ? from - to : to - from;
        if (b->hops)
            b->hops[c] = (int32_t)(hops < (size_t)m.egt.hops ? hops : (size_t)m.egt.hops);
        for (size_t f = 0; f < bonds; f++)
            b->edges[c * bonds + f] = hops == 1 ? 1 + (int32_t)f * m.egt.edge_values : 0;
    }
    for (int i = 0; i < draw->count; i++) {
        b->lengths[i] = draw->length;
        b->values[i] = 0;
    }
    return SSA_OK;
}

/* Those of the run where there are any: how long a step takes depends on how large they are. */
struct ssa_data data_invent(const struct settings *s)
{
    if (is_open)
        return s->data.part[PART_TRAIN];
    return (struct ssa_data){.fill = fill_chains, .cookie = (void *)(uintptr_t)s, .examples = 1};
}
