/* Another program, run to its end. */
#ifndef REPRO_CHILD_H
#define REPRO_CHILD_H

#include <stdbool.h>

enum { CHILD_WORDS = 160 };

/* Its words, built up; texts are copied into it. */
struct child {
    const char *words[CHILD_WORDS + 1];
    int count;
    char texts[8192];
    unsigned used;
    bool full;
};
void child_add(struct child *child, const char *word);
/* Words with blanks between, each one added. */
void child_add_all(struct child *child, const char *words);

/* Runs it with stdout and stderr added to a file, to be looked at where it fails. Every fifth of a second `look` (or
 * NULL) is called. Where a signal asks this program to end, or `deadline` (now_seconds(); 0: none) has passed, the
 * child is asked to, once, and waited for. Returns its exit status, 128 and the signal that killed it, or -1: it could
 * not be run, which is said. */
int child_run(const struct child *child, const char *output, double deadline, void (*look)(void *cookie), void *cookie);

/* What it prints on stdout, to be freed; NULL: it failed, which is said. */
char *child_read(const struct child *child);

#endif
