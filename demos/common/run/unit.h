/* How losses are told: bits a byte, nats a token and their perplexity, ... */
#ifndef RUN_UNIT_H
#define RUN_UNIT_H

#include <jansson.h>
#include <stdbool.h>

struct unit {
    const char *key;   /* in JSON: "bits", or "loss" */
    const char *name;  /* "bits per byte" */
    const char *brief; /* "bits/byte" */
    const char *item;  /* that each is of: "byte" */
    const char *datum; /* what the data are counted in, where that is something else: "image" of "dimension"s */
    double nats;       /* that one of them is */
    bool perplexity;
    bool unnamed;      /* a log that names no unit is of this one: of a program, one at most */
};

double unit_loss(const struct unit *unit, double nats);
/* "3.210 nats/token (perplexity 24.8)" */
const char *unit_text(const struct unit *unit, double nats, char text[64]);
/* Adds PREFIX and the unit's key, and where it has one the perplexity. */
void unit_record(const struct unit *unit, json_t *object, const char *prefix, double nats);
/* Sets BEFORE, the unit's key, BEHIND: "valid_bits_sampled". Takes the reference. */
void unit_set(const struct unit *unit, json_t *object, const char *before, const char *behind, json_t *value);
/* What the data are counted in: "byte". */
const char *unit_datum(const struct unit *unit);
/* "train_bytes" of "train_": how many there are of them. */
const char *unit_data(const struct unit *unit, const char *before, char key[64]);
/* The same of what losses are of. */
const char *unit_items(const struct unit *unit, const char *before, char key[64]);

#endif
