/* What a call of the program was given: where things lie, and how programs are run. */
#ifndef REPRO_SESSION_H
#define REPRO_SESSION_H

#include "child.h"
#include "table.h"

struct session {
    const char *table, *results, *work, *data, *programs; /* files and folders; programs: where they were built */
    const char *device;  /* NULL: as the programs choose */
    const char *launch;  /* NULL, or words before training's: "mpirun -n 2" */
    const char *only;    /* see run_wanted() */
    int seeds;
    double deadline;     /* now_seconds(); 0: none */
    bool again;          /* runs of other settings, and those that failed, are done anew */
};

/* "PROGRAMS/image/ssacl-image VERB", with `launched` the launcher's words before it; then the data and the device. */
void session_program(const struct session *session, const struct task *task, const char *verb, bool launched,
                     struct child *child);
void session_data(const struct session *session, const struct task *task, struct child *child);

/* The machine, in words: processor, how many, system; and the commit that was built. */
const char *session_machine(void);
const char *session_commit(void);

/* Makes a folder and those that it lies in, of a file's path those alone. Says why not and returns non-zero. */
int make_folders(const char *path);

#endif
