/* Text by words, and words themselves: a text makes a vocabulary that comes back from what a checkpoint keeps of it, and
 * that is the text's own once more when it is given; anything may be a dictionary, or a checkpoint's words. */
#include "corpus.h"

#include "fuzz.h"
#include "said.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void begin(void)
{
    static const char wide[] = " = A = \n \n b\xc2\xa0" "c\xe3\x80\x80" "d\xe2\x80\xa8" "e <unk> <s> \xff\xc2 \n\nf";
    fuzz_seed(wide, sizeof wide);
    fuzz_seed("the 17\nof 3\nmadeupword0000 0\n", 30);
    fuzz_seed("the of \n41b city ", 17);
}

static void check_text(const unsigned char *bytes, size_t size)
{
    struct vocabulary v;
    char *text = malloc(size + 1);
    memcpy(text, bytes, size);
    text[size] = '\0';
    vocabulary_read_text(&v, text);
    MUST(v.count >= WORDS_SPECIAL, "%u words", v.count);
    vocabulary_free(&v);
    free(text);
}

static void check_known(struct corpus *c, const struct arg_list *files)
{
    struct corpus again = {0};
    char *text = vocabulary_text(&c->vocabulary);
    MUST(text && !vocabulary_read_text(&again.vocabulary, text), "it does not come back");
    MUST(vocabulary_difference(&c->vocabulary, &again.vocabulary) == WORD_NONE, "other words come back");
    free(text);
    MUST(!corpus_load(&again, files, &(struct corpus_options){.given = true, .named = 0}), "it is not read again");
    for (int p = 0; p < TEXT_PARTS; p++)
        MUST(c->count[p] == again.count[p] && c->hash[p] == again.hash[p], "part %d is another", p);
    corpus_free(&again);
}

static bool run(const unsigned char *bytes, size_t size)
{
    struct vocabulary dictionary;
    struct corpus c = {0};
    char path[512];
    const char *items = path;
    const struct arg_list files = {.count = 1, .items = &items};
    snprintf(path, sizeof path, "%s", fuzz_path("words"));
    fuzz_write(path, bytes, size);
    check_text(bytes, size);
    said_begin();
    said_end(vocabulary_read_file(&dictionary, path));
    vocabulary_free(&dictionary);
    said_begin();
    const int status = corpus_load(&c, &files, &(struct corpus_options){.least = 1, .most = INT32_MAX, .named = 0});
    said_end(status);
    if (status)
        return false;
    MUST(c.bytes[0] + c.bytes[1] + c.bytes[2] == size, "%zu bytes", size);
    check_known(&c, &files);
    corpus_free(&c);
    return true;
}

const struct fuzz_target fuzz_words = {"words", begin, run, NULL,
    "<s> </s> <pad> <unk> \xc2\x85 \xe1\x9a\x80 \xe2\x80\x80 \xe2\x80 \xe3\x80\x80 \xf0\x9f\x98\x80 \xff madeupword0000"};
