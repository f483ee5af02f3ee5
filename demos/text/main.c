/* ssacl-text: language models over bytes or tokens, trained with Stochastically Subsampled self-Attention. */
#include "command.h"

#include "drivers.h"
#include "files.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"train", train_main, "train a model on text, or take up a run that was stopped"},
    {"plan", plan_main, "what such a run would take: memory, operations, time"},
    {"eval", eval_main, "measure a checkpoint on held-out text: one dense pass, and the self-ensemble"},
    {"sample", sample_main, "let a checkpoint write"},
    {"report", report_main, "compare runs: a table, and loss against tokens and seconds as SVG and PNG"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int help(void)
{
    puts("usage: ssacl-text COMMAND [options]\n\n"
         "Trains transformers over bytes, or tokens, with Stochastically Subsampled self-Attention, on any\n"
         "OpenCL device or, where there is none, on the CPU.\n");
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].what);
    puts("\n      --devices  list the devices of this machine\n"
         "  -h, --help     this text\n"
         "      --version  say which version this is\n\n"
         "`ssacl-text COMMAND --help` tells the rest. Results go to stdout (with --json as one\n"
         "object), everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n\n"
         "environment:\n"
         "  SSACL_DEVICE    what --device auto takes: cpu, opencl, opencl:0:0, or a part of a name\n"
         "  SSACL_THREADS   threads of the cpu device");
    return finish_stdout();
}

/* One line a device: what --device takes, then what it is. */
static int list_devices(void)
{
    struct ssa_device_info devices[32];
    int count;
    if (ssa_device_list(devices, 32, &count) != SSA_OK)
        return library_failed();
    for (int i = 0; i < count && i < 32; i++)
        printf("%-12s %s, %d units, %zu MiB (%s)\n", devices[i].id, devices[i].name, devices[i].units,
               devices[i].memory >> 20, devices[i].platform);
    return finish_stdout();
}

int main(int argc, char **argv)
{
    occupy_standard_files();
    prepare_drivers();
    say_set_program("ssacl-text");
    signal(SIGXFSZ, SIG_IGN); /* a file past its limit is then a write that fails, and is said */
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
        return help();
    if (argc > 1 && !strcmp(argv[1], "--version"))
        return args_version("ssacl-text");
    if (argc > 1 && !strcmp(argv[1], "--devices"))
        return list_devices();
    for (int i = 0; argc > 1 && i < COMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    if (argc > 1)
        say_error("'%s' is no command; train, plan, eval, sample and report are (see --help)", argv[1]);
    else
        say_error("give a command: train, plan, eval, sample or report (see --help)");
    return EXIT_USAGE;
}
