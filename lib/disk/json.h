/* JSON on top of jansson. Of what nobody vouches for the cost of parsing is bounded; memory that runs short is an
 * error. */
#ifndef SSA_DISK_JSON_H
#define SSA_DISK_JSON_H

#include <jansson.h>
#include <stddef.h>

/* A new reference to the object that `text` is; NULL with an error that calls it `what`. Keys that occur twice are
 * refused. */
int ssa_json_read(json_t **object, const char *text, size_t size, const char *what);

/* A value as text, to be freed; NULL where memory is short, or there is no value. As json_dumps(), which does not
 * notice (jansson 2.14) when its buffer cannot grow in the middle of an object: a key is missing then. (json_text.c,
 * which programs have too.) */
char *ssa_json_text(const json_t *value, size_t flags);

#endif
