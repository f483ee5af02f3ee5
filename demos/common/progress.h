/* A bar with the time left, on stderr: only when that is a terminal that knows escape codes, and only for work of more
 * than two seconds.
 *
 *   progress_begin("training", steps);
 *   progress_update(done, -1, "loss %.3f", loss);
 *   progress_end();
 */
#ifndef DEMO_PROGRESS_H
#define DEMO_PROGRESS_H

#include <stdbool.h>

void progress_begin(const char *what, double total);
/* `done` of `total`; the text stands right of the bar. `left`: seconds left where the caller knows better, else
 * negative. Cheap: draws at most ten times a second. */
void progress_update(double done, double left, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Stands in the line until the next update; false where there is no bar. */
bool progress_note(const char *text);
/* Clears the line, so that something else can be printed; the next update draws it again. */
void progress_hide(void);
void progress_end(void);

/* Seconds since some fixed moment, for measuring; processor time of this process, all threads. */
double now_seconds(void);
double busy_seconds(void);

/* "1 h 02 min", "3 min 05 s", "12 s". */
const char *format_seconds(double seconds, char text[32]);

#endif
