/* A fuzzer of what reads files and words that nobody vouches for: see README.md.
 *
 * A target has seeds, inputs that it takes, and a function that gives it any bytes. What must hold whatever they are: no
 * crash, an error in one sentence, and no more memory than the input warrants. */
#ifndef SSA_FUZZ_H
#define SSA_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_input {
    unsigned char *bytes;
    size_t size, capacity;
};

struct fuzz_target {
    const char *name;
    void (*begin)(void); /* gives the seeds, fuzz_seed() */
    bool (*run)(const unsigned char *bytes, size_t size); /* whether it was taken */
    void (*end)(void);   /* NULL: there is nothing to end */
    const char *words; /* that are of use in mutants, parted by spaces */
};
extern const struct fuzz_target fuzz_checkpoint, fuzz_tuning, fuzz_cache, fuzz_stages, fuzz_log, fuzz_egt, fuzz_graphs,
                                fuzz_images, fuzz_timm, fuzz_fairseq, fuzz_words;

/* ---- what targets use ---- */

void fuzz_seed(const void *bytes, size_t size);
void fuzz_seed_file(const char *path);
/* Where a file of that name may lie: in a folder of this run, which stays after a crash. */
const char *fuzz_path(const char *name);
/* The input as that file. */
void fuzz_write(const char *path, const void *bytes, size_t size);
/* Ends the run, which says with which input. */
#define MUST(condition, ...) ((condition) ? (void)0 : fuzz_failed(#condition, __VA_ARGS__))
void fuzz_failed(const char *condition, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
/* An error of the library: some text, and one line of it. */
void fuzz_error(int status, const char *text);

/* ---- mutating (mutate.c) ---- */

struct fuzz_random {
    uint64_t state;
};
uint64_t fuzz_draw(struct fuzz_random *r);
/* 0..below-1. */
size_t fuzz_below(struct fuzz_random *r, size_t below);
/* Some changes at random places; `other` is another seed, to take pieces of. */
void fuzz_mutate(struct fuzz_random *r, struct fuzz_input *input, const struct fuzz_input *other, const char *words);

#endif
