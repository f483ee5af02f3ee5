/* Weights of the authors' EGT: imported. What is taken is what a checkpoint can be made of, and one that opens. */
#include "egt.h"

#include "fuzz.h"
#include "said.h"

#include <ssacl/checkpoint.h>

#include <stdio.h>

static void begin(void)
{
    fuzz_seed_file(SSA_TEST_GOLDEN "/egt.safetensors");
    fuzz_seed_file(SSA_TEST_GOLDEN "/egt_simple.safetensors");
}

static bool run(const unsigned char *bytes, size_t size)
{
    struct ssa_checkpoint *c = NULL;
    char path[512], to[512];
    snprintf(path, sizeof path, "%s", fuzz_path("egt"));
    snprintf(to, sizeof to, "%s", fuzz_path("imported"));
    fuzz_write(path, bytes, size);
    said_begin();
    const bool is = egt_is(path);
    said_end(0);
    const int status = egt_import(path, to, &(struct egt_options){.nodes = 8});
    said_end(status);
    if (status)
        return false;
    MUST(is, "imported what is none");
    MUST(ssa_checkpoint_open(&c, to) == SSA_OK, "%s", ssa_last_error());
    ssa_checkpoint_close(c);
    remove(to);
    return true;
}

static void end(void)
{
}

const struct fuzz_target fuzz_egt = {"egt", begin, run, end,
    "{} [] null \"__metadata__\": \"dtype\":\"F32\" \"F16\" \"shape\":[1] [12,8] [1153,12] [18,8] [25,8] [3,8] "
    "1073741824 \"data_offsets\":[0,4] EGT_layers.1. EGT_layers.3. mlp_layers.2.weight vn_layer.vn_node_embeddings "
    "lin_O_e \xff"};
