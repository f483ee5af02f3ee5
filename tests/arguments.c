#include "arguments.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Whether what follows leads to a member: the struct's own name says nothing of the argument. */
static bool leads_on(const char *after)
{
    return !strncmp(after + (*after == ')'), "->", 2);
}

/* Whether the word is in the text, alone or between underscores. */
static bool has_word(const char *text, const char *word, size_t length)
{
    for (const char *at = text, *end; *at; at = end) {
        for (end = at; isalnum((unsigned char)*end);)
            end++;
        if ((size_t)(end - at) == length && !memcmp(at, word, length) && !(leads_on(end) && (at == text || !in_word(at[-1]))))
            return true;
        end += end == at;
    }
    return false;
}

static bool has_all_words(const char *text, const char *name, size_t length)
{
    for (size_t at = 0, n; at < length; at += n + 1) {
        n = strcspn(name + at, "_,");
        n = n < length - at ? n : length - at;
        if (!has_word(text, name + at, n))
            return false;
    }
    return true;
}

bool arguments_fit(const struct ssa_launch *launch, char *why, size_t size)
{
    static const char *const kinds[] = {[SSA_ARG_TENSOR] = "tensor", [SSA_ARG_INT] = "int", [SSA_ARG_FLOAT] = "float",
                                        [SSA_ARG_ULONG] = "ulong"};
    const struct kernel_parameters *k = kernel_parameters;
    int i = 0;
    while (k->kernel && strcmp(k->kernel, launch->kernel))
        k++;
    if (!k->kernel)
        return true; /* a kernel of the test's own */
    for (const char *p = k->list; *p; i++) {
        const struct ssa_arg *a = &launch->args[i];
        size_t kind = strcspn(p, " "), name = strcspn(p + kind + 1, ",");
        if (i == SSA_MAX_ARGS || !a->kind) {
            snprintf(why, size, "%s: no argument for parameter %.*s", k->kernel, (int)(kind + 1 + name), p);
            return false;
        }
        if (strncmp(kinds[a->kind], p, kind) || strlen(kinds[a->kind]) != kind || !has_all_words(a->name, p + kind + 1, name)) {
            snprintf(why, size, "%s: argument %d, %s %s, is given to parameter %.*s", k->kernel, i, kinds[a->kind], a->name,
                     (int)(kind + 1 + name), p);
            return false;
        }
        p += kind + 1 + name;
        p += strspn(p, ", ");
    }
    snprintf(why, size, "%s: more arguments than parameters", k->kernel);
    return i == SSA_MAX_ARGS || !launch->args[i].kind;
}

static void witness(const struct ssa_launch *launch)
{
    char why[256];
    if (arguments_fit(launch, why, sizeof why))
        return;
    fprintf(stderr, "%s\n", why);
    abort();
}

void arguments_watch(void)
{
    ssa_launch_witness = witness;
}
