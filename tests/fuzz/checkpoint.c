/* Checkpoints: opened, and what could be opened is loaded into a model and a trainer. As they are, and with the length
 * and the checksum made right, since whoever changes a file could do that. */
#define _GNU_SOURCE /* memmem */
#include "fuzz.h"
#include "disk/crc32.h"

#include <ssacl/ssacl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ssa_device *device;
static struct ssa_model *model;
static struct ssa_trainer *trainer;

static const struct ssa_model_config config = {.gpt = {.layers = 1, .heads = 1, .width = 8, .hidden = 8, .vocabulary = 4,
                                               .length = 8, .norm = SSA_NORM_RMS, .no_bias = 1}};

/* The same with its first tensor's name last in the header: no file of ours, and its checksum is not looked at. */
static void seed_other_order(void)
{
    static char bytes[1 << 16], moved[1 << 16];
    FILE *f = fopen(fuzz_path("checkpoint"), "rb");
    MUST(f, "no checkpoint");
    size_t size = fread(bytes, 1, sizeof bytes - 1, f);
    fclose(f);
    char *first = strstr(bytes + 8, "\"embed.weight\""), *next = first ? strstr(first, "},") + 2 : NULL;
    char *end = next ? strstr(next, "]}}") + 2 : NULL;
    MUST(end, "no header that is known");
    size_t entry = (size_t)(next - first) - 1;
    memcpy(moved, bytes, size);
    memmove(first, next, (size_t)(end - next));
    char *at = first + (end - next);
    *at++ = ',';
    memcpy(at, moved + (first - bytes), entry);
    fuzz_seed(bytes, size);
}

static void begin(void)
{
    static struct ssa_pattern layers[1] = {{.kind = SSA_UNBIASED, .ratio = 0.5f, .per_example = 1}};
    static const struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .sigma = 0.7f}, .steps = 1, .lr = 0.01f},
        {.pattern = {.layers = layers, .layer_count = 1}, .steps = 1, .lr = 0.01f}};
    static unsigned char text[64];
    const struct ssa_train_config training = {.seed = 5, .stages = stages, .stage_count = 2};
    const char *path = fuzz_path("checkpoint");
    MUST(ssa_device_open(&device, "cpu") == SSA_OK &&
         ssa_model_create(&model, device, &config, &(struct ssa_model_limits){.batch = 1, .training = 1}) == SSA_OK &&
         ssa_trainer_create(&trainer, model, &training, &(struct ssa_data){.items = text, .count = 64}) == SSA_OK,
         "%s", ssa_last_error());
    MUST(ssa_checkpoint_save(path, model, NULL, "a note") == SSA_OK, "%s", ssa_last_error());
    fuzz_seed_file(path);
    MUST(ssa_checkpoint_save(path, model, trainer, "{\"program\": 1}") == SSA_OK, "%s", ssa_last_error());
    fuzz_seed_file(path);
    seed_other_order();
}

static bool load(const unsigned char *bytes, size_t size)
{
    struct ssa_checkpoint *c = NULL;
    struct ssa_memory memory;
    const char *path = fuzz_path("checkpoint");
    fuzz_write(path, bytes, size);
    int status = ssa_checkpoint_open(&c, path);
    if (status) {
        fuzz_error(status, ssa_last_error());
        MUST(!c, "an object beside an error");
        return false;
    }
    const struct ssa_train_config *training = ssa_checkpoint_training(c);
    MUST(ssa_model_check(ssa_checkpoint_model(c)) == SSA_OK, "%s", ssa_last_error());
    MUST(ssa_checkpoint_note(c) && ssa_checkpoint_step(c) >= 0, "step %d", ssa_checkpoint_step(c));
    if (training && (status = ssa_train_check(device, ssa_checkpoint_model(c), &(struct ssa_model_limits){.batch = 1},
                                              training, 64, &memory)))
        fuzz_error(status, ssa_last_error());
    if ((status = ssa_checkpoint_load(c, model, training ? trainer : NULL)))
        fuzz_error(status, ssa_last_error());
    ssa_checkpoint_close(c);
    return true;
}

/* Seen as JSON ends: the header's length; then the checksum, where its place still is. */
static void repair(unsigned char *bytes, size_t size)
{
    static const char key[] = "\"crc32\":\"";
    unsigned char *end = memmem(bytes, size, "]}}", 3), *at = memmem(bytes, size, key, sizeof key - 1);
    char digits[9];
    if (!end || size < 16)
        return;
    uint64_t length = (uint64_t)(end + 3 - bytes) - 8;
    while (8 + length < size && bytes[8 + length] == ' ')
        length++;
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> 8 * i);
    if (!at || at + sizeof key + 8 > bytes + size)
        return;
    memcpy(at + sizeof key - 1, "00000000", 8);
    snprintf(digits, sizeof digits, "%08x", (unsigned)ssa_crc32(0, bytes, size));
    memcpy(at + sizeof key - 1, digits, 8);
}

static bool run(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size + 1);
    MUST(copy, "no memory");
    memcpy(copy, bytes, size);
    bool taken = load(copy, size);
    repair(copy, size);
    taken |= load(copy, size);
    free(copy);
    return taken;
}

static void end(void)
{
    ssa_trainer_destroy(trainer);
    ssa_model_destroy(model);
    ssa_device_close(device);
}

const struct fuzz_target fuzz_checkpoint = {"checkpoint", begin, run, end,
    "{} [] null true \"__metadata__\": \"format\":\"ssacl\" \"version\":\"1\" \"model\": \"training\": \"step\":\"1\" \"note\": "
    "\"dtype\":\"F32\" \"F16\" \"shape\":[1] \"data_offsets\":[0,4] \"moment1.embed.weight\" \\\"layers\\\":1024 "
    "\\\"length\\\":1048576 \\\"kind\\\":2 \\\"stages\\\":[ \\\"ratio\\\":1e-9 \\u0000 \xff"};
