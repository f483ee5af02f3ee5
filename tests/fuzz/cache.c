/* Entries of the cache: as they are, and signed anew, since whoever changes one could sign it. */
#include "fuzz.h"
#include "disk/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char key[] = "driver 1.2, device, source 0123456789abcdef";
static char entry[768];

static void begin(void)
{
    setenv("SSACL_CACHE_DIR", fuzz_path("cache"), 1);
    MUST(ssa_store_put("program", key, "some blob of a driver", 21), "an entry cannot be put");
    DIR *d = opendir(fuzz_path("cache"));
    MUST(d, "no folder");
    for (const struct dirent *e; (e = readdir(d));)
        if (*e->d_name != '.')
            snprintf(entry, sizeof entry, "%s/%s", fuzz_path("cache"), e->d_name);
    closedir(d);
    fuzz_seed_file(entry);
}

/* The layout of a file, known here a third time. */
static void sign(unsigned char *bytes, size_t size)
{
    enum { AT_CHECKSUM = 32 };
    uint64_t sum = 0xcbf29ce484222325u;
    if (size < AT_CHECKSUM + sizeof sum)
        return;
    memset(bytes + AT_CHECKSUM, 0, sizeof sum);
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    memcpy(bytes + AT_CHECKSUM, &sum, sizeof sum);
}

static bool get(const unsigned char *bytes, size_t size)
{
    size_t got = 0;
    fuzz_write(entry, bytes, size);
    char *blob = ssa_store_get("program", key, &got);
    if (!blob)
        return false;
    MUST(got < size, "%zu bytes of %zu", got, size);
    unsigned sum = 0;
    for (size_t i = 0; i < got; i++) /* for a sanitizer: all of it is there */
        sum += (unsigned char)blob[i];
    MUST(sum <= 255 * got, "%u", sum);
    free(blob);
    return true;
}

static bool run(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size + 1);
    MUST(copy, "no memory");
    memcpy(copy, bytes, size);
    bool taken = get(copy, size);
    sign(copy, size);
    taken |= get(copy, size);
    free(copy);
    return taken;
}

const struct fuzz_target fuzz_cache = {"cache", begin, run, NULL, "SSACACHE program driver verdict 0123456789abcdef"};
