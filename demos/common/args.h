/* Arguments of a command, from one table that also writes its --help.
 *
 *   int steps = 100;
 *   const char *log = NULL;
 *   const struct arg table[] = {
 *       ARG_HEADING("Training"),
 *       ARG_INT('n', "steps", &steps, 1, INT_MAX, "N", "optimiser steps"),
 *       ARG_TEXT(0, "log", &log, "FILE", "write one JSON object a line"),
 *       ARG_END};
 *   int status = args_parse(table, &(struct args_page){.name = "ssacl-text train", ...}, argc, argv);
 *   if (status != ARGS_GO)
 *       return status;    // --help or --version was printed (0), or an error was (EXIT_USAGE)
 *
 * --help shows what a target holds before parsing as its default. Values must fit their range; nothing is rounded.
 */
#ifndef DEMO_ARGS_H
#define DEMO_ARGS_H

#include <stddef.h>
#include <stdint.h>

enum arg_kind {
    ARG_KIND_END,
    ARG_KIND_HEADING,
    ARG_KIND_FLAG,   /* int *, becomes `low` */
    ARG_KIND_INT,    /* int * */
    ARG_KIND_INTS,   /* int *, up to `count` with commas between; those behind the first may be 0, too, and are where
                        nothing is said of them */
    ARG_KIND_U64,    /* uint64_t * */
    ARG_KIND_REAL,   /* double * */
    ARG_KIND_FLOAT,  /* float * */
    ARG_KIND_TEXT,   /* const char ** */
    ARG_KIND_CHOICE, /* int *, the number of the word in `value`, "one|two|three", from `low` on */
    ARG_KIND_LIST,   /* struct arg_list *, may be repeated */
    ARG_KIND_NAMES   /* const char **, "a,b": repeated, each is added behind a comma */
};

struct arg {
    enum arg_kind kind;
    int letter; /* of the short form, or 0 */
    const char *name;
    void *target;
    const char *value, *help;
    double low, high; /* inclusive */
    int count;
    int settles; /* of a heading: a tag of the program's own for the options under it */
};

/* As many as there are: it lives as long as the program. */
struct arg_list {
    int count, capacity;
    const char **items;
};

#define ARG_HEADING(text) {.kind = ARG_KIND_HEADING, .help = (text)}
#define ARG_HEADING_OF(settles_, text) {.kind = ARG_KIND_HEADING, .help = (text), .settles = (settles_)}
#define ARG_CHOSEN(letter_, name_, target_, chosen_, help_) \
    {.kind = ARG_KIND_FLAG, .letter = (letter_), .name = (name_), .target = (target_), .low = (chosen_), \
     .help = (help_)}
#define ARG_FLAG(letter_, name_, target_, help_) ARG_CHOSEN(letter_, name_, target_, 1, help_)
#define ARG_NUMBER(kind_, letter_, name_, target_, low_, high_, value_, help_) \
    {.kind = (kind_), .letter = (letter_), .name = (name_), .target = (target_), .low = (low_), .high = (high_), \
     .value = (value_), .help = (help_)}
#define ARG_INT(...) ARG_NUMBER(ARG_KIND_INT, __VA_ARGS__)
#define ARG_REAL(...) ARG_NUMBER(ARG_KIND_REAL, __VA_ARGS__)
#define ARG_FLOAT(...) ARG_NUMBER(ARG_KIND_FLOAT, __VA_ARGS__)
#define ARG_WORD(kind_, letter_, name_, target_, value_, help_) \
    {.kind = (kind_), .letter = (letter_), .name = (name_), .target = (target_), .value = (value_), .help = (help_)}
#define ARG_U64(...) ARG_WORD(ARG_KIND_U64, __VA_ARGS__)
#define ARG_TEXT(...) ARG_WORD(ARG_KIND_TEXT, __VA_ARGS__)
#define ARG_CHOICE(...) ARG_WORD(ARG_KIND_CHOICE, __VA_ARGS__)
#define ARG_LIST(...) ARG_WORD(ARG_KIND_LIST, __VA_ARGS__)
#define ARG_NAMES(...) ARG_WORD(ARG_KIND_NAMES, __VA_ARGS__)
#define ARG_END {.kind = ARG_KIND_END}

struct args_page {
    const char *name;     /* "ssacl-text train" */
    const char *usage;    /* what follows the name: "--data FILE [options]" */
    const char *about;    /* paragraphs, wrapped when printed; a line that starts with a space is kept as it is */
    const char *examples; /* printed as it is, after the options */
    struct arg_list *rest; /* words without a dash; NULL: none are allowed */
    unsigned char *given;  /* NULL, or for every entry of the table: set to 1 if the option was there */
};

/* A table in pieces: puts those of `more` (NULL: none) behind the first `count` of the table, of which there may be
 * `most`, and an end behind them. Returns how many there are. */
int args_append(struct arg *table, int count, int most, const struct arg *more);

enum { ARGS_GO = -1 };
int args_parse(const struct arg *table, const struct args_page *page, int argc, char **argv);
/* Whether an option of this name was there, by args_page.given. */
int args_given(const struct arg *table, const unsigned char *given, const char *name);
void args_help(const struct arg *table, const struct args_page *page);
/* "ssacl-text 0.1.0" of "ssacl-text train", as --version of every table says. An exit status. */
int args_version(const char *name);

/* A look at the command line before it is read, for what decides which options there are: the value of an option that
 * takes one; NULL: it is not there. It may be cut short, to `least` signs and more, which no other begins with, as
 * where options are read. */
const char *args_look(int argc, char **argv, const char *option, size_t least);

/* Whole words only, no overflow, no trailing rubbish. 0 on success. */
int parse_int(const char *word, long low, long high, long *value);
int parse_u64(const char *word, uint64_t *value);
int parse_real(const char *word, double low, double high, double *value);

/* The number of `word` (of that length) in "one|two|three", or -1. */
int parse_choice(const char *word, size_t length, const char *choices);

#endif
