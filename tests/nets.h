/* Families of models that are there for tests (SSA_FAMILY_OF_TESTS): nothing of their config is wrong, nothing is
 * filled in, there is no narrower one. */
#ifndef SSA_TEST_NETS_H
#define SSA_TEST_NETS_H

#include "net/family/family.h"

int nets_check(const struct ssa_model_config *config);
void nets_settle(struct ssa_model_config *config);
bool nets_narrow(struct ssa_model_config *config);

/* A struct ssa_family. `layer` may be NULL. */
#define NETS_FAMILY(name, facts, build, layer) \
    {(name), (const struct ssa_field[]){{0}}, nets_check, nets_settle, (facts), nets_narrow, (build), (layer)}

#endif
