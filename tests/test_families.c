/* Models of all families against PyTorch's, in double precision: logits, losses, gradients, dense and with sampled
 * keys; and ViTs (DeiT) and Swins against those of timm. */
#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a case says ---- */

static void read_config(const json_t *given, int family, struct ssa_model_config *c)
{
    size_t known = 0;
    *c = (struct ssa_model_config){.family = family};
    for (const struct ssa_field *f = ssa_model_fields(family); f->name; f++) {
        const json_t *value = json_object_get(given, f->name);
        char *at = (char *)c + f->at;
        known += value != NULL;
        for (size_t i = 0; i < json_array_size(value); i++)
            ((int *)at)[i] = (int)json_integer_value(json_array_get(value, i));
        if (json_is_array(value))
            continue;
        if (value && f->kind == SSA_FIELD_INT)
            *(int *)at = (int)json_integer_value(value);
        else if (value)
            *(float *)at = (float)json_number_value(value);
    }
    ck_assert_uint_eq(known, json_object_size(given));
}

static int family_of(const char *name)
{
    int family = 0;
    while (ssa_model_family(family) && strcmp(ssa_model_family(family), name))
        family++;
    ck_assert_msg(ssa_model_family(family), "no family %s", name);
    return family;
}

/* NULL if there are none. free() them. */
static int32_t *read_ints(const json_t *array)
{
    const size_t count = json_array_size(array);
    int32_t *x = count ? malloc(count * sizeof *x) : NULL;
    for (size_t i = 0; i < count; i++)
        x[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return x;
}

static float *read_floats(const json_t *array)
{
    const size_t count = json_array_size(array);
    float *x = count ? malloc(count * sizeof *x) : NULL;
    for (size_t i = 0; i < count; i++) { /* JSON has no NaN */
        const json_t *value = json_array_get(array, i);
        x[i] = json_is_null(value) ? NAN : (float)json_number_value(value);
    }
    return x;
}

/* NULL: of a family that takes none. */
static float *make_images(const struct ssa_model_config *c, int batch)
{
    const bool swin = c->family == SSA_SWIN;
    const int count = batch * (swin ? c->swin.rows * c->swin.columns * c->swin.channels
                                    : c->vit.rows * c->vit.columns * c->vit.channels);
    if (!swin && c->family != SSA_VIT)
        return NULL;
    float *x = malloc((size_t)count * sizeof *x);
    for (int i = 0; i < count; i++)
        x[i] = (float)golden_value(1000, (uint32_t)i);
    return x;
}

/* ---- plans ---- */

enum { LAYERS = 4, LONGEST = 64 };

/* The plan has the keys that the case lists. */
static void check_keys(const struct ssa_plan *plan, const json_t *examples, const char *name)
{
    int32_t got[LONGEST + 1];
    ck_assert_int_eq(plan->examples, (int)json_array_size(examples));
    for (int e = 0; e < plan->examples; e++)
        for (int q = 0; q < plan->queries; q++) {
            const json_t *keys = json_array_get(json_array_get(examples, (size_t)e), (size_t)q);
            const int count = ssa_plan_keys(plan, e, q, got);
            int32_t *want = read_ints(keys);
            ck_assert_int_eq(count, (int)json_array_size(keys));
            ck_assert_msg(!count || !memcmp(got, want, (size_t)count * sizeof *want), "%s: keys of query %d of %d", name,
                          q, e);
            free(want);
        }
}

/* Of graphs: a share of each one's nodes, and the virtual ones. */
static void draw_share(struct ssa_plan *plan, const json_t *how, int layer, const struct ssa_pass *pass, int lead)
{
    static const int first[] = {0, 1, 2, 3};
    OK(ssa_plan_draw(plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = pass->length, .batch = pass->batch,
        .ratio = (float)json_number_value(json_object_get(how, "ratio")), .lengths = pass->lengths, .per_example = 1,
        .keep = first, .keep_count = lead, .seed = (uint64_t)golden_int(how, "seed"),
        .step = (uint64_t)golden_int(how, "step"), .layer = (uint32_t)layer}));
}

static void draw_plan(struct ssa_plan *plan, const json_t *how, int layer, const struct ssa_layer *of, int batch)
{
    static const int first = 0;
    const char *kind = json_string_value(json_object_get(how, "kind"));
    ck_assert_int_le(of->length, LONGEST);
    OK(ssa_plan_draw(plan, &(struct ssa_sample){.kind = strcmp(kind, "local") ? SSA_UNBIASED : SSA_LOCAL,
        .length = of->length, .batch = batch * of->sequences, .keys = golden_int(how, "keys"), .look_back = 1,
        .sigma = (float)json_number_value(json_object_get(how, "sigma")), .own_key = golden_int(how, "own_key"),
        .per_example = golden_int(how, "per_example"), .keep = &first, .keep_count = golden_int(how, "keep_first"),
        .seed = (uint64_t)golden_int(how, "seed"), .step = (uint64_t)golden_int(how, "step"),
        .layer = (uint32_t)layer}));
}

/* ---- a case ---- */

struct fixture {
    const char *name;
    const json_t *golden;
    struct ssa_model *model;
    struct ssa_plan drawn[LAYERS];
    const struct ssa_plan *plans[LAYERS];
    int32_t *tokens, *targets, *labels, *lengths, *nodes, *edges, *hops;
    float *pixels, *soft, *encodings, *values;
    struct ssa_pass pass;
};

static void draw_plans(struct fixture *f, const json_t *how, int batch)
{
    struct ssa_layer of;
    const json_t *keys = json_object_get(f->golden, "keys");
    ck_assert_uint_le(json_array_size(keys), LAYERS);
    for (size_t l = 0; l < json_array_size(keys); l++) {
        OK(ssa_model_layer(ssa_model_config(f->model), (int)l, &of));
        if (f->lengths)
            draw_share(&f->drawn[l], how, (int)l, &f->pass, ssa_model_config(f->model)->egt.virtual_nodes);
        else
            draw_plan(&f->drawn[l], how, (int)l, &of, batch);
        check_keys(&f->drawn[l], json_array_get(keys, l), f->name);
        f->plans[l] = &f->drawn[l];
    }
    f->pass.plans = f->plans;
}

static void set_field(struct ssa_model_config *c, const char *name, float value)
{
    const struct ssa_field *f = ssa_model_fields(c->family);
    while (f->name && strcmp(f->name, name))
        f++;
    ck_assert_msg(f->name && f->kind == SSA_FIELD_FLOAT, "no %s in family %s", name, ssa_model_family(c->family));
    *(float *)((char *)c + f->at) = value;
}

static void open_fixture(struct fixture *f, struct ssa_device *dev, const char *name, const json_t *g, float drop_keys)
{
    const json_t *given = json_object_get(g, "pass"), *how = json_object_get(g, "sample");
    const int family = family_of(json_string_value(json_object_get(g, "family"))), batch = golden_int(g, "batch");
    struct ssa_model_config c;
    read_config(json_object_get(g, "config"), family, &c);
    set_field(&c, "drop_keys", drop_keys);
    *f = (struct fixture){.name = name, .golden = g, .tokens = read_ints(json_object_get(given, "tokens")),
        .targets = read_ints(json_object_get(given, "targets")), .labels = read_ints(json_object_get(given, "labels")),
        .lengths = read_ints(json_object_get(given, "lengths")), .nodes = read_ints(json_object_get(given, "nodes")),
        .edges = read_ints(json_object_get(given, "edges")), .hops = read_ints(json_object_get(given, "hops")),
        .soft = read_floats(json_object_get(given, "soft_targets")),
        .encodings = read_floats(json_object_get(given, "encodings")),
        .values = read_floats(json_object_get(given, "values")), .pixels = make_images(&c, batch)};
    OK(ssa_model_create(&f->model, dev, &c, &(struct ssa_model_limits){.batch = batch, .training = 1}));
    golden_named_parameters(f->model, json_number_value(json_object_get(g, "scale")));
    f->pass = (struct ssa_pass){.tokens = f->tokens, .labels = f->labels, .pixels = f->pixels, .batch = batch,
                                .lengths = f->lengths, .nodes = f->nodes, .encodings = f->encodings, .edges = f->edges,
                                .hops = f->hops, .length = golden_int(g, "length"),
                                .smoothing = (float)json_number_value(json_object_get(g, "smoothing"))};
    if (json_is_object(how))
        draw_plans(f, how, batch);
}

static void close_fixture(struct fixture *f)
{
    ssa_model_destroy(f->model);
    for (int l = 0; l < LAYERS; l++)
        ssa_plan_finish(&f->drawn[l]);
    void *const all[] = {f->tokens, f->targets, f->labels, f->lengths, f->nodes, f->edges, f->hops, f->pixels, f->soft,
                         f->encodings, f->values};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* ---- comparison ---- */

static void check_logits(struct fixture *f)
{
    const json_t *positions = json_object_get(f->golden, "positions"), *all = json_object_get(f->golden, "logits");
    const size_t batch = (size_t)golden_int(f->golden, "batch"), count = json_array_size(positions);
    const size_t values = json_array_size(all) / (batch * count);
    double *want = golden_doubles(all, batch * count * values);
    float *got = malloc(values * sizeof *got);
    char message[512];
    OK(ssa_model_forward(f->model, &f->pass));
    for (size_t row = 0; row < batch * count; row++) {
        const int position = (int)json_integer_value(json_array_get(positions, row % count));
        OK(ssa_model_read_logits(f->model, (int)(row / count), position, got));
        ck_assert_msg(test_close_to("logits", got, want + row * values, values, 1e-5, 1e-5, message, sizeof message),
                      "%s, sequence %zu, position %d: %s", f->name, row / count, position, message);
    }
    free(want);
    free(got);
}

static void check_losses(struct fixture *f)
{
    const json_t *losses = json_object_get(f->golden, "losses");
    double *want = golden_doubles(losses, json_array_size(losses));
    f->pass.targets = f->targets;
    f->pass.soft_targets = f->soft;
    f->pass.values = f->values;
    f->pass.training = 1;
    f->pass.grad_scale = 0.25f;
    OK(ssa_model_forward(f->model, &f->pass));
    test_compare("losses", ssa_model_losses(f->model), want, json_array_size(losses), 1e-5, 1e-5, "%s", f->name);
    free(want);
}

static void check_close(const char *name, const char *parameter, const char *what, double got, double want,
                        double within)
{
    ck_assert_msg(fabs(got - want) <= within, "%s: %s of %s's gradient is %.9g, not %.9g", name, what, parameter, got,
                  want);
}

/* Its norm, what it is along the direction of golden values, and eight elements, each as exact as the whole. */
static void check_gradient(const char *name, const struct ssa_parameter *p, const json_t *want)
{
    const double norm = json_number_value(json_object_get(want, "norm"));
    double *elements = golden_doubles(json_object_get(want, "elements"), 8), squares = 0, along = 0;
    float *g = test_read(p->grad, p->count);
    for (size_t e = 0; e < p->count; e++) {
        squares += (double)g[e] * (double)g[e];
        along += (double)g[e] * golden_value(golden_number(p->name) + 1, (uint32_t)e);
    }
    check_close(name, p->name, "norm", sqrt(squares), norm, 1e-5 * norm);
    check_close(name, p->name, "part along a direction", along, json_number_value(json_object_get(want, "along")),
                1e-5 * norm);
    for (size_t i = 0; i < 8; i++)
        check_close(name, p->name, "element", (double)g[i * (p->count - 1) / 7], elements[i],
                    1e-5 * norm / sqrt((double)p->count) + 1e-4 * fabs(elements[i]));
    free(elements);
    free(g);
}

static void check_gradients(struct fixture *f)
{
    const json_t *gradients = json_object_get(f->golden, "gradients");
    OK(ssa_model_backward(f->model));
    ck_assert_uint_eq(json_object_size(gradients), (size_t)ssa_model_tensors(f->model));
    for (int i = 0; i < ssa_model_tensors(f->model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(f->model, i);
        const json_t *want = json_object_get(gradients, p->name);
        ck_assert_msg(want != NULL, "%s: no gradient of %s", f->name, p->name);
        check_gradient(f->name, p, want);
    }
}

static void check_file(struct ssa_device *dev, const char *file)
{
    json_t *all = golden_read(file), *g;
    const char *name;
    json_object_foreach(all, name, g) {
        struct fixture f;
        open_fixture(&f, dev, name, g, 0);
        check_logits(&f);
        check_losses(&f);
        check_gradients(&f);
        close_fixture(&f);
    }
    json_decref(all);
}

START_TEST(match_pytorch)
{
    FOR_DEVICES (dev)
        check_file(dev, "families.json");
}
END_TEST

START_TEST(match_timm)
{
    FOR_DEVICES (dev)
        check_file(dev, "timm.json");
}
END_TEST

/* The sum of losses, of a training pass or another. */
static double loss_of(struct fixture *f, int training)
{
    const size_t count = json_array_size(json_object_get(f->golden, "losses"));
    double sum = 0;
    f->pass.targets = f->targets;
    f->pass.soft_targets = f->soft;
    f->pass.values = f->values;
    f->pass.training = training;
    OK(ssa_model_forward(f->model, &f->pass));
    float *losses = test_read(ssa_model_losses(f->model), count);
    for (size_t i = 0; i < count; i++)
        sum += (double)losses[i];
    free(losses);
    return sum;
}

/* Of every family: in training keys are dropped, in other passes none. */
START_TEST(keys_are_dropped_in_training_alone)
{
    json_t *all = golden_read("families.json"), *g;
    const char *name;
    FOR_DEVICES (dev)
        json_object_foreach(all, name, g) {
            struct fixture f, d;
            open_fixture(&f, dev, name, g, 0);
            open_fixture(&d, dev, name, g, 0.5f);
            const double plain = loss_of(&f, 1), dropped = loss_of(&d, 1);
            ck_assert_msg(isfinite(dropped) && fabs(dropped - plain) > 1e-4 * fabs(plain), "%s: %g, %g", name, plain,
                          dropped);
            OK(ssa_model_backward(d.model));
            ck_assert(loss_of(&d, 1) == dropped && loss_of(&d, 0) == loss_of(&f, 0));
            close_fixture(&f);
            close_fixture(&d);
        }
    json_decref(all);
}
END_TEST

int main(void)
{
    return test_run("families", (const TTest *const[]){match_pytorch, match_timm,
                                keys_are_dropped_in_training_alone, NULL});
}
