#include "presets.h"

#include "files.h"
#include "say.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SWIN_T \
    .rows = 224, .columns = 224, .channels = 3, .patch = 4, .width = 96, .layers = {2, 2, 6, 2}, \
    .heads = {3, 6, 12, 24}, .classes = 1000, .drop_path = 0.2f
/* 18 atoms are for plans without data, a few more than molecules of PCQM4Mv2 have in the mean (14). */
#define OF_EGT \
    .nodes = 18, .node_ids = 9, .node_values = 128, .edge_ids = 3, .edge_values = 8, .hops = 17, .encodings = 16, \
    .heads = 32, .edge_width = 64, .virtual_nodes = 4, .attention_dropout = 0.3f
#define ADAM .beta2 = 0.999f, .decay = SSA_NONE, .clip = SSA_NONE
#define OF_SWIN .beta2 = 0.999f, .decay = 0.05f, .clip = 5, .smoothing = 0.1f

static const struct preset presets[] = {
    /* Hussain et al. 2023 trained on enwik8; their model is not known to us. This is Transformer-XL's base model of it,
     * without memory, and its training (Adam, 400000 steps of 22 sequences, no decay): twelve layers of width 512. */
    {.name = "enwik8",
     .about = "the byte model of the paper's task, 38.0 million parameters; 380000 sampled steps, 20000 dense",
     .model.gpt = {.layers = 12, .width = 512, .heads = 8, .hidden = 2048, .vocabulary = 256, .length = 512,
                   .positions = SSA_POSITIONS_ROTARY, .dropout = 0.1f},
     .batch = 22, .accumulate = 1, .training = {.beta2 = 0.999f, .decay = SSA_NONE, .clip = 0.25f},
     .stage = {.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1}, .steps = 380000, .lr = 2.5e-4f},
     .fine_tune = 20000, .fine_tune_lr = 2.5e-5f},
    {.name = "tiny",
     .about = "0.1 million parameters and a minute on two cores, to try things; 170 sampled steps, 30 dense",
     .model.gpt = {.layers = 2, .width = 64, .heads = 2, .hidden = 256, .vocabulary = 256, .length = 128,
                   .positions = SSA_POSITIONS_ROTARY},
     .batch = 8, .accumulate = 1, .training = {.decay = 0.1f, .clip = 1},
     .stage = {.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1}, .steps = 170, .lr = 2e-3f},
     .fine_tune = 30, .fine_tune_lr = 5e-4f},
    /* Baevski and Auli 2019, as fairseq trains it: Nesterov's momentum 0.99 at rate 1, 16000 steps of warm-up and one
     * cosine down to 1e-4, steps of 8 devices x 3 passes x 3072 words, clipped to 0.1. */
    {.name = "wikitext103",
     .about = "fairseq's model of WikiText-103, adaptive input and softmax: 246.9 million parameters; 286000 dense "
              "steps",
     .model = {.family = SSA_WORDS, .words = {.vocabulary = 267744, .length = 3072, .layers = 16, .heads = 8,
                                              .width = 1024, .hidden = 4096, .cutoffs = {20000, 60000}, .dropout = 0.3f,
                                              .attention_dropout = 0.1f, .activation_dropout = 0.1f,
                                              .head_dropout = 0.2f}},
     .batch = 1, .accumulate = 24, .training = {.optimiser = SSA_NAG, .decay = SSA_NONE, .clip = 0.1f, .blocks = 1},
     .stage = {.pattern = {.kind = SSA_DENSE}, .steps = 286000, .lr = 1, .lr_end = 1e-4f, .warmup = 16000}},
    /* Touvron et al. 2021: 300 epochs of 1,281,167 images, of which five warm up; rate 5e-4 a 512 images. Their
     * repeated augmentation is left out. */
    {.name = "deit-tiny",
     .about = "DeiT's smallest, for ImageNet: 5.7 million parameters; 300 epochs of its recipe, all but the last 15 "
              "sampled",
     .model = {.family = SSA_VIT, .vit = {.rows = 224, .columns = 224, .channels = 3, .patch = 16, .layers = 12,
                                          .heads = 3, .width = 192, .classes = 1000, .drop_path = 0.1f}},
     .batch = 64, .accumulate = 16,
     .training = {.beta2 = 0.999f, .decay = 0.05f, .clip = SSA_NONE, .smoothing = 0.1f},
     .stage = {.pattern = {.kind = SSA_UNBIASED, .ratio = 49.0f / 197, .per_example = 1}, .steps = 356540, .lr = 1e-3f,
               .lr_end = 1e-5f, .warmup = 6256},
     .fine_tune = 18768, .fine_tune_lr = 1e-4f, .augmentation = "swin"},
    /* Liu et al. 2021: 300 epochs of 1251 steps of 1024 images, of which twenty warm up; rate 5e-4 a 512 images. */
    {.name = "swin-t",
     .about = "Swin's smallest, for ImageNet: 28.3 million parameters; 300 dense epochs of its recipe",
     .model = {.family = SSA_SWIN, .swin = {SWIN_T, .window = 7}},
     .batch = 64, .accumulate = 16, .training = {OF_SWIN},
     .stage = {.pattern = {.kind = SSA_DENSE}, .steps = 375300, .lr = 1e-3f, .lr_end = 1e-5f, .warmup = 25020},
     .augmentation = "swin"},
    /* Of the paper's Swin no more is known than its accuracy. Here windows are of 196 positions, of which as many are
     * seen as Swin's have, so that it costs the same; the last stage has 49 in all. A query sees its own key where the
     * library must, in shifted windows. */
    {.name = "swin-t-w14-ssa",
     .about = "the same in windows of 14 x 14, of whose 196 keys 49 are seen; all but the last 15 epochs sampled",
     .model = {.family = SSA_SWIN, .swin = {SWIN_T, .window = 14}},
     .batch = 64, .accumulate = 16, .training = {OF_SWIN},
     .stage = {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.25f, .per_example = 1, .own_key = SSA_NONE,
                           .dense_last = 2}, .steps = 356535, .lr = 1e-3f, .lr_end = 1e-5f, .warmup = 25020},
     .fine_tune = 18765, .fine_tune_lr = 1e-4f, .augmentation = "swin"},
    /* Child et al. 2019: 140 epochs of 48,000 images in steps of 16, Adam with decay 0.01, clipped at 1, an average of
     * the weights; theirs has strided and fixed patterns where ours is sampled. */
    {.name = "cifar10-59m",
     .about = "Sparse Transformers' generator of CIFAR-10, 59.2 million parameters; 400000 sampled steps, 20000 "
              "dense",
     .model = {.family = SSA_PIXELS, .pixels = {.rows = 32, .columns = 32, .channels = 3, .values = 256, .layers = 128,
                                                .heads = 2, .key_width = 64, .width = 256, .hidden = 512,
                                                .dropout = 0.25f}},
     .batch = 1, .accumulate = 16, .training = {.decay = 0.01f, .clip = 1, .ema = 0.999f},
     .stage = {.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1}, .steps = 400000, .lr = 3.5e-4f},
     .fine_tune = 20000, .fine_tune_lr = 3.5e-5f, .augmentation = "none"},
    /* Hussain et al. 2022, and their code: absolute error of the gap in eV as it is, Adam without decay, steps of 512 */
    {.name = "egt-90m",
     .about = "the authors' EGT for PCQM4Mv2, 89.3 million parameters, dense: a million steps",
     .model = {.family = SSA_EGT, .egt = {OF_EGT, .layers = 24, .width = 768}},
     .batch = 64, .accumulate = 8, .training = {ADAM},
     .stage = {.pattern = {.kind = SSA_DENSE}, .steps = 1000000, .lr = 1e-4f, .lr_end = 1e-6f, .warmup = 200000},
     .augmentation = "raw"},
    {.name = "egt-47m",
     .about = "the smaller one, 47.4 million parameters, dense: a million steps",
     .model = {.family = SSA_EGT, .egt = {OF_EGT, .layers = 18, .width = 640}},
     .batch = 64, .accumulate = 8, .training = {ADAM},
     .stage = {.pattern = {.kind = SSA_DENSE}, .steps = 1000000, .lr = 1e-4f, .lr_end = 1e-6f, .warmup = 200000},
     .augmentation = "raw"},
    /* Of the paper's EGT with SSA the error alone is known. */
    {.name = "egt-90m-ssa",
     .about = "egt-90m, of whose atoms half are seen, drawn for each molecule and layer; the last 50000 steps dense",
     .model = {.family = SSA_EGT, .egt = {OF_EGT, .layers = 24, .width = 768}},
     .batch = 64, .accumulate = 8, .training = {ADAM},
     .stage = {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f, .per_example = 1, .own_key = SSA_NONE},
               .steps = 950000, .lr = 1e-4f, .lr_end = 1e-6f, .warmup = 200000},
     .fine_tune = 50000, .fine_tune_lr = 1e-5f, .augmentation = "raw"},
    {.name = "fashion",
     .about = "for Fashion-MNIST on two cores: 0.5 million parameters; of each 2000 images 51 epochs that see 12 of 49 "
              "patches, 9 dense",
     .model = {.family = SSA_VIT, .vit = {.rows = 28, .columns = 28, .channels = 1, .patch = 4, .layers = 4, .heads = 6,
                                          .width = 96, .classes = 10}},
     .batch = 50, .accumulate = 1, .training = {.beta2 = 0.999f, .decay = 0.05f, .clip = 1},
     .stage = {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.24f, .per_example = 1}, .steps = 2040, .lr = 1e-3f},
     .fine_tune = 360, .fine_tune_lr = 1e-4f, .augmentation = "none"},
};
enum { PRESETS = sizeof presets / sizeof *presets };

static bool is_of(const struct preset *p, unsigned families)
{
    return families >> p->model.family & 1;
}

static void list_presets(FILE *file, unsigned families)
{
    for (int i = 0; i < PRESETS; i++)
        if (is_of(&presets[i], families))
            fprintf(file, "  %-14s %s\n", presets[i].name, presets[i].about);
}

bool preset_is_of(const char *name, int family)
{
    for (int i = 0; i < PRESETS; i++)
        if (presets[i].model.family == family && !strcmp(presets[i].name, name))
            return true;
    return false;
}

const struct preset *preset_find(const char *name, unsigned families, int *status)
{
    for (int i = 0; i < PRESETS; i++)
        if (is_of(&presets[i], families) && !strcmp(presets[i].name, name))
            return &presets[i];
    if (!strcmp(name, "help")) {
        list_presets(stdout, families);
        *status = finish_stdout();
        return NULL;
    }
    say_error("--preset: there is none of the name '%s'; there are", name);
    list_presets(stderr, families);
    *status = EXIT_USAGE;
    return NULL;
}
