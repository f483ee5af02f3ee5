/* Writes checkpoint-0.1.st with the library of 0.1, and prints the losses of the steps that follow, which test_checkpoint.c
 * has. Where that is installed:  cc make_checkpoint.c $(pkg-config --cflags --libs ssacl) && ./a.out checkpoint-0.1.st
 * decay and clip say "none" as only 0.1 may. */
#include <ssacl/train.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const struct ssa_model_config config = {.gpt = {.layers = 1, .heads = 1, .width = 8, .hidden = 8, .vocabulary = 5, .length = 8}};
    const struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f, .no_own_key = 1, .keep_first = 1}, .steps = 4, .lr = 0.02f},
        {.pattern = {.kind = SSA_LOCAL, .ratio = 0.5f, .look_back = 1}, .steps = 4, .lr = 0.01f, .warmup = 1}};
    const struct ssa_train_config training = {.batch = 4, .decay = -3, .clip = -0.5f, .seed = 7, .stages = stages,
                                              .stage_count = 2};
    struct ssa_device *device;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    unsigned char text[100];
    float losses[5];
    for (int i = 0; i < 100; i++)
        text[i] = (unsigned char)(i * i % 5);
    int err = argc != 2 || ssa_device_open(&device, "cpu") ||
              ssa_model_create(&model, device, &config, &(struct ssa_model_limits){.batch = 4, .training = 1}) ||
              ssa_model_initialise(model, 7) ||
              ssa_trainer_create(&trainer, model, &training, &(struct ssa_data){.items = text, .count = 100});
    for (int i = 0; i < 3 && !err; i++)
        err = ssa_trainer_step(trainer);
    err = err || ssa_checkpoint_save(argv[1], model, trainer, "of 0.1");
    for (int i = 3; i < 8 && !err; i++)
        err = ssa_trainer_step(trainer);
    err = err || ssa_trainer_losses(trainer, 5, losses, NULL);
    for (int i = 0; i < 5 && !err; i++)
        printf("%.7ff, ", (double)losses[i]);
    printf("%s\n", err ? ssa_last_error() : "");
    return err != 0;
}
