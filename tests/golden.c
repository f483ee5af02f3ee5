#include "golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void golden_path(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", SSA_TEST_GOLDEN, name);
}

json_t *golden_read(const char *name)
{
    char path[512];
    json_error_t error;
    golden_path(name, path, sizeof path);
    json_t *j = json_load_file(path, 0, &error);
    ck_assert_msg(j != NULL, "%s: %s", path, error.text);
    return j;
}

double *golden_doubles(const json_t *array, size_t count)
{
    ck_assert_uint_eq(json_array_size(array), count);
    double *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = json_number_value(json_array_get(array, i));
    return x;
}

int golden_int(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static bool is(const json_t *object, const char *key, const char *value)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s && !strcmp(s, value);
}

void golden_config(const json_t *o, struct ssa_model_config *c)
{
    *c = (struct ssa_model_config){.gpt = {.layers = golden_int(o, "layers"), .heads = golden_int(o, "heads"),
        .kv_heads = golden_int(o, "kv_heads"), .width = golden_int(o, "width"), .hidden = golden_int(o, "hidden"),
        .vocabulary = golden_int(o, "vocabulary"), .length = golden_int(o, "length"),
        .positions = is(o, "positions", "learned") ? SSA_POSITIONS_LEARNED : SSA_POSITIONS_ROTARY,
        .norm = is(o, "norm", "rms") ? SSA_NORM_RMS : SSA_NORM_LAYER, .untied = golden_int(o, "untied"),
        .activation = is(o, "gelu", "tanh") ? SSA_ACT_GELU_TANH : SSA_ACT_GELU, .no_bias = golden_int(o, "no_bias"),
        .bidirectional = golden_int(o, "bidirectional")}};
}

/* Where make.py has a vector: after those of the layers before, and in its layer in this order. */
static int place_of(const char *name)
{
    static const char *const order[] = {"norm1.gain", "norm1.bias", "norm2.gain", "norm2.bias", "qkv.bias",
                                        "proj.bias", "up.bias", "down.bias"};
    int layer, used = 0, at = 0;
    if (sscanf(name, "layer.%d.%n", &layer, &used) != 1)
        return 1 << 20 | (strstr(name, "bias") != NULL);
    while (strcmp(name + used, order[at]))
        ck_assert_int_lt(++at, (int)(sizeof order / sizeof *order));
    return layer * 8 + at;
}

/* A parameter's number in make.py: matrices in the order of the table, then vectors. */
static int number_of(const struct ssa_model *model, int i)
{
    const struct ssa_parameter *p = ssa_model_parameter(model, i);
    int number = 0;
    for (int j = 0; j < ssa_model_tensors(model); j++) {
        const struct ssa_parameter *q = ssa_model_parameter(model, j);
        number += p->decayed ? j < i : q->decayed || place_of(q->name) < place_of(p->name);
    }
    return number;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

/* Gains are about 1, biases within a tenth, all else within `scale`. */
static void set_values(const struct ssa_parameter *p, uint32_t number, bool bias, double scale)
{
    const bool gain = ends_in(p->name, ".gain");
    const double base = gain ? 1 : 0, s = gain ? 0.2 : bias ? 0.1 : scale;
    float *x = malloc(p->count * sizeof *x);
    for (size_t e = 0; e < p->count; e++)
        x[e] = (float)(base + s * golden_value(number, (uint32_t)e));
    OK(ssa_tensor_write(p->value, x, p->count));
    free(x);
}

void golden_parameters(struct ssa_model *model, double scale)
{
    for (int i = 0; i < ssa_model_tensors(model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        set_values(p, (uint32_t)number_of(model, i), !p->decayed, scale);
    }
}

uint32_t golden_number(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

void golden_named_parameters(struct ssa_model *model, double scale)
{
    for (int i = 0; i < ssa_model_tensors(model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        set_values(p, golden_number(p->name), ends_in(p->name, ".bias"), scale);
    }
}
