/* What tokens are drawn from: a callback of ssa_generate() that keeps it, and what it must be. */
#ifndef SSA_TEST_DRAWN_H
#define SSA_TEST_DRAWN_H

#include "harness.h"
#include "ssacl/evaluate.h"

enum { DRAWN_TOKENS = 128, DRAWN_VOCABULARY = 32 };
struct drawn {
    struct ssa_model *model; /* whose logits they are; NULL: those that ssa_generate.logits has */
    int vocabulary;
    int stop;                         /* after so many tokens; 0: never */
    float logits[DRAWN_VOCABULARY];   /* for ssa_generate.logits */
    int count;                        /* so far, of: */
    int32_t tokens[DRAWN_TOKENS];
    float from[DRAWN_TOKENS][DRAWN_VOCABULARY];
};
/* For ssa_generate.token; the cookie is a struct drawn. */
int drawn_keep(void *cookie, int32_t token);

/* Token `number` was drawn from the logits of the last pass of a model at a position of its first sequence, within 1e-5
 * and that of each. `context` is printf-style. */
void drawn_from_pass(const struct drawn *d, int number, struct ssa_model *model, int position, const char *context, ...)
    __attribute__((format(printf, 5, 6)));

#endif
