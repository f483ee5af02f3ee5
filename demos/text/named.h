/* Which part of a text a file is, by its name. */
#ifndef TEXT_NAMED_H
#define TEXT_NAMED_H

#include "args.h"
#include "text.h"

#include <stdbool.h>

struct named_file {
    char *path;
    int part; /* enum text_part; -1: of all, it is to be cut */
};
struct named_files {
    struct named_file *items;
    int count;
    bool named;
};

/* Files for words: folders are replaced by what of wiki.train.tokens and so on lies in them. All are to be cut, unless
 * each says its part by its name. `named`: 0: also then; -1: only if all three parts are there; 1: some may lack. Says
 * what is wrong and returns non-zero. */
int named_find(struct named_files *files, const struct arg_list *given, int named);
void named_free(struct named_files *files);

#endif
