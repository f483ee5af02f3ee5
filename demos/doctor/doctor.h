/* ssacl-doctor: what its files share. Everything that is found goes into one JSON object, `report`: printed as it is
 * with --json, else read by print.c. Drivers may crash or hang: what calls one runs in a process of its own, which is
 * this program again with a hidden first argument (child.c), and answers with JSON on stdout. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "words.h"

#include <stdbool.h>

enum { DOCTOR_SCHEMA = 1 };

/* A problem with its remedy. Errors: this machine cannot train with what `auto` takes. Warnings: something that should
 * work does not. Notes: what is worth knowing. */
enum severity { NOTE, WARNING, ERROR };
void problem(json_t *report, enum severity severity, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* child.c: runs `mode argument` in a process of its own; NULL with a reason in words if it crashes, hangs or does not
 * answer. */
json_t *ask_child(const char *mode, const char *argument, int seconds, char *why, size_t why_size);
/* What those processes do: prints and returns an exit status; -1 if there is no such `mode`. */
int child_main(const char *mode, const char *argument);

/* opencl.c, in the parent: loader, ICD files, platforms. In a child: one ICD library; all platforms. */
void examine_opencl(json_t *report, int seconds);
json_t *probe_icd(const char *library);
json_t *probe_platforms(void);

/* machine.c: what of the machine has a say: variables, device files, caches, CLBlast. */
void examine_machine(json_t *report);
/* Package names that make devices appear, for the hardware that is seen. */
const char *driver_remedy(void);

/* selftest.c, in a child: every operator on a device, against double precision. */
json_t *probe_device(const char *id, int width);

/* print.c */
void print_report(const json_t *report);

#endif
