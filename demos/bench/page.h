/* One HTML page with everything in it: nothing is fetched from anywhere. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <jansson.h>
#include <stdio.h>

/* `command`: how the rows came to be. */
void page_write(FILE *out, const json_t *rows, const char *command);

#endif
