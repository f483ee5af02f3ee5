/* Every allocation of a save and a load fails once, ours and the JSON library's: the old file stays whole, or the new
 * one is what was meant; nothing is left behind; and a model is loaded altogether or not at all. */
#include "harness.h"
#include "ssacl/checkpoint.h"
#include "ssacl/tuning.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MOST = 1 << 16, PATH = 128 };

static char folder[] = "/tmp/ssacl-memory-XXXXXX", path[PATH], other[PATH];
static struct ssa_device *device;

/* ---- memory that is short (linked with --wrap) ---- */

static long counted, failing = -1; /* which allocation is refused; -1: none */

static bool refused(void)
{
    return counted++ == failing;
}

#define WRAP(name, parameters, arguments) \
    void *__real_##name parameters; \
    void *__wrap_##name parameters; \
    void *__wrap_##name parameters \
    { \
        return refused() ? NULL : __real_##name arguments; \
    }
WRAP(malloc, (size_t size), (size))
WRAP(calloc, (size_t count, size_t size), (count, size))
WRAP(realloc, (void *old, size_t size), (old, size))
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return refused() ? NULL : __real_strdup(text);
}

int __wrap_fsync(int file);
int __wrap_fsync(int file) /* a thousand times would take long */
{
    (void)file;
    return 0;
}

static void fail_at(long which)
{
    counted = 0;
    failing = which;
}

/* Whether the call got so far that the allocation was refused; from here on all are granted. */
static bool was_refused(void)
{
    bool yes = counted > failing;
    failing = -1;
    return yes;
}

/* ---- files ---- */

struct bytes {
    size_t size;
    char bytes[FILE_MOST];
};

static bool is(const char *name, const struct bytes *want)
{
    static struct bytes got;
    got.size = test_load_file(name, got.bytes, sizeof got.bytes);
    return got.size == want->size && !memcmp(got.bytes, want->bytes, got.size);
}

static void read_whole(const char *name, struct bytes *to)
{
    to->size = test_load_file(name, to->bytes, sizeof to->bytes);
    ck_assert_uint_lt(to->size, sizeof to->bytes);
}

static int files_in_folder(void)
{
    DIR *d = opendir(folder);
    int n = -2;
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

/* ---- a run ---- */

static unsigned char text[100];
static struct ssa_model *model;
static struct ssa_trainer *trainer;

static void start(void)
{
    static struct ssa_pattern layers[1] = {{.kind = SSA_UNBIASED, .ratio = 0.5f}};
    static const struct ssa_stage stages[] = {
        {.pattern = {.layers = layers, .layer_count = 1}, .steps = 1, .lr = 0.01f}, {.steps = 1, .lr = 0.02f}};
    static const struct ssa_model_config small = {.gpt = {.layers = 1, .heads = 1, .width = 8, .hidden = 8, .vocabulary = 8,
                                                  .length = 8}};
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_model_create(&model, device, &small, &(struct ssa_model_limits){.batch = 1, .training = 1}));
    OK(ssa_model_initialise(model, 1));
    OK(ssa_trainer_create(&trainer, model, &(struct ssa_train_config){.batch = 1, .stages = stages, .stage_count = 2},
                          &(struct ssa_data){.items = text, .count = sizeof text}));
}

static void end(void)
{
    ssa_trainer_destroy(trainer);
    ssa_model_destroy(model);
    ssa_device_close(device);
}

/* ---- saving ---- */

static int save_checkpoint(const char *to, int version)
{
    return ssa_checkpoint_save(to, model, trainer, version ? "{\"new\": 1}" : "{\"old\": 1}");
}

static int save_tuning(const char *to, int version)
{
    struct ssa_tuning_speed speeds[] = {{.name = "gemm", .before = 1, .after = 2}, {"step", version, 3}};
    return ssa_tuning_save(device, to, speeds, 2);
}

static void check_saving(int (*save)(const char *to, int version))
{
    static struct bytes old, new;
    long count = 0;
    OK(save(path, 1));
    read_whole(path, &new);
    OK(save(path, 0));
    read_whole(path, &old);
    bool more = true;
    for (long i = 0; more; i++) {
        fail_at(i);
        int err = save(path, 1);
        more = was_refused();
        ck_assert_msg(is(path, err ? &old : &new), "allocation %ld of a save refused: status %d, and the file is not %s",
                      i, err, err ? "the old one" : "the new one");
        ck_assert_msg(files_in_folder() == 1, "allocation %ld of a save refused: a file is left over", i);
        ck_assert_msg(more || !err, "%ld: %s", i, ssa_last_error());
        if (!err)
            OK(save(path, 0));
        count = i;
    }
    fprintf(stderr, "%ld allocations of a save\n", count);
    unlink(path);
}

START_TEST(saving)
{
    start();
    check_saving(save_checkpoint);
    check_saving(save_tuning);
    end();
}
END_TEST

/* ---- loading ---- */

static int load(void)
{
    struct ssa_checkpoint *c = NULL;
    int err = ssa_checkpoint_open(&c, path);
    if (!err)
        err = ssa_checkpoint_load(c, model, trainer);
    ssa_checkpoint_close(c);
    return err;
}

START_TEST(loading)
{
    static struct bytes trained, fresh;
    long count = 0;
    start();
    OK(save_checkpoint(other, 0));
    read_whole(other, &fresh);
    OK(ssa_trainer_run(trainer, 2, &(struct ssa_trainer_run){0}));
    OK(save_checkpoint(path, 0));
    read_whole(path, &trained);
    ck_assert(!is(other, &trained));
    end();
    start();
    bool more = true, loaded = false;
    for (long i = 0; more; i++) {
        if (loaded) { /* a model that knows nothing, again */
            end();
            start();
        }
        fail_at(i);
        int err = load();
        loaded = !err;
        more = was_refused();
        OK(save_checkpoint(other, 0));
        ck_assert_msg(is(other, err ? &fresh : &trained), "allocation %ld of a load refused: status %d, %s", i, err,
                      ssa_last_error());
        ck_assert_msg(more || !err, "%ld: %s", i, ssa_last_error());
        count = i;
    }
    fprintf(stderr, "%ld allocations of a load\n", count);
    end();
    unlink(path);
    unlink(other);
}
END_TEST

/* Of a tuning file all or nothing is taken, too. */
START_TEST(loading_tuning)
{
    struct ssa_tunable list[64];
    int n, err, set;
    start();
    OK(ssa_tuning_list(device, list, 64, &n));
    set = list[0].values[list[0].values[0] == list[0].standard];
    OK(ssa_tuning_set(device, &(struct ssa_tuning_setting){list[0].kernel, list[0].name, set}, 1));
    OK(save_tuning(path, 0));
    bool more = true;
    for (long i = 0; more; i++) {
        ssa_tuning_reset(device, NULL);
        fail_at(i);
        err = ssa_tuning_load(device, path);
        more = was_refused();
        OK(ssa_tuning_list(device, list, 64, &n));
        ck_assert_msg((list[0].value == set) == !err, "allocation %ld of a load refused: status %d", i, err);
        ck_assert_msg(more || !err, "%ld: %s", i, ssa_last_error());
    }
    end();
    unlink(path);
}
END_TEST

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    json_set_alloc_funcs(__wrap_malloc, free);
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    int failed = test_run_alone("memory_short", (const TTest *const[]){saving, loading, loading_tuning, NULL});
    unlink(path);
    unlink(other);
    return rmdir(folder) || failed;
}
