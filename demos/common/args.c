#include "args.h"

#include "files.h"
#include "say.h"

#include <ssacl/base.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 128, HELP_WIDTH = 80, HELP_INDENT = 26, VERSION = 1, FIRST_LONG = 256 };

/* ---- values ---- */

int parse_int(const char *word, long low, long high, long *value)
{
    char *end;
    errno = 0;
    long v = strtol(word, &end, 10);
    if (end == word || *end || isspace((unsigned char)*word) || errno || v < low || v > high)
        return -1;
    *value = v;
    return 0;
}

int parse_u64(const char *word, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(word, &end, 10);
    if (!isdigit((unsigned char)*word) || *end || errno)
        return -1;
    *value = v;
    return 0;
}

int parse_real(const char *word, double low, double high, double *value)
{
    char *end;
    errno = 0;
    double v = strtod(word, &end);
    if (end == word || *end || isspace((unsigned char)*word) || (errno && fabs(v) > 1) || !(v >= low && v <= high))
        return -1;
    *value = v;
    return 0;
}

int parse_choice(const char *word, size_t length, const char *choices)
{
    for (int i = 0;; i++) {
        size_t n = strcspn(choices, "|");
        if (n == length && !strncmp(word, choices, n))
            return i;
        if (!choices[n])
            return -1;
        choices += n + 1;
    }
}

const char *args_look(int argc, char **argv, const char *option, size_t least)
{
    const char *value = NULL;
    for (int i = 1; i < argc; i++) {
        const size_t length = strcspn(argv[i], "=");
        if (length >= least && !strncmp(argv[i], option, length) && (argv[i][length] || i + 1 < argc))
            value = argv[i][length] ? argv[i] + length + 1 : argv[i + 1];
    }
    return value;
}

/* ---- help ---- */

/* Prints words up to the right margin; `column` is where the cursor stands. */
static void wrap(const char *text, size_t length, int indent, int column)
{
    const char *end = text + length;
    while (text < end) {
        int n = (int)strcspn(text, " \n");
        if (text + n > end)
            n = (int)(end - text);
        if (column > indent && column + 1 + n > HELP_WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", n, text);
        column += n;
        text += n;
        while (text < end && *text == ' ')
            text++;
    }
    putchar('\n');
}

static void print_paragraphs(const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (*text == ' ' || n == 0)
            printf("%.*s\n", (int)n, text);
        else
            wrap(text, n, 0, 0);
        text += n + (text[n] == '\n');
    }
}

/* " [2,2,6,2]", without zeros behind the last. */
static void format_ints(const struct arg *a, char *text, size_t size)
{
    const int *values = a->target;
    int count = a->count;
    size_t used = 0;
    while (count && !values[count - 1])
        count--;
    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%d%s", i ? "," : " [", values[i],
                                 i + 1 < count ? "" : "]");
}

/* " [300]": what holds if the option is not given. */
static void format_default(const struct arg *a, char *text, size_t size)
{
    *text = 0;
    if (a->kind == ARG_KIND_INT && *(int *)a->target > 0)
        snprintf(text, size, " [%d]", *(int *)a->target);
    if (a->kind == ARG_KIND_INTS)
        format_ints(a, text, size);
    if (a->kind == ARG_KIND_U64)
        snprintf(text, size, " [%llu]", (unsigned long long)*(uint64_t *)a->target);
    if (a->kind == ARG_KIND_REAL && *(double *)a->target != 0)
        snprintf(text, size, " [%g]", *(double *)a->target);
    if (a->kind == ARG_KIND_FLOAT && *(float *)a->target != 0)
        snprintf(text, size, " [%g]", (double)*(float *)a->target);
    if (a->kind == ARG_KIND_TEXT || a->kind == ARG_KIND_NAMES) {
        const char *word = *(const char **)a->target;
        if (word && *word)
            snprintf(text, size, " [%s]", word);
    }
    if (a->kind == ARG_KIND_CHOICE && *(int *)a->target >= a->low) {
        const char *word = a->value;
        for (int i = *(int *)a->target - (int)a->low; i > 0; i--)
            word += strcspn(word, "|") + 1;
        snprintf(text, size, " [%.*s]", (int)strcspn(word, "|"), word);
    }
}

static void print_option(const struct arg *a)
{
    char left[128], right[1024], preset[256];
    int n = a->letter ? snprintf(left, sizeof left, "  -%c, --%s", a->letter, a->name)
                      : snprintf(left, sizeof left, "      --%s", a->name);
    if (a->value)
        n += snprintf(left + n, sizeof left - (size_t)n, " %s", a->value);
    format_default(a, preset, sizeof preset);
    snprintf(right, sizeof right, "%s%s", a->help, preset);
    if (n + 2 > HELP_INDENT)
        printf("%s\n%*s", left, HELP_INDENT, "");
    else
        printf("%-*s", HELP_INDENT, left);
    wrap(right, strlen(right), HELP_INDENT, HELP_INDENT);
}

void args_help(const struct arg *table, const struct args_page *page)
{
    printf("usage: %s %s\n\n", page->name, page->usage);
    print_paragraphs(page->about);
    if (table->kind != ARG_KIND_HEADING)
        puts("\noptions:");
    for (const struct arg *a = table; a->kind; a++)
        if (a->kind == ARG_KIND_HEADING)
            printf("\n%s:\n", a->help);
        else
            print_option(a);
    printf("  -h, --help              this text\n      --version           say which version this is\n");
    if (page->examples)
        printf("\n%s", page->examples);
}

int args_version(const char *name)
{
    printf("%.*s %s\n", (int)strcspn(name, " "), name, ssa_version());
    return finish_stdout();
}

int args_append(struct arg *table, int count, int most, const struct arg *more)
{
    while (more && more->kind && count < most)
        table[count++] = *more++;
    table[count] = (struct arg)ARG_END;
    return count;
}

/* ---- parsing ---- */

static int refuse(const char *form, const struct arg *a, const char *word)
{
    say_error("--%s: '%s' is not %s (see --help)", a->name, word, form);
    return EXIT_USAGE;
}

static int refuse_empty(const struct arg *a)
{
    say_error("--%s must not be empty: give %s, or leave it out (see --help)", a->name, a->value);
    return EXIT_USAGE;
}

static int store_number(const struct arg *a, const char *word)
{
    char form[128];
    double number;
    long whole;
    if (a->kind == ARG_KIND_INT && !parse_int(word, (long)a->low, (long)a->high, &whole)) {
        *(int *)a->target = (int)whole;
        return 0;
    }
    if (a->kind != ARG_KIND_INT && !parse_real(word, a->low, a->high, &number)) {
        if (a->kind == ARG_KIND_FLOAT)
            *(float *)a->target = (float)number;
        else
            *(double *)a->target = number;
        return 0;
    }
    snprintf(form, sizeof form, "a %s from %g to %.10g", a->kind == ARG_KIND_INT ? "whole number" : "number", a->low,
             a->high);
    return refuse(form, a, word);
}

static int store_ints(const struct arg *a, const char *word)
{
    char form[128], number[16];
    int *values = a->target, count = 0;
    long value = 0;
    memset(values, 0, (size_t)a->count * sizeof *values);
    for (const char *at = word; at && count < a->count; count++) {
        const size_t length = strcspn(at, ",");
        snprintf(number, sizeof number, "%.*s", length < sizeof number ? (int)length : 0, at);
        if (parse_int(number, count ? 0 : (long)a->low, (long)a->high, &value) || (value && value < (long)a->low))
            break;
        values[count] = (int)value;
        if (!at[length])
            return 0;
        at += length + 1;
    }
    snprintf(form, sizeof form, "up to %d whole numbers from %g to %.10g with commas between", a->count, a->low,
             a->high);
    return refuse(form, a, word);
}

static int add_to_list(struct arg_list *list, const char *word)
{
    if (list->count == list->capacity) {
        int capacity = list->capacity ? 2 * list->capacity : 16;
        const char **more = realloc(list->items, (size_t)capacity * sizeof *more);
        if (!more)
            return say_error("no memory");
        list->items = more;
        list->capacity = capacity;
    }
    list->items[list->count++] = word;
    return 0;
}

static int store_choice(const struct arg *a, const char *word)
{
    char form[256];
    int i = parse_choice(word, strlen(word), a->value);
    if (i >= 0) {
        *(int *)a->target = (int)a->low + i;
        return 0;
    }
    snprintf(form, sizeof form, "one of %s", a->value);
    return refuse(form, a, word);
}

/* The first replaces the default. `earlier` were given before. */
static int store_names(const struct arg *a, const char *word, int earlier)
{
    char **names = a->target;
    if (!*word)
        return refuse_empty(a);
    if (!earlier) {
        *names = (char *)word;
        return 0;
    }
    size_t size = strlen(*names) + strlen(word) + 2;
    char *joined = malloc(size);
    if (!joined)
        return say_error("no memory");
    snprintf(joined, size, "%s,%s", *names, word);
    if (earlier > 1) /* joined here, too */
        free(*names);
    *names = joined;
    return 0;
}

static int store(const struct arg *a, const char *word, int earlier)
{
    switch (a->kind) {
    case ARG_KIND_FLAG:
        *(int *)a->target = (int)a->low;
        return 0;
    case ARG_KIND_INTS:
        return store_ints(a, word);
    case ARG_KIND_U64:
        return parse_u64(word, a->target) ? refuse("a whole number from 0 to 18446744073709551615", a, word) : 0;
    case ARG_KIND_TEXT:
        *(const char **)a->target = word;
        return *word ? 0 : refuse_empty(a);
    case ARG_KIND_CHOICE:
        return store_choice(a, word);
    case ARG_KIND_LIST:
        return add_to_list(a->target, word);
    case ARG_KIND_NAMES:
        return store_names(a, word, earlier);
    default:
        return store_number(a, word);
    }
}

/* getopt's own tables, made from ours. The value of a long option is FIRST_LONG + its index. */
static void make_getopt(const struct arg *table, struct option *longs, char *shorts)
{
    int n = 0;
    *shorts++ = ':'; /* "missing value" is told from "unknown option" */
    *shorts++ = 'h';
    longs[n++] = (struct option){"help", no_argument, NULL, 'h'};
    longs[n++] = (struct option){"version", no_argument, NULL, VERSION};
    for (int i = 0; table[i].kind && n < MAX_OPTIONS - 1; i++) {
        if (table[i].kind == ARG_KIND_HEADING)
            continue;
        int value = table[i].kind != ARG_KIND_FLAG;
        longs[n++] = (struct option){table[i].name, value ? required_argument : no_argument, NULL, FIRST_LONG + i};
        if (table[i].letter)
            *shorts++ = (char)table[i].letter;
        if (table[i].letter && value)
            *shorts++ = ':';
    }
    longs[n] = (struct option){0};
    *shorts = 0;
}

static const struct arg *find(const struct arg *table, int option)
{
    if (option >= FIRST_LONG)
        return &table[option - FIRST_LONG];
    for (; table->kind; table++)
        if (table->letter == option)
            return table;
    return NULL;
}

static int bad_option(int option, char **argv)
{
    const char *word = argv[optind - 1];
    if (option == ':')
        say_error("%s needs a value (see --help)", word);
    else if (optopt && optopt < FIRST_LONG && !(word[0] == '-' && word[1] == '-' && strchr(word, '=')))
        say_error("unknown option -%c (see --help)", optopt);
    else
        say_error("%s is %s (see --help)", word,
                  optopt ? "an option that takes no value" : "not an option, or short for several");
    return EXIT_USAGE;
}

/* The words without a dash. */
static int take_rest(const struct args_page *page, int argc, char **argv)
{
    for (; optind < argc; optind++) {
        if (!page->rest) {
            say_error("'%s' is not expected here (see --help)", argv[optind]);
            return EXIT_USAGE;
        }
        if (add_to_list(page->rest, argv[optind]))
            return EXIT_FAILED;
    }
    return ARGS_GO;
}

int args_parse(const struct arg *table, const struct args_page *page, int argc, char **argv)
{
    struct option longs[MAX_OPTIONS];
    char shorts[2 * MAX_OPTIONS + 4];
    int option, status, times[MAX_OPTIONS] = {0};
    say_set_program(page->name);
    make_getopt(table, longs, shorts);
    unsetenv("POSIXLY_CORRECT"); /* options may stand behind words, whatever the user has set */
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (option == 'h') {
            args_help(table, page);
            return finish_stdout();
        }
        if (option == VERSION)
            return args_version(page->name);
        const struct arg *a = option == '?' || option == ':' ? NULL : find(table, option);
        if (!a)
            return bad_option(option, argv);
        if ((status = store(a, optarg, times[a - table]++)))
            return status;
        if (page->given)
            page->given[a - table] = 1;
    }
    return take_rest(page, argc, argv);
}

int args_given(const struct arg *table, const unsigned char *given, const char *name)
{
    for (int i = 0; table[i].kind; i++)
        if (given[i] && table[i].name && !strcmp(table[i].name, name))
            return 1;
    return 0;
}
