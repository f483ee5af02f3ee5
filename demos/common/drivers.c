#include "drivers.h"

#include <stdlib.h>

void prepare_drivers(void)
{
    setenv("POCL_AFFINITY", "1", 0); /* PoCL's threads may else share a core for a second: half the speed */
}
