/* A CLBlast that computes nonsense: it leaves C as it is and says that all went well. With -DFAILS it says it failed, with -DABORTS it
 * takes the process with it. */
#include <stdlib.h>

int CLBlastSgemm(void);
int CLBlastSgemm(void)
{
#ifdef ABORTS
    abort();
#endif
#ifdef FAILS
    return -2048;
#else
    return 0;
#endif
}

int CLBlastClearCache(void);
int CLBlastClearCache(void)
{
    return 0;
}
