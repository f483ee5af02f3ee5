/* Weights of timm's: imported. What is taken is what a checkpoint can be made of, and one that opens. */
#include "timm.h"

#include "fuzz.h"
#include "said.h"

#include <ssacl/checkpoint.h>

#include <stdio.h>

static void begin(void)
{
    fuzz_seed_file(SSA_TEST_GOLDEN "/timm.safetensors");
    fuzz_seed_file(SSA_TEST_GOLDEN "/timm_swin.safetensors");
}

static bool run(const unsigned char *bytes, size_t size)
{
    struct ssa_checkpoint *c = NULL;
    char path[512], to[512];
    snprintf(path, sizeof path, "%s", fuzz_path("timm"));
    snprintf(to, sizeof to, "%s", fuzz_path("imported"));
    fuzz_write(path, bytes, size);
    said_begin();
    const int family = timm_family(path);
    said_end(0);
    const int status = timm_import(path, to, &(struct timm_options){.heads = 2});
    said_end(status);
    if (status)
        return false;
    MUST(family == SSA_VIT || family == SSA_SWIN, "family %d", family);
    MUST(ssa_checkpoint_open(&c, to) == SSA_OK, "%s", ssa_last_error());
    ssa_checkpoint_close(c);
    remove(to);
    return true;
}

static void end(void)
{
}

const struct fuzz_target fuzz_timm = {"timm", begin, run, end,
    "{} [] null \"__metadata__\": \"dtype\":\"F32\" \"F16\" \"I64\" \"shape\":[1] [8,3,2,2] [49,2] [169,2] 1073741824 "
    "\"data_offsets\":[0,4] cls_token layers.1. layers.3. blocks.0. head. head.fc. fc_norm. "
    "\"layers.0.blocks.1.attn_mask\": \"layers.0.blocks.0.attn.relative_position_index\": "
    ".downsample.reduction.weight \xff"};
