#include "weights.h"

#include "run/adopt.h"
#include "timm.h"

/* ---- as checkpoints ---- */

static int refuse_family(const struct program *p, const char *path, int family)
{
    return p->families >> family & 1 ? 0 : say_error("%s: holds a model of family %s, which %s does not know", path,
                                                     ssa_model_family(family), p->name);
}

static int import_file(const char *path, const char *to, const char *folder, const void *how)
{
    struct timm_options options = *(const struct timm_options *)how;
    options.passing = folder;
    return timm_import(path, to, &options);
}

int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path)
{
    const int family = timm_family(path);
    if (family < 0)
        return 0;
    return refuse_family(p, path, family) || adopt_file(checkpoint, p, path, import_file, &(struct timm_options){0});
}

int weights_new_head(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path, int classes,
                     uint64_t seed)
{
    struct ssa_checkpoint *other = NULL;
    if (timm_family(path) < 0)
        return 0;
    const struct ssa_model_config *model = ssa_checkpoint_model(*checkpoint);
    const struct timm_options options = {.classes = classes, .seed = seed, .heads = model_int(model, "heads")};
    if (adopt_file(&other, p, path, import_file, &options))
        return EXIT_FAILED;
    say_note("%s: knows %d classes; a new head begins, of %d", path, model_int(model, "classes"), classes);
    ssa_checkpoint_close(*checkpoint);
    *checkpoint = other;
    return 0;
}

/* ---- import ---- */

static struct timm_options how;
static int scale;

/* What a checkpoint notes of it (recipe.c); of data nothing, which is then measured. */
#define SCALE_NAMES "data|imagenet|half"
static const char *const scales[] = {NULL,
    "{\"recipe\": {\"mean_0\": 0.485, \"mean_1\": 0.456, \"mean_2\": 0.406, "
    "\"deviation_0\": 0.229, \"deviation_1\": 0.224, \"deviation_2\": 0.225}}",
    "{\"recipe\": {\"mean_0\": 0.5, \"mean_1\": 0.5, \"mean_2\": 0.5, "
    "\"deviation_0\": 0.5, \"deviation_1\": 0.5, \"deviation_2\": 0.5}}"};

static const char import_about[] =
    "Makes a checkpoint of a ViT, a DeiT or a Swin that timm (PyTorch Image Models) saved: FROM is a safetensors file "
    "with its names, as `safetensors.torch.save_file(model.state_dict(), FROM)` writes it, or the model.safetensors of "
    "a model in its collection. What makes it another model than ours is refused by name.\n"
    "\n"
    "train --from, eval and export take such a file as it is, too, where nothing need be said of it; with --from a new "
    "head is begun where the data have another number of classes.";

static const char import_examples[] =
    "examples:\n"
    "  ssacl-image import deit_tiny_patch16_224.safetensors --scale imagenet --checkpoint deit.safetensors\n"
    "  ssacl-image import vit_huge_patch14_224.safetensors --heads 16 --classes 10 --checkpoint vit.safetensors\n"
    "  ssacl-image train --from swin_tiny_patch4_window7_224.safetensors --data flowers\n";

static const struct arg import_options[] = {
    ARG_INT(0, "heads", &how.heads, 0, 1024, "N",
            "heads of a vit, which its weights do not tell; 0: of 64 each, as timm's have up to a width of 1024"),
    ARG_INT(0, "rows", &how.rows, 0, 1 << 15, "N",
            "rows of its pictures; 0: of a vit they are square, of a swin its last stage is one window"),
    ARG_INT(0, "columns", &how.columns, 0, 1 << 15, "N",
            "columns; 0: of a vit as there are positions, of a swin as many as rows"),
    ARG_INT(0, "classes", &how.classes, 0, 1 << 20, "N",
            "that the head knows; where the file's knows another number, a new one begins. 0: as in the file"),
    ARG_CHOICE(0, "scale", &scale, SCALE_NAMES,
               "what mean and deviation it takes pixels by, which its weights do not tell: those of the data that it "
               "is given; ImageNet's, as DeiT and Swin; 0.5 and 0.5, as most of timm's ViT"),
    ARG_U64('s', "seed", &how.seed, "N", "of such a new head"),
    ARG_END};

static int take(const struct program *p, const char *from, const char *to)
{
    const int family = timm_family(from);
    how.note = scales[scale];
    return refuse_family(p, from, family < 0 ? SSA_VIT : family) || timm_import(from, to, &how);
}

/* ---- export ---- */

static const char export_about[] =
    "Writes the weights of a vit or a swin with the names and shapes that timm 0.9 has for them, as safetensors, and "
    "says which of timm's models they are for. What was imported gives what it was imported from, tensor for tensor.";

static const char export_examples[] =
    "examples:\n"
    "  ssacl-image export --checkpoint swin.safetensors --to timm.safetensors\n"
    "  python3 -c 'import functools, timm, torch; from safetensors.torch import load_file\n"
    "  model = timm.models...                          # as export prints it\n"
    "  model.load_state_dict(load_file(\"timm.safetensors\"))'\n";

static int write(const struct loaded *loaded, const char *name, const char *to)
{
    return timm_export(loaded->model, name, to);
}

const struct exchange weights_exchange = {
    .importing = {.about = import_about, .examples = import_examples, .options = import_options},
    .exporting = {.about = export_about, .examples = export_examples},
    .take = take, .write = write, .program = "timm", .describe = timm_call};
