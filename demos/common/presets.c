#include "presets.h"

#include "files.h"
#include "say.h"

#include <stdio.h>
#include <string.h>

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
};
enum { PRESETS = sizeof presets / sizeof *presets };

static void list_presets(FILE *file)
{
    for (int i = 0; i < PRESETS; i++)
        fprintf(file, "  %-8s %s\n", presets[i].name, presets[i].about);
}

const struct preset *preset_find(const char *name, int *status)
{
    for (int i = 0; i < PRESETS; i++)
        if (!strcmp(presets[i].name, name))
            return &presets[i];
    if (!strcmp(name, "help")) {
        list_presets(stdout);
        *status = finish_stdout();
        return NULL;
    }
    say_error("--preset: there is none of the name '%s'; there are", name);
    list_presets(stderr);
    *status = EXIT_USAGE;
    return NULL;
}
