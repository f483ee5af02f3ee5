#include "numbers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *u64_json(uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_string(digits);
}
