/* Tuning files: small JSON, one device a file. Whatever a file holds, opening a device does not fail for it. */
#include "tuning.h"

#include "disk/files.h"
#include "disk/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCHEMA = 1, MAX_SIZE = 64 * 1024, MAX_FILES = 256, PATH_SIZE = sizeof ((struct ssa_device *)0)->tuning_origin };
static const char format_name[] = "ssacl tuning";

static const char *shape_name(const struct ssa_device *d)
{
    return d->info.kind == SSA_DEVICE_HOST ? "host" : d->info.gpu_shape ? "gpu" : "cpu";
}

static void hash_of(const char *kernel, char text[17])
{
    uint64_t hash = 0;
    for (const struct ssa_kernel_hash *h = ssa_kernel_hashes; h->name; h++)
        if (!strcmp(h->name, kernel))
            hash = h->hash;
    snprintf(text, 17, "%016" PRIx64, hash);
}

/* ---- reading ---- */

static int read_file(const char *path, char **text, size_t *size)
{
    int why = ssa_file_load(path, MAX_SIZE, text, size);
    if (why == EFBIG)
        return ssa_fail(SSA_EFORMAT, "tuning file %s: has %zu bytes, none is larger than %d", path, *size, MAX_SIZE);
    return why ? ssa_fail(why == ENOMEM ? SSA_ENOMEM : SSA_EIO, "tuning file %s: %s", path, ssa_file_reason(why)) : SSA_OK;
}

static bool is_text(const json_t *object, const char *key, const char *want)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && !strcmp(value, want);
}

static int check_device(const struct ssa_device *device, const char *path, const json_t *root)
{
    const json_t *d = json_object_get(root, "device");
    const struct ssa_device_info *i = &device->info;
    const char *name = json_string_value(json_object_get(d, "name"));
    if (!name)
        return ssa_fail(SSA_EFORMAT, "tuning file %s: does not say of which device it is", path);
    if (strcmp(name, i->name) || !is_text(d, "vendor", i->vendor) || !is_text(d, "shape", shape_name(device)))
        return ssa_fail(SSA_ENODEVICE, "tuning file %s: is of another device, %.100s", path, name);
    if (!is_text(d, "driver", i->driver))
        return ssa_fail(SSA_EUNSUPPORTED, "tuning file %s: is stale, made with another driver than %s: run ssacl-bench "
                        "tune again", path, i->driver);
    return SSA_OK;
}

static int check_kernel(const struct ssa_device *device, const char *path, const char *kernel, const json_t *entry)
{
    if (!ssa_tuning_has(device, kernel))
        return ssa_fail(SSA_EFORMAT, "tuning file %s: this device has no kernel \"%.40s\" to tune", path, kernel);
    if (!json_is_string(json_object_get(entry, "source")) || !json_is_object(json_object_get(entry, "parameters")))
        return ssa_fail(SSA_EFORMAT, "tuning file %s: %s lacks \"source\" or \"parameters\"", path, kernel);
    return SSA_OK;
}

/* The settings of the kernels whose source is ours; `all` counts the kernels, `stale` lists the others. */
struct harvest {
    struct ssa_tuning_setting settings[SSA_TUNED_COUNT];
    int count, kernels, stale_kernels;
    char stale[256];
};

static int take_kernel(const char *path, const char *kernel, const json_t *entry, struct harvest *h)
{
    char hash[17];
    const char *name;
    json_t *value;
    h->kernels++;
    hash_of(kernel, hash);
    if (!is_text(entry, "source", hash)) {
        size_t used = strlen(h->stale);
        snprintf(h->stale + used, sizeof h->stale - used, "%s%s", used ? ", " : "", kernel);
        h->stale_kernels++;
        return SSA_OK;
    }
    json_object_foreach(json_object_get(entry, "parameters"), name, value)
    {
        json_int_t v = json_integer_value(value);
        if (!json_is_integer(value) || v < 0 || v > INT32_MAX || h->count == SSA_TUNED_COUNT)
            return ssa_fail(SSA_EFORMAT, "tuning file %s: %.40s of %s is not a whole number that could serve", path, name,
                            kernel);
        h->settings[h->count++] = (struct ssa_tuning_setting){kernel, name, (int)v};
    }
    return SSA_OK;
}

static int harvest(const struct ssa_device *device, const char *path, json_t *root, struct harvest *h)
{
    json_t *kernels = json_object_get(root, "kernels"), *entry;
    const char *kernel;
    int err = SSA_OK;
    if (!json_is_object(kernels))
        return ssa_fail(SSA_EFORMAT, "tuning file %s: has no \"kernels\"", path);
    json_object_foreach(kernels, kernel, entry)
    {
        TRY(check_kernel(device, path, kernel, entry));
        TRY(take_kernel(path, kernel, entry, h));
    }
    if (h->kernels && h->stale_kernels == h->kernels)
        TRY(ssa_fail(SSA_EUNSUPPORTED, "tuning file %s: is stale, its kernels (%s) have changed: run ssacl-bench tune "
                     "again", path, h->stale));
done:
    return err;
}

static int apply(struct ssa_device *device, const char *path, json_t *root)
{
    struct harvest h = {0};
    char why[512];
    int err;
    if (!is_text(root, "format", format_name))
        return ssa_fail(SSA_EFORMAT, "tuning file %s: is not a tuning file, \"format\" is not \"%s\"", path, format_name);
    if (json_integer_value(json_object_get(root, "schema")) != SCHEMA)
        return ssa_fail(SSA_EFORMAT, "tuning file %s: \"schema\" is not %d, the version that is known here", path, SCHEMA);
    TRY(check_device(device, path, root));
    TRY(harvest(device, path, root, &h));
    if (ssa_tuning_set(device, h.settings, h.count)) {
        snprintf(why, sizeof why, "%s", ssa_last_error());
        TRY(ssa_fail(SSA_EFORMAT, "tuning file %s: %s", path, why));
    }
    if (h.stale_kernels)
        ssa_log(SSA_LOG_WARNING, "tuning file %s: is stale for %s, which changed: run ssacl-bench tune again", path,
                h.stale);
done:
    return err;
}

int ssa_tuning_load(struct ssa_device *device, const char *path)
{
    char *text = NULL;
    json_t *root = NULL;
    size_t size = 0;
    int err;
    TRY(read_file(path, &text, &size));
    err = ssa_json_read(&root, text, size, "text");
    if (err)
        TRY(ssa_fail(err, "tuning file %s: is not a tuning file: %s", path, ssa_last_error()));
    TRY(apply(device, path, root));
    snprintf(device->tuning_origin, PATH_SIZE, "%s", path);
done:
    json_decref(root);
    free(text);
    return err;
}

/* ---- finding ---- */

/* True if the search is over. */
static bool consider(struct ssa_device *device, const char *path, bool named)
{
    int err = ssa_tuning_load(device, path);
    if (!err)
        ssa_log(SSA_LOG_INFO, "device %s: tuned by %s", device->info.id, path);
    else
        ssa_log(err == SSA_ENODEVICE && !named ? SSA_LOG_DEBUG : SSA_LOG_WARNING, "device %s: not tuned: %s", device->info.id,
                ssa_last_error());
    return !err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Links are followed: people keep their settings elsewhere. */
static bool is_trusted(const char *path)
{
    struct stat s;
    return !stat(path, &s) && (s.st_uid == geteuid() || s.st_uid == 0) && !(s.st_mode & S_IWOTH);
}

/* In the order of their names, so that the choice does not hang on the file system. `named`: the user chose the folder,
 * and with it whoever writes there. */
static bool search(struct ssa_device *device, const char *folder, bool named)
{
    char *names[MAX_FILES], path[PATH_SIZE];
    size_t n = 0;
    bool found = false;
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && n < MAX_FILES && (e = readdir(d));) {
        size_t length = strlen(e->d_name);
        if (length > 5 && *e->d_name != '.' && !strcmp(e->d_name + length - 5, ".json") &&
            (names[n] = strdup(e->d_name)))
            n++;
    }
    if (d)
        closedir(d);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        bool fits = !found && (size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path;
        if (fits && (named || is_trusted(path)))
            found = consider(device, path, false);
        else if (fits)
            ssa_log(SSA_LOG_WARNING, "tuning file %s: not used: it is another user's, or everybody can write it", path);
        free(names[i]);
    }
    return found;
}

static bool user_folder(char folder[PATH_SIZE])
{
    const char *xdg = ssa_environment("XDG_CONFIG_HOME"), *home = ssa_environment("HOME");
    int n = -1;
    if (xdg && *xdg == '/')
        n = snprintf(folder, PATH_SIZE, "%s/ssacl/tuning", xdg);
    else if (home && *home)
        n = snprintf(folder, PATH_SIZE, "%s/.config/ssacl/tuning", home);
    return n > 0 && n < PATH_SIZE;
}

void ssa_tuning_find(struct ssa_device *device)
{
    const char *named = ssa_environment("SSACL_TUNING");
    char folder[PATH_SIZE];
    struct stat s;
    if (!named) {
        if (!user_folder(folder) || !search(device, folder, false))
            search(device, SSA_TUNING_FOLDER, false);
    } else if (*named && !stat(named, &s) && S_ISDIR(s.st_mode)) {
        search(device, named, true);
    } else if (*named) {
        consider(device, named, true);
    }
}

/* ---- writing ---- */

/* "AMD EPYC (Zen 4)" becomes "amd-epyc-zen-4". */
static void slug(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; *from && n + 1 < size; from++) {
        char c = *from >= 'A' && *from <= 'Z' ? (char)(*from - 'A' + 'a') : *from;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            to[n++] = c;
        else if (n && to[n - 1] != '-')
            to[n++] = '-';
    }
    while (n && to[n - 1] == '-')
        n--;
    to[n] = 0;
    if (!n) /* no letter of it is one of ours */
        snprintf(to, size, "unnamed");
}

int ssa_tuning_path(const struct ssa_device *device, char *path, size_t size)
{
    char folder[PATH_SIZE], name[64], driver[24];
    slug(name, sizeof name, device->info.name);
    slug(driver, sizeof driver, device->info.driver);
    if (!user_folder(folder) || (size_t)snprintf(path, size, "%s/%s-%s-%s.json", folder, name, driver,
                                                 shape_name(device)) >= size)
        return ssa_fail(SSA_EIO, "tuning: neither $XDG_CONFIG_HOME nor $HOME names a folder");
    return SSA_OK;
}

/* NULL where memory is short, here and below. */
static json_t *kernels_to_json(const struct ssa_device *device)
{
    struct ssa_tunable list[SSA_TUNED_COUNT];
    json_t *kernels = json_object();
    char hash[17];
    int n, err = 0;
    ssa_tuning_list(device, list, SSA_TUNED_COUNT, &n);
    for (int i = 0; !err && i < n; i++) {
        if (!json_object_get(kernels, list[i].kernel)) {
            hash_of(list[i].kernel, hash);
            err = json_object_set_new(kernels, list[i].kernel, json_pack("{ss s{}}", "source", hash, "parameters"));
        }
        json_t *parameters = json_object_get(json_object_get(kernels, list[i].kernel), "parameters");
        err = err || json_object_set_new(parameters, list[i].name, json_integer(list[i].value));
    }
    if (err) {
        json_decref(kernels);
        return NULL;
    }
    return kernels;
}

/* JSON has no other word for what is no number. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *speeds_to_json(const struct ssa_tuning_speed *speeds, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        if (json_array_append_new(list, json_pack("{ss so so}", "case", speeds[i].name, "before",
                                                  number(speeds[i].before), "after", number(speeds[i].after)))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *to_json(const struct ssa_device *device, const struct ssa_tuning_speed *speeds, int count)
{
    const struct ssa_device_info *d = &device->info;
    return json_pack("{ss si ss s{ss ss ss ss ss si} so ss so}", "format", format_name, "schema", SCHEMA, "library",
                     ssa_version(), "device", "name", d->name, "vendor", d->vendor, "driver", d->driver, "platform",
                     d->platform, "shape", shape_name(device), "units", d->units, "kernels", kernels_to_json(device),
                     "unit", "GFLOP/s", "speeds", speeds_to_json(speeds, count));
}

int ssa_tuning_save(const struct ssa_device *device, const char *path, const struct ssa_tuning_speed *speeds, int count)
{
    struct ssa_new_file f;
    json_t *root = to_json(device, speeds, count);
    char *text = root ? ssa_json_text(root, JSON_INDENT(2) | JSON_REAL_PRECISION(5)) : NULL;
    json_decref(root);
    if (!text) /* names that are no UTF-8, or no memory */
        return ssa_fail(SSA_ENOMEM, "tuning file %s: cannot be put together", path);
    int why = ssa_new_file_begin(&f, path, SSA_FILE_KEPT);
    why = why ? why : ssa_new_file_write(&f, text, strlen(text));
    why = why ? why : ssa_new_file_write(&f, "\n", 1);
    why = why ? why : ssa_new_file_sync(&f);
    why = why ? why : ssa_new_file_replace(&f);
    ssa_new_file_abandon(&f);
    free(text);
    return why ? ssa_fail(SSA_EIO, "tuning file %s: cannot be written: %s", path, ssa_file_reason(why)) : SSA_OK;
}
