/* Drivers that nobody should load. */
#include <stdlib.h>
#include <unistd.h>

static __attribute__((constructor)) void load(void)
{
#ifdef HANGS
    for (;;)
        pause();
#else
    abort();
#endif
}
