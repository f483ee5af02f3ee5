/* Weights that timm saved become a checkpoint, number for number; what is no such file, or of another model, is said.
 * What the model makes of an image is held against timm in test_families.c. */
#include "golden.h"
#include "timm.h"

#include "ssacl/checkpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 1 << 16 };
static char from[512], changed[64], to[64], errors[64], bytes[MOST];
static const struct timm_options two_heads = {.heads = 2, .note = "of timm"};

/* The file of timm's, in `bytes`; how many there are. */
static size_t begin(void)
{
    golden_path("timm.safetensors", from, sizeof from);
    snprintf(changed, sizeof changed, "/tmp/ssacl_timm.%d.changed", (int)getpid());
    snprintf(to, sizeof to, "/tmp/ssacl_timm.%d.st", (int)getpid());
    snprintf(errors, sizeof errors, "/tmp/ssacl_timm.%d.said", (int)getpid());
    return test_load_file(from, bytes, sizeof bytes);
}

static void end(void)
{
    remove(changed);
    remove(to);
    remove(errors);
}

/* An import that must fail, with `words`, and leave nothing. */
static void refuses(const char *path, const struct timm_options *options, const char *words)
{
    char said[1024] = "";
    struct stat s;
    fflush(stderr);
    const int kept = dup(2), file = open(errors, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert(kept >= 0 && file >= 0 && dup2(file, 2) == 2);
    const int status = timm_import(path, to, options);
    fflush(stderr);
    ck_assert(dup2(kept, 2) == 2 && pread(file, said, sizeof said - 1, 0) >= 0);
    close(kept);
    close(file);
    ck_assert_msg(status && strstr(said, words), "status %d, not \"%s\" but \"%s\"", status, words, said);
    ck_assert_msg(stat(to, &s), "%s is there", to);
}

/* The file with one piece of text in the place of another, as long, is refused. */
static void refuses_with(const char *old, const char *new, const char *words)
{
    const size_t size = begin();
    ck_assert_uint_eq(strlen(old), strlen(new));
    for (char *p = bytes; p < bytes + size; p++)
        if (!memcmp(p, old, strlen(old))) {
            memcpy(p, new, strlen(new));
            test_save_file(changed, bytes, size);
            refuses(changed, &two_heads, words);
            return;
        }
    ck_abort_msg("no %s in the file", old);
}

static struct ssa_model *model_of(const char *path, struct ssa_device *dev)
{
    struct ssa_checkpoint *checkpoint;
    struct ssa_model *model;
    OK(ssa_checkpoint_open(&checkpoint, path));
    ck_assert_str_eq(ssa_checkpoint_note(checkpoint), "of timm");
    OK(ssa_model_create(&model, dev, ssa_checkpoint_model(checkpoint), &(struct ssa_model_limits){.batch = 1}));
    OK(ssa_checkpoint_load(checkpoint, model, NULL));
    ssa_checkpoint_close(checkpoint);
    return model;
}

static void check_config(const struct ssa_model *m, int classes)
{
    const struct ssa_model_config want = {.family = SSA_VIT, .vit = {.rows = 8, .columns = 8, .channels = 3, .patch = 4,
        .layers = 2, .heads = 2, .width = 16, .hidden = 24, .classes = classes, .norm_eps = 1e-6f}};
    struct ssa_model_config got = *ssa_model_config(m);
    ssa_model_settle(&got);
    ck_assert(got.family == SSA_VIT && !memcmp(&got.vit, &want.vit, sizeof want.vit));
}

static void check_import(struct ssa_device *dev, int classes)
{
    struct timm_options options = two_heads;
    options.classes = classes;
    ck_assert_int_eq(timm_import(from, to, &options), 0);
    struct ssa_model *m = model_of(to, dev), *want, *fresh;
    check_config(m, classes ? classes : 5);
    OK(ssa_model_create(&want, dev, ssa_model_config(m), ssa_model_limits(m)));
    OK(ssa_model_create(&fresh, dev, ssa_model_config(m), ssa_model_limits(m)));
    golden_named_parameters(want, 0.3);
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i), *q = ssa_model_parameter(want, i);
        if (classes && !strncmp(p->name, "head.", 5))
            q = ssa_model_parameter(fresh, i);
        test_same_bits(p->name, p->value, q->value, p->count);
    }
    ssa_model_destroy(fresh);
    ssa_model_destroy(want);
    ssa_model_destroy(m);
}

START_TEST(imported)
{
    begin();
    FOR_DEVICES (dev) {
        check_import(dev, 0);
        check_import(dev, 9);
    }
    end();
}
END_TEST

START_TEST(of_another_model)
{
    begin();
    refuses(from, &(struct timm_options){0}, "is of width 16, not of heads of 64 each");
    refuses(from, &(struct timm_options){.heads = 3}, "width 16 does not divide by heads 3");
    refuses(from, &(struct timm_options){.heads = 2, .rows = 12}, "4 patches of 4 x 4, which are not of as many rows");
    refuses_with("norm.weight\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[",
                 "fc_n.weight\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[", "has no norm.weight");
    refuses_with("\"head.bias\"", "\"dist_tokn\"", "has no head.bias");
    refuses_with("\"cls_token\"", "\"dist_tokn\"", "5 patches of 4 x 4, which are not a square");
    refuses_with("\"patch_embed.proj.weight\"", "\"patch_embed.proj.wei_ht\"", "has no patch_embed.proj.weight");
    refuses_with("\"blocks.1.norm1.weight\"", "\"blocks.7.norm1.weight\"", "which no vit of ours has");
    end();
}
END_TEST

START_TEST(damaged)
{
    const size_t size = begin();
    refuses("/nowhere/at/all", &two_heads, "cannot be opened");
    for (size_t cut = 0; cut < size; cut += cut < 4000 ? 37 : 1777) {
        test_save_file(changed, bytes, cut);
        refuses(changed, &two_heads, cut < 8 ? "is no safetensors file" : "cut short");
    }
    refuses_with("F32", "F16", "is of type F16, not F32");
    refuses_with("\"shape\":[48,16]", "\"shape\":[16,48]", "has not the shape of [48, 16]");
    refuses_with("\"shape\":[1,5,16]", "\"shape\":[1,70,1]", "which are not a square");
    refuses_with("\"shape\":[1,5,16]", "\"shape\":[1,50,1]", "bytes of weights, of such a model there are");
    refuses_with("\"data_offsets\":[64,1088]", "\"data_offsets\":[9064,88]", "is not where it should be");
    refuses_with("\"data_offsets\":[0,64]", "\"data_offsets\":[-9,5]", "is not where it should be");
    refuses_with("{\"blocks", "[\"blocks", "its header is no JSON");
    begin();
    memset(bytes + size - 4, 0xff, 4); /* NaN */
    test_save_file(changed, bytes, size);
    refuses(changed, &two_heads, "not finite");
    end();
}
END_TEST

int main(void)
{
    return test_run("timm", (const TTest *const[]){imported, of_another_model, damaged, NULL});
}
