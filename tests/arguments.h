/* Whether what a launch gives a kernel is what the kernel takes: a call lists up to 80 arguments by place alone. */
#ifndef SSA_TEST_ARGUMENTS_H
#define SSA_TEST_ARGUMENTS_H

#include "impl.h"

/* Of cl/, by cl/embed.py: "tensor x, int width, float eps". Ends at the first without a name. */
struct kernel_parameters {
    const char *kernel, *list;
};
extern const struct kernel_parameters kernel_parameters[];

/* True if each argument is of its parameter's kind, and its name has all words of the parameter's ("q", "batch" of
 * q_batch) in it; else `why` names the first two that differ. */
bool arguments_fit(const struct ssa_launch *launch, char *why, size_t size);
/* The same for every launch from now on; what does not fit ends the program. */
void arguments_watch(void);

#endif
