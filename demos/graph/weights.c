#include "weights.h"

#include "egt.h"
#include "recipe.h"
#include "run/adopt.h"

#include <math.h>

/* If nothing is said: of their molecules none has as many atoms. */
static struct egt_options how = {.nodes = 64, .attention_dropout = 0.3f};
static int mask_padding;

/* ---- as checkpoints ---- */

static int import_passing(const char *from, const char *to, const char *folder, const void *none)
{
    (void)none;
    how.passing = folder;
    return egt_import(from, to, &how);
}

int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path)
{
    return egt_is(path) ? adopt_file(checkpoint, p, path, import_passing, NULL) : 0;
}

/* ---- import ---- */

static const char import_about[] =
    "Makes a checkpoint of a model of molecules that the authors of EGT trained: FROM is a safetensors file with the "
    "names of egt_pytorch, as `safetensors.torch.save_file(torch.load('model_state'), FROM)` writes it. Its settings "
    "must be scale_degree, clip_logits_value 5 and elu, as in all of their configurations of PCQM4Mv2; the rest the "
    "weights tell. Its answers are in the unit of what it learned: eV.\n"
    "\n"
    "In their code virtual nodes see the padding of their batch, and answers depend on it. Imported, they do so too "
    "(and cannot sample), unless --mask-padding says otherwise; training from it with --from masks padding.\n"
    "\n"
    "train --from, eval, predict and export take such a file as it is, too.";

static const char import_examples[] =
    "examples:\n"
    "  ssacl-graph import egt_90m.safetensors --checkpoint egt.safetensors\n"
    "  ssacl-graph eval --checkpoint egt.safetensors --data pcqm4mv2.graphs --part valid\n";

static const struct arg import_options[] = {
    ARG_INT(0, "nodes", &how.nodes, 1, 4096, "N", "atoms of the largest molecule that it is to take"),
    ARG_FLOAT(0, "attention-dropout", &how.attention_dropout, 0, 0.999, "P", "of a training from it"),
    ARG_FLAG(0, "mask-padding", &mask_padding,
             "virtual nodes see no padding: answers are others than theirs, and do not depend on the batch"),
    ARG_END};

static int take(const struct program *p, const char *from, const char *to)
{
    (void)p;
    how.mask_padding = mask_padding;
    how.note = "{\"recipe\": {\"raw_targets\": 1, \"mean\": 0, \"deviation\": 1}, \"unit\": \"eV\"}";
    return egt_import(from, to, &how);
}

/* ---- export ---- */

static const char export_about[] =
    "Writes the weights of a checkpoint with the names and layouts of the authors' code (egt_pytorch), as safetensors, "
    "and says which settings their model must have. What was imported gives what it was imported from, tensor for "
    "tensor. A target that was learned less its mean, divided by its deviation, is answered so: both are said. Their "
    "virtual nodes see a batch's padding: of a model that was not trained so they answer as here where none is padded.";

static const char export_examples[] =
    "examples:\n"
    "  ssacl-graph export --checkpoint egt.safetensors --to theirs.safetensors\n"
    "  python3 -c 'from safetensors.torch import load_file\n"
    "  model = EGT_MOL(...)                          # as export prints it\n"
    "  model.load_state_dict(load_file(\"theirs.safetensors\"))'\n";

static int write(const struct loaded *loaded, const char *name, const char *to)
{
    struct recipe recipe;
    recipe_defaults(&recipe);
    recipe_take_scale(&recipe, loaded->checkpoint);
    if (egt_export(loaded->model, name, to))
        return EXIT_FAILED;
    if (fabs(recipe.mean) > 0 || recipe.deviation < 1 || recipe.deviation > 1)
        say_note("the target is %.9g times its answer, and %.9g", recipe.deviation, recipe.mean);
    return 0;
}

const struct exchange weights_exchange = {
    .importing = {.about = import_about, .examples = import_examples, .options = import_options},
    .exporting = {.about = export_about, .examples = export_examples},
    .take = take, .write = write, .program = "settings", .describe = egt_settings};
