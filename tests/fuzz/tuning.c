/* Tuning files, on the host backend. Whatever a file says, the device goes on as before or with settings it has. */
#include "fuzz.h"
#include "impl.h"

#include <ssacl/ssacl.h>
#include <ssacl/tuning.h>

#include <stdio.h>

static struct ssa_device *device;

static void begin(void)
{
    const char *path = fuzz_path("tuning.json");
    MUST(ssa_device_open(&device, "cpu") == SSA_OK, "%s", ssa_last_error());
    snprintf(device->info.name, sizeof device->info.name, "the device of the fuzzer"); /* a corpus is of no machine */
    snprintf(device->info.driver, sizeof device->info.driver, "1");
    MUST(ssa_tuning_save(device, path, &(struct ssa_tuning_speed){"a case", 1.5, 2.5}, 1) == SSA_OK, "%s",
         ssa_last_error());
    fuzz_seed_file(path);
}

static bool run(const unsigned char *bytes, size_t size)
{
    enum { MOST = 64 };
    struct ssa_tunable list[MOST];
    const char *path = fuzz_path("tuning.json");
    int count = 0;
    fuzz_write(path, bytes, size);
    int status = ssa_tuning_load(device, path);
    if (status)
        fuzz_error(status, ssa_last_error());
    MUST(ssa_tuning_list(device, list, MOST, &count) == SSA_OK, "%s", ssa_last_error());
    for (int i = 0; i < count && i < MOST; i++) {
        int legal = 0;
        for (int v = 0; v < list[i].count; v++)
            legal += list[i].values[v] == list[i].value;
        MUST(legal == 1, "%s of %s is %d", list[i].name, list[i].kernel, list[i].value);
    }
    return !status;
}

static void end(void)
{
    ssa_device_close(device);
}

const struct fuzz_target fuzz_tuning = {"tuning", begin, run, end,
    "{} [] null true \"kernels\": \"format\": \"schema\": \"device\": \"source\": \"parameters\": \"name\": \"shape\": "
    "\"TILE\": \"PANELS\": \"attention_fwd\": \"gemm\": \"speeds\": \\u0000 \\ud800 \xc3\x28"};
