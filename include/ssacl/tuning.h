/**
 * @file tuning.h
 * Tile sizes and blocking of the heaviest kernels, as data of a device.
 *
 * A new device starts with what its traits suggest (local memory, work-group size, vector width); `ssacl-bench tune`
 * searches for better and writes a small JSON file, and a device that is opened takes the first file made for it:
 * $SSACL_TUNING (a file or a folder; empty: none at all), else those of $XDG_CONFIG_HOME/ssacl/tuning
 * (~/.config/ssacl/tuning), then those installed with the library (share/ssacl/tuning, whose README has the format).
 * One that is not named by $SSACL_TUNING must be this user's or root's, and not for everybody to write.
 * A file that is damaged, hostile or out of date is refused with a line in the log, and the defaults serve.
 *
 * Parameters change a result by rounding only. A device that was tuned repeats itself bit for bit, as any other.
 */
#ifndef SSACL_TUNING_H
#define SSACL_TUNING_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A parameter that kernels of this device have. */
struct ssa_tunable {
    const char *kernel; /**< "attention_fwd" */
    const char *name;   /**< "TILE" */
    int value;          /**< in use */
    int standard;       /**< what the device's traits suggest */
    int count;          /**< how many `values` there are */
    int values[12];     /**< the legal ones, ascending. Not all combinations fit a device: see ssa_tuning_set() */
    size_t reserved[4];
};

/** Lists the device's parameters, those of a kernel together. Writes at most `capacity` entries and the number there
 *  are to `count`. */
SSA_API int ssa_tuning_list(const struct ssa_device *device, struct ssa_tunable *list, int capacity, int *count);

struct ssa_tuning_setting {
    const char *kernel, *name;
    int value;
};

/** Sets parameters, all or none. SSA_EINVAL names a parameter the device does not have, a value that is not legal, or
 *  the limit that kernels built so would exceed. Counts from the next operator on. */
SSA_API int ssa_tuning_set(struct ssa_device *device, const struct ssa_tuning_setting *settings, int count);

/** Back to the defaults: of one kernel, or of all where it is NULL. */
SSA_API void ssa_tuning_reset(struct ssa_device *device, const char *kernel);

/** Takes the parameters of a file. SSA_EIO: cannot be read; SSA_EFORMAT: is no tuning file, or one with values that
 *  are not legal here; SSA_ENODEVICE: is of another device; SSA_EUNSUPPORTED: is stale, made with another driver or
 *  other versions of all its kernels; SSA_ENOMEM. Nothing is changed on error. Kernels that changed since keep their
 *  values, with a line in the log. */
SSA_API int ssa_tuning_load(struct ssa_device *device, const char *path);

/** A speed before and after tuning, for the file: GFLOP/s. */
struct ssa_tuning_speed {
    const char *name;
    double before, after;
};

/** Writes the parameters in use to a file that ssa_tuning_load() takes; beside it, then renamed, as a checkpoint is.
 *  SSA_EIO with the system's reason. */
SSA_API int ssa_tuning_save(const struct ssa_device *device, const char *path, const struct ssa_tuning_speed *speeds,
                            int count);

/** The file of this device in the user's folder, where it is found when the device opens; it need not exist.
 *  SSA_EIO if there is no such folder to be had. */
SSA_API int ssa_tuning_path(const struct ssa_device *device, char *path, size_t size);

/** The file that was taken when the device was opened, or by ssa_tuning_load(); "" where none was. */
SSA_API const char *ssa_tuning_origin(const struct ssa_device *device);

#ifdef __cplusplus
}
#endif
#endif
