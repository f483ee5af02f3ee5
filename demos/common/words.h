/* Words from outside: names, paths, arguments, lines of other programs. They may be any bytes; what a program writes is
 * UTF-8. Terminals and tables get ssa_plain_text(), JSON this: */
#ifndef DEMO_WORDS_H
#define DEMO_WORDS_H

#include <jansson.h>

/* A string of any bytes: what is no UTF-8 becomes U+FFFD, control characters stay (JSON escapes them). NULL only
 * without memory, or for NULL. */
json_t *json_text(const char *bytes);
json_t *json_bytes(const void *bytes, size_t size);

/* Every string in it becomes plain: for tables, of what was read from a file or is to be printed. */
void json_make_plain(json_t *value);

/* What files are called in tables and pictures: each by the shortest end of its path that none of the others has,
 * without `ending` ("dense/log" and "ssa/log"; a file that is there twice has a number behind it). Plain. */
enum { LABEL_MAX = 64 };
void label_files(const char *const *paths, int count, const char *ending, char (*labels)[LABEL_MAX]);

/* How wide plain text stands in a table, but for signs of double width. */
int text_columns(const char *text);

#endif
