/* The machine around OpenCL: what is set, what may be opened, what is kept. */
#define _GNU_SOURCE
#include "doctor.h"

#include <ssacl/cache.h>
#include <ssacl/device.h>

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void list_variables(json_t *report)
{
    static const char *const prefixes[] = {"SSACL_", "OCL_ICD_", "OPENCL_LAYERS", "POCL_", "RUSTICL_", "CL_CONFIG_",
                                           "CUDA_VISIBLE", "ROCR_VISIBLE", "HIP_VISIBLE", "LD_LIBRARY_PATH"};
    json_t *set = json_object();
    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
            if (!strncmp(*e, prefixes[i], strlen(prefixes[i])) && strncmp(*e, "SSACL_DOCTOR", 12)) {
                char name[128];
                snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
                ssa_plain_text(name, strlen(name));
                json_object_set_new(set, name, json_text(*e + strcspn(*e, "=") + 1));
            }
    json_object_set_new(report, "variables", set);
}

/* ---- graphics hardware, by what the kernel says ---- */

static bool pci_vendor[3]; /* AMD, Intel, NVIDIA */

static unsigned read_hex(const char *directory, const char *device, const char *name)
{
    char path[512];
    unsigned value = 0;
    snprintf(path, sizeof path, "%s/%s/%s", directory, device, name);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%x", &value) != 1)
        value = 0;
    if (f)
        fclose(f);
    return value;
}

static void look_at_bus(void)
{
    static const char bus[] = "/sys/bus/pci/devices";
    DIR *d = opendir(bus);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (*e->d_name == '.' || read_hex(bus, e->d_name, "class") >> 16 != 3) /* display controllers */
            continue;
        unsigned vendor = read_hex(bus, e->d_name, "vendor");
        pci_vendor[0] |= vendor == 0x1002;
        pci_vendor[1] |= vendor == 0x8086;
        pci_vendor[2] |= vendor == 0x10de;
    }
    if (d)
        closedir(d);
}

const char *driver_remedy(void)
{
    static char text[1024];
    static const char *const of_vendor[] = {
        "AMD GPU: rocm-opencl-icd or mesa-opencl-icd with RUSTICL_ENABLE=radeonsi (Debian), rocm-opencl or "
        "mesa-libOpenCL (Fedora), rocm-opencl-runtime or opencl-mesa (Arch); ",
        "Intel GPU: intel-opencl-icd (Debian), intel-compute-runtime (Fedora, Arch); ",
        "NVIDIA GPU: nvidia-opencl-icd (Debian), xorg-x11-drv-nvidia-cuda-libs of RPM Fusion (Fedora), opencl-nvidia "
        "(Arch); "};
    *text = 0;
    snprintf(text, sizeof text, "install a driver. ");
    for (int i = 0; i < 3; i++)
        if (pci_vendor[i])
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s", of_vendor[i]);
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "any CPU: pocl-opencl-icd (Debian), pocl (Fedora, Arch). Until then ssacl's own CPU backend serves");
    return text;
}

/* Device files that are there and may not be opened. */
static void check_access(json_t *report)
{
    static const char remedy[] = "add yourself to its group and log in again: sudo usermod -aG render,video $USER";
    DIR *d = opendir("/dev/dri");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300];
        snprintf(path, sizeof path, "/dev/dri/%s", e->d_name);
        if (!strncmp(e->d_name, "renderD", 7) && access(path, R_OK | W_OK))
            problem(report, WARNING, remedy, "%s may not be opened by this user: its GPU stays unseen", path);
    }
    if (d)
        closedir(d);
    if (!access("/dev/kfd", F_OK) && access("/dev/kfd", R_OK | W_OK))
        problem(report, WARNING, remedy, "/dev/kfd may not be opened by this user: AMD's ROCm driver sees no GPU");
}

/* ---- what is kept, and CLBlast ---- */

static void look_at_cache(json_t *report)
{
    struct ssa_cache_info c = {0};
    ssa_cache_info(&c);
    json_object_set_new(report, "cache",
                        json_pack("{sb sb sI sI sI so so}", "enabled", c.enabled, "writable", c.writable, "entries",
                                  (json_int_t)c.entries, "bytes", (json_int_t)c.bytes, "limit", (json_int_t)c.limit,
                                  "directory", json_text(c.directory), "why", json_text(c.why)));
    const char *off = getenv("SSACL_CACHE");
    if ((!c.enabled || !c.writable) && !(off && !strcmp(off, "0")))
        problem(report, WARNING, "make the folder writable, or name another one in $SSACL_CACHE_DIR",
                "built programs and verdicts cannot be kept (%s): every start builds them anew", c.why);
}

static void look_for_clblast(json_t *report)
{
    const char *chosen = getenv("SSACL_CLBLAST_LIBRARY");
    void *library = chosen && !*chosen ? NULL : dlopen(chosen ? chosen : "libclblast.so.1", RTLD_LAZY | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "CLBlastSgemm") : NULL;
    Dl_info where = {0};
    if (symbol && dladdr(symbol, &where)) {
        json_object_set_new(report, "clblast", json_pack("{so}", "path", json_text(where.dli_fname)));
        return;
    }
    json_object_set_new(report, "clblast", json_pack("{sn}", "path"));
    if (!chosen || *chosen)
        problem(report, NOTE,
                chosen ? "unset $SSACL_CLBLAST_LIBRARY, or name a library that is there"
                       : "for GPUs install it: libclblast1 (Debian), clblast (Fedora, Arch)",
                "CLBlast is not found: GPUs multiply matrices with ssacl's own kernels");
}

void examine_machine(json_t *report)
{
    look_at_bus();
    list_variables(report);
    check_access(report);
    look_at_cache(report);
    look_for_clblast(report);
}
