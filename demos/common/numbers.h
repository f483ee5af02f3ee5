/* Numbers of a program as JSON, which has no word for some of them. */
#ifndef DEMO_NUMBERS_H
#define DEMO_NUMBERS_H

#include <jansson.h>
#include <stdint.h>

/* null for NaN and infinities: jansson has no value for them, and what holds one would be left out without a word. */
json_t *number_json(double value);
/* A string of digits from 2^63 on: jansson's integers end there. */
json_t *u64_json(uint64_t value);

#endif
