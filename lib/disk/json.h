/* Parsing JSON that nobody vouches for, on top of jansson: what it may cost is bounded, and memory that runs short is
 * an error. */
#ifndef SSA_DISK_JSON_H
#define SSA_DISK_JSON_H

#include <jansson.h>
#include <stddef.h>

/* A new reference to the object that `text` is; NULL with an error that calls it `what`. Keys that occur twice are
 * refused. */
int ssa_json_read(json_t **object, const char *text, size_t size, const char *what);

#endif
