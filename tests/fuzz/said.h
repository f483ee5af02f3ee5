/* The programs' say.h for the fuzzer: what would be said is counted, and must be one line for a failure, none else. */
#ifndef SSA_FUZZ_SAID_H
#define SSA_FUZZ_SAID_H

void said_begin(void);
void said_end(int status);

#endif
