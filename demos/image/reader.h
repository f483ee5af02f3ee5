/* What the readers of data sets share. Each says what is wrong and returns non-zero. */
#ifndef IMAGE_READER_H
#define IMAGE_READER_H

#include "dataset.h"

/* ---- where pictures are put ---- */

/* Room for `count` more pictures of a part, without labels (-1). */
int dataset_grow(struct dataset *d, const char *name, size_t count, enum dataset_part part);
/* The size of all pictures; of another one than before it says so. */
int dataset_shape(struct dataset *d, const char *name, size_t rows, size_t columns, size_t channels);
/* The last `block.count` pictures. Takes the bytes (and of planar ones makes interleaved ones) or the file; also if it
 * fails. */
int dataset_add_block(struct dataset *d, const char *name, struct dataset_block block);
/* Takes an array of malloc()ed names, also if it fails. */
int dataset_name_classes(struct dataset *d, char **names, int count);
/* "0", "1" and so on for those that have none. */
int dataset_number_classes(struct dataset *d, int count);
void names_free(char **names, size_t count);

/* As dataset_picture(), of files: the size alone, without pixels. */
int dataset_header(const struct dataset *d, struct dataset_reader *r, uint32_t image, char why[WHY]);

/* Planar to interleaved: `count` pixels of `channels`. */
void interleave(unsigned char *to, const unsigned char *from, size_t count, size_t channels);

/* ---- files ---- */

/* A list of paths, sorted by their bytes. */
struct path_list {
    char **items;
    size_t count, capacity;
};
int path_add(struct path_list *list, const char *folder, const char *name); /* folder NULL: none */
void path_free(struct path_list *list);
/* Names in a folder, but for hidden ones: sorted. */
int folder_names(struct path_list *names, const char *folder);
bool is_folder(const char *path);
const char *path_end(const char *path); /* what follows the last slash */
bool has_ending(const char *path, const char *ending); /* in letters of either case */
/* Finds one or the other in the name of the file: "t10k-labels" has "test|t10k". */
bool has_word(const char *path, const char *words);
/* Which part a file says it is of. */
enum dataset_part part_of_name(const char *path);

/* The whole file, of at most `limit` bytes; to be freed. */
int file_load(const char *path, size_t limit, unsigned char **bytes, size_t *size);
/* Lines of a small file of text, without those that are empty; no file: none. */
int file_lines(struct path_list *lines, const char *path);

/* ---- readers, by the files that they are given ---- */

int read_idx(struct dataset *d, const struct path_list *files);
int read_cifar(struct dataset *d, const struct path_list *files, const struct dataset_options *options);
int read_npz(struct dataset *d, const struct path_list *files);
int read_folder(struct dataset *d, const char *folder);
/* Which of the names in a folder are theirs. */
bool is_idx_name(const char *path);
bool is_cifar_name(const char *path);

#endif
