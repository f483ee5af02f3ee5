/* The report for people. */
#include "doctor.h"

#include <stdio.h>
#include <string.h>

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static double number(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name));
}

static void print_list(const char *title, const json_t *list)
{
    size_t i;
    json_t *x;
    if (json_array_size(list))
        printf("  %s ", title);
    json_array_foreach(list, i, x)
        printf("%s%s", i ? ", " : "", json_string_value(x));
    if (json_array_size(list))
        putchar('\n');
}

static void print_machine(const json_t *report)
{
    const json_t *loader = json_object_get(report, "loader"), *cache = json_object_get(report, "cache");
    const char *name, *place = text(report, "icd_place");
    json_t *icd, *value;
    size_t i;
    printf("ssacl %s\n\nOpenCL loader: ", text(report, "library"));
    if (json_is_object(loader) && *text(loader, "path"))
        printf("%s%s%s %s\n", text(loader, "path"), *text(loader, "name") ? ", " : "", text(loader, "name"),
               text(loader, "version"));
    else
        printf("none\n");
    if (*place)
        printf("ICD files in %s:%s\n", place, json_array_size(json_object_get(report, "icds")) ? "" : " none");
    json_array_foreach(json_object_get(report, "icds"), i, icd) {
        const char *file = strrchr(text(icd, "file"), '/');
        printf("  %-24s %s %s\n", file ? file + 1 : text(icd, "file"), text(icd, "library"), text(icd, "status"));
    }
    json_array_foreach(json_object_get(report, "platforms"), i, icd)
        printf("platform %zu: %s, %s, %.0f device(s)\n", i, text(icd, "name"), text(icd, "version"),
               number(icd, "devices"));
    printf("CLBlast: %s\n", *text(json_object_get(report, "clblast"), "path")
                                ? text(json_object_get(report, "clblast"), "path")
                                : "none");
    if (json_is_true(json_object_get(cache, "enabled")))
        printf("cache: %s, %.0f entries, %.1f of %.0f MiB\n", text(cache, "directory"), number(cache, "entries"),
               number(cache, "bytes") / 1048576, number(cache, "limit") / 1048576);
    else
        printf("cache: off (%s)\n", text(cache, "why"));
    json_object_foreach(json_object_get(report, "variables"), name, value)
        printf("$%s=%s\n", name, json_string_value(value));
}

static void print_tests(const json_t *device)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(device, "tests"), i, t) {
        char error[32] = "endless";
        bool right = json_is_true(json_object_get(t, "right")), float32 = !strcmp(text(t, "precision"), "float32");
        if (json_is_real(json_object_get(t, "error")))
            snprintf(error, sizeof error, "%.1e", number(t, "error"));
        printf("  %-14s %-6s error %-8s %s%s%s\n", text(t, "op"), right ? "right" : *text(t, "failure") ? "FAILS" : "WRONG",
               error, text(t, "path"), float32 ? "" : ", precision ", float32 ? "" : text(t, "precision"));
    }
}

static void print_device(const json_t *d)
{
    const json_t *limits = json_object_get(d, "limits");
    printf("\n%s%s: %s\n  %s on %s, driver %s; score %.0f; %s shape\n", text(d, "id"),
           json_is_true(json_object_get(d, "chosen")) ? " (chosen)" : "", text(d, "name"), text(d, "kind"),
           text(d, "platform"), text(d, "driver"), number(d, "score"), text(d, "shape"));
    printf("  %.0f units, %.1f GiB, at most %.1f GiB in one allocation", number(d, "units"),
           number(d, "memory") / 1073741824, number(d, "max_allocation") / 1073741824);
    if (limits)
        printf(", %.0f KiB local, work-groups to %.0f", number(limits, "local_memory") / 1024,
               number(limits, "max_group"));
    putchar('\n');
    print_list("has", json_object_get(d, "features"));
    print_list("it", json_object_get(d, "quirks"));
    if (*text(d, "engine"))
        printf("  matrix engine %s, for precisions fast and bf16\n", text(d, "engine"));
    if (*text(d, "tuning"))
        printf("  tuned by %s\n", text(d, "tuning"));
    if (*text(d, "failure"))
        printf("  cannot be used: %s\n", text(d, "failure"));
    print_tests(d);
}

void print_report(const json_t *report)
{
    const json_t *chosen = json_object_get(report, "auto");
    size_t i;
    json_t *x;
    print_machine(report);
    json_array_foreach(json_object_get(report, "devices"), i, x)
        print_device(x);
    printf("\n");
    json_array_foreach(json_object_get(report, "problems"), i, x)
        printf("%s: %s\n    remedy: %s\n", text(x, "severity"), text(x, "what"), text(x, "remedy"));
    printf("\n`auto` takes %s (%s). This machine can%s train with it.\n",
           *text(chosen, "device") ? text(chosen, "device") : "nothing", text(chosen, "reason"),
           json_is_true(json_object_get(report, "can_train")) ? "" : "not");
}
