#include "corpus.h"

#include "named.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MARK = 16, AT_ONCE = 1 << 20 };

struct reading {
    struct vocabulary *words;
    bool given;
    uint32_t *ids;
    size_t count, capacity;
    /* Of the file at hand: its first id; its bytes, to the end of the latest word; and those before every MARK-th. */
    size_t first;
    uint64_t bytes;
    uint64_t *marks;
    size_t mark_count, mark_capacity;
};

/* ---- into the row ---- */

static int grow(void **array, size_t *capacity, size_t each)
{
    const size_t more = *capacity + *capacity / 2 + 4096;
    void *larger = realloc(*array, more * each);
    if (!larger)
        return say_error("no memory for %zu words of text; give less of it", more);
    *array = larger;
    *capacity = more;
    return 0;
}

static int put(struct reading *r, uint32_t id)
{
    if (r->count == r->capacity && grow((void **)&r->ids, &r->capacity, sizeof *r->ids))
        return EXIT_FAILED;
    if ((r->count - r->first) % MARK == 0) {
        if (r->mark_count == r->mark_capacity && grow((void **)&r->marks, &r->mark_capacity, sizeof *r->marks))
            return EXIT_FAILED;
        r->marks[r->mark_count++] = r->bytes;
    }
    r->ids[r->count++] = id;
    return 0;
}

static int put_word(struct reading *r, const unsigned char *word, size_t length, uint32_t hash)
{
    uint32_t id = r->given ? vocabulary_find(r->words, word, length, hash)
                           : vocabulary_add(r->words, word, length, hash);
    if (id == WORD_NONE && !r->given)
        return EXIT_FAILED;
    return put(r, id == WORD_NONE ? WORD_UNKNOWN : id);
}

/* ---- words of a file ---- */

enum { OF_WORD, BLANK, PERHAPS, LINE_END };
static const unsigned char kinds[256] = {
    ['\t'] = BLANK, ['\v'] = BLANK, ['\f'] = BLANK, ['\r'] = BLANK, [' '] = BLANK, [0x1c] = BLANK, [0x1d] = BLANK,
    [0x1e] = BLANK, [0x1f] = BLANK, ['\n'] = LINE_END, [0xc2] = PERHAPS, [0xe1] = PERHAPS, [0xe2] = PERHAPS,
    [0xe3] = PERHAPS};

/* Bytes of the blank of UTF-8 that may be there, 0: it is none; -1: that is not known before more is read. They are
 * U+0085, 00A0, 1680, 2000 to 200A, 2028, 2029, 202F, 205F, 3000. */
static int wide_blank(const unsigned char *b, size_t left, bool last)
{
    const size_t size = *b == 0xc2 ? 2 : 3;
    if (left < size)
        return last ? 0 : -1;
    const int two = b[0] << 8 | b[1], three = left < 3 ? 0 : b[2];
    const bool is = two == 0xc285 || two == 0xc2a0 || (two == 0xe19a && three == 0x80) ||
                    (two == 0xe280 && ((three >= 0x80 && three <= 0x8a) || three == 0xa8 || three == 0xa9 ||
                                       three == 0xaf)) ||
                    (two == 0xe281 && three == 0x9f) || (two == 0xe380 && three == 0x80);
    return is ? (int)size : 0;
}

/* Takes all words that are whole, and what is between: *used bytes, `before` which the file has so many. */
static int scan(struct reading *r, const unsigned char *b, size_t size, bool last, uint64_t before, size_t *used)
{
    for (size_t at = *used = 0; at < size; *used = at) {
        const size_t start = at;
        uint32_t hash = WORD_HASH;
        int blank = 1, status = 0;
        for (; at < size; at++) {
            const unsigned char kind = kinds[b[at]];
            if (kind != OF_WORD && (kind != PERHAPS || (blank = wide_blank(b + at, size - at, last)) != 0))
                break;
            hash = word_hash(hash, b[at]);
        }
        if (blank < 0 || (at == size && !last))
            return 0;
        if (at > start)
            status = put_word(r, b + start, at - start, hash);
        r->bytes = before + at;
        if (!status && at < size && b[at] == '\n') {
            status = put(r, WORD_END);
            r->bytes++;
        }
        if (status)
            return status;
        at += at == size ? 0 : kinds[b[at]] == PERHAPS ? (size_t)blank : 1;
    }
    return 0;
}

struct buffer {
    unsigned char *bytes;
    size_t size, capacity;
};

/* More behind what is left; `last`: there is none. */
static int read_more(struct buffer *b, int file, const char *name, bool *last)
{
    if (b->capacity - b->size < AT_ONCE / 2) {
        unsigned char *more = realloc(b->bytes, 2 * b->capacity + AT_ONCE);
        if (!more)
            return say_error("%s: no memory for a word of more than %zu bytes", name, b->size);
        b->bytes = more;
        b->capacity = 2 * b->capacity + AT_ONCE;
    }
    ssize_t n;
    do
        n = read(file, b->bytes + b->size, AT_ONCE / 2);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return say_error("%s: cannot be read: %s", name, strerror(errno));
    b->size += (size_t)n;
    *last = n == 0;
    return 0;
}

static int read_all(struct reading *r, int file, const char *name)
{
    struct buffer b = {0};
    unsigned char latest = '\n'; /* byte */
    bool last = false;
    uint64_t taken = 0;
    int status = 0;
    while (!status && !last) {
        size_t used = 0;
        status = read_more(&b, file, name, &last);
        latest = b.size ? b.bytes[b.size - 1] : latest;
        status = status ? status : scan(r, b.bytes, b.size, last, taken, &used);
        taken += used;
        b.size -= used;
        memmove(b.bytes, b.bytes + used, b.size);
    }
    if (!status && !taken)
        status = say_error("%s: is empty; give a file of text", name);
    r->bytes = taken;
    free(b.bytes);
    return !status && latest != '\n' ? put(r, WORD_END) : status;
}

static int read_file(struct reading *r, const char *path)
{
    const bool is_stdin = !strcmp(path, "-");
    const char *name = is_stdin ? "stdin" : path;
    const int file = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return say_error("%s: cannot be opened: %s", path, strerror(errno));
    r->first = r->count;
    r->bytes = 0;
    r->mark_count = 0;
    const int status = read_all(r, file, name);
    if (!is_stdin)
        close(file);
    return status;
}

int corpus_split(const struct vocabulary *v, const unsigned char *text, size_t size, uint32_t **ids, size_t *count)
{
    struct vocabulary words = *v;
    struct reading r = {.words = &words, .given = true};
    size_t used;
    const int status = scan(&r, text, size, true, 0, &used);
    free(r.marks);
    *ids = r.ids;
    *count = r.count;
    return status;
}

/* ---- files that are parts ---- */

static int read_parts(struct corpus *c, struct reading *r, const struct named_files *files)
{
    for (int p = 0; p < TEXT_PARTS; p++) {
        c->first[p] = r->count;
        for (int i = 0; i < files->count; i++) {
            if (files->items[i].part != p)
                continue;
            r->first = r->count;
            if ((r->count == c->first[p] && put(r, WORD_END)) || read_file(r, files->items[i].path))
                return EXIT_FAILED;
            c->bytes[p] += r->bytes;
        }
        c->count[p] = r->count - c->first[p];
    }
    return 0;
}

/* ---- files that are cut ---- */

/* Where in a file what is held out begins, and what of it is for the test: at marks. */
static size_t cut_at(size_t count, int held)
{
    return (count - (size_t)held * (count / 20)) / MARK * MARK;
}

struct piece {
    size_t first, train, valid, all; /* where those for training and validation end, and the file does */
};

static int read_pieces(struct corpus *c, struct reading *r, const struct named_files *files, struct piece *pieces)
{
    for (int i = 0; i < files->count; i++) {
        if (read_file(r, files->items[i].path))
            return EXIT_FAILED;
        const size_t count = r->count - r->first, train = cut_at(count, 2), valid = cut_at(count, 1);
        const uint64_t at_train = train < count ? r->marks[train / MARK] : r->bytes;
        const uint64_t at_valid = valid < count ? r->marks[valid / MARK] : r->bytes;
        pieces[i] = (struct piece){r->first, train, valid, count};
        c->bytes[TEXT_TRAIN] += at_train;
        c->bytes[TEXT_VALID] += at_valid - at_train;
        c->bytes[TEXT_TEST] += r->bytes - at_valid;
        c->count[TEXT_TRAIN] += train;
        c->count[TEXT_VALID] += valid - train;
        c->count[TEXT_TEST] += count - valid;
    }
    return 0;
}

/* What is held out is set aside, and put behind what is left of all. */
static int gather(struct corpus *c, struct reading *r, const struct piece *pieces, int count)
{
    const size_t held = c->count[TEXT_VALID] + c->count[TEXT_TEST];
    uint32_t *aside = malloc((held + 2) * sizeof *aside), *train = r->ids + 1;
    uint32_t *valid = aside, *test = aside ? aside + 1 + c->count[TEXT_VALID] : NULL;
    if (!aside)
        return say_error("no memory for a tenth of the text; give less of it");
    *valid++ = *test++ = WORD_END;
    for (int i = 0; i < count; i++) {
        const struct piece *p = &pieces[i];
        const uint32_t *from = r->ids + p->first;
        memcpy(valid, from + p->train, (p->valid - p->train) * sizeof *from);
        memcpy(test, from + p->valid, (p->all - p->valid) * sizeof *from);
        memmove(train, from, p->train * sizeof *from);
        valid += p->valid - p->train;
        test += p->all - p->valid;
        train += p->train;
    }
    memcpy(train, aside, (held + 2) * sizeof *aside);
    free(aside);
    return 0;
}

static int read_and_cut(struct corpus *c, struct reading *r, const struct named_files *files)
{
    struct piece *pieces = calloc((size_t)files->count, sizeof *pieces);
    int status = pieces ? put(r, WORD_END) : say_error("no memory");
    status = status || read_pieces(c, r, files, pieces);
    for (int i = 0; !status && i < 2; i++) /* room for those of two parts that are not in the text */
        status = put(r, WORD_END);
    status = status || gather(c, r, pieces, files->count);
    free(pieces);
    for (int p = 0; p < TEXT_PARTS && !status; p++) {
        c->count[p]++;
        c->first[p] = p ? c->first[p - 1] + c->count[p - 1] : 0;
    }
    return status;
}

/* ---- ids ---- */

static void count_words(const struct corpus *c, uint64_t *counts)
{
    const uint32_t *ids = c->ids + c->first[TEXT_TRAIN];
    for (size_t i = 1; i < c->count[TEXT_TRAIN]; i++)
        counts[ids[i]]++;
}

/* From the order in which words were found. */
static int settle_ids(struct corpus *c, const struct corpus_options *o, size_t all)
{
    struct vocabulary found = c->vocabulary;
    uint64_t *counts = calloc(found.count, sizeof *counts);
    uint32_t *ids = malloc(found.count * sizeof *ids);
    int status = counts && ids ? 0 : say_error("no memory for counts of %u words", found.count);
    c->vocabulary = (struct vocabulary){0};
    if (!status) {
        count_words(c, counts);
        status = vocabulary_cut(&c->vocabulary, &found, counts, o->least, o->most, ids);
    }
    for (size_t i = 0; !status && i < all; i++)
        c->ids[i] = ids[c->ids[i]];
    vocabulary_free(&found);
    free(counts);
    free(ids);
    return status;
}

static void measure(struct corpus *c, int part)
{
    const uint32_t *ids = c->ids + c->first[part];
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < c->count[part]; i++) {
        h = (h ^ ids[i]) * 0x100000001b3u;
        c->unknown[part] += ids[i] == WORD_UNKNOWN;
    }
    c->hash[part] = h;
}

int corpus_load(struct corpus *c, const struct arg_list *files, const struct corpus_options *o)
{
    struct named_files named;
    struct reading r = {.words = &c->vocabulary, .given = o->given};
    int status = named_find(&named, files, o->named);
    if (!status && !o->given)
        status = vocabulary_begin(&c->vocabulary);
    if (!status)
        status = named.named ? read_parts(c, &r, &named) : read_and_cut(c, &r, &named);
    c->ids = r.ids;
    c->named = named.named;
    if (!status && !o->given)
        status = settle_ids(c, o, r.count);
    for (int p = 0; p < TEXT_PARTS && !status; p++)
        measure(c, p);
    named_free(&named);
    free(r.marks);
    if (status)
        corpus_free(c);
    return status ? EXIT_FAILED : 0;
}

void corpus_free(struct corpus *c)
{
    free(c->ids);
    vocabulary_free(&c->vocabulary);
    *c = (struct corpus){0};
}

/* ---- using ---- */

struct ssa_data corpus_data(const struct corpus *c, enum text_part part)
{
    return c->count[part] ? (struct ssa_data){.items = c->ids + c->first[part], .count = c->count[part], .item_size = 4}
                          : (struct ssa_data){.item_size = 4};
}

double corpus_bytes_a_word(const struct corpus *c, enum text_part part)
{
    return c->count[part] > 1 ? (double)c->bytes[part] / (double)(c->count[part] - 1) : 0;
}
