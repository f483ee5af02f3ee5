/* Weights of others, in their naming: imported. What is taken is what a checkpoint can be made of, and one that opens. */
#include "egt.h"
#include "fairseq.h"
#include "timm.h"

#include "fuzz.h"
#include "said.h"

#include <ssacl/checkpoint.h>

#include <stdio.h>

static bool run(const unsigned char *bytes, size_t size, bool (*is)(const char *),
                int (*import)(const char *from, const char *to))
{
    struct ssa_checkpoint *c = NULL;
    char path[512], to[512];
    snprintf(path, sizeof path, "%s", fuzz_path("weights"));
    snprintf(to, sizeof to, "%s", fuzz_path("imported"));
    fuzz_write(path, bytes, size);
    said_begin();
    const bool known = is(path);
    said_end(0);
    const int status = import(path, to);
    said_end(status);
    if (status)
        return false;
    MUST(known, "imported what is none");
    MUST(ssa_checkpoint_open(&c, to) == SSA_OK, "%s", ssa_last_error());
    ssa_checkpoint_close(c);
    remove(to);
    return true;
}

/* What all of them may have. */
#define WORDS "{} [] null \"__metadata__\": \"dtype\":\"F32\" \"F16\" \"shape\":[1] 1073741824 \"data_offsets\":[0,4] \xff "

/* ---- the authors' EGT ---- */

static void begin_egt(void)
{
    fuzz_seed_file(SSA_TEST_GOLDEN "/egt.safetensors");
    fuzz_seed_file(SSA_TEST_GOLDEN "/egt_simple.safetensors");
}

static int import_egt(const char *from, const char *to)
{
    return egt_import(from, to, &(struct egt_options){.nodes = 8});
}

static bool run_egt(const unsigned char *bytes, size_t size)
{
    return run(bytes, size, egt_is, import_egt);
}

const struct fuzz_target fuzz_egt = {"egt", begin_egt, run_egt, NULL,
    WORDS "[12,8] [1153,12] [18,8] [25,8] [3,8] EGT_layers.1. EGT_layers.3. mlp_layers.2.weight "
    "vn_layer.vn_node_embeddings lin_O_e"};

/* ---- fairseq's models of words ---- */

static void begin_fairseq(void)
{
    fuzz_seed_file(SSA_TEST_GOLDEN "/fairseq.safetensors");
}

static int import_fairseq(const char *from, const char *to)
{
    return fairseq_import(from, to, &(struct fairseq_options){.heads = 2, .length = 16});
}

static bool run_fairseq(const unsigned char *bytes, size_t size)
{
    return run(bytes, size, fairseq_is, import_fairseq);
}

const struct fuzz_target fuzz_fairseq = {"fairseq", begin_fairseq, run_fairseq, NULL,
    WORDS "[12,4] [16,1] [20,16] decoder.layers.2. .embeddings.3. .0.weight .1.weight adaptive_softmax.tail.2. "
    "layer_norm. in_proj_weight .version ._float_tensor"};

/* ---- timm's classifiers ---- */

static void begin_timm(void)
{
    fuzz_seed_file(SSA_TEST_GOLDEN "/timm.safetensors");
    fuzz_seed_file(SSA_TEST_GOLDEN "/timm_swin.safetensors");
}

static bool is_timm(const char *path)
{
    const int family = timm_family(path);
    return family == SSA_VIT || family == SSA_SWIN;
}

static int import_timm(const char *from, const char *to)
{
    return timm_import(from, to, &(struct timm_options){.heads = 2});
}

static bool run_timm(const unsigned char *bytes, size_t size)
{
    return run(bytes, size, is_timm, import_timm);
}

const struct fuzz_target fuzz_timm = {"timm", begin_timm, run_timm, NULL,
    WORDS "\"I64\" [8,3,2,2] [49,2] [169,2] cls_token layers.1. layers.3. blocks.0. head. head.fc. fc_norm. "
    "\"layers.0.blocks.1.attn_mask\": \"layers.0.blocks.0.attn.relative_position_index\": .downsample.reduction.weight"};
