/* Swin: patches of an image embedded, stages of layers of attention in windows and MLP with patch merging between them,
 * a head of classes. */
#include "family.h"
#include "net/block/blocks.h"
#include "impl.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#define FIELD(kind_, field, count_, least_, most_, flags_, about_) \
    {.name = #field, .kind = (kind_), .at = offsetof(struct ssa_model_config, swin.field), .count = (count_), \
     .least = (least_), .most = (most_), .flags = (flags_), .about = (about_)}
#define INT(field, ...) FIELD(SSA_FIELD_INT, field, 0, __VA_ARGS__)
#define OF_STAGES(field, ...) FIELD(SSA_FIELD_INT, field, STAGES, __VA_ARGS__)
#define FLOAT(field, ...) FIELD(SSA_FIELD_FLOAT, field, 0, __VA_ARGS__)

enum { STAGES = 4, LONGEST = 1 << 20, WIDEST = 32768 }; /* LONGEST: positions; WIDEST: the last stage */
_Static_assert((int)SSA_LAYER_LENGTHS >= STAGES, "a length for each stage");

/* Bounds that keep every product of two dimensions within an int. */
static const struct ssa_field fields[] = {
    INT(rows, 1, 1 << 15, 0, "rows of an image"),
    INT(columns, 0, 1 << 15, 0, "columns of an image; 0: as many as rows"),
    INT(channels, 1, 1024, 0, "channels of a pixel: 1 grey, 3 colours"),
    INT(patch, 1, 1024, 0, "rows and columns of a patch, which divide those of the image"),
    INT(width, 4, WIDEST, 0, "width of the residual stream in the first stage; doubles from stage to stage"),
    OF_STAGES(layers, 1, 512, 0, "layers of each stage, of up to four"),
    OF_STAGES(heads, 1, 1024, 0, "heads in each stage; 0: twice as many as in the one before. width / heads is a "
              "multiple of 4, at most 256"),
    INT(window, 0, 128, 0, "rows and columns of a window, in positions; 0: 7"),
    FLOAT(hidden_ratio, 0, 64, 0, "width of the MLP, in widths of the stage; 0: 4"),
    INT(classes, 2, 1 << 20, 0, "classes that there are"),
    FLOAT(norm_eps, 0, FLT_MAX, 0, "added to a norm's variance; 0: 1e-5"),
    FLOAT(dropout, 0, 1, SSA_FIELD_FREE, "of the embedding and of both branches of a layer, below 1"),
    FLOAT(attention_dropout, 0, 1, SSA_FIELD_FREE, "of attention's probabilities, below 1"),
    FLOAT(drop_path, 0, 1, SSA_FIELD_FREE, "of whole branches, by image, in the last layer; below 1, 0 in the first"),
    FLOAT(drop_keys, 0, 1, SSA_FIELD_FREE | SSA_FIELD_LATER, SSA_DROP_KEYS_ABOUT),
    {0}};

static void settle(struct ssa_model_config *config)
{
    struct ssa_swin *c = &config->swin;
    c->columns = c->columns ? c->columns : c->rows;
    c->window = c->window ? c->window : 7;
    c->hidden_ratio = c->hidden_ratio > 0 ? c->hidden_ratio : 4;
    c->norm_eps = c->norm_eps > 0 ? c->norm_eps : 1e-5f;
    for (int i = 1; i < STAGES; i++) /* of stages that are not there: nothing */
        c->heads[i] = !c->layers[i] ? 0 : c->heads[i] ? c->heads[i] : 2 * c->heads[i - 1];
}

/* ---- stages, of a config that is settled ---- */

struct stage {
    int layers, heads, rows, columns, width, hidden;
    int window, shift; /* shift: of every second layer */
};

static struct stage stage_of(const struct ssa_swin *c, int i)
{
    const double hidden = (double)c->hidden_ratio * (c->width << i);
    struct stage s = {.layers = c->layers[i], .heads = c->heads[i], .rows = (c->rows / c->patch) >> i,
                      .columns = (c->columns / c->patch) >> i, .width = c->width << i,
                      .hidden = hidden < 1 ? 1 : (int)lround(hidden), .window = c->window, .shift = c->window / 2};
    const int least = s.rows < s.columns ? s.rows : s.columns;
    if (least <= c->window) {
        s.window = least;
        s.shift = 0;
    }
    return s;
}

static int stages(const struct ssa_swin *c)
{
    int count = 0;
    while (count < STAGES && c->layers[count])
        count++;
    return count;
}

static int layers(const struct ssa_swin *c)
{
    int sum = 0;
    for (int i = 0; i < stages(c); i++)
        sum += c->layers[i];
    return sum;
}

/* ---- what the table cannot say ---- */

/* The nearest to the stage's that divides its grid. */
static int near_window(const struct stage *s)
{
    for (int away = 1; away < s->window; away++)
        for (int w = s->window - away; w <= s->window + away; w += 2 * away)
            if (s->rows % w == 0 && s->columns % w == 0)
                return w;
    return 1;
}

static int check_stage(const struct ssa_swin *c, int i)
{
    const struct stage s = stage_of(c, i);
    int err = SSA_OK;
    REQUIRE(s.width <= WIDEST, "model: width %d of stage %d, must be at most %d", s.width, i, WIDEST);
    REQUIRE(!i || ((c->rows / c->patch) % (1 << i) == 0 && (c->columns / c->patch) % (1 << i) == 0),
            "model: stage %d halves a grid of %d x %d, which must be even", i, stage_of(c, i - 1).rows,
            stage_of(c, i - 1).columns);
    REQUIRE(s.rows % s.window == 0 && s.columns % s.window == 0, "model: windows of %d do not divide the grid of stage "
            "%d, %d x %d; of %d do", s.window, i, s.rows, s.columns, near_window(&s));
    REQUIRE(s.window <= 128, "model: a window of %d in stage %d, must be at most 128", s.window, i);
    REQUIRE(s.width % s.heads == 0, "model: width %d of stage %d does not divide by heads %d", s.width, i, s.heads);
    const int d = s.width / s.heads;
    REQUIRE(d % 4 == 0 && d <= 256, "model: heads of width %d (%d/%d) in stage %d; must be a multiple of 4, at most "
            "256", d, s.width, s.heads, i);
    REQUIRE(s.hidden <= 1 << 18, "model: an MLP of width %d in stage %d, must be at most %d", s.hidden, i, 1 << 18);
done:
    return err;
}

static int check_sizes(const struct ssa_swin *c)
{
    int err = SSA_OK;
    REQUIRE(c->rows % c->patch == 0 && c->columns % c->patch == 0, "model: patch %d does not divide images of %d x %d",
            c->patch, c->rows, c->columns);
    const int patches = (c->rows / c->patch) * (c->columns / c->patch);
    REQUIRE(patches < LONGEST, "model: %d patches of an image, must be fewer than %d", patches, LONGEST);
    for (int i = stages(c); i < STAGES; i++)
        REQUIRE(!c->layers[i], "model: layers[%d] is %d, but stage %d has none", i, c->layers[i], stages(c));
    for (int i = 0; i < stages(c); i++)
        TRY(check_stage(c, i));
done:
    return err;
}

static int check(const struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    const struct ssa_swin *c = &settled.swin;
    int err = SSA_OK;
    settle(&settled);
    TRY(check_sizes(c));
    REQUIRE(c->dropout < 1, "model: dropout is %g, must be in [0, 1)", (double)c->dropout);
    TRY(ssa_family_check_drops(c->attention_dropout, c->drop_keys));
    REQUIRE(c->drop_path < 1, "model: drop_path is %g, must be in [0, 1)", (double)c->drop_path);
done:
    return err;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    const struct ssa_swin *c = &settled.swin;
    settle(&settled);
    return (struct ssa_facts){.layers = layers(c), .length = stage_of(c, 0).rows * stage_of(c, 0).columns,
                              .width = c->width, .vocabulary = c->classes, .absolute = true, .whole = true,
                              .answers = 1, .join = SSA_JOIN_PROBABILITIES};
}

static bool shifted(const struct stage *s, int layer)
{
    return layer % 2 && s->shift;
}

static struct ssa_layer layer_of(const struct ssa_model_config *config, int layer)
{
    struct ssa_model_config settled = *config;
    int i = 0;
    settle(&settled);
    while (layer >= settled.swin.layers[i])
        layer -= settled.swin.layers[i++];
    const struct stage s = stage_of(&settled.swin, i);
    const int area = s.window * s.window;
    return (struct ssa_layer){.length = area, .sequences = s.rows * s.columns / area, .own_key = shifted(&s, layer),
                              .rows = s.window, .columns = s.window, .channels = 1};
}

static bool divides(const struct ssa_swin *c)
{
    for (int i = 0; i < stages(c); i++)
        if ((c->width << i) % (4 * c->heads[i]))
            return false;
    return true;
}

static bool narrow(struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    settle(&settled);
    do
        settled.swin.width -= 4;
    while (settled.swin.width >= 4 && !divides(&settled.swin));
    if (settled.swin.width < 4)
        return false;
    config->swin.width = settled.swin.width;
    return true;
}

/* ---- the list ---- */

/* Streams of random numbers: 0 of the embedding, and up to eight a layer. */
enum { OF_ATTENTION = 1, OF_MLP, OF_PROBABILITIES, OF_ATTENTION_PATH, OF_MLP_PATH };

/* Layer `l` of all, `at` of its stage. */
static void add_layer(struct ssa_net *net, const struct ssa_swin *c, const struct stage *s, int l, int at)
{
    const float path = layers(c) > 1 ? c->drop_path * (float)l / (float)(layers(c) - 1) : 0;
    struct ssa_window_attention_block attention = {
        .block.ends_bucket = true,
        .branch = {.stream = l << 3 | OF_ATTENTION, .norm = {"norm1", SSA_NORM_LAYER, c->norm_eps, true},
                   .dropout = c->dropout, .path = path, .path_stream = l << 3 | OF_ATTENTION_PATH,
                   .out_deviation = 0.02},
        .rows = s->rows, .columns = s->columns, .window = s->window, .shift = shifted(s, at) ? s->shift : 0,
        .heads = s->heads, .dropout = c->attention_dropout, .drop_keys = c->drop_keys,
        .dropout_stream = l << 3 | OF_PROBABILITIES};
    struct ssa_mlp_block mlp = {
        .branch = {.stream = l << 3 | OF_MLP, .norm = {"norm2", SSA_NORM_LAYER, c->norm_eps, true},
                   .dropout = c->dropout, .path = path, .path_stream = l << 3 | OF_MLP_PATH, .out_deviation = 0.02},
        .hidden = s->hidden, .activation = SSA_ACT_GELU, .bias = true};
    snprintf(attention.block.prefix, sizeof attention.block.prefix, "layer.%d.", l);
    snprintf(mlp.block.prefix, sizeof mlp.block.prefix, "layer.%d.", l);
    ssa_net_add(net, &ssa_window_attention_kind, &attention);
    ssa_net_add(net, &ssa_mlp_kind, &mlp);
}

/* From stage `i` to the next. */
static void add_merge(struct ssa_net *net, const struct ssa_swin *c, const struct stage *s, int i)
{
    struct ssa_merge_block merge = {.rows = s->rows, .columns = s->columns,
                                    .norm = {"norm", SSA_NORM_LAYER, c->norm_eps, true}};
    snprintf(merge.block.prefix, sizeof merge.block.prefix, "merge.%d.", i);
    ssa_net_add(net, &ssa_merge_kind, &merge);
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    const struct ssa_swin *c = &config->swin;
    ssa_net_add(net, &ssa_embed_patches_kind, &(struct ssa_embed_patches_block){.block.ends_bucket = true,
        .rows = c->rows, .columns = c->columns, .channels = c->channels, .patch = c->patch, .width = c->width,
        .norm = {"patch.norm", SSA_NORM_LAYER, c->norm_eps, true}, .dropout = c->dropout});
    for (int i = 0, l = 0; i < stages(c); i++) {
        const struct stage s = stage_of(c, i);
        for (int at = 0; at < s.layers; at++)
            add_layer(net, c, &s, l++, at);
        if (i + 1 < stages(c))
            add_merge(net, c, &s, i);
    }
    ssa_net_add(net, &ssa_head_classes_kind, &(struct ssa_head_classes_block){.classes = c->classes, .mean = true,
        .norm = {"norm", SSA_NORM_LAYER, c->norm_eps, true}});
}

const struct ssa_family ssa_swin_family = {"swin", fields, check, settle, facts, narrow, build, layer_of};
