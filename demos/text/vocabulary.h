/* Words by id and ids by word. A word is any bytes without blanks. Ids are fairseq's: four that stand for no word of
 * the text, then words, those of training by falling count, of one count by their bytes (of UTF-8: by code point). */
#ifndef TEXT_VOCABULARY_H
#define TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORD_BEGIN, WORD_PAD, WORD_END, WORD_UNKNOWN, WORDS_SPECIAL }; /* <s> <pad> </s> <unk> */
#define WORD_NONE UINT32_MAX

struct word {
    size_t at; /* in `bytes` */
    uint32_t length, hash;
};
struct vocabulary {
    unsigned char *bytes;
    struct word *words;
    uint32_t *table; /* 1 + an id; 0: free */
    size_t used, room, slots;
    uint32_t count, capacity;
};

/* With the four in it. What returns an int says why it fails, but for vocabulary_read_text(). */
int vocabulary_begin(struct vocabulary *v);
void vocabulary_free(struct vocabulary *v);

/* Begin with WORD_HASH, and every byte. */
#define WORD_HASH 0x811c9dc5u
static inline uint32_t word_hash(uint32_t hash, unsigned char byte)
{
    return (hash ^ byte) * 0x01000193u;
}

/* Of a word of this hash, or WORD_NONE. */
uint32_t vocabulary_find(const struct vocabulary *v, const unsigned char *word, size_t length, uint32_t hash);
/* The same, and where there is no such word it is added. WORD_NONE: it was said why not. */
uint32_t vocabulary_add(struct vocabulary *v, const unsigned char *word, size_t length, uint32_t hash);
const unsigned char *vocabulary_word(const struct vocabulary *v, uint32_t id, size_t *length);

/* Makes `to` of the words of `from` that occur `least` times and more, of which there are at most `most` with the four,
 * by falling count: counts[id], of `from`. ids[id] becomes their id in `to`, or WORD_UNKNOWN. */
int vocabulary_cut(struct vocabulary *to, const struct vocabulary *from, const uint64_t *counts, uint64_t least,
                   uint64_t most, uint32_t *ids);
/* What a model's vocabulary is: ids up to a multiple of 8, of which the last stand for nothing. */
uint64_t vocabulary_size(const struct vocabulary *v);

/* As UTF-8 without zeros, to be kept in a note; NULL: it was said why not. And back: non-zero where it is no such
 * text. */
char *vocabulary_text(const struct vocabulary *v);
int vocabulary_read_text(struct vocabulary *v, const char *text);
/* A file with a word a line, in the order of their ids; what follows a blank does not count. So are fairseq's dict.txt
 * (with counts); what "madeupword0000" and those behind it fill up there is left out. */
int vocabulary_read_file(struct vocabulary *v, const char *path);

/* The first id that is another word's in the other, or has none there; WORD_NONE: they are the same. */
uint32_t vocabulary_difference(const struct vocabulary *a, const struct vocabulary *b);
/* "13269 words, of id 17 'river'", for people. */
const char *vocabulary_describe(const struct vocabulary *v, uint32_t id, char text[96]);
uint64_t vocabulary_hash(const struct vocabulary *v);

#endif
