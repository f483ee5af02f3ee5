/* What the library takes its public structs to measure, for bindings: ssa_sizeof(). */
#include "ssacl/ssacl.h"

#include <string.h>

/* Operators' arguments, and all the rest by tag. A test compares this with the headers. */
#define STRUCTS(X) \
    SSA_OPS(X) \
    X(device_info) X(cache_info) X(tensor) X(sample) X(plan) X(layout) X(strides) X(pairs) X(within) X(attention) \
    X(gpt) X(vit) X(pixels) X(swin) X(words) X(egt) X(layer) X(model_config) X(field) X(model_limits) X(memory) \
    X(parameter) \
    X(model_part) X(pass) X(pattern) X(draw) X(batch) X(data) X(stage) X(train_config) X(progress) X(trainer_run) \
    X(answer) X(evaluate) X(scores) X(watch) X(watched) X(generate) X(pool_event) X(pool_config) X(pool_member) \
    X(ranks) X(graph) X(tunable) X(tuning_setting) X(tuning_speed)

size_t ssa_sizeof(const char *tag)
{
#define SIZE(name) {"ssa_" #name, sizeof(struct ssa_##name)},
    static const struct {
        const char *tag;
        size_t size;
    } structs[] = {STRUCTS(SIZE)};
#undef SIZE
    for (size_t i = 0; tag && i < sizeof structs / sizeof *structs; i++)
        if (!strcmp(structs[i].tag, tag))
            return structs[i].size;
    return 0;
}
