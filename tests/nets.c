#include "nets.h"

int nets_check(const struct ssa_model_config *config)
{
    (void)config;
    return SSA_OK;
}

void nets_settle(struct ssa_model_config *config)
{
    (void)config;
}

bool nets_narrow(struct ssa_model_config *config)
{
    (void)config;
    return false;
}
