/* Facts about the machine and a device, as they stand in every row. */
#include "opencl.h"
#include "rows.h"

#include "processor.h"
#include "words.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Bytes of the second- and third-level caches, 0 where unknown. */
static long cache_bytes(int level)
{
#if defined(_SC_LEVEL2_CACHE_SIZE) && defined(_SC_LEVEL3_CACHE_SIZE)
    long bytes = sysconf(level == 2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE);
    return bytes > 0 ? bytes : 0;
#else
    return 0 * level;
#endif
}

json_t *machine_facts(void)
{
    char processor[128], system[256] = "unknown";
    struct utsname u;
    processor_name(processor, sizeof processor);
    if (uname(&u) == 0)
        snprintf(system, sizeof system, "%.64s %.64s %.64s", u.sysname, u.release, u.machine);
    return json_pack("{so so si sI sI}", "processor", json_text(processor), "system", json_text(system),
                     "processors", (int)sysconf(_SC_NPROCESSORS_ONLN), "l2_bytes", (json_int_t)cache_bytes(2),
                     "l3_bytes", (json_int_t)cache_bytes(3));
}

json_t *device_facts(const struct ssa_device_info *info)
{
    static const char *const kinds[] = {"host", "cpu", "gpu", "accelerator"};
    struct opencl_versions v = {"", ""};
    int host = info->kind == SSA_DEVICE_HOST;
    if (!host)
        opencl_versions(info->id, &v);
    return json_pack("{so ss ss ss ss si sI so so so so so}", "device", json_text(info->name), "device_id", info->id,
                     "device_kind", kinds[info->kind & 3], "backend", host ? "host" : "opencl", "path",
                     info->gpu_shape ? "GPU shape" : "CPU shape", "units", info->units, "device_memory",
                     (json_int_t)info->memory, "vendor", json_text(info->vendor), "platform", json_text(info->platform),
                     "platform_version", json_text(v.platform), "device_version", json_text(v.device), "driver",
                     json_text(info->driver));
}

json_t *time_now(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return json_string(text);
}
