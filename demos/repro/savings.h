/* The part of the pages that says what sampling saves: time and memory of attention, time of whole steps. */
#ifndef REPRO_SAVINGS_H
#define REPRO_SAVINGS_H

#include "results.h"
#include "sheet.h"

/* Of what lies in the folder of results: attention.json (lines of `ssacl-bench attention --json`), memory.json (of
 * tests/peers/attention_memory.py), and each task's times.json. */
void put_savings(struct sheet *sheet, const struct results *results, const char *folder);

#endif
