/* What tests share that compare with tests/golden: the files, and the numbers that both sides make themselves. */
#ifndef SSA_TEST_GOLDEN_H
#define SSA_TEST_GOLDEN_H

#include "harness.h"
#include "ssacl/model.h"

#include <jansson.h>

/* value() of golden/make.py. */
static inline double golden_value(uint32_t parameter, uint32_t element)
{
    uint32_t u = element * 2654435761u + parameter * 2246822519u + 12345u;
    u ^= u >> 15;
    u *= 2246822519u;
    u ^= u >> 13;
    return u / 2147483648.0 - 1;
}

void golden_path(const char *name, char *path, size_t size); /* of a file of tests/golden */
json_t *golden_read(const char *name); /* from tests/golden; json_decref() it */
double *golden_doubles(const json_t *array, size_t count); /* free() it; the array must have `count` */
int golden_int(const json_t *object, const char *key);     /* 0 where absent */
void golden_config(const json_t *object, struct ssa_model_config *config);
/* Parameters as parameters() of golden/make.py sets them. */
void golden_parameters(struct ssa_model *model, double scale);
/* Parameters as golden/families.py sets them, and the number that it makes of a name. */
void golden_named_parameters(struct ssa_model *model, double scale);
uint32_t golden_number(const char *name);

#endif
