/* Text by words, of which each line ends with one more: ids in one row. Lines are split at blanks, as Python's
 * str.split() does, and end with a newline, also the last; words are bytes, whatever they are in.
 *
 * Parts are those that files are named for: wiki.train.tokens, wiki.valid.tokens, wiki.test.tokens, or the folder with
 * them. Else each file is cut: the first 90% of its words are for training, the next 5% for validation, the last 5% for
 * the test. A part begins with an end of line that is not in the text, so that each of its words has one before it. */
#ifndef TEXT_CORPUS_H
#define TEXT_CORPUS_H

#include "args.h"
#include "text.h"
#include "vocabulary.h"

struct corpus {
    uint32_t *ids;
    size_t first[TEXT_PARTS], count[TEXT_PARTS]; /* in it; with the one that is not in the text, or 0 */
    size_t unknown[TEXT_PARTS];   /* words of it that have no id of their own; the text's own <unk> is one */
    uint64_t bytes[TEXT_PARTS];   /* of the text, line ends and blanks too */
    uint64_t hash[TEXT_PARTS];    /* of its words */
    struct vocabulary vocabulary;
    bool named;                   /* files say which part they are */
};

struct corpus_options {
    bool given;           /* the vocabulary is that of `corpus`; else one is counted in the part for training, */
    uint64_t least, most; /* of words that occur so often there, and so many with the four */
    int named;            /* whether files say which part they are: named_find()'s */
};

/* Reads each file once, "-" is stdin, into 4 bytes a word. Says what is wrong and returns non-zero; `corpus` then holds
 * nothing. */
int corpus_load(struct corpus *corpus, const struct arg_list *files, const struct corpus_options *options);
void corpus_free(struct corpus *corpus);

/* Words of a text that is no file: no line ends but those in it. `ids` is to be freed. */
int corpus_split(const struct vocabulary *v, const unsigned char *text, size_t size, uint32_t **ids, size_t *count);

struct ssa_data corpus_data(const struct corpus *corpus, enum text_part part);
/* Of the text that a word of the part stands for; 0: it has none. */
double corpus_bytes_a_word(const struct corpus *corpus, enum text_part part);

#endif
