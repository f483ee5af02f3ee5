/* What of the machine this process may use. */
#ifndef SSA_MACHINE_H
#define SSA_MACHINE_H

#include <stddef.h>

struct ssa_machine {
    int processors; /* at least 1 */
    size_t memory;  /* bytes: of the machine, or what limits leave to this process */
};

/* The processors that it may run on and the machine's memory, less by what its control groups (v1, v2, both; their own
 * and those around it) and resource limits (RLIMIT_AS, RLIMIT_DATA) say. Half a processor counts as one. `root` stands
 * before /proc and /sys: "" but in tests. What cannot be read limits nothing. */
void ssa_machine_read(struct ssa_machine *machine, const char *root);

/* The threads that $SSACL_THREADS asks for; 0 where it is unset or empty; -1 where it is no number from 1 to 1024. */
int ssa_threads_wanted(void);

#endif
