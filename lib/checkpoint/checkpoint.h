/* What the files of a checkpoint share: the format, and configs as JSON.
 *
 * A checkpoint is a safetensors file: u64 little-endian length of the header, the header (JSON, padded with spaces),
 * the data. Ours has in its "__metadata__" (all strings):
 *   format "ssacl", version "1", crc32 (eight hexadecimal digits), model (JSON), and where there is optimiser state
 *   training (JSON) and step; best (JSON), where there is one; note.
 * The checksum is over the whole file with its own eight digits read as zeros. It is the first of the metadata, and
 * the tensors stand in the order of their kinds and of the model's table. Another program that saves the file anew
 * (Python's safetensors, which sorts them) keeps the digits and not what they are of: of a file in another order they
 * are not looked at, and all else is. */
#ifndef SSA_TRAIN_CHECKPOINT_H
#define SSA_TRAIN_CHECKPOINT_H

#include "train/internal.h"
#include "ssacl/checkpoint.h"

#include <jansson.h>

#define SSA_CHECKPOINT_FORMAT "ssacl"
#define SSA_CHECKPOINT_VERSION "1"
#define SSA_CRC_KEY "\"crc32\":\""
#define SSA_CRC_ZEROS "00000000"
enum { SSA_CRC_DIGITS = 8 };
#define SSA_MAX_HEADER ((size_t)16 << 20) /* tensors of the largest model: 4.3 MiB; the rest for stages and a note */

extern const char *const ssa_kind_prefix[SSA_KINDS];

/* checkpoint_open.c: an open file. */
struct ssa_checkpoint {
    char *path, *header, *note;
    int file;
    size_t file_size, header_length, data_size;
    json_t *json;
    struct ssa_model_config model;
    struct ssa_train_config training;
    bool ours, has_training, has_moments, has_average;
    int step;
    struct ssa_best best;
};
/* "checkpoint PATH: ..." in front of the last error. */
int ssa_checkpoint_in_file(const struct ssa_checkpoint *c, int err);
int ssa_checkpoint_read(const struct ssa_checkpoint *c, void *to, size_t size, size_t at);
/* A tensor's entry in the header, or NULL. */
const json_t *ssa_checkpoint_entry(const struct ssa_checkpoint *c, int kind, const struct ssa_parameter *p);

/* config_json.c: a new reference, NULL when out of memory. Reading: SSA_EFORMAT names the field that is wrong. */
json_t *ssa_model_to_json(const struct ssa_model_config *config);
int ssa_model_from_json(const json_t *json, struct ssa_model_config *config);
json_t *ssa_training_to_json(const struct ssa_train_config *config);
/* The stages are allocated: ssa_train_config_finish(). */
int ssa_training_from_json(const json_t *json, struct ssa_train_config *config);

#endif
