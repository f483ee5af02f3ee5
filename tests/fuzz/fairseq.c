/* Weights of fairseq's: imported. What is taken is what a checkpoint can be made of, and one that opens. */
#include "fairseq.h"

#include "fuzz.h"
#include "said.h"

#include <ssacl/checkpoint.h>

#include <stdio.h>

static void begin(void)
{
    fuzz_seed_file(SSA_TEST_GOLDEN "/fairseq.safetensors");
}

static bool run(const unsigned char *bytes, size_t size)
{
    struct ssa_checkpoint *c = NULL;
    char path[512], to[512];
    snprintf(path, sizeof path, "%s", fuzz_path("fairseq"));
    snprintf(to, sizeof to, "%s", fuzz_path("imported"));
    fuzz_write(path, bytes, size);
    said_begin();
    const bool is = fairseq_is(path);
    said_end(0);
    const int status = fairseq_import(path, to, &(struct fairseq_options){.heads = 2, .length = 16});
    said_end(status);
    if (status)
        return false;
    MUST(is, "imported");
    MUST(ssa_checkpoint_open(&c, to) == SSA_OK, "%s", ssa_last_error());
    ssa_checkpoint_close(c);
    remove(to);
    return true;
}

static void end(void)
{
}

const struct fuzz_target fuzz_fairseq = {"fairseq", begin, run, end,
    "{} [] null \"__metadata__\": \"dtype\":\"F32\" \"F16\" \"shape\":[1] [12,4] [16,1] [20,16] 1073741824 "
    "\"data_offsets\":[0,4] decoder.layers.2. .embeddings.3. .0.weight .1.weight adaptive_softmax.tail.2. layer_norm. "
    "in_proj_weight .version ._float_tensor \xff"};
