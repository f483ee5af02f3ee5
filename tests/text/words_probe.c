/* What text by words becomes: words_probe LEAST MOST NAMED FILE..., as JSON; with a first FILE of "=DICTIONARY" by the
 * words in that. */
#include "corpus.h"
#include "say.h"
#include "words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *hex(const unsigned char *bytes, size_t length)
{
    char *text = malloc(2 * length + 1);
    for (size_t i = 0; i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    text[2 * length] = 0;
    json_t *string = json_string(text);
    free(text);
    return string;
}

static json_t *words_of(const struct vocabulary *v)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < v->count; i++) {
        size_t length;
        const unsigned char *word = vocabulary_word(v, i, &length);
        json_array_append_new(list, hex(word, length));
    }
    return list;
}

static json_t *part_of(const struct corpus *c, int part)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < c->count[part]; i++)
        json_array_append_new(ids, json_integer(c->ids[c->first[part] + i]));
    return json_pack("{s:o, s:I, s:I, s:f}", "ids", ids, "bytes", (json_int_t)c->bytes[part], "unknown",
                     (json_int_t)c->unknown[part], "bytes_a_word", corpus_bytes_a_word(c, (enum text_part)part));
}

/* Through the text that a checkpoint keeps. */
static bool comes_back(const struct vocabulary *v)
{
    struct vocabulary other;
    char *text = vocabulary_text(v);
    const bool same = text && !vocabulary_read_text(&other, text) && vocabulary_difference(v, &other) == WORD_NONE &&
                      vocabulary_hash(v) == vocabulary_hash(&other);
    free(text);
    vocabulary_free(&other);
    return same;
}

int main(int argc, char **argv)
{
    struct corpus c = {0};
    const bool given = argc > 4 && argv[4][0] == '=';
    const struct arg_list files = {.count = argc - 4 - given, .items = (const char **)argv + 4 + given};
    const struct corpus_options o = {.given = given, .least = strtoull(argv[1], NULL, 10),
                                     .most = strtoull(argv[2], NULL, 10), .named = atoi(argv[3])};
    say_set_program("words_probe");
    if ((given && vocabulary_read_file(&c.vocabulary, argv[4] + 1)) || corpus_load(&c, &files, &o)) {
        corpus_free(&c);
        return EXIT_FAILED;
    }
    json_t *parts = json_array();
    for (int p = 0; p < TEXT_PARTS; p++)
        json_array_append_new(parts, part_of(&c, p));
    json_t *all = json_pack("{s:o, s:o, s:b, s:b, s:I}", "words", words_of(&c.vocabulary), "parts", parts, "named",
                            c.named, "comes_back", comes_back(&c.vocabulary), "size",
                            (json_int_t)vocabulary_size(&c.vocabulary));
    json_dumpf(all, stdout, JSON_COMPACT);
    json_decref(all);
    corpus_free(&c);
    return 0;
}
