/* Text for byte-level models: files read whole ("-" is stdin), cut into 90% training, 5% validation and 5% test, as
 * enwik8 is. Of several files each is cut by itself, so that every part has something of all of them. Each byte is in
 * memory once. */
#ifndef DEMO_TEXT_H
#define DEMO_TEXT_H

#include "args.h"

#include <ssacl/train.h>

enum text_part { TEXT_TRAIN, TEXT_VALID, TEXT_TEST, TEXT_PARTS };
#define TEXT_PART_NAMES "train|valid|test"

struct text {
    unsigned char *bytes;
    const unsigned char *part[TEXT_PARTS]; /* one behind the other in `bytes` */
    size_t size[TEXT_PARTS];
    uint64_t fingerprint; /* a number that other text would hardly have: FNV-1a over all parts */
};

/* Reads the files; each part must hold a window of `length` bytes and the one after it. Says what is wrong and
 * returns non-zero; `text` then holds nothing. */
int text_load(struct text *text, const struct arg_list *files, int length);
void text_free(struct text *text);

/* A part as the trainer and the evaluation take it. */
struct ssa_data text_data(const struct text *text, enum text_part part);

/* All of stdin; `bytes` is to be freed, whatever is returned. */
int text_read_stdin(unsigned char **bytes, size_t *size);

#endif
