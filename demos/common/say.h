/* What a program says to people: on stderr, one line at a time, never through a progress bar. Names and paths in it may
 * be any bytes: what is shown is plain, as ssa_plain_text() makes it. */
#ifndef DEMO_SAY_H
#define DEMO_SAY_H

#include <stdbool.h>

/* Exit statuses of every program. */
enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* "ssacl-text train": what errors start with. Kept, not copied. */
void say_set_program(const char *name);
/* Notes are for people; --quiet and --json turn them off. Errors are always said. */
void say_set_quiet(bool quiet);

/* One sentence: what is wrong and what to do. Returns EXIT_FAILED, so that `return say_error(...)` reads well. */
int say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From here on errors are kept, the last of them; then it is said, or not, and errors are said again. */
void say_hold_errors(void);
void say_held_error(bool say);
void say_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether it is a terminal that knows escape codes: $TERM says so. */
bool say_on_terminal(int file);

/* A line of a result, on stdout. */
void say_result(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sends the library's warnings and errors (with `all`, everything it logs) to stderr; its notes, of what it waits for,
 * too unless quiet: where there is a progress bar, in its line. */
void say_library_log(bool all);

#endif
