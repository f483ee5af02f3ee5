/* The loader, the ICD files that tell it of drivers, and the platforms and devices that come of them. */
#define _GNU_SOURCE
#include "doctor.h"

#include <ssacl/device.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef DOCTOR_OPENCL

void examine_opencl(json_t *report, int seconds)
{
    (void)seconds;
    json_object_set_new(report, "loader", json_null());
    problem(report, NOTE, "build it with OpenCL's and CLBlast's headers there (opencl-c-headers, libclblast-dev)",
            "this library was built without OpenCL (-Dopencl=disabled)");
}

json_t *probe_icd(const char *library)
{
    (void)library;
    return json_object();
}

json_t *probe_platforms(void)
{
    return json_object();
}

#else
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX = 32 };
static int patience; /* seconds for a driver to answer */

/* ---- the loader ---- */

static const char *chosen_loader(void)
{
    return getenv("SSACL_OPENCL_LIBRARY");
}

static void *open_loader(void)
{
    const char *chosen = chosen_loader();
    if (chosen)
        return *chosen ? dlopen(chosen, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    return library ? library : dlopen("libOpenCL.so", RTLD_NOW | RTLD_LOCAL);
}

/* cl_loader_info, which ocl-icd and Khronos' loader have: 2 its version, 3 its name. In a child: asking loads drivers. */
static void add_loader_info(json_t *loader, void *library)
{
    cl_int (*info)(cl_uint, size_t, void *, size_t *);
    static const char *const names[] = {[2] = "version", [3] = "name"};
    void *(*extension)(const char *);
    *(void **)&info = dlsym(library, "clGetICDLoaderInfoOCLICD");
    *(void **)&extension = dlsym(library, "clGetExtensionFunctionAddress");
    if (!info && extension)
        *(void **)&info = extension("clGetICDLoaderInfoOCLICD");
    for (cl_uint what = 2; info && what <= 3; what++) {
        char text[256] = "";
        if (info(what, sizeof text - 1, text, NULL) == CL_SUCCESS)
            json_object_set_new(loader, names[what], json_text(text));
    }
}

static bool examine_loader(json_t *report)
{
    const char *chosen = chosen_loader();
    void *library = open_loader(), *symbol = library ? dlsym(library, "clGetPlatformIDs") : NULL;
    Dl_info where = {0};
    json_t *loader = json_object();
    json_object_set_new(report, "loader", loader);
    if (symbol && dladdr(symbol, &where)) {
        char real[PATH_MAX];
        json_object_set_new(loader, "path", json_text(realpath(where.dli_fname, real) ? real : where.dli_fname));
        return true;
    }
    const char *error = library ? "it has no clGetPlatformIDs" : chosen && !*chosen ? "it is set to nothing" : dlerror();
    json_object_set_new(loader, "error", json_text(error ? error : "?"));
    if (chosen)
        problem(report, WARNING, "unset $SSACL_OPENCL_LIBRARY, or name a loader that is there",
                "$SSACL_OPENCL_LIBRARY names no OpenCL loader (\"%s\"): %s", chosen, error);
    else
        problem(report, WARNING, "install it: ocl-icd-libopencl1 (Debian), OpenCL-ICD-Loader or ocl-icd (Fedora), ocl-icd "
                                 "(Arch); and a driver",
                "no OpenCL loader: %s", error);
    return false;
}

/* ---- ICD files ---- */

/* In a child: does this library load, and does it answer as a driver does? */
json_t *probe_icd(const char *library)
{
    json_t *answer = json_object();
    cl_int (*ids)(cl_uint, cl_platform_id *, cl_uint *) = NULL;
    void *(*extension)(const char *) = NULL;
    Dl_info where = {0};
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        json_object_set_new(answer, "status", json_string("does not load"));
        json_object_set_new(answer, "detail", json_text(dlerror()));
        return answer;
    }
    *(void **)&ids = dlsym(handle, "clIcdGetPlatformIDsKHR");
    *(void **)&extension = dlsym(handle, "clGetExtensionFunctionAddress");
    if (extension && dladdr(*(void **)&extension, &where))
        json_object_set_new(answer, "path", json_text(where.dli_fname));
    if (!ids && extension)
        *(void **)&ids = extension("clIcdGetPlatformIDsKHR");
    if (!ids) {
        json_object_set_new(answer, "status", json_string("is no OpenCL driver"));
        json_object_set_new(answer, "detail", json_string("it lacks the symbol clIcdGetPlatformIDsKHR"));
        return answer;
    }
    cl_uint n = 0;
    cl_int code = ids(0, NULL, &n);
    char detail[128];
    snprintf(detail, sizeof detail, "clIcdGetPlatformIDsKHR answers %d%s", code,
             code == -1001 ? ", CL_PLATFORM_NOT_FOUND_KHR" : code == CL_OUT_OF_HOST_MEMORY ? ", CL_OUT_OF_HOST_MEMORY" : "");
    json_object_set_new(answer, "platforms", json_integer(n));
    json_object_set_new(answer, "status", json_string(code == CL_SUCCESS && n ? "works" : "offers no platform"));
    if (code != CL_SUCCESS)
        json_object_set_new(answer, "detail", json_text(detail));
    return answer;
}

/* The first line of an ICD file. */
static bool read_icd(const char *path, char *library, size_t size)
{
    FILE *f = fopen(path, "r");
    *library = 0;
    if (f && fgets(library, (int)size, f))
        library[strcspn(library, "\r\n")] = 0;
    if (f)
        fclose(f);
    return *library;
}

static void judge_icd(json_t *report, const char *path, json_t *icd)
{
    const char *status = json_string_value(json_object_get(icd, "status"));
    const char *detail = json_string_value(json_object_get(icd, "detail"));
    const char *library = json_string_value(json_object_get(icd, "library"));
    char remedy[512];
    if (!strcmp(status, "works"))
        return;
    enum severity severity = !strcmp(status, "offers no platform") ? NOTE : WARNING;
    if (!strcmp(status, "is empty"))
        snprintf(remedy, sizeof remedy, "delete it, or install its driver's package again: some loaders hang on it");
    else if (severity == NOTE)
        snprintf(remedy, sizeof remedy, "it sees no hardware of its own: nothing to do, unless that is here; then see that this user may open it");
    else
        snprintf(remedy, sizeof remedy, "install the package that %s belongs to again (dpkg -S, rpm -qf or pacman -Qo %s "
                                        "tells it), or delete the file", library, path);
    problem(report, severity, remedy, "ICD file %s: %s %s%s%s", path, *library ? library : "it", status,
            detail ? ": " : "", detail ? detail : "");
}

static void examine_icd(json_t *report, json_t *icds, const char *path, bool is_library)
{
    char library[PATH_MAX], why[128] = "";
    json_t *icd = NULL;
    if (is_library)
        snprintf(library, sizeof library, "%s", path);
    if (is_library || read_icd(path, library, sizeof library)) {
        icd = ask_child("--probe-icd", library, patience, why, sizeof why);
        if (!icd)
            icd = json_pack("{ss ss}", "status", "breaks the process that loads it", "detail", why);
    } else {
        bool there = !access(path, R_OK);
        icd = json_pack("{ss}", "status", there ? "is empty" : "cannot be read");
        if (!there)
            json_object_set_new(icd, "detail", json_text(strerror(errno)));
    }
    json_object_set_new(icd, "file", json_text(path));
    json_object_set_new(icd, "library", json_text(library));
    json_array_append_new(icds, icd);
    judge_icd(report, path, icd);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Where ocl-icd and Khronos' loader look: $OCL_ICD_VENDORS may be a folder, a file or (ocl-icd) a library. */
static void examine_icds(json_t *report)
{
    const char *set = getenv("OCL_ICD_VENDORS"), *place = set && *set ? set : "/etc/OpenCL/vendors";
    json_t *icds = json_array();
    struct dirent **entries = NULL;
    struct stat info;
    json_object_set_new(report, "icds", icds);
    json_object_set_new(report, "icd_place", json_text(place));
    if (stat(place, &info) || !S_ISDIR(info.st_mode)) {
        if (ends_with(place, ".icd"))
            examine_icd(report, icds, place, false);
        else if (strstr(place, ".so"))
            examine_icd(report, icds, place, true);
    }
    int n = scandir(place, &entries, NULL, by_name);
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", place, entries[i]->d_name);
        if (ends_with(path, ".icd"))
            examine_icd(report, icds, path, false);
        free(entries[i]);
    }
    free(entries);
    if (json_array_size(icds))
        return;
    if (set && *set)
        problem(report, WARNING, "unset $OCL_ICD_VENDORS, or point it to a folder with .icd files",
                "no ICD file in $OCL_ICD_VENDORS (%s): the loader finds no driver", place);
    else
        problem(report, WARNING, driver_remedy(), "no ICD file in %s: no OpenCL driver is installed", place);
}

/* ---- platforms and devices ---- */

static struct {
    cl_int (*platforms)(cl_uint, cl_platform_id *, cl_uint *);
    cl_int (*platform_info)(cl_platform_id, cl_platform_info, size_t, void *, size_t *);
    cl_int (*devices)(cl_platform_id, cl_device_type, cl_uint, cl_device_id *, cl_uint *);
    cl_int (*device_info)(cl_device_id, cl_device_info, size_t, void *, size_t *);
} cl;

static void add_platform_text(json_t *to, cl_platform_id id, const char *name, cl_platform_info what)
{
    char text[1024] = "";
    if (cl.platform_info(id, what, sizeof text - 1, text, NULL) != CL_SUCCESS)
        *text = 0;
    json_object_set_new(to, name, json_text(text));
}

static json_int_t number(cl_device_id id, cl_device_info what)
{
    unsigned char bytes[8] = {0};
    size_t size = 0;
    cl_uint small;
    cl_ulong large;
    if (cl.device_info(id, what, sizeof bytes, bytes, &size) != CL_SUCCESS)
        return -1;
    memcpy(&small, bytes, sizeof small);
    memcpy(&large, bytes, sizeof large);
    return size == sizeof small ? (json_int_t)small : (json_int_t)large;
}

static void add_quirk(json_t *quirks, bool is, const char *text)
{
    if (is)
        json_array_append_new(quirks, json_string(text));
}

/* What the device says of itself that has consequences here: asked, never known by name. */
static json_t *describe(cl_device_id id, int p, int i)
{
    static const struct {
        const char *name;
        cl_device_info what;
    } limits[] = {{"units", CL_DEVICE_MAX_COMPUTE_UNITS},       {"clock_mhz", CL_DEVICE_MAX_CLOCK_FREQUENCY},
                  {"memory", CL_DEVICE_GLOBAL_MEM_SIZE},        {"max_allocation", CL_DEVICE_MAX_MEM_ALLOC_SIZE},
                  {"local_memory", CL_DEVICE_LOCAL_MEM_SIZE},   {"max_group", CL_DEVICE_MAX_WORK_GROUP_SIZE},
                  {"base_align_bits", CL_DEVICE_MEM_BASE_ADDR_ALIGN},
                  {"vector_width_float", CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT},
                  {"address_bits", CL_DEVICE_ADDRESS_BITS},     {"timer_ns", CL_DEVICE_PROFILING_TIMER_RESOLUTION}};
    static const char *const wanted[] = {"cl_khr_fp16", "cl_khr_fp64", "cl_khr_subgroups", "cl_intel_subgroups",
                                         "cl_khr_subgroup_shuffle", "cl_khr_integer_dot_product", "cl_khr_il_program",
                                         "cl_khr_int64_base_atomics", "cl_intel_subgroup_matrix_multiply_accumulate"};
    static char extensions[65536];
    char name[32], version[256] = "";
    snprintf(name, sizeof name, "opencl:%d:%d", p, i);
    json_t *d = json_pack("{ss}", "id", name), *l = json_object(), *f = json_array(), *q = json_array();
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
        json_object_set_new(l, limits[k].name, json_integer(number(id, limits[k].what)));
    *extensions = 0;
    cl.device_info(id, CL_DEVICE_EXTENSIONS, sizeof extensions - 1, extensions, NULL);
    for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++)
        if (strstr(extensions, wanted[k]))
            json_array_append_new(f, json_string(wanted[k]));
    cl.device_info(id, CL_DEVICE_VERSION, sizeof version - 1, version, NULL);
    json_object_set_new(d, "version", json_text(version));
    json_object_set_new(d, "limits", l);
    json_object_set_new(d, "features", f);
    json_object_set_new(d, "quirks", q);
    json_int_t memory = number(id, CL_DEVICE_GLOBAL_MEM_SIZE), largest = number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    add_quirk(q, number(id, CL_DEVICE_COMPILER_AVAILABLE) == 0, "has no compiler: no kernel can be built on it");
    add_quirk(q, number(id, CL_DEVICE_AVAILABLE) == 0, "says that it is not available");
    add_quirk(q, number(id, CL_DEVICE_ENDIAN_LITTLE) == 0, "is big-endian, which nothing here was tested on");
    add_quirk(q, number(id, CL_DEVICE_HOST_UNIFIED_MEMORY) == 1 && number(id, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_GPU,
              "shares the host's memory (an integrated GPU): ranked below GPUs with their own");
    add_quirk(q, number(id, CL_DEVICE_LOCAL_MEM_TYPE) == CL_GLOBAL && !(number(id, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU),
              "keeps local memory in global memory: tiles gain nothing");
    add_quirk(q, number(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT) == 1 && number(id, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU,
              "is a CPU that runs work-items in lanes: takes kernels in the GPU shape");
    add_quirk(q, number(id, CL_DEVICE_LOCAL_MEM_SIZE) < 32768, "has less than 32 KiB of local memory");
    add_quirk(q, memory > 0 && largest < memory / 2,
              "allows one allocation only a part of its memory: long sequences and large vocabularies meet that first");
    add_quirk(q, number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE) < 64, "has work-groups below 64, which the GPU shape needs");
    return d;
}

/* In a child: all that the loader offers. */
json_t *probe_platforms(void)
{
    json_t *answer = json_object(), *platforms = json_array(), *devices = json_array();
    cl_platform_id ids[MAX];
    cl_uint n = 0;
    void *library = open_loader();
    json_object_set_new(answer, "platforms", platforms);
    json_object_set_new(answer, "devices", devices);
    if (!library)
        return answer;
    json_t *loader = json_object();
    add_loader_info(loader, library);
    json_object_set_new(answer, "loader_info", loader);
    *(void **)&cl.platforms = dlsym(library, "clGetPlatformIDs");
    *(void **)&cl.platform_info = dlsym(library, "clGetPlatformInfo");
    *(void **)&cl.devices = dlsym(library, "clGetDeviceIDs");
    *(void **)&cl.device_info = dlsym(library, "clGetDeviceInfo");
    if (!cl.platforms || !cl.platform_info || !cl.devices || !cl.device_info)
        return answer;
    cl_int code = cl.platforms(MAX, ids, &n);
    json_object_set_new(answer, "code", json_integer(code));
    for (cl_uint p = 0; code == CL_SUCCESS && p < n && p < MAX; p++) {
        cl_device_id of[MAX];
        cl_uint m = 0;
        json_t *platform = json_object();
        add_platform_text(platform, ids[p], "name", CL_PLATFORM_NAME);
        add_platform_text(platform, ids[p], "version", CL_PLATFORM_VERSION);
        add_platform_text(platform, ids[p], "vendor", CL_PLATFORM_VENDOR);
        cl_int found = cl.devices(ids[p], CL_DEVICE_TYPE_ALL, MAX, of, &m);
        m = found == CL_SUCCESS ? m : 0;
        json_object_set_new(platform, "code", json_integer(found));
        json_object_set_new(platform, "devices", json_integer(m));
        json_array_append_new(platforms, platform);
        for (cl_uint i = 0; i < m && i < MAX; i++)
            json_array_append_new(devices, describe(of[i], (int)p, (int)i));
    }
    return answer;
}

/* Why a platform may be without devices, by the variables that its driver reads. */
static const char *empty_platform_remedy(const char *name)
{
    if (strstr(name, "rusticl") && !getenv("RUSTICL_ENABLE"))
        return "rusticl offers what $RUSTICL_ENABLE names: set it to radeonsi (AMD), iris (Intel), nouveau (NVIDIA) or "
               "llvmpipe (any CPU)";
    if (strstr(name, "Portable Computing Language") && getenv("POCL_DEVICES"))
        return "$POCL_DEVICES is set: unset it, or name devices that there are (pthread, basic)";
    if (strstr(name, "Clover"))
        return "Mesa's old OpenCL finds no hardware it knows: for AMD and Intel set RUSTICL_ENABLE; else ignore it";
    return "see that its hardware is there and may be opened by this user; else ignore it";
}

static void judge_platforms(json_t *report)
{
    size_t i;
    json_t *p, *platforms = json_object_get(report, "platforms");
    json_array_foreach(platforms, i, p) {
        const char *name = json_string_value(json_object_get(p, "name"));
        if (!json_integer_value(json_object_get(p, "devices")))
            problem(report, WARNING, empty_platform_remedy(name),
                    "platform %zu (%s) offers no device: clGetDeviceIDs answers %d", i, name,
                    (int)json_integer_value(json_object_get(p, "code")));
    }
    if (!json_array_size(platforms) && json_array_size(json_object_get(report, "icds")))
        problem(report, WARNING, "see to the ICD files above, or install another driver",
                "the loader finds no platform (clGetPlatformIDs answers %d)",
                (int)json_integer_value(json_object_get(report, "code")));
}

void examine_opencl(json_t *report, int seconds)
{
    char why[128];
    patience = seconds;
    if (!examine_loader(report))
        return;
    examine_icds(report);
    json_t *found = ask_child("--probe-platforms", "-", patience, why, sizeof why);
    if (found) {
        json_object_update(json_object_get(report, "loader"), json_object_get(found, "loader_info"));
        json_object_del(found, "loader_info");
        json_object_update(report, found);
        judge_platforms(report);
        json_decref(found);
        return;
    }
    problem(report, ERROR, "take out the driver at fault: hide ICD files one by one (OCL_ICD_VENDORS=FOLDER names a "
                           "folder of the good ones); until then SSACL_DEVICE=cpu",
            "asking the loader for its platforms %s", why);
    json_object_set_new(report, "unusable", json_true());
}
#endif
