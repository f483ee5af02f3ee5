#include "program.h"

#include "drivers.h"
#include "files.h"
#include "stages.h"

#include <ssacl/pool.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

int library_failed(void)
{
    return say_error("%s", ssa_last_error());
}

const char *program_command(const struct program *program, const char *command)
{
    static char name[64];
    snprintf(name, sizeof name, "%s %s", program->name, command);
    return name;
}

/* ---- main() ---- */

static int help(const struct program *p)
{
    printf("usage: %s COMMAND [options]\n\n%s\n", p->name, p->about);
    for (const struct command *c = p->commands; c->name; c++)
        printf("  %-8s %s\n", c->name, c->what);
    printf("\n      --devices  list the devices of this machine\n"
           "  -h, --help     this text\n"
           "      --version  say which version this is\n\n"
           "`%s COMMAND --help` tells the rest. Results go to stdout (with --json as one\n"
           "object), everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n\n"
           "environment:\n"
           "  SSACL_DEVICE    what --device auto takes: cpu, opencl, opencl:0:0, or a part of a name\n"
           "  SSACL_THREADS   threads of the cpu device\n", p->name);
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

/* "train, plan and report" */
static const char *list_commands(const struct program *p, const char *last, char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (const struct command *c = p->commands; c->name && used < size; c++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", !used ? "" : c[1].name ? ", " : last, c->name);
    return text;
}

static int no_command(const struct program *p, const char *word)
{
    char list[256];
    if (word)
        say_error("'%s' is no command; %s are (see --help)", word, list_commands(p, " and ", list, sizeof list));
    else
        say_error("give a command: %s (see --help)", list_commands(p, " or ", list, sizeof list));
    return EXIT_USAGE;
}

int program_main(const struct program *p, int argc, char **argv)
{
    occupy_standard_files();
    prepare_drivers();
    say_set_program(p->name);
    signal(SIGXFSZ, SIG_IGN); /* a file past its limit is then a write that fails, and is said */
    if (argc < 2)
        return no_command(p, NULL);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help(p);
    if (!strcmp(argv[1], "--version"))
        return args_version(p->name);
    if (!strcmp(argv[1], "--devices"))
        return list_devices();
    for (const struct command *c = p->commands; c->name; c++)
        if (!strcmp(argv[1], c->name))
            return c->run(p, argc - 1, argv + 1);
    return no_command(p, argv[1]);
}

/* ---- what commands share ---- */

void rename_options(const struct program *p, struct arg *table)
{
    struct arg *kept = table;
    for (const struct arg *a = table; a->kind; a++) {
        const struct renamed *r = p->renamed;
        while (r && r->option && (!a->name || strcmp(r->option, a->name) != 0))
            r++;
        if (r && r->option && !r->name)
            continue;
        *kept = *a;
        if (r && r->option) {
            kept->name = r->name;
            kept->help = r->help ? r->help : kept->help;
        }
        kept++;
    }
    *kept = (struct arg)ARG_END;
}

int parse_options(const struct arg *table, const struct args_page *page, int argc, char **argv,
                  const char **checkpoint)
{
    int status = args_parse(table, page, argc, argv);
    if (status != ARGS_GO || *checkpoint)
        return status;
    say_error("give --checkpoint FILE (see --help)");
    return EXIT_USAGE;
}

int open_checkpoint(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path)
{
    *checkpoint = NULL;
    if (p->adopt && p->adopt(checkpoint, p, path))
        return EXIT_FAILED;
    if (!*checkpoint && ssa_checkpoint_open(checkpoint, path) != SSA_OK)
        return library_failed();
    const int family = ssa_checkpoint_model(*checkpoint)->family;
    return p->families >> family & 1 ? 0
                                     : say_error("%s: holds a model of family %s, which %s does not know; give it to "
                                                 "the program that trained it", path, ssa_model_family(family),
                                                 p->name);
}

static int load_weights(struct loaded *loaded, bool average)
{
    loaded->averaged = average && ssa_checkpoint_has_average(loaded->checkpoint);
    return loaded->averaged ? ssa_checkpoint_load_average(loaded->checkpoint, loaded->model)
                            : ssa_checkpoint_load(loaded->checkpoint, loaded->model, NULL);
}

int load_model(struct loaded *loaded, const struct program *p, const char *devices, int precision,
               const char *checkpoint, int batch, bool average)
{
    const struct ssa_pool_config config = {.precision = (size_t)precision};
    struct ssa_model_limits limits = {.batch = batch};
    *loaded = (struct loaded){0};
    if (!open_checkpoint(&loaded->checkpoint, p, checkpoint)) {
        if (ssa_pool_open(&loaded->pool, devices, &config) == SSA_OK &&
            ssa_pool_model_create(&loaded->model, loaded->pool, ssa_checkpoint_model(loaded->checkpoint), &limits) ==
                SSA_OK &&
            load_weights(loaded, average) == SSA_OK)
            return 0;
        library_failed();
    }
    unload_model(loaded);
    return EXIT_FAILED;
}

void unload_model(struct loaded *loaded)
{
    ssa_model_destroy(loaded->model);
    ssa_pool_close(loaded->pool);
    ssa_checkpoint_close(loaded->checkpoint);
    *loaded = (struct loaded){0};
}

json_t *device_json(const struct ssa_device *device)
{
    struct ssa_device_info info = {0};
    ssa_device_info(device, &info);
    return json_pack("{s:s, s:s, s:s, s:s, s:i}", "id", info.id, "name", info.name, "platform", info.platform, "driver",
                     info.driver, "units", info.units);
}

const struct ssa_pattern *sampled_pattern(const struct ssa_checkpoint *checkpoint)
{
    const struct ssa_train_config *training = ssa_checkpoint_training(checkpoint);
    for (int i = training ? training->stage_count - 1 : -1; i >= 0; i--)
        if (pattern_samples(&training->stages[i].pattern))
            return &training->stages[i].pattern;
    return NULL;
}
