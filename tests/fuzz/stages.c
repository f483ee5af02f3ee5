/* --stages, as ssacl-text reads it. What it took it can say again, and takes again as the same. */
#include "fuzz.h"
#include "said.h"
#include "stages.h"

#include <stdlib.h>
#include <string.h>

static const struct ssa_stage preset = {.pattern = {.ratio = 0.25f}, .steps = 1, .lr = 1e-3f};
static const struct ssa_model_config model = {.gpt = {.layers = 5, .heads = 1, .width = 8, .vocabulary = 8, .length = 64}};
static const struct stage_terms terms = {.model = &model};

static void begin(void)
{
    static const char *const good[] = {
        "local:ratio=0.25,look-back,steps=900,lr=2e-3 dense:steps=100,lr=2e-4",
        "unbiased:ratio=0.5,ratio-last=1,first-dense=1,last-dense=2,keep-first=64,per-example,no-own-key,steps=3",
        "local:sigma=1e6,fixed-windows,grid,steps=2147483647,warm-up=7,lr-end=1e-5;dense",
        "local:ratio=0.125,look-back,sigma=1,steps=900/0:fixed-windows/1-2:sigma=0.25,no-look-back/last:dense",
        "unbiased:source-dropout,ratio=0.3,ratio-last=0.6,steps=7/1:no-source-dropout,keys=8/2:local",
        "unbiased:dense-every=2,steps=7 local:steps=3,dense-every=2147483647",
        "dense:steps=3/1-last:unbiased:ratio=0.5,no-own-key/2:keys=16,own-key dense",
        "unbiased:ratio=0.25,ratio-last=0.75,first-dense=1,per-example,steps=3/3:no-per-example,keep-first=2"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        fuzz_seed(good[i], strlen(good[i]));
}

static bool run(const unsigned char *bytes, size_t size)
{
    static struct stage said[STAGES_MAX], said_again[STAGES_MAX];
    static char text[STAGE_TEXT], twice[STAGE_TEXT];
    struct ssa_stage stages[STAGES_MAX], again[STAGES_MAX];
    struct ssa_pattern *layers = NULL, *layers_again = NULL;
    char *words = malloc(size + 1);
    int count = 0, one;
    MUST(words, "no memory");
    memcpy(words, bytes, size);
    words[size] = 0;
    said_begin();
    int status = stages_parse(words, &preset, said, &count);
    status = status ? status : stages_settle(said, count, &terms, stages, &layers);
    said_end(status);
    free(words);
    for (int i = 0; i < count && !status; i++) {
        stage_format(&stages[i], 0, text, sizeof text);
        MUST(stages_parse(text, &preset, said_again, &one) == 0 && one == 1, "\"%s\"", text);
        MUST(stages_settle(said_again, 1, &terms, again, &layers_again) == 0, "\"%s\"", text);
        stage_format(&again[0], 0, twice, sizeof twice);
        MUST(!strcmp(text, twice), "\"%s\", \"%s\"", text, twice);
        free(layers_again);
        layers_again = NULL;
    }
    free(layers);
    return !status;
}

const struct fuzz_target fuzz_stages = {"stages", begin, run, NULL,
    "local unbiased dense : , = ; ratio= ratio-last= look-back look_back sigma= fixed-windows first-dense= last-dense= "
    "keep-first= per-example no-own-key grid steps= lr= lr-end= warm-up= nan inf 0x1p3 1e-40 / /0: /1-2: /last: keys= "
    "own-key no-look-back no-grid epochs= dense-every= source-dropout"};
