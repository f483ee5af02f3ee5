/* Checkpoints: resume bit for bit, every kind of broken file, no space left, nothing half-written. */
#include "golden.h"
#include "saved.h"
#include "disk/crc32.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[128], broken[128];

static const struct ssa_model_config small = {.gpt = {.layers = 2, .heads = 2, .kv_heads = 1, .width = 16, .hidden = 24,
    .vocabulary = 40, .length = 16, .norm = SSA_NORM_RMS, .untied = 1, .dropout = 0.1f}};

/* ---- a run ---- */

static unsigned char text[300];

static struct run start(struct ssa_device *dev, const struct ssa_model_config *c, uint64_t seed)
{
    static struct ssa_pattern layers[2] = {
        {.kind = SSA_UNBIASED, .ratio = 0.4f, .per_example = 1, .independent = 1},
        {.kind = SSA_LOCAL, .ratio = 0.25f, .sigma = 3, .per_example = 1, .permute_queries = 1}};
    struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1, .sigma = 0.7f, .own_key = SSA_NONE}, .steps = 2,
         .lr = 0.01f},
        {.pattern = {.layers = layers, .layer_count = 2}, .steps = 2, .lr = 0.02f, .lr_end = 0.001f, .warmup = 1,
         .dense_every = 2},
        {.steps = 2, .lr = 0.01f}};
    struct ssa_train_config config = {.batch = 4, .clip = 0.5f, .smoothing = 0.05f, .seed = seed, .stages = stages,
                                      .stage_count = 3};
    struct run j;
    for (int i = 0; i < 300; i++)
        text[i] = (unsigned char)(i * i % 37);
    OK(ssa_model_create(&j.model, dev, c, &(struct ssa_model_limits){.batch = 2, .training = 1}));
    OK(ssa_model_initialise(j.model, seed));
    OK(ssa_trainer_create(&j.trainer, j.model, &config, &(struct ssa_data){.items = text, .count = 300}));
    return j;
}

/* ---- files ---- */

static char *slurp(const char *name, size_t *size)
{
    FILE *f = fopen(name, "rb");
    ck_assert_ptr_nonnull(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    ck_assert_uint_eq(fread(bytes, 1, *size, f), *size);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

static void patch(size_t at, char byte)
{
    int f = open(broken, O_WRONLY);
    ck_assert_int_eq(pwrite(f, &byte, 1, (off_t)at), 1);
    close(f);
}

static int files_in_folder(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void must_fail(const char *name, int status, const char *words)
{
    struct ssa_checkpoint *c = NULL;
    FAILS(ssa_checkpoint_open(&c, name), status, words);
    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(ssa_last_error(), "checkpoint "));
    ck_assert_ptr_null(strchr(ssa_last_error(), '\n'));
}

/* ---- resume ---- */

static void check_resume(struct ssa_device *dev, int stop_at)
{
    struct run whole = start(dev, &small, 5), first = start(dev, &small, 5);
    struct ssa_checkpoint *c;
    float want[6], got[6];
    OK(ssa_trainer_run(whole.trainer, 6, &(struct ssa_trainer_run){0}));
    OK(ssa_trainer_losses(whole.trainer, 6, want, NULL));
    if (stop_at)
        OK(ssa_trainer_run(first.trainer, stop_at, &(struct ssa_trainer_run){0}));
    OK(ssa_checkpoint_save(path, first.model, first.trainer, "a \"note\"\n{}"));
    run_end(first);
    struct run second = start(dev, &small, 5);
    OK(ssa_model_initialise(second.model, 77)); /* what it held must not matter */
    OK(ssa_checkpoint_open(&c, path));
    ck_assert_int_eq(ssa_checkpoint_step(c), stop_at);
    ck_assert_str_eq(ssa_checkpoint_note(c), "a \"note\"\n{}");
    OK(ssa_checkpoint_load(c, second.model, second.trainer));
    ssa_checkpoint_close(c);
    ck_assert_int_eq(ssa_trainer_steps_done(second.trainer), stop_at);
    OK(ssa_trainer_run(second.trainer, 6, &(struct ssa_trainer_run){0}));
    OK(ssa_trainer_losses(second.trainer, 6 - stop_at, got, NULL));
    ck_assert_mem_eq(got, want + stop_at, (size_t)(6 - stop_at) * sizeof *got);
    same_parameters(whole.model, second.model);
    run_end(whole);
    run_end(second);
}

START_TEST(resumes_bit_for_bit)
{
    FOR_DEVICES (dev)
        for (int stop_at = test_launches_slowly(dev) ? 3 : 0; stop_at < 6; stop_at += 3)
            check_resume(dev, stop_at);
}
END_TEST

START_TEST(says_what_it_holds)
{
    struct run j = start(test_device(0), &small, 0xfedcba9876543210ull);
    struct ssa_checkpoint *c;
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    OK(ssa_checkpoint_open(&c, path));
    ck_assert_mem_eq(ssa_checkpoint_model(c), &small, sizeof small);
    const struct ssa_train_config *t = ssa_checkpoint_training(c), *ours = ssa_trainer_config(j.trainer);
    ck_assert(t->batch == 4 && t->clip == 0.5f && t->seed == 0xfedcba9876543210ull && t->stage_count == 3);
    ck_assert(t->beta2 == ours->beta2 && t->decay == ours->decay && t->smoothing == ours->smoothing);
    ck_assert(t->stages[1].lr_end == 0.001f && t->stages[1].warmup == 1 && t->stages[2].lr_end == ours->stages[2].lr_end);
    ck_assert(t->stages[0].pattern.kind == SSA_LOCAL && t->stages[0].pattern.sigma == 0.7f);
    ck_assert(t->stages[0].pattern.own_key == SSA_NONE && t->stages[1].pattern.layers[0].own_key == 0);
    ck_assert(t->stages[0].dense_every == 0 && t->stages[1].dense_every == 2);
    ck_assert(t->stages[1].pattern.layers[0].independent == 1 && t->stages[1].pattern.layers[1].independent == 0);
    ck_assert(t->stages[1].pattern.layer_count == 2 && t->stages[1].pattern.layers[0].per_example == 1);
    ck_assert_str_eq(ssa_checkpoint_note(c), "");
    ssa_checkpoint_close(c);
    OK(ssa_checkpoint_save(path, j.model, NULL, "weights only"));
    OK(ssa_checkpoint_open(&c, path));
    ck_assert_ptr_null(ssa_checkpoint_training(c));
    FAILS(ssa_checkpoint_load(c, j.model, j.trainer), SSA_EINVAL, "no optimiser state");
    OK(ssa_checkpoint_load(c, j.model, NULL));
    ssa_checkpoint_close(c);
    ck_assert_int_eq(files_in_folder(), 1);
    run_end(j);
}
END_TEST

/* Whatever differs is refused by name, and the model stays as it was. */
START_TEST(refuses_another_model)
{
    struct ssa_device *dev = test_device(0);
    struct run j = start(dev, &small, 5);
    struct ssa_checkpoint *c;
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    OK(ssa_checkpoint_open(&c, path));
    struct ssa_model_config others[6];
    static const char *const words[] = {"layers is 2, this model's is 3", "width", "vocabulary is 40", "norm is 1",
                                        "untied is 1", "kv_heads is 1"};
    for (int i = 0; i < 6; i++)
        others[i] = small;
    others[0].gpt.layers = 3;
    others[1].gpt.width = 32;
    others[2].gpt.vocabulary = 41;
    others[3].gpt.norm = SSA_NORM_LAYER;
    others[4].gpt.untied = 0;
    others[5].gpt.kv_heads = 0;
    for (int i = 0; i < 6; i++) {
        struct ssa_model *m, *same;
        OK(ssa_model_create(&m, dev, &others[i], &(struct ssa_model_limits){.batch = 1}));
        OK(ssa_model_create(&same, dev, &others[i], &(struct ssa_model_limits){.batch = 1}));
        FAILS(ssa_checkpoint_load(c, m, NULL), SSA_EFORMAT, words[i]);
        same_parameters(m, same);
        ssa_model_destroy(m);
        ssa_model_destroy(same);
    }
    struct run other_seed = start(dev, &small, 6);
    FAILS(ssa_checkpoint_load(c, other_seed.model, other_seed.trainer), SSA_EINVAL, "seed is 5, the trainer's is 6");
    FAILS(ssa_checkpoint_load(c, j.model, other_seed.trainer), SSA_EINVAL, "trainer is of another model");
    FAILS(ssa_checkpoint_save(path, j.model, other_seed.trainer, NULL), SSA_EINVAL, "trainer is of another model");
    run_end(other_seed);
    ssa_checkpoint_close(c);
    run_end(j);
}
END_TEST

/* ---- broken files ---- */

START_TEST(finds_damage)
{
    struct run j = start(test_device(0), &small, 5);
    size_t size;
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    run_end(j);
    char *good = slurp(path, &size);
    size_t header = (unsigned char)good[0] + 256u * (unsigned char)good[1] + 8;
    test_save_file(broken, good, size);
    for (size_t n = 0; n < size; n += n < header ? 1 : 307) /* a bit flipped */
        for (int bit = 0; bit < 8; bit += n < header ? 3 : 7) {
            patch(n, (char)(good[n] ^ 1 << bit));
            must_fail(broken, SSA_EFORMAT, "");
            patch(n, good[n]);
        }
    for (size_t n = size - 1; n > 0; n -= n < 40 || (n > header - 20 && n < header + 20) ? 1 : 211 < n - 39 ? 211 : 1) {
        ck_assert_int_eq(truncate(broken, (off_t)n), 0);
        must_fail(broken, SSA_EFORMAT, n == size - 1 ? "truncated?" : "");
    }
    good[size - 5] ^= 1;
    test_save_file(broken, good, size);
    must_fail(broken, SSA_EFORMAT, "the file is damaged");
    good[size - 5] ^= 1;
    test_save_file(broken, good, size);
    struct ssa_checkpoint *c;
    OK(ssa_checkpoint_open(&c, broken));
    ssa_checkpoint_close(c);
    ck_assert_int_eq(truncate(broken, (off_t)size + ((off_t)1 << 32)), 0); /* its size again, for 32 bits */
    if (sizeof(size_t) > 4)
        must_fail(broken, SSA_EFORMAT, "belong to no tensor");
    else
        must_fail(broken, SSA_EIO, "more than this machine can address");
    free(good);
    unlink(broken);
}
END_TEST

static void write_hostile(uint64_t header_length, const char *header, size_t data_size)
{
    size_t n = strlen(header);
    unsigned char *file = calloc(8 + n + data_size, 1);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)(header_length >> 8 * i);
    memcpy(file + 8, header, n);
    test_save_file(broken, file, 8 + n + data_size);
    free(file);
}

#define TENSOR(name, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

START_TEST(survives_hostile_headers)
{
    static const struct {
        const char *words, *header;
        size_t data;
    } cases[] = {
        {"no checkpoint (truncated?)", "", 0},
        {"header is not", "", 2},
        {"header is not", "{", 8},
        {"not an object", "[1,2]", 0},
        {"duplicate", "{" TENSOR("a", "1", 0, 4) "," TENSOR("a", "1", 4, 8) "}", 8},
        {"they overlap", "{" TENSOR("a", "2", 0, 8) "," TENSOR("b", "2", 4, 12) "}", 12},
        {"a hole", "{" TENSOR("a", "2", 0, 8) "," TENSOR("b", "2", 12, 20) "}", 20},
        {"a hole", "{" TENSOR("a", "2", 4, 12) "}", 12},
        {"belong to no tensor", "{" TENSOR("a", "2", 0, 8) "}", 12},
        {"of 8 bytes of data", "{" TENSOR("a", "4", 0, 16) "}", 8},
        {"of 2 floats has 12 bytes", "{" TENSOR("a", "2", 0, 12) "}", 12},
        {"impossible shape", "{" TENSOR("a", "4294967296,4294967296", 0, 8) "}", 8},
        {"impossible shape", "{" TENSOR("a", "-1,-2", 0, 8) "}", 8},
        {"good data_offsets", "{" TENSOR("a", "2", -8, 0) "}", 8},
        {"reaches from byte 8 to 0", "{" TENSOR("a", "2", 8, 0) "}", 8},
        {"reaches from", "{" TENSOR("a", "2", 9223372036854775799, 9223372036854775807) "}", 8},
        {"header is not", "{" TENSOR("a", "2", 0, 18446744073709551616) "}", 8},
        {"good data_offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4,8]}}", 8},
        {"not of type F32", "{\"a\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]}}", 8},
        {"not of type F32", "{\"a\":7}", 8},
        {"good shape", "{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,8]}}", 8},
        {"not written by this library", "{" TENSOR("a", "2", 0, 8) "}", 8},
        {"not written by this library", "{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("a", "2", 0, 8) "}", 8},
        {"version 2", "{\"__metadata__\":{\"format\":\"ssacl\",\"version\":\"2\"}}", 0},
        {"good \"model\"", "{\"__metadata__\":{\"format\":\"ssacl\",\"version\":\"1\"}}", 0},
        {"its model is not", "{\"__metadata__\":{\"format\":\"ssacl\",\"version\":\"1\",\"model\":\"7\"}}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_hostile(strlen(cases[i].header), cases[i].header, cases[i].data);
        must_fail(broken, SSA_EFORMAT, cases[i].words);
    }
    write_hostile(UINT64_MAX, "{}", 100);
    must_fail(broken, SSA_EFORMAT, "reaches past its end");
    write_hostile(UINT64_MAX - 7, "{}", 100);
    must_fail(broken, SSA_EFORMAT, "reaches past its end");
    char *deep = calloc(1, 100001);
    memset(deep, '[', 100000);
    write_hostile(100000, deep, 0);
    must_fail(broken, SSA_EFORMAT, "header is not");
    free(deep);
    test_save_file(broken, "", 0);
    must_fail(broken, SSA_EFORMAT, "has 0 bytes");
    unlink(broken);
}
END_TEST

/* Headers that are hostile although their checksum is right: whoever writes one can compute it too. */
static void reseal(char *file, size_t size)
{
    char *digits = strstr(file + 8, "\"crc32\":\"") + 9, text_of[9];
    memcpy(digits, "00000000", 8);
    snprintf(text_of, sizeof text_of, "%08x", (unsigned)ssa_crc32(0, file, size));
    memcpy(digits, text_of, 8);
}

START_TEST(believes_no_config)
{
    static const struct {
        const char *from, *to, *words;
    } cases[] = {
        {"\\\"layers\\\":2", "\\\"layers\\\":3", "lacks tensor \"layer.2.qkv.weight\""},
        {"\\\"layers\\\":2", "\\\"layers\\\":1", "does not call for"},
        {"\\\"layers\\\":2", "\\\"layers\\\":0", "layers is 0"},
        {"\\\"width\\\":16", "\\\"width\\\":32", "not of the shape"},
        {"\\\"heads\\\":2", "\\\"heads\\\":x", "its model is not"},
        {"\\\"heads\\\":2", "\\\"beads\\\":2", "good \"heads\""},
        {"\\\"stages\\\"", "\\\"stapes\\\"", "no stages"},
        {"\\\"batch\\\":4", "\\\"batch\\\":[", "its training is not"},
        {"\"step\":\"0\"", "\"step\":\"x\"", "good \"step\""},
        {"moment2.embed", "moment3.embed", "lacks tensor \"moment2.embed.weight\""},
    };
    struct run j = start(test_device(0), &small, 5);
    size_t size;
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    run_end(j);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *file = slurp(path, &size), *at = strstr(file + 8, cases[i].from);
        ck_assert_msg(at != NULL, "%s", cases[i].from);
        memcpy(at, cases[i].to, strlen(cases[i].to));
        reseal(file, size);
        test_save_file(broken, file, size);
        must_fail(broken, SSA_EFORMAT, cases[i].words);
        free(file);
    }
    unlink(broken);
}
END_TEST

/* ---- the file system ---- */

START_TEST(bad_places)
{
    struct run j = start(test_device(0), &small, 5);
    char name[200];
    must_fail("/nowhere/at/all.safetensors", SSA_EIO, "No such file");
    must_fail(folder, SSA_EIO, "not a regular file");
    must_fail("/dev/zero", SSA_EIO, "not a regular file");
    FAILS(ssa_checkpoint_open(&(struct ssa_checkpoint *){NULL}, ""), SSA_EINVAL, "no file name");
    FAILS(ssa_checkpoint_save("/nowhere/at/all", j.model, j.trainer, NULL), SSA_EIO, "cannot create");
    FAILS(ssa_checkpoint_save("/dev/full", j.model, j.trainer, NULL), SSA_EIO, "not a regular file");
    FAILS(ssa_checkpoint_save(folder, j.model, j.trainer, NULL), SSA_EIO, "not a regular file");
    FAILS(ssa_checkpoint_save("", j.model, j.trainer, NULL), SSA_EINVAL, "no file name");
    FAILS(ssa_checkpoint_save(path, j.model, j.trainer, "\xff\xfe"), SSA_ENOMEM, "not UTF-8");
    snprintf(name, sizeof name, "%s/new", folder);
    OK(ssa_checkpoint_save(name, j.model, j.trainer, NULL));
    unlink(name);
    run_end(j);
}
END_TEST

/* No space left: the old file stays, whole, and nothing else. */
START_TEST(no_space_left)
{
    struct run j = start(test_device(0), &small, 5);
    struct rlimit old, tight;
    size_t size, again;
    OK(ssa_checkpoint_save(path, j.model, j.trainer, "old"));
    char *before = slurp(path, &size);
    ck_assert_int_eq(files_in_folder(), 1);
    getrlimit(RLIMIT_FSIZE, &old);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (size_t limit = 0; limit < size; limit += 1 + size / 7) {
        tight = old;
        tight.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &tight);
        int err = ssa_checkpoint_save(path, j.model, j.trainer, "new");
        setrlimit(RLIMIT_FSIZE, &old);
        FAILS(err, SSA_EIO, "File too large; make room or write elsewhere");
        ck_assert_int_eq(files_in_folder(), 1);
        char *after = slurp(path, &again);
        ck_assert(again == size && !memcmp(before, after, size));
        free(after);
    }
    signal(SIGXFSZ, handler);
    free(before);
    run_end(j);
}
END_TEST

/* golden/make_checkpoint.c wrote it, with 0.1, and says what the steps after it lose. */
START_TEST(goes_on_from_0_1)
{
    static const float want[] = {1.4065706f, 1.3710417f, 1.3453941f, 1.3085458f, 1.3032074f};
    struct ssa_device *dev = test_device(0);
    struct ssa_checkpoint *c;
    struct ssa_model *m;
    struct ssa_trainer *t;
    char old[512];
    float losses[5];
    for (int i = 0; i < 100; i++)
        text[i] = (unsigned char)(i * i % 5);
    golden_path("checkpoint-0.1.st", old, sizeof old);
    OK(ssa_checkpoint_open(&c, old));
    ck_assert_str_eq(ssa_checkpoint_note(c), "of 0.1");
    ck_assert_int_eq(ssa_checkpoint_step(c), 3);
    const struct ssa_train_config *training = ssa_checkpoint_training(c);
    ck_assert(training->decay == SSA_NONE && training->clip == SSA_NONE); /* -3 and -0.5 there */
    ck_assert(training->stages[0].pattern.own_key == SSA_NONE && training->stages[1].pattern.own_key == 0);
    OK(ssa_model_create(&m, dev, ssa_checkpoint_model(c), &(struct ssa_model_limits){.batch = 4, .training = 1}));
    OK(ssa_trainer_create(&t, m, training, &(struct ssa_data){.items = text, .count = 100}));
    OK(ssa_checkpoint_load(c, m, t));
    for (int i = 0; i < 5; i++)
        OK(ssa_trainer_step(t));
    OK(ssa_trainer_losses(t, 5, losses, NULL));
    for (int i = 0; i < 5; i++)
        ck_assert_msg(losses[i] > want[i] - 1e-5f && losses[i] < want[i] + 1e-5f, "step %d: %.7f, not %.7f", 3 + i,
                      (double)losses[i], (double)want[i]);
    ssa_trainer_destroy(t);
    ssa_model_destroy(m);
    ssa_checkpoint_close(c);
}
END_TEST

START_TEST(checksum_is_crc32)
{
    ck_assert_uint_eq(ssa_crc32(0, "123456789", 9), 0xcbf43926u);
    ck_assert_uint_eq(ssa_crc32(ssa_crc32(0, "1234567", 7), "89", 2), 0xcbf43926u);
    ck_assert_uint_eq(ssa_crc32(0, "The quick brown fox jumps over the lazy dog", 43), 0x414fa339u);
}
END_TEST

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/ssacl-checkpoint-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/run.safetensors", folder);
    snprintf(broken, sizeof broken, "%s/broken", folder);
    int status = test_run("checkpoint", (const TTest *const[]){resumes_bit_for_bit, says_what_it_holds,
        refuses_another_model, finds_damage, survives_hostile_headers, believes_no_config, bad_places, no_space_left,
        goes_on_from_0_1, checksum_is_crc32, NULL});
    unlink(path);
    rmdir(folder);
    return status;
}
