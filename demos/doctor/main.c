/* ssacl-doctor: what this machine has for ssacl, what is wrong with it, and whether it computes right. */
#include "doctor.h"

#include "args.h"
#include "drivers.h"
#include "files.h"
#include "numbers.h"
#include "say.h"

#include <ssacl/ssacl.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 64 };

void problem(json_t *report, enum severity severity, const char *remedy, const char *format, ...)
{
    static const char *const names[] = {"note", "warning", "error"};
    char what[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    json_array_append_new(json_object_get(report, "problems"),
                          json_pack("{ss so so}", "severity", names[severity], "what", json_text(what), "remedy",
                                    json_text(remedy)));
}

struct options {
    const char *device;
    int json, no_tests, width, timeout;
};

/* ---- devices ---- */

/* Joins what the library lists with what opencl.c was told. */
static json_t *device_entry(const json_t *report, const struct ssa_device_info *d)
{
    static const char *const kinds[] = {"host", "CPU", "GPU", "accelerator"};
    json_t *entry = json_pack("{ss ss ss ss ss ss so sI sI si}", "id", d->id, "name", d->name, "platform", d->platform,
                              "driver", d->driver, "kind", kinds[d->kind], "shape", d->gpu_shape ? "gpu" : "cpu",
                              "score", number_json(ssa_device_score(d)), "memory", (json_int_t)d->memory,
                              "max_allocation", (json_int_t)d->max_allocation, "units", d->units);
    json_t *told, *all = json_object_get(report, "devices");
    size_t i;
    json_array_foreach(all, i, told)
        if (!strcmp(json_string_value(json_object_get(told, "id")), d->id))
            json_object_update_missing(entry, told);
    return entry;
}

static void judge_device(json_t *report, const json_t *entry, bool matters)
{
    const char *id = json_string_value(json_object_get(entry, "id"));
    const char *failure = json_string_value(json_object_get(entry, "failure"));
    enum severity severity = matters ? ERROR : WARNING;
    const char *elsewhere = !strcmp(id, "cpu") ? "this is a fault of the library's own kernels or of the machine: report it"
                                               : "update its driver; until then use another device: SSACL_DEVICE=cpu";
    size_t i;
    json_t *t;
    if (failure && *failure) {
        problem(report, severity, elsewhere, "device %s cannot be used: %s", id, failure);
        return;
    }
    json_array_foreach(json_object_get(entry, "tests"), i, t) {
        const char *op = json_string_value(json_object_get(t, "op"));
        const char *reason = json_string_value(json_object_get(t, "failure"));
        const char *path = json_string_value(json_object_get(t, "path"));
        if (json_is_true(json_object_get(t, "right")))
            continue;
        if (*reason)
            problem(report, severity, elsewhere, "device %s fails in %s: %s", id, op, reason);
        else
            problem(report, severity, elsewhere, "device %s miscomputes %s (%s, by %s): error %.2g, allowed %.2g", id, op,
                    json_string_value(json_object_get(t, "worst_case")), path,
                    json_is_real(json_object_get(t, "error")) ? json_real_value(json_object_get(t, "error")) : 1.0 / 0.0,
                    json_real_value(json_object_get(t, "allowed")));
    }
    json_array_foreach(json_object_get(entry, "warnings"), i, t)
        problem(report, WARNING,
                *json_string_value(t) == '$'
                    ? "set the variable to what it may be, or unset it"
                    : "results are right, at less speed; an update of the driver or the library may mend it",
                "device %s: %s", id, json_string_value(t));
}

static void test_device(json_t *entry, const struct options *o)
{
    char argument[64], why[128];
    snprintf(argument, sizeof argument, "%d %s", o->no_tests ? 0 : o->width,
             json_string_value(json_object_get(entry, "id")));
    json_t *answer = ask_child("--probe-device", argument, o->timeout, why, sizeof why);
    if (!answer)
        answer = json_pack("{sb ss+}", "opens", false, "failure", "its driver ", why);
    json_object_update(entry, answer);
    json_decref(answer);
}

static bool usable(const json_t *entry)
{
    const json_t *right = json_object_get(entry, "right");
    return json_is_true(json_object_get(entry, "opens")) && (!right || json_is_true(right));
}

/* ---- what `auto` takes, and whether it will do ---- */

/* As ssa_device_open(NULL) chooses; -1 and a problem where it fails. */
static int choose(json_t *report, const struct ssa_device_info *list, int n, const char *wanted)
{
    const char *set = getenv("SSACL_DEVICE"), *name = wanted ? wanted : set && *set ? set : "auto";
    const char *from = wanted ? "--device" : set && *set ? "$SSACL_DEVICE" : "auto: the highest score";
    int chosen = -1;
    if (ssa_device_find(list, n, name, &chosen))
        problem(report, ERROR, wanted ? "give one of those" : "unset $SSACL_DEVICE, or name one of those", "%s",
                ssa_last_error());
    json_object_set_new(report, "auto", json_pack("{ss? so ss}", "device", chosen < 0 ? NULL : list[chosen].id, "asked",
                                                  json_text(name), "reason", from));
    return chosen;
}

static bool asks_for_host(const struct options *o)
{
    const char *set = getenv("SSACL_DEVICE");
    return !strcmp(o->device ? o->device : set ? set : "", "cpu");
}

static void examine_devices(json_t *report, const struct options *o)
{
    static struct ssa_device_info list[MAX_DEVICES];
    json_t *devices = json_array();
    bool will_do = false;
    int n = 0;
    if (json_is_true(json_object_get(report, "unusable"))) /* a driver that crashes must not be asked here */
        setenv("SSACL_OPENCL_LIBRARY", "", 1);
    ssa_device_list(list, MAX_DEVICES, &n);
    n = n < MAX_DEVICES ? n : MAX_DEVICES;
    int chosen = choose(report, list, n, o->device);
    for (int i = 0; i < n; i++) {
        json_t *entry = device_entry(report, &list[i]);
        json_object_set_new(entry, "chosen", json_boolean(i == chosen));
        if (!o->device || i == chosen) {
            if (!o->json && !o->no_tests)
                say_note("testing %s, %s ...", list[i].id, list[i].name);
            test_device(entry, o);
            judge_device(report, entry, i == chosen);
        }
        if (i == chosen) /* other programs would ask that driver, unless they are told `cpu` */
            will_do = usable(entry) && (!json_is_true(json_object_get(report, "unusable")) || asks_for_host(o));
        json_array_append_new(devices, entry);
    }
    json_object_set_new(report, "devices", devices);
    json_object_set_new(report, "can_train", json_boolean(will_do));
    if (n == 1)
        problem(report, NOTE, "see the problems above; for GPUs install their driver",
                "no OpenCL device was found: ssacl's own CPU backend serves");
}

int main(int argc, char **argv)
{
    struct options o = {.width = 64, .timeout = 300};
    const struct arg table[] = {
        ARG_TEXT('d', "device", &o.device, "NAME", "test this device only, as if `auto` took it"),
        ARG_FLAG(0, "no-tests", &o.no_tests, "open the devices, but run no operator on them"),
        ARG_INT(0, "width", &o.width, 8, 256, "D", "width of attention's heads in the tests, a multiple of 8"),
        ARG_INT(0, "timeout", &o.timeout, 1, 86400, "SECONDS", "give up on a driver that has not answered by then, or whose tests have not ended"),
        ARG_FLAG(0, "json", &o.json, "one JSON object on stdout"),
        ARG_END};
    const struct args_page page = {
        .name = "ssacl-doctor",
        .usage = "[options]",
        .about = "Looks at what this machine has for ssacl: the OpenCL loader, the ICD files that name drivers and "
                 "which of them fail and why, platforms, devices with their limits and quirks, the one that `auto` "
                 "takes and its score, caches, CLBlast, variables; every problem with its remedy. Then runs every "
                 "operator on every device on small, awkward shapes, compares with double precision, and says whether "
                 "it is right, by how much it is off, and which way was taken.\n"
                 "\n"
                 "Whatever calls a driver runs in a process of its own: one that crashes or hangs is a finding.\n"
                 "\n"
                 "Exit status: 0 if this machine can train with what `auto` takes (also when that is ssacl's own CPU "
                 "backend, for want of OpenCL), 1 if not, 2 for a wrong command line.",
        .examples = "examples:\n  ssacl-doctor\n  ssacl-doctor --device opencl:0:0 --width 128\n"
                    "  ssacl-doctor --json > machine.json\n"};
    occupy_standard_files();
    if (argc == 3) {
        int status = child_main(argv[1], argv[2]);
        if (status >= 0)
            return status;
    }
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    if (o.width % 8) {
        say_error("--width: %d is not a multiple of 8", o.width);
        return EXIT_USAGE;
    }
    json_t *report = json_pack("{si ss s[]}", "schema", DOCTOR_SCHEMA, "library", ssa_version(), "problems");
    examine_machine(report); /* the variables as the user set them */
    prepare_drivers();
    examine_opencl(report, o.timeout);
    examine_devices(report, &o);
    bool will_do = json_is_true(json_object_get(report, "can_train"));
    if (o.json) {
        status = print_json(report);
    } else {
        json_make_plain(report);
        print_report(report);
        status = finish_stdout();
        json_decref(report);
    }
    return status ? EXIT_FAILED : will_do ? 0 : EXIT_FAILED;
}
