/* fuzz [TARGET [SEED [CASES]]]: mutants of valid inputs, the same for the same seed. Without words: some cases of every
 * target, as the test is run. CASES 0: until it is stopped. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <ssacl/ssacl.h>

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEEDS = 16, LARGEST = 1 << 20, CASES = 250, PATIENCE = 600, MEMORY_MIB = 600 };

static const struct fuzz_target *const targets[] = {&fuzz_checkpoint, &fuzz_tuning, &fuzz_cache, &fuzz_stages,
                                                    &fuzz_log, &fuzz_egt, &fuzz_graphs, &fuzz_images, &fuzz_timm,
                                                    &fuzz_fairseq, &fuzz_words, NULL};
static struct fuzz_input seeds[SEEDS];
static size_t seed_count;
static char folder[] = "/tmp/ssacl-fuzz-XXXXXX";
static const struct fuzz_target *target;
static unsigned long long seed, number;

/* ---- what targets use ---- */

void fuzz_failed(const char *condition, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "fuzz: %s, seed %llu, case %llu, input in %s: not so: %s: ", target->name, seed, number, folder,
            condition);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

void fuzz_error(int status, const char *text)
{
    MUST(status < 0 && strcmp(ssa_status_name(status), "unknown status"), "status %d", status);
    MUST(*text && !strpbrk(text, "\r\n"), "\"%s\"", text);
}

void fuzz_seed(const void *bytes, size_t size)
{
    MUST(seed_count < SEEDS && size <= LARGEST, "%zu seeds, %zu bytes", seed_count, size);
    struct fuzz_input *s = &seeds[seed_count++];
    *s = (struct fuzz_input){.bytes = malloc(size + 1), .size = size, .capacity = size};
    MUST(s->bytes, "no memory");
    memcpy(s->bytes, bytes, size);
}

void fuzz_seed_file(const char *path)
{
    static unsigned char bytes[LARGEST];
    FILE *f = fopen(path, "rb");
    MUST(f, "%s", path);
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    fuzz_seed(bytes, size);
}

const char *fuzz_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Anew each time: a file system may wait for the disk where a file that is there is cut short and written again. */
void fuzz_write(const char *path, const void *bytes, size_t size)
{
    remove(path);
    FILE *f = fopen(path, "wb");
    MUST(f && fwrite(bytes, 1, size, f) == size && !fclose(f), "%s", path);
}

/* ---- a run ---- */

static void begin(void)
{
    umask(077); /* what others could write is not believed */
    MUST(mkdtemp(folder), "%s", folder);
    setenv("SSACL_CACHE_DIR", folder, 1);
    setenv("SSACL_TUNING", "", 1);
    setenv("SSACL_THREADS", "1", 1);
    setenv("SSACL_OPENCL_LIBRARY", "", 1);
    target->begin();
}

static void finish(void)
{
    char command[64];
    if (target->end)
        target->end();
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].bytes);
    seed_count = 0;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    MUST(system(command) == 0, "%s", folder);
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
}

#ifdef SSA_LIBFUZZER

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned draw);

/* The target is $SSA_FUZZ. Its seeds become files of the folder $SSA_FUZZ_SEEDS, for some are of this machine and build
 * and cannot lie in a corpus. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    const char *wanted = getenv("SSA_FUZZ"), *to = getenv("SSA_FUZZ_SEEDS");
    char path[512];
    for (size_t i = 0; !target && targets[i]; i++)
        if (!wanted || !strcmp(wanted, targets[i]->name))
            target = targets[i];
    if (!target) {
        fprintf(stderr, "libfuzzer: no target %s\n", wanted);
        exit(2);
    }
    begin();
    atexit(finish);
    for (size_t i = 0; to && i < seed_count; i++) {
        snprintf(path, sizeof path, "%s/seed-%zu", to, i);
        fuzz_write(path, seeds[i].bytes, seeds[i].size);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    number++;
    target->run(bytes, size);
    return 0;
}

/* By turns libFuzzer's own changes, and ours, which know the words of the format. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned draw)
{
    struct fuzz_random r = {draw};
    struct fuzz_input input = {.bytes = bytes, .size = size, .capacity = most};
    if (fuzz_draw(&r) & 1)
        return LLVMFuzzerMutate(bytes, size, most);
    fuzz_mutate(&r, &input, &seeds[fuzz_below(&r, seed_count)], target->words);
    return input.size;
}

#else

static void run_target(unsigned long long cases)
{
    static unsigned char bytes[2 * LARGEST];
    unsigned long long taken = 0;
    begin();
    for (size_t i = 0; i < seed_count; i++)
        MUST(target->run(seeds[i].bytes, seeds[i].size), "seed %zu is not taken", i);
    for (number = 0; !cases || number < cases; number++) {
        struct fuzz_random r = {seed * 0x100000001b3u ^ number};
        const struct fuzz_input *first = &seeds[fuzz_below(&r, seed_count)], *other = &seeds[fuzz_below(&r, seed_count)];
        struct fuzz_input input = {.bytes = bytes, .size = first->size, .capacity = sizeof bytes};
        memcpy(bytes, first->bytes, first->size);
        fuzz_mutate(&r, &input, other, target->words);
        alarm(PATIENCE);
        taken += target->run(input.bytes, input.size);
        alarm(0);
    }
    printf("%s: %llu cases, %llu of them taken\n", target->name, number, taken);
    finish();
}

int main(int argc, char **argv)
{
    unsigned long long cases = argc > 3 ? strtoull(argv[3], NULL, 10) : CASES;
    struct rusage usage;
    int known = 0;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (size_t i = 0; targets[i]; i++)
        if (argc < 2 || !strcmp(argv[1], "all") || !strcmp(argv[1], targets[i]->name)) {
            target = targets[i];
            run_target(cases);
            known = 1;
        }
    if (!known)
        return fprintf(stderr, "usage: fuzz [all | checkpoint | tuning | cache | stages | log | images | timm [SEED "
                               "[CASES]]]\n"), 2;
    getrusage(RUSAGE_SELF, &usage);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
    MUST(usage.ru_maxrss < MEMORY_MIB * 1024L, "%ld MiB were taken", usage.ru_maxrss / 1024);
#endif
    return 0;
}

#endif
