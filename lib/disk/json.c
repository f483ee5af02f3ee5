/* Parsing JSON that nobody vouches for. A parser takes a hundred bytes for a value of two, so what a text can cost is
 * counted before it starts: one pass that looks at brackets, commas and quotes only. */
#include "json.h"

#include "impl.h"

#include <stdlib.h>
#include <string.h>

/* More than any config and its tensors need: 1024 layers have 36,882 tensors, of eight brackets and commas each. */
enum { MAX_DEPTH = 8, MAX_ITEMS = 1 << 19 };

static int check_cost(const char *text, size_t size, const char *what)
{
    size_t depth = 0, items = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        items += c == ',' || c == '[' || c == '{';
        depth += c == '[' || c == '{';
        depth -= depth && (c == ']' || c == '}');
        if (depth > MAX_DEPTH || items > MAX_ITEMS)
            return ssa_fail(SSA_EFORMAT, "its %s is not what it should be: %s than any of ours has (byte %zu)", what,
                            depth > MAX_DEPTH ? "a deeper nesting" : "more values", i);
    }
    return SSA_OK;
}

/* ---- a parser that is short of memory ---- */

/* Jansson (2.14; its issue 362) does not notice that the buffer of a token could not grow: a character is missing then,
 * and where that is half of an escape or a closing quote it aborts, or reads on. So the buffer is made to grow where
 * nothing can be misread, in a first key of letters alone that is longer than any token after it: has it come back
 * whole, so has all else. */
static const char around[] = "\"\":0,"; /* the key's letters come between the quotes */

/* A power of two, so that the quote behind the key is not where a buffer of 16, 32, 64, ... bytes is full. */
static size_t key_size(const char *text, size_t size)
{
    size_t longest = 0, begin = 0, power = 64;
    for (size_t i = 0; i <= size; i++) {
        bool ends = i == size || text[i] == '"';
        longest = ends && i - begin > longest ? i - begin : longest;
        begin = ends ? i : begin;
        i += i < size && text[i] == '\\';
    }
    while (power < longest + 2)
        power *= 2;
    return power;
}

static size_t skip_blanks(const char *text, size_t size, size_t at)
{
    while (at < size && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t'))
        at++;
    return at;
}

/* The text with that key put in behind the first brace. */
static char *insert_key(const char *text, size_t size, size_t brace, size_t letters)
{
    char *longer = malloc(size + letters + sizeof around), *p = longer;
    if (!longer)
        return NULL;
    memcpy(p, text, brace + 1);
    p += brace + 1;
    *p++ = '"';
    memset(p, 'x', letters);
    p += letters;
    memcpy(p, around + 1, sizeof around - 2);
    memcpy(p + sizeof around - 2, text + brace + 1, size - brace - 1);
    return longer;
}

/* Takes the key out again; false where it is not whole. */
static bool remove_key(json_t *object, char *longer, size_t brace, size_t letters)
{
    char *key = longer + brace + 2;
    key[letters] = 0;
    return json_object_del(object, key) == 0;
}

static int parse(json_t **object, const char *text, size_t size, const char *what)
{
    json_error_t error = {0};
    size_t brace = skip_blanks(text, size, 0), second = skip_blanks(text, size, brace + 1);
    bool filled = brace < size && text[brace] == '{' && second < size && text[second] != '}';
    size_t letters = filled ? key_size(text, size) : 0, inserted = filled ? letters + sizeof around - 1 : 0;
    char *longer = filled ? insert_key(text, size, brace, letters) : NULL;
    void *volatile room = malloc(size + 8 * letters); /* what the parser takes, more or less: had, and given back */
    free(room);
    bool short_of = !room || (filled && !longer);
    if (!short_of)
        *object = json_loadb(longer ? longer : text, size + inserted, JSON_REJECT_DUPLICATES, &error);
    short_of |= !*object && json_error_code(&error) == json_error_out_of_memory;
    short_of |= *object && filled && !remove_key(*object, longer, brace, letters);
    free(longer);
    if (short_of)
        return ssa_fail(SSA_ENOMEM, "out of host memory for its %s", what);
    if (!json_is_object(*object))
        return ssa_fail(SSA_EFORMAT, "its %s is not what it should be: %s (byte %d)", what,
                        *object ? "not an object" : error.text,
                        error.position > (int)inserted ? error.position - (int)inserted : error.position);
    return SSA_OK;
}

int ssa_json_read(json_t **object, const char *text, size_t size, const char *what)
{
    int err;
    *object = NULL;
    TRY(check_cost(text, size, what));
    err = parse(object, text, size, what);
done:
    if (err) {
        json_decref(*object);
        *object = NULL;
    }
    return err;
}
