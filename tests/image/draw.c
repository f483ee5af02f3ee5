/* What test_draw.py runs: `draw`, as a program has it, and what is needed for that.
 *
 *   draw draw ...                                               the command
 *   draw make FILE ROWS COLUMNS CHANNELS CLASSES VALUES PATTERN [NOTE]
 *                                                               a model whose pictures differ, as if trained in stages
 *                                                               of this pattern
 *   draw page FILE FRAME SCALE                                  five pictures in rows of three, with frames
 */
#include "draw.h"

#include "grid.h"
#include "run/stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int integer(const char *word)
{
    return (int)strtol(word, NULL, 10);
}

static int usage(void)
{
    return say_error("wrong arguments");
}

/* ---- make ---- */

static int fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const size_t count = (size_t)draw->count * (size_t)draw->length;
    (void)cookie;
    memset(batch->tokens, 0, count * sizeof *batch->tokens);
    memset(batch->targets, 0, count * sizeof *batch->targets);
    if (batch->labels)
        memset(batch->labels, 0, (size_t)draw->count * sizeof *batch->labels);
    return SSA_OK;
}

/* Large matrices, so that what is likely depends on all that is seen. */
static int widen(struct ssa_model *model)
{
    uint64_t state = 12345;
    for (int i = 0; i < ssa_model_tensors(model) && ssa_model_parameter(model, i)->decayed; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        float *values = malloc(p->count * sizeof *values);
        for (size_t e = 0; values && e < p->count; e++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            values[e] = (float)(state >> 40) / 16777216.0f - 0.5f;
        }
        const int err = values ? ssa_tensor_write(p->value, values, p->count) : SSA_ENOMEM;
        free(values);
        if (err)
            return err;
    }
    return SSA_OK;
}

static int save(struct ssa_model *model, const struct ssa_stage *stage, int count, const char *path,
                const char *note)
{
    const struct ssa_train_config training = {.stages = stage, .stage_count = count, .seed = 4};
    const struct ssa_data data = {.fill = fill, .examples = 1};
    struct ssa_trainer *trainer = NULL;
    int err = widen(model);
    err = err ? err : ssa_trainer_create(&trainer, model, &training, &data);
    err = err ? err : ssa_checkpoint_save(path, model, trainer, note);
    ssa_trainer_destroy(trainer);
    return err;
}

static int make_main(const struct program *program, int argc, char **argv)
{
    const struct ssa_stage preset = {.steps = 1, .lr = 1e-3f};
    struct stage said[STAGES_MAX];
    struct ssa_stage stages[STAGES_MAX];
    struct ssa_pattern *layers;
    struct ssa_device *device;
    struct ssa_model *model;
    int count;
    (void)program;
    if (argc < 8 || argc > 9 || stages_parse(argv[7], &preset, said, &count))
        return usage();
    const struct ssa_model_config config = {.family = SSA_PIXELS, .pixels = {.rows = integer(argv[2]),
        .columns = integer(argv[3]), .channels = integer(argv[4]), .classes = integer(argv[5]),
        .values = integer(argv[6]), .layers = 2, .heads = 2, .width = 16}};
    if (stages_settle(said, count, &(struct stage_terms){.model = &config}, stages, &layers))
        return EXIT_FAILED;
    if (ssa_device_open(&device, "cpu") != SSA_OK)
        return library_failed();
    int err = ssa_model_create(&model, device, &config, &(struct ssa_model_limits){.batch = 1, .training = 1});
    err = err ? err : save(model, stages, count, argv[1], argc == 9 ? argv[8] : "made for a test");
    ssa_model_destroy(model);
    ssa_device_close(device);
    free(layers);
    return err ? library_failed() : 0;
}

/* ---- page ---- */

static int page_main(const struct program *program, int argc, char **argv)
{
    static const unsigned char green[3] = {0, 160, 0}, red[3] = {200, 0, 0};
    unsigned char pixels[5][4 * 5];
    struct grid_cell cells[5] = {{pixels[0], {green}}, {pixels[1], {green, red}}, {pixels[2], {red}},
                                 {NULL, {NULL, red}}, {pixels[4], {NULL}}};
    struct picture page = {0};
    (void)program;
    if (argc != 4)
        return usage();
    const struct grid grid = {.rows = 4, .columns = 5, .channels = 1, .across = 3, .frame = integer(argv[2]),
                              .scale = integer(argv[3])};
    for (int i = 0; i < 5; i++)
        for (int e = 0; e < 20; e++)
            pixels[i][e] = (unsigned char)(40 * i + e);
    char *path = grid_path(argv[1], grid.frame ? 3 : 1);
    const int status = !path || grid_page(&page, &grid, cells, 5) || grid_write(path, &page);
    picture_free(&page);
    free(path);
    return status;
}

static const struct command commands[] = {
    {"draw", draw_main, ""}, {"make", make_main, ""}, {"page", page_main, ""}, {0}};
static const struct program program = {.name = "draw", .about = "", .commands = commands, .what = "pictures",
                                       .families = 1 << SSA_PIXELS | 1 << SSA_VIT};

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv);
}
