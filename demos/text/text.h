/* Text: files read whole ("-" is stdin), cut into 90% training, 5% validation and 5% test, as enwik8 is. Of several
 * files each is cut by itself, so that every part has something of all of them. Each byte is in memory once. A token is
 * a byte, or in token files an unsigned integer of 16 or 32 bits, as nanoGPT's preparation writes them. */
#ifndef DEMO_TEXT_H
#define DEMO_TEXT_H

#include "args.h"

#include <ssacl/train.h>

enum text_part { TEXT_TRAIN, TEXT_VALID, TEXT_TEST, TEXT_PARTS };
#define TEXT_PART_NAMES "train|valid|test"

/* --tokens: the number of its word, 0 to 2, is the logarithm of a token's bytes. */
#define TEXT_TOKEN_NAMES "8|16|32"

struct text {
    unsigned char *bytes;
    const unsigned char *part[TEXT_PARTS]; /* one behind the other in `bytes` */
    size_t size[TEXT_PARTS];               /* tokens */
    int token_size;                        /* bytes: 1, 2 or 4 */
    struct {
        uint32_t id;
        const char *file;
        size_t at; /* the first that has it, counted from 0 in its file */
    } largest;
    uint64_t fingerprint; /* a number that other text would hardly have: FNV-1a over all parts */
};

/* Reads the files; each part must hold a window of `length` tokens and the one after it. Says what is wrong and
 * returns non-zero; `text` then holds nothing. The names of the files must outlive it. */
int text_load(struct text *text, const struct arg_list *files, int token_size, int length);
void text_free(struct text *text);

/* All ids must be below `vocabulary`: says which is not, of which file. */
int text_check_ids(const struct text *text, int vocabulary);

/* Item `i` of data. */
uint32_t text_token(const struct ssa_data *data, size_t i);

/* A part as the trainer and the evaluation take it. */
struct ssa_data text_data(const struct text *text, enum text_part part);

/* All of a file, "-" is stdin, and something; `bytes` is to be freed, whatever is returned. */
int text_read(const char *path, unsigned char **bytes, size_t *size);

#endif
