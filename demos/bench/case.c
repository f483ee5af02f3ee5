#include "bench.h"

#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int case_add(struct case_list *list, const struct bench_case *c)
{
    if (list->count == list->capacity) {
        int capacity = 2 * list->capacity + 16;
        struct bench_case *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items)
            return bench_out_of_memory();
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *c;
    return SSA_OK;
}

/* Every word of a filter must be somewhere in "suite name direction"; of several filters one must fit. */
static bool fits(const char *filter, const char *text)
{
    char words[256], *rest = words;
    snprintf(words, sizeof words, "%s", filter);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!strstr(text, word))
            return false;
    return true;
}

bool bench_wants(const struct bench *b, const char *suite, const char *name, const char *direction)
{
    char text[256];
    snprintf(text, sizeof text, " %s %s %s ", suite, name, direction);
    for (int i = 0; i < b->filters.count; i++)
        if (fits(b->filters.items[i], text))
            return true;
    return b->filters.count == 0;
}

int bench_out_of_memory(void)
{
    say_error("out of host memory: ask for a shorter --length or a smaller --batch");
    return SSA_ENOMEM;
}
