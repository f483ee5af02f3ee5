/* Parsing JSON that nobody vouches for. A parser takes a hundred bytes for a value of two, so what a text can cost is
 * counted before it starts: one pass that looks at brackets, commas and quotes only. */
#include "checkpoint.h"
#include "../impl.h"

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

int ssa_json_read(json_t **object, const char *text, size_t size, const char *what)
{
    json_error_t error = {0};
    int err;
    *object = NULL;
    TRY(check_cost(text, size, what));
    *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!*object && json_error_code(&error) == json_error_out_of_memory)
        TRY(ssa_fail(SSA_ENOMEM, "out of host memory for its %s", what));
    if (!json_is_object(*object))
        err = ssa_fail(SSA_EFORMAT, "its %s is not what it should be: %s (byte %d)", what,
                       *object ? "not an object" : error.text, *object ? 0 : error.position);
done:
    return err;
}
