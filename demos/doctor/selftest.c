/* Every operator on one device, every variant of it, on small shapes that fill no tile, held against the double-precision
 * references of the tests: ../operators. */
#include "doctor.h"

#include "numbers.h"
#include "operators.h"
#include "precision.h"
#include "progress.h"

#include <ssacl/ssacl.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One operator on one device. */
struct trial {
    int cases, status;
    double error; /* the largest so far, relative to what is above 1 */
    char worst[160];
};

static double difference(float got, double want)
{
    if (isinf(want))
        return (double)got == want ? 0 : INFINITY;
    double d = fabs((double)got - want) / fmax(1, fabs(want));
    return isnan(d) ? INFINITY : d;
}

/* What stands around a result stays as it was. */
static double error_of(const struct operand *o, size_t guard)
{
    double worst = 0;
    for (size_t i = 0; i < o->count + 2 * guard; i++) {
        bool outside = i < guard || i >= guard + o->count;
        double d = outside ? (isnan(o->after[i]) ? 0 : INFINITY)
                           : difference(o->after[i], o->exact[i - guard]) / o->cancels;
        worst = d > worst ? d : worst;
    }
    return worst;
}

static void judge(struct trial *t, const struct op_case *c)
{
    for (int i = 0; i < c->count; i++) {
        const struct operand *o = &c->operands[i];
        double worst = o->role < WRITTEN ? 0 : error_of(o, c->guard);
        if (o->role < WRITTEN || (worst <= t->error && *t->worst))
            continue;
        t->error = worst;
        snprintf(t->worst, sizeof t->worst, "%s%s%s", c->name, *c->name ? ", " : "", o->name);
    }
}

static void try_operator(struct trial *t, struct ssa_device *device, int op, int width)
{
    int variants = 1;
    for (int v = 0; v < variants && !t->status; v++) {
        struct op_case c = {.device = device};
        op_describe_thorough(&c, op, v, width);
        variants = c.variants;
        t->cases++;
        if (!(t->status = op_make(&c)) && !(t->status = op_call(&c)) && !(t->status = op_judge(&c)))
            judge(t, &c);
        op_finish(&c);
    }
}

/* What float32 sums in any order, and those of `fast`, stay a tenth below, and sums of operands rounded to bf16 a half; a
 * wrong answer is far beyond. */
static const double allowed[] = {2e-4, 2e-4, 1e-1}; /* by precision */

static json_t *test_operator(struct ssa_device *device, int i, int width, int precision)
{
    struct trial t = {.cases = 0};
    char path[512] = "";
    double start = now_seconds();
    try_operator(&t, device, i, width);
    ssa_device_path(device, operators[i].name, path, sizeof path);
    bool right = !t.status && t.error <= allowed[precision];
    json_t *answer = json_pack("{ss ss sb so si ss ss ss so}", "op", operators[i].name, "precision",
                               precision_name(precision), "right", right, "allowed", number_json(allowed[precision]),
                               "cases", t.cases, "worst_case", t.worst, "path", path, "failure",
                               t.status ? ssa_last_error() : "", "seconds", number_json(now_seconds() - start));
    json_object_set_new(answer, "error", number_json(t.error)); /* null: endless */
    return answer;
}

/* Those operators that a matrix engine serves, where the device's precision has one; the others in float32 only.
 * Returns whether all are right. */
static bool test_precision(struct ssa_device *device, int precision, int width, json_t *tests)
{
    bool all_right = true;
    for (int i = 0; i < operator_count; i++) {
        const bool served = !strncmp(operators[i].name, "linear", 6) || !strncmp(operators[i].name, "attention", 9);
        if (precision != SSA_FLOAT32 && !served)
            continue;
        json_t *test = test_operator(device, i, width, precision);
        all_right = all_right && json_is_true(json_object_get(test, "right"));
        json_array_append_new(tests, test);
    }
    return all_right;
}

static json_t *warnings;

static void keep_warning(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level <= SSA_LOG_WARNING)
        json_array_append_new(warnings, json_string(line));
}

json_t *probe_device(const char *id, int width)
{
    struct ssa_device *device = NULL;
    json_t *answer = json_object(), *tests = json_array();
    warnings = json_array();
    ssa_set_log(keep_warning, NULL);
    json_object_set_new(answer, "tests", tests);
    json_object_set_new(answer, "warnings", warnings);
    int err = ssa_device_open(&device, id);
    json_object_set_new(answer, "opens", json_boolean(!err));
    if (err) {
        json_object_set_new(answer, "failure", json_string(ssa_last_error()));
        return answer;
    }
    json_object_set_new(answer, "tuning", json_text(ssa_tuning_origin(device)));
    bool all_right = !width || test_precision(device, SSA_FLOAT32, width, tests);
    for (int precision = SSA_FAST; precision <= SSA_BFLOAT16; precision++) {
        ssa_set_log(NULL, NULL); /* most have no engine, which is no finding; one that is wrong is */
        ssa_device_set_precision(device, precision);
        ssa_set_log(keep_warning, NULL);
        if (width && ssa_device_engine(device))
            all_right = test_precision(device, precision, width, tests) && all_right;
    }
    json_object_set_new(answer, "engine", json_string(ssa_device_engine(device)));
    if (width)
        json_object_set_new(answer, "right", json_boolean(all_right));
    ssa_device_close(device);
    return answer;
}
