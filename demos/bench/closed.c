#include "closed.h"

#include "say.h"

#include <stdlib.h>
#include <string.h>

enum { CLOSED_REPS = 9 };

static const char *const allowed[] = {"closed", "device", "json", "csv", "markdown", "output", "html", "charts",
                                      "list", "build-times"};
static const char *const variables[] = {"SSACL_SHAPE", "SSACL_ISA", "SSACL_CL_DIR", "SSACL_THREADS",
                                        "SSACL_PORTABLE"};

static bool is_allowed(const char *option)
{
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!strcmp(option, allowed[i]))
            return true;
    return false;
}

int closed_begin(struct bench *b, const struct arg *table, const unsigned char *given, const struct arg_list *words)
{
    for (int i = 0; table[i].kind; i++)
        if (given[i] && !is_allowed(table[i].name)) {
            say_error("--closed is fixed work: --%s would change it; leave out one of the two", table[i].name);
            return EXIT_USAGE;
        }
    if (words->count > 1 || (words->count && strcmp(words->items[0], "all"))) {
        say_error("--closed runs its own cases of every suite: name none");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i])) {
            say_error("--closed is fixed work: unset %s, which changes it", variables[i]);
            return EXIT_USAGE;
        }
    b->closed = CLOSED_NAME;
    b->reps = CLOSED_REPS;
    b->seconds = 0;
    return 0;
}
