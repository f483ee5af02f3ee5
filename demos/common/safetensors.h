/* Tensors in safetensors files of other programs: u64 little-endian length of the header, that (JSON), the data. */
#ifndef DEMO_SAFETENSORS_H
#define DEMO_SAFETENSORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct tensors {
    const char *path;
    int file;            /* -1: none */
    uint64_t data, size; /* where tensors begin, and the bytes from there on */
    json_t *entries;     /* what the header says of each, by name */
};

/* Nothing in the file is believed. Says what is wrong and returns non-zero; tensors_close() it in any case. */
int tensors_open(struct tensors *t, const char *path);
/* The same of what may be any file, or none: whether it is such a file. Says nothing. */
bool tensors_look(struct tensors *t, const char *path);
void tensors_close(struct tensors *t);

/* Dimension i of a tensor, or 0: there is no such tensor, or dimension, or it is no whole number up to 2^30. */
int tensors_dimension(const struct tensors *t, const char *name, size_t i);
bool tensors_has(const struct tensors *t, const char *name);
/* Where the data of a tensor begin, in the file. It must have this type ("F32", of four bytes, or "I64") and shape.
 * Says what is wrong and returns non-zero. */
int tensors_find(const struct tensors *t, const char *name, const char *type, const json_t *shape, uint64_t *at);
/* `count` values of `each` bytes from there on. */
int tensors_read(const struct tensors *t, const char *name, void *to, size_t count, size_t each, uint64_t at);

/* One that is written. */
enum { TENSOR_NAME = 96 };
struct tensor_new {
    char name[TENSOR_NAME];
    json_t *shape; /* freed with it */
    size_t count;  /* of float32 */
    int number;    /* as the caller knows it */
};
/* All of them, in the order of their names, as Python's safetensors writes them; `values` puts those of a number at `x`,
 * or says what is wrong and returns non-zero. Takes the shapes, of which one of NULL is no memory. Says what is wrong
 * and returns non-zero; `to` is what it was then. */
int tensors_write(const char *to, struct tensor_new *tensors, int count,
                  int (*values)(void *cookie, const struct tensor_new *tensor, float *x), void *cookie);

/* "[48, 16]" */
const char *tensors_shape_text(const json_t *shape, char text[64]);

#endif
