/* What the machine says of its processor. */
#ifndef DEMO_PROCESSOR_H
#define DEMO_PROCESSOR_H

#include <stddef.h>

/* The first one's name, where the system tells; else "unknown". */
void processor_name(char *name, size_t size);

#endif
