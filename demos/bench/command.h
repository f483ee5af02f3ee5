/* The sub-commands of ssacl-bench: each gets the arguments from its own name on, and returns an exit status. */
#ifndef BENCH_COMMAND_H
#define BENCH_COMMAND_H

#include "args.h"

struct output_options;

int run_main(int argc, char **argv); /* the suites: the whole line, since their names are words among the options */
int compare_main(int argc, char **argv);
int show_main(int argc, char **argv);
int tune_main(int argc, char **argv);
int pool_main(int argc, char **argv);

/* `ssacl-bench --compare A B` */
int compare_words(const struct arg_list *files, const struct output_options *options);

#endif
