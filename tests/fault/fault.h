/* What a test asks of the layer, once it has found these by dlsym(): see load_layer() in test_fault.c. */
#ifndef SSA_TEST_FAULT_H
#define SSA_TEST_FAULT_H

#include <stdbool.h>

/* From now on the nth call of `function` fails with `code`, and with `onwards` every later one too. The counts of all
 * calls restart. False if the layer does not know the function; NULL makes nothing fail. */
bool fault_arm(const char *function, unsigned long nth, bool onwards, int code);
/* Calls of it since then, the failed ones included. */
unsigned long fault_count(const char *function);
/* References to contexts, queues, buffers, programs and kernels that are alive. */
long fault_alive(void);

#endif
