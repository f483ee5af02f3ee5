/* The sub-commands of ssacl-bench: each gets the arguments from its own name on, and returns an exit status. */
#ifndef BENCH_COMMAND_H
#define BENCH_COMMAND_H

int tune_main(int argc, char **argv);
int run_main(int argc, char **argv); /* the suites: the whole line, since their names are words among the options */

#endif
