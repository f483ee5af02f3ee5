/* Text for byte-level models: files read whole, cut into 90% training, 5% validation and 5% test, as enwik8 is.
 * Of several files each is cut by itself, so that every part has something of all of them. */
#ifndef DEMO_TEXT_H
#define DEMO_TEXT_H

#include "args.h"

#include <ssacl/train.h>

enum text_part { TEXT_TRAIN, TEXT_VALID, TEXT_TEST, TEXT_PARTS };
#define TEXT_PART_NAMES "train|valid|test"

struct text {
    unsigned char *part[TEXT_PARTS];
    size_t size[TEXT_PARTS];
};

/* Reads the files; each part must hold a window of `length` bytes and the one after it. Says what is wrong and
 * returns non-zero; `text` then holds nothing. */
int text_load(struct text *text, const struct arg_list *files, int length);
void text_free(struct text *text);

/* A part as the trainer and the evaluation take it. */
struct ssa_data text_data(const struct text *text, enum text_part part);

/* A number that other text would hardly have: FNV-1a over all parts. */
uint64_t text_fingerprint(const struct text *text);

#endif
