/* What readers of files share that nobody vouches for. */
#ifndef DEMO_BYTES_H
#define DEMO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why something cannot be used: what follows its name in a sentence. */
enum { WHY = 160 };
int why_not(char why[WHY], const char *format, ...) __attribute__((format(printf, 2, 3))); /* returns non-zero */

bool is_file(const char *path); /* that exists, and is regular */
/* A regular file, and its bytes; -1: it was said why. */
int file_open(const char *path, uint64_t *size);
/* All of these bytes, or an errno value; EIO at the end of the file. */
int file_bytes(int file, void *to, size_t size, uint64_t at);

#endif
