#include "vocabulary.h"

#include "say.h"
#include "text.h"

#include <ssacl/base.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const special[WORDS_SPECIAL] = {"<s>", "<pad>", "</s>", "<unk>"};

/* ---- the table ---- */

static int no_memory(const struct vocabulary *v)
{
    return say_error("no memory for more than %" PRIu32 " words; give less text", v->count);
}

/* Half of it stays free. */
static int grow_table(struct vocabulary *v)
{
    const size_t slots = v->slots ? 2 * v->slots : 1024;
    uint32_t *table = calloc(slots, sizeof *table);
    if (!table)
        return no_memory(v);
    for (uint32_t i = 0; i < v->count; i++) {
        size_t slot = v->words[i].hash & (slots - 1);
        while (table[slot])
            slot = (slot + 1) & (slots - 1);
        table[slot] = i + 1;
    }
    free(v->table);
    v->table = table;
    v->slots = slots;
    return 0;
}

/* Where the word is, or would be. */
static size_t find_slot(const struct vocabulary *v, const unsigned char *word, size_t length, uint32_t hash)
{
    size_t slot = hash & (v->slots - 1);
    for (; v->table[slot]; slot = (slot + 1) & (v->slots - 1)) {
        const struct word *w = &v->words[v->table[slot] - 1];
        if (w->hash == hash && w->length == length && !memcmp(v->bytes + w->at, word, length))
            break;
    }
    return slot;
}

uint32_t vocabulary_find(const struct vocabulary *v, const unsigned char *word, size_t length, uint32_t hash)
{
    return v->table[find_slot(v, word, length, hash)] - 1; /* of a free one WORD_NONE */
}

static int make_room(struct vocabulary *v, size_t length)
{
    if (v->count == v->capacity) {
        const uint32_t capacity = v->capacity ? 2 * v->capacity : 1024;
        struct word *more = realloc(v->words, capacity * sizeof *more);
        if (!more)
            return no_memory(v);
        v->words = more;
        v->capacity = capacity;
    }
    if (v->room - v->used < length) {
        const size_t room = 2 * v->room + length + 4096;
        unsigned char *more = realloc(v->bytes, room);
        if (!more)
            return no_memory(v);
        v->bytes = more;
        v->room = room;
    }
    return 2 * (size_t)v->count >= v->slots ? grow_table(v) : 0;
}

uint32_t vocabulary_add(struct vocabulary *v, const unsigned char *word, size_t length, uint32_t hash)
{
    const uint32_t found = v->slots ? vocabulary_find(v, word, length, hash) : WORD_NONE;
    if (found != WORD_NONE)
        return found;
    if (length >= UINT32_MAX || v->count >= INT32_MAX - 8) {
        say_error("there are too many words, or too long ones: is it a text?");
        return WORD_NONE;
    }
    if (make_room(v, length))
        return WORD_NONE;
    memcpy(v->bytes + v->used, word, length);
    v->words[v->count] = (struct word){.at = v->used, .length = (uint32_t)length, .hash = hash};
    v->used += length;
    v->table[find_slot(v, word, length, hash)] = ++v->count;
    return v->count - 1;
}

static uint32_t add_bytes(struct vocabulary *v, const unsigned char *word, size_t length)
{
    uint32_t hash = WORD_HASH;
    for (size_t i = 0; i < length; i++)
        hash = word_hash(hash, word[i]);
    return vocabulary_add(v, word, length, hash);
}

int vocabulary_begin(struct vocabulary *v)
{
    *v = (struct vocabulary){0};
    for (int i = 0; i < WORDS_SPECIAL; i++)
        if (add_bytes(v, (const unsigned char *)special[i], strlen(special[i])) == WORD_NONE)
            return EXIT_FAILED;
    return 0;
}

void vocabulary_free(struct vocabulary *v)
{
    free(v->bytes);
    free(v->words);
    free(v->table);
    *v = (struct vocabulary){0};
}

const unsigned char *vocabulary_word(const struct vocabulary *v, uint32_t id, size_t *length)
{
    *length = id < v->count ? v->words[id].length : 0;
    return id < v->count ? v->bytes + v->words[id].at : (const unsigned char *)"";
}

uint64_t vocabulary_size(const struct vocabulary *v)
{
    return ((uint64_t)v->count + 7) / 8 * 8;
}

/* ---- by count ---- */

struct counted {
    uint64_t count;
    const unsigned char *bytes;
    uint32_t length, id;
};

static int by_count(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;
    const uint32_t shorter = x->length < y->length ? x->length : y->length;
    const int order = x->count == y->count ? memcmp(x->bytes, y->bytes, shorter) : x->count > y->count ? -1 : 1;
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static size_t choose(struct counted *chosen, const struct vocabulary *v, const uint64_t *counts, uint64_t least)
{
    size_t count = 0;
    for (uint32_t i = WORDS_SPECIAL; i < v->count; i++)
        if (counts[i] >= least)
            chosen[count++] = (struct counted){counts[i], v->bytes + v->words[i].at, v->words[i].length, i};
    qsort(chosen, count, sizeof *chosen, by_count);
    return count;
}

int vocabulary_cut(struct vocabulary *to, const struct vocabulary *from, const uint64_t *counts, uint64_t least,
                   uint64_t most, uint32_t *ids)
{
    struct counted *chosen = malloc(from->count * sizeof *chosen);
    int status = vocabulary_begin(to);
    if (!chosen || status) {
        free(chosen);
        return status ? status : no_memory(from);
    }
    const size_t all = choose(chosen, from, counts, least), room = most > WORDS_SPECIAL ? most - WORDS_SPECIAL : 0;
    for (uint32_t i = 0; i < from->count; i++)
        ids[i] = i < WORDS_SPECIAL ? i : WORD_UNKNOWN;
    for (size_t i = 0; !status && i < all && i < room; i++) {
        ids[chosen[i].id] = vocabulary_add(to, chosen[i].bytes, chosen[i].length, from->words[chosen[i].id].hash);
        status = ids[chosen[i].id] == WORD_NONE;
    }
    free(chosen);
    return status;
}

/* ---- as text: blanks between words; a line end and two digits are a byte that is not UTF-8, or zero ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t write_word(char *to, const unsigned char *word, char *plain, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    memcpy(plain, word, length);
    ssa_plain_text(plain, length);
    for (size_t i = 0; i < length; i++)
        if (!word[i] || (word[i] & 0x80 && (unsigned char)plain[i] != word[i])) {
            to[n++] = '\n';
            to[n++] = digits[word[i] >> 4];
            to[n++] = digits[word[i] & 15];
        } else {
            to[n++] = (char)word[i];
        }
    to[n++] = ' ';
    return n;
}

char *vocabulary_text(const struct vocabulary *v)
{
    char *text = malloc(3 * v->used + v->count + 1), *plain = malloc(v->used + 1);
    size_t n = 0;
    for (uint32_t i = WORDS_SPECIAL; text && plain && i < v->count; i++)
        n += write_word(text + n, v->bytes + v->words[i].at, plain, v->words[i].length);
    if (text && plain) {
        text[n] = '\0';
    } else {
        free(text);
        text = NULL;
        no_memory(v);
    }
    free(plain);
    return text;
}

/* -1: it is no word of such a text. */
static int read_word(const char *text, size_t size, unsigned char *word)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n') {
            word[n++] = (unsigned char)text[i];
            continue;
        }
        if (size - i < 3 || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0)
            return -1;
        word[n++] = (unsigned char)(16 * digit(text[i + 1]) + digit(text[i + 2]));
        i += 2;
    }
    return n <= INT32_MAX ? (int)n : -1;
}

int vocabulary_read_text(struct vocabulary *v, const char *text)
{
    unsigned char *word = malloc(strlen(text) + 1);
    int status = vocabulary_begin(v) || !word;
    while (!status && *text) {
        const size_t size = strcspn(text, " ");
        const int length = read_word(text, size, word);
        const uint32_t next = v->count;
        status = length <= 0 || text[size] != ' ' || add_bytes(v, word, (size_t)length) != next;
        text += size + 1;
    }
    free(word);
    return status ? EXIT_FAILED : 0;
}

static bool is_filler(const unsigned char *word, size_t length)
{
    static const char filler[] = "madeupword0000";
    return length == sizeof filler - 1 && !memcmp(word, filler, length);
}

int vocabulary_read_file(struct vocabulary *v, const char *path)
{
    unsigned char *bytes = NULL;
    size_t size = 0, line = 1;
    int status = vocabulary_begin(v) || text_read(path, &bytes, &size);
    for (size_t at = 0; !status && at < size; line++) {
        const unsigned char *end = memchr(bytes + at, '\n', size - at);
        const size_t all = end ? (size_t)(end - bytes) - at : size - at;
        size_t length = 0;
        while (length < all && bytes[at + length] != ' ' && bytes[at + length] != '\t' && bytes[at + length] != '\r')
            length++;
        if (is_filler(bytes + at, length))
            break;
        const uint32_t next = v->count, id = length ? add_bytes(v, bytes + at, length) : WORD_NONE;
        if (id != next)
            status = say_error("%s: line %zu has %s; a vocabulary has a word a line, by falling count, and not those "
                               "of ids 0 to 3", path, line, length ? "a word that was there before" : "no word");
        at += all + 1;
    }
    free(bytes);
    return status;
}

/* ---- two of them ---- */

uint32_t vocabulary_difference(const struct vocabulary *a, const struct vocabulary *b)
{
    for (uint32_t i = 0; i < a->count || i < b->count; i++)
        if (i >= a->count || i >= b->count || a->words[i].length != b->words[i].length ||
            memcmp(a->bytes + a->words[i].at, b->bytes + b->words[i].at, a->words[i].length) != 0)
            return i;
    return WORD_NONE;
}

const char *vocabulary_describe(const struct vocabulary *v, uint32_t id, char text[96])
{
    size_t length;
    const unsigned char *word = vocabulary_word(v, id, &length);
    if (id < v->count)
        snprintf(text, 96, "%" PRIu32 " words, of id %" PRIu32 " '%.*s'", v->count - WORDS_SPECIAL, id,
                 (int)(length < 40 ? length : 40), (const char *)word);
    else
        snprintf(text, 96, "%" PRIu32 " words, none of id %" PRIu32, v->count - WORDS_SPECIAL, id);
    return text;
}

uint64_t vocabulary_hash(const struct vocabulary *v)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < v->count; i++)
        h = (h ^ v->words[i].hash ^ (uint64_t)v->words[i].length << 32) * 0x100000001b3u;
    return h;
}
