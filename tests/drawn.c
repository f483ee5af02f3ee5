#include "drawn.h"
#include "net/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int drawn_keep(void *cookie, int32_t token)
{
    struct drawn *d = cookie;
    ck_assert(d->count < DRAWN_TOKENS && d->vocabulary <= DRAWN_VOCABULARY);
    float *to = d->from[d->count];
    if (d->model)
        OK(ssa_model_read_logits(d->model, 0, d->model->pass.length - 1, to));
    else
        memcpy(to, d->logits, sizeof d->logits);
    d->tokens[d->count++] = token;
    return d->count == d->stop;
}

void drawn_from_pass(const struct drawn *d, int number, struct ssa_model *model, int position, const char *context, ...)
{
    float logits[DRAWN_VOCABULARY];
    char message[512], where[256];
    va_list words;
    va_start(words, context);
    vsnprintf(where, sizeof where, context, words);
    va_end(words);
    OK(ssa_model_read_logits(model, 0, position, logits));
    double *want = test_doubles(logits, (size_t)d->vocabulary);
    ck_assert_msg(test_close_to("logits", d->from[number], want, (size_t)d->vocabulary, 1e-5, 1e-5, message,
                                sizeof message), "%s, token %d: %s", where, number, message);
    free(want);
}
