/* Weights that timm saved become a checkpoint, number for number, whose logits are timm's, and are written again as
 * they were; what is no such file, or of another model, is said. Gradients stand against timm's in test_families.c. */
#include "golden.h"
#include "timm.h"

#include "ssacl/checkpoint.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 1 << 16, AREA = 16, SWIN_LAYERS = 4 };
static char from[512], changed[64], to[64], out[64], errors[64], bytes[MOST];

/* A file of timm's in golden/, what it is of, and the case of timm.json that has its logits. */
struct saved {
    const char *file, *name;
    struct timm_options options;
    struct ssa_model_config config;
};
static const struct saved vit = {"timm.safetensors", "timm, in a file", {.heads = 2, .note = "of timm"},
    {.family = SSA_VIT, .vit = {.rows = 8, .columns = 8, .channels = 3, .patch = 4, .layers = 2, .heads = 2,
                                .width = 16, .hidden = 24, .classes = 5, .norm_eps = 1e-6f}}};
static const struct saved swin = {"timm_swin.safetensors", "timm, Swin, in a file", {.note = "of timm"},
    {.family = SSA_SWIN, .swin = {.rows = 16, .columns = 16, .channels = 3, .patch = 2, .width = 8, .layers = {2, 2},
                                  .heads = {2, 2}, .window = 4, .hidden_ratio = 2, .classes = 5, .norm_eps = 1e-5f}}};

/* The file of timm's, in `bytes`; how many there are. */
static size_t begin(const struct saved *of)
{
    const int process = (int)getpid();
    golden_path(of->file, from, sizeof from);
    snprintf(changed, sizeof changed, "/tmp/ssacl_timm.%d.changed", process);
    snprintf(to, sizeof to, "/tmp/ssacl_timm.%d.st", process);
    snprintf(out, sizeof out, "/tmp/ssacl_timm.%d.out", process);
    snprintf(errors, sizeof errors, "/tmp/ssacl_timm.%d.said", process);
    return test_load_file(from, bytes, sizeof bytes);
}

static void end(void)
{
    remove(changed);
    remove(to);
    remove(out);
    remove(errors);
}

/* ---- what is refused ---- */

static int silenced = -1;

static void listen(void)
{
    fflush(stderr);
    const int file = open(errors, O_RDWR | O_CREAT | O_TRUNC, 0600);
    silenced = dup(2);
    ck_assert(silenced >= 0 && file >= 0 && dup2(file, 2) == 2);
    close(file);
}

/* It failed, with `words`, and left nothing at `path`. */
static void heard(int status, const char *words, const char *path)
{
    char said[1024] = "";
    struct stat s;
    fflush(stderr);
    ck_assert(pread(2, said, sizeof said - 1, 0) >= 0 && dup2(silenced, 2) == 2);
    close(silenced);
    ck_assert_msg(status && strstr(said, words), "status %d, not \"%s\" but \"%s\"", status, words, said);
    ck_assert_msg(stat(path, &s), "%s is there", path);
}

static void refuses(const char *path, const struct timm_options *options, const char *words)
{
    listen();
    heard(timm_import(path, to, options), words, to);
}

/* The file with one piece of text in the place of another, as long, is refused. */
static void refuses_with(const struct saved *of, const char *old, const char *new, const char *words)
{
    const size_t size = begin(of);
    ck_assert_uint_eq(strlen(old), strlen(new));
    for (char *p = bytes; p < bytes + size; p++)
        if (!memcmp(p, old, strlen(old))) {
            memcpy(p, new, strlen(new));
            test_save_file(changed, bytes, size);
            refuses(changed, &of->options, words);
            return;
        }
    ck_abort_msg("no %s in the file", old);
}

/* ---- there ---- */

static struct ssa_model *model_of(const char *path, struct ssa_device *dev)
{
    struct ssa_checkpoint *checkpoint;
    struct ssa_model *model;
    OK(ssa_checkpoint_open(&checkpoint, path));
    ck_assert_str_eq(ssa_checkpoint_note(checkpoint), "of timm");
    OK(ssa_model_create(&model, dev, ssa_checkpoint_model(checkpoint), &(struct ssa_model_limits){.batch = 2}));
    OK(ssa_checkpoint_load(checkpoint, model, NULL));
    ssa_checkpoint_close(checkpoint);
    return model;
}

/* Of this model but for the classes. */
static void check_config(const struct ssa_model *m, const struct ssa_model_config *want, int classes)
{
    struct ssa_model_config got = *ssa_model_config(m), other = *want;
    *(want->family == SSA_VIT ? &other.vit.classes : &other.swin.classes) = classes;
    ssa_model_settle(&got);
    ck_assert_int_eq(got.family, want->family);
    ck_assert(want->family == SSA_VIT ? !memcmp(&got.vit, &other.vit, sizeof got.vit)
                                      : !memcmp(&got.swin, &other.swin, sizeof got.swin));
}

/* The parameters that the file has, and the head of a new model where it is to know more. */
static void check_parameters(const struct ssa_model *m, struct ssa_device *dev, bool new_head)
{
    struct ssa_model *want, *fresh;
    OK(ssa_model_create(&want, dev, ssa_model_config(m), ssa_model_limits(m)));
    OK(ssa_model_create(&fresh, dev, ssa_model_config(m), ssa_model_limits(m)));
    OK(ssa_model_initialise(fresh, 7));
    golden_named_parameters(want, 0.3);
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i), *q = ssa_model_parameter(want, i);
        if (new_head && !strncmp(p->name, "head.", 5))
            q = ssa_model_parameter(fresh, i);
        test_same_bits(p->name, p->value, q->value, p->count);
    }
    ssa_model_destroy(fresh);
    ssa_model_destroy(want);
}

static void check_logits(struct ssa_model *m, const struct saved *of, int elements)
{
    json_t *all = golden_read("timm.json"), *g = json_object_get(all, of->name);
    double *want = golden_doubles(json_object_get(g, "logits"), 10), largest = 0;
    float *pixels = malloc(2 * (size_t)elements * sizeof *pixels), got[5];
    ck_assert_msg(g != NULL, "no %s", of->name);
    for (int i = 0; i < 2 * elements; i++)
        pixels[i] = (float)golden_value(1000, (uint32_t)i);
    for (int i = 0; i < 10; i++)
        largest = fmax(largest, fabs(want[i]));
    OK(ssa_model_forward(m, &(struct ssa_pass){.pixels = pixels}));
    for (int i = 0; i < 10; i++) {
        OK(ssa_model_read_logits(m, i / 5, 0, got));
        ck_assert_msg(fabs((double)got[i % 5] - want[i]) < 1e-5 * largest, "%s: logit %d is %.9g, not %.9g", of->name,
                      i, (double)got[i % 5], want[i]);
    }
    free(want);
    free(pixels);
    json_decref(all);
}

static void check_import(struct ssa_device *dev, const struct saved *of, int classes, int elements)
{
    struct timm_options options = of->options;
    const int now = classes ? classes : 5;
    options.classes = classes;
    options.seed = 7;
    ck_assert_int_eq(timm_import(from, to, &options), 0);
    struct ssa_model *m = model_of(to, dev);
    check_config(m, &of->config, now);
    check_parameters(m, dev, now != 5);
    if (now == 5)
        check_logits(m, of, elements);
    ssa_model_destroy(m);
}

static void check_imports(const struct saved *of, int elements)
{
    begin(of);
    ck_assert_int_eq(timm_family(from), of->config.family);
    FOR_DEVICES (dev) {
        check_import(dev, of, 0, elements);
        check_import(dev, of, 5, elements);
        check_import(dev, of, 9, elements);
    }
    end();
}

START_TEST(imported)
{
    check_imports(&vit, 8 * 8 * 3);
    check_imports(&swin, 16 * 16 * 3);
    ck_assert_int_eq(timm_family("/nowhere/at/all"), -1);
}
END_TEST

/* ---- and back ---- */

static json_t *header_in(const char *file, size_t size, uint64_t *length)
{
    ck_assert_uint_gt(size, 8);
    memcpy(length, file, 8);
    ck_assert_uint_lt(*length, size - 8);
    json_t *header = json_loadb(file + 8, (size_t)*length, 0, NULL);
    ck_assert(header != NULL);
    return header;
}

/* The same tensors in the same places, names, types, shapes and values. */
static void check_same_file(size_t size)
{
    static char again[MOST];
    const size_t other = test_load_file(out, again, sizeof again);
    uint64_t ours, theirs;
    json_t *got = header_in(again, other, &ours), *want = header_in(bytes, size, &theirs);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(got, "__metadata__"), "format")), "pt");
    json_object_del(got, "__metadata__");
    ck_assert(json_equal(got, want));
    ck_assert_uint_eq(other - ours, size - theirs);
    ck_assert(!memcmp(again + 8 + ours, bytes + 8 + theirs, size - 8 - theirs));
    json_decref(got);
    json_decref(want);
}

static void check_export(struct ssa_device *dev, const struct saved *of)
{
    const size_t size = begin(of);
    ck_assert_int_eq(timm_import(from, to, &of->options), 0);
    struct ssa_model *m = model_of(to, dev);
    ck_assert_int_eq(timm_export(m, to, out), 0);
    check_same_file(size);
    ssa_model_destroy(m);
}

static void refuses_to_export(struct ssa_device *dev, const struct ssa_model_config *config, const char *words)
{
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, config, &(struct ssa_model_limits){.batch = 1}));
    listen();
    heard(timm_export(m, "a file", out), words, out);
    ssa_model_destroy(m);
}

START_TEST(exported)
{
    struct ssa_model_config narrow = swin.config;
    const struct ssa_model_config gpt = {.gpt = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 9, .length = 4}};
    narrow.swin.rows = 32; /* 16 x 8 positions, then 8 x 4 */
    FOR_DEVICES (dev) {
        check_export(dev, &vit);
        check_export(dev, &swin);
        end();
        refuses_to_export(dev, &gpt, "a file: holds a model of family gpt, which timm has no names for");
        refuses_to_export(dev, &narrow, "a file: the grid of stage 1 is of 8 x 4 positions, its windows of 4");
    }
    end();
}
END_TEST

START_TEST(calls)
{
    char text[1024];
    timm_call(&vit.config, text, sizeof text);
    ck_assert_str_eq(text, "timm.models.vision_transformer.VisionTransformer(img_size=(8, 8), patch_size=4, "
                     "in_chans=3, num_classes=5, embed_dim=16, depth=2, num_heads=2, mlp_ratio=1.5, class_token=True, "
                     "global_pool='token', fc_norm=False, "
                     "norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-06))");
    timm_call(&swin.config, text, sizeof text);
    ck_assert_str_eq(text, "timm.models.swin_transformer.SwinTransformer(img_size=(16, 16), patch_size=2, "
                     "in_chans=3, num_classes=5, embed_dim=8, depths=(2, 2, ), num_heads=(2, 2, ), window_size=4, "
                     "mlp_ratio=(2, 2, ), norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-05))");
}
END_TEST

/* ---- Swin as it was saved before timm 0.9 ---- */

struct old {
    json_t *header;
    uint64_t used; /* bytes of data */
    char data[MOST];
};

static void add(struct old *o, const char *layer, const char *end, const char *type, json_t *shape, const void *values,
                size_t size)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", layer, end);
    ck_assert_uint_lt(o->used + size, sizeof o->data);
    memcpy(o->data + o->used, values, size);
    json_object_set_new(o->header, name, json_pack("{s:s, s:o, s:[II]}", "dtype", type, "shape", shape, "data_offsets",
                                                   (json_int_t)o->used, (json_int_t)(o->used + size)));
    o->used += size;
}

static void add_index(struct old *o, const char *layer, int wrong)
{
    int64_t index[AREA][AREA];
    for (int i = 0; i < AREA; i++)
        for (int j = 0; j < AREA; j++)
            index[i][j] = 7 * (i / 4 - j / 4 + 3) + i % 4 - j % 4 + 3;
    index[5][9] += wrong;
    add(o, layer, "attn.relative_position_index", "I64", json_pack("[ii]", AREA, AREA), index, sizeof index);
}

/* As its authors cut the shifted grid of 8 x 8 into nine: at 4 and 6. */
static void add_mask(struct old *o, const char *layer, int wrong)
{
    static float mask[4][AREA][AREA];
    for (int w = 0; w < 4; w++)
        for (int i = 0; i < AREA; i++)
            for (int j = 0; j < AREA; j++) {
                const int u = w / 2 * 4, v = w % 2 * 4;
                const bool rows = u && i / 4 / 2 != j / 4 / 2, columns = v && i % 4 / 2 != j % 4 / 2;
                mask[w][i][j] = rows || columns ? -100 : 0;
            }
    if (wrong)
        mask[3][0][15] = 0;
    add(o, layer, "attn_mask", "F32", json_pack("[iii]", 4, AREA, AREA), mask, sizeof mask);
}

/* The older name of a tensor. */
static const char *older(const char *name, char room[128])
{
    static const char *const renamed[][2] = {{"head.fc.", "head."}, {"layers.1.downsample.", "layers.0.downsample."}};
    for (int i = 0; i < 2; i++) {
        const size_t length = strlen(renamed[i][0]);
        snprintf(room, 128, "%s%s", renamed[i][1], name + (strlen(name) < length ? 0 : length));
        if (!strncmp(name, renamed[i][0], length))
            return room;
    }
    return name;
}

/* `changed`: timm_swin.safetensors with older names and buffers, one of which may be wrong. */
static void save_old(int wrong_index, int wrong_mask)
{
    static const char *const layers[SWIN_LAYERS] = {"layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0",
                                                    "layers.1.blocks.1"};
    static struct old o;
    static char file[2 * MOST];
    uint64_t length;
    const char *name;
    char room[128];
    json_t *entry;
    const size_t size = begin(&swin);
    json_t *newer = header_in(bytes, size, &length);
    o.header = json_object();
    o.used = size - 8 - length;
    memcpy(o.data, bytes + 8 + length, o.used);
    json_object_foreach(newer, name, entry)
        json_object_set(o.header, older(name, room), entry);
    json_decref(newer);
    for (int l = 0; l < SWIN_LAYERS; l++)
        add_index(&o, layers[l], l == 2 ? wrong_index : 0);
    add_mask(&o, layers[1], wrong_mask);
    char *text = json_dumps(o.header, JSON_COMPACT);
    length = strlen(text);
    ck_assert_uint_lt(8 + length + o.used, sizeof file);
    memcpy(file, &length, 8);
    memcpy(file + 8, text, length);
    memcpy(file + 8 + length, o.data, o.used);
    test_save_file(changed, file, 8 + length + o.used);
    free(text);
    json_decref(o.header);
}

START_TEST(older_names)
{
    FOR_DEVICES (dev) {
        save_old(0, 0);
        ck_assert_int_eq(timm_import(changed, to, &swin.options), 0);
        struct ssa_model *m = model_of(to, dev);
        check_config(m, &swin.config, 5);
        check_parameters(m, dev, false);
        ck_assert_int_eq(timm_export(m, to, out), 0); /* with the newer ones */
        check_same_file(begin(&swin));
        ssa_model_destroy(m);
    }
    end();
    save_old(1, 0);
    refuses(changed, &swin.options, "layers.1.blocks.0.attn.relative_position_index is not that of windows of 4");
    save_old(0, 1);
    refuses(changed, &swin.options, "layers.0.blocks.1.attn_mask is not that of windows of 4 in a grid of 8 x 8");
    save_old(0, 0);
    refuses(changed, &(struct timm_options){.rows = 32}, "attn_mask has not the shape of [16, 16, 16]");
    end();
}
END_TEST

/* ---- what is wrong ---- */

START_TEST(of_another_model)
{
    struct saved sized = swin;
    sized.options.rows = 16;
    begin(&vit);
    refuses(from, &(struct timm_options){0}, "is of width 16, which timm has no heads of 64 for: say");
    refuses(from, &(struct timm_options){.heads = 3}, "width 16 does not divide by heads 3");
    refuses(from, &(struct timm_options){.heads = 2, .rows = 12}, "4 patches of 4 x 4, which are not of as many rows");
    refuses(from, &(struct timm_options){.heads = 2, .rows = 8, .columns = 12}, "which are not of as many rows");
    refuses_with(&vit, "norm.weight\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[",
                 "norm.wait__\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[", "has no norm.weight");
    refuses_with(&vit, "\"head.bias\"", "\"head_bias\"", "has no head.bias");
    refuses_with(&vit, "\"cls_token\"", "\"cls_tokem\"", "5 patches of 4 x 4, which are not a square");
    refuses_with(&vit, "\"patch_embed.proj.weight\"", "\"patch_embed.proj.wei_ht\"", "has no patch_embed.proj.weight");
    refuses_with(&vit, "\"blocks.1.norm1.weight\"", "\"blocks.7.norm1.weight\"", "which no vit of ours has");
    refuses_with(&vit, "\"head.weight\"", "\"head_weight\"", "has no head.weight of timm's ViT: begin a new head");
    begin(&swin);
    refuses(from, &(struct timm_options){.heads = 3}, "has 2 heads in its first stage, not 3");
    refuses(from, &(struct timm_options){.rows = 20}, "windows of 4 do not divide the grid of stage 0, 10 x 10");
    refuses(from, &(struct timm_options){.rows = 32, .columns = 16}, "the grid of stage 1 is of 8 x 4 positions");
    refuses_with(&swin, "\"layers.1.downsample.norm.bias\"", "\"layers.1.downsample.norm.wias\"",
                 "has no layers.1.downsample.norm.bias");
    refuses_with(&swin, "\"head.fc.weight\"", "\"head.fc.height\"", "has no head.fc.weight of timm's Swin");
    refuses_with(&swin, "\"patch_embed.norm.weight\"", "\"patch_embed.norm.height\"", "has no patch_embed.norm.weight");
    refuses_with(&swin, "\"shape\":[49,2]", "\"shape\":[98,1]", "are not those of square windows");
    refuses_with(&sized, "1.blocks.0.attn.relative_position_bias_table\":{\"dtype\":\"F32\",\"shape\":[49,2]",
                 "1.blocks.0.attn.relative_position_bias_table\":{\"dtype\":\"F32\",\"shape\":[25,2]",
                 "stage 1 has windows of 3; where the first has 4, and images are of 16 x 16, no swin of ours has");
    end();
}
END_TEST

/* Models of timm's that we have not, each by the name of a tensor of theirs. */
START_TEST(variants)
{
    refuses_with(&vit, "\"cls_token\"", "\"fc_norm.x\"", "has fc_norm.x, of a model with a norm after the mean, which");
    refuses_with(&vit, "\"pos_embed\"", "\"reg_token\"", "has reg_token, of a model with registers");
    refuses_with(&vit, "\"blocks.0.attn.proj.bias\"", "\"blocks.0.ls1.gamma.____\"",
                 "has blocks.0.ls1.gamma.____, of a model with scales of its branches, which no vit of ours has");
    refuses_with(&vit, "\"blocks.0.norm1.bias\"", "\"head_dist.____.bias\"", "a second head, as DeiT distilled");
    refuses_with(&vit, "\"blocks.0.norm1.bias\"", "\"blocks.0.dist_token\"", "a second class token, as DeiT distilled");
    refuses_with(&vit, "\"blocks.0.norm1.bias\"", "\"blocks.0.q_norm.bis\"", "norms of queries and keys");
    refuses_with(&swin, "\"layers.0.blocks.0.attn.proj.bias\"", "\"layers.0.blocks.0.at.logit_scale\"",
                 "attention by cosines, as SwinV2, which no swin of ours has");
    refuses_with(&swin, "\"patch_embed.proj.bias\"", "\"absolute_pos_embed___\"", "learned positions besides");
    end();
}
END_TEST

START_TEST(damaged)
{
    const struct saved *const both[] = {&vit, &swin};
    refuses("/nowhere/at/all", &vit.options, "cannot be opened");
    for (int b = 0; b < 2; b++) {
        const size_t size = begin(both[b]);
        for (size_t cut = 0; cut < size; cut += cut < 4000 ? 37 : 1777) {
            test_save_file(changed, bytes, cut);
            refuses(changed, &both[b]->options, cut < 8 ? "is no safetensors file" : "cut short");
        }
    }
    refuses_with(&vit, "F32", "F16", "is of type F16, not F32: convert it");
    refuses_with(&vit, "\"shape\":[48,16]", "\"shape\":[16,48]", "has not the shape of [48, 16]");
    refuses_with(&vit, "\"shape\":[1,5,16]", "\"shape\":[1,70,1]", "which are not a square");
    refuses_with(&vit, "\"shape\":[1,5,16]", "\"shape\":[1,50,1]", "bytes of weights, of such a model there are");
    refuses_with(&vit, "\"data_offsets\":[64,1088]", "\"data_offsets\":[9064,88]", "is not where it should be");
    refuses_with(&vit, "\"data_offsets\":[0,64]", "\"data_offsets\":[-9,5]", "is not where it should be");
    refuses_with(&vit, "{\"blocks", "[\"blocks", "its header is no JSON");
    refuses_with(&swin, "\"shape\":[24,8]", "\"shape\":[8,24]", "has not the shape of [24, 8]");
    refuses_with(&swin, "\"shape\":[8,3,2,2]", "\"shape\":[8,3,0,2]", "has no patch_embed.proj.weight");
    const size_t size = begin(&vit);
    memset(bytes + size - 4, 0xff, 4); /* NaN */
    test_save_file(changed, bytes, size);
    refuses(changed, &vit.options, "is not finite: its training had diverged");
    end();
}
END_TEST

int main(void)
{
    return test_run("timm", (const TTest *const[]){imported, exported, calls, older_names, of_another_model, variants,
                                                   damaged, NULL});
}
