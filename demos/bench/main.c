/* ssacl-bench: a sub-command by its name; else the line is about the suites. */
#include "command.h"

#include "drivers.h"
#include "files.h"

#include <string.h>

/* One sub-command a line: {"name", name_main}. */
static const struct command {
    const char *name;
    int (*main)(int argc, char **argv);
} commands[] = {
    {"tune", tune_main},
    {"pool", pool_main},
    {"run", run_main}, /* `ssacl-bench run gemm` is `ssacl-bench gemm` */
    {"compare", compare_main},
    {"show", show_main},
};

int main(int argc, char **argv)
{
    occupy_standard_files();
    prepare_drivers();
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].main(argc - 1, argv + 1);
    return run_main(argc, argv);
}
