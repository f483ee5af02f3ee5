/**
 * @file base.h
 * Version, status codes, the text of the last error, and the log.
 *
 * Every call that can fail returns 0 (SSA_OK) or a negative status. The library never prints and never exits: the
 * text of the last error of a thread is kept for it, and everything else worth knowing goes to the log callback.
 *
 * Stack: a thread that calls the library needs 64 KiB for the host backend (kernels that take more run on a thread of
 * the library's where less than 544 KiB are left, at some 20 us a launch). ssa_device_list() and
 * opening "auto", "all" or an OpenCL device load the drivers of OpenCL, which takes more (512 KiB is enough for PoCL).
 * Drivers compile on the thread that calls, and need what main threads have, 8 MiB. The library's own threads do not
 * depend on the system's default.
 *
 * Pointers must not be NULL unless said. In a set-user-id program no environment variable is followed.
 */
#ifndef SSACL_BASE_H
#define SSACL_BASE_H

#include <stddef.h>
#include <stdint.h>

/* The one place that says which version this is: the build reads these three lines. */
#define SSA_VERSION_MAJOR 0
#define SSA_VERSION_MINOR 2
#define SSA_VERSION_PATCH 0

/** A version as a number that compares: `#if SSA_VERSION >= SSA_VERSION_NUMBER(0, 2, 0)`. */
#define SSA_VERSION_NUMBER(major, minor, patch) ((major) * 1000000 + (minor) * 1000 + (patch))
/** That of the header compiled against; ssa_version_number() has that of the library that runs. */
#define SSA_VERSION SSA_VERSION_NUMBER(SSA_VERSION_MAJOR, SSA_VERSION_MINOR, SSA_VERSION_PATCH)

#if defined(__GNUC__)
#define SSA_API __attribute__((visibility("default")))
/** What will go, and a word on what to use in its place, which the compiler says. */
#define SSA_DEPRECATED(instead) __attribute__((deprecated(instead)))
#else
#define SSA_API
#define SSA_DEPRECATED(instead)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** "None" in a field whose zero means a default that is more than nothing: no decay, no clipping, no deadline. For int,
 *  float and double alike. A field that takes it says what it means there; other negative numbers are refused, as it is
 *  by fields that say nothing of it. Where nothing is the default, as of smoothing, 0 says so. */
#define SSA_NONE (-1)

/** What a call returns. */
enum ssa_status {
    SSA_OK = 0,
    SSA_EINVAL = -1,       /**< an argument is wrong; nothing was done */
    SSA_ENOMEM = -2,       /**< host or device memory does not suffice */
    SSA_ENODEVICE = -3,    /**< no such device, or none at all */
    SSA_EDEVICE = -4,      /**< the device or its driver failed; the OpenCL code is named in the text */
    SSA_EBUILD = -5,       /**< a kernel did not compile; the log has the compiler's words */
    SSA_EUNSUPPORTED = -6, /**< this build or device cannot do that */
    SSA_EIO = -7,          /**< a file could not be read or written */
    SSA_EFORMAT = -8,      /**< a file is not what it should be */
    SSA_ESTOPPED = -9,     /**< the caller asked for a stop */
    SSA_ENUMERIC = -10     /**< a result is infinite or not a number; what was good before is untouched */
};

/** "SSA_EINVAL" and so on; never NULL. */
SSA_API const char *ssa_status_name(int status);

/** The text of this thread's last error: operator, operand, shape, and what to do. Never NULL; valid until the
 *  thread's next call that fails. Plain as ssa_plain_text() makes it, whatever a driver or a path has in it. */
SSA_API const char *ssa_last_error(void);

/** Makes text of any origin fit for a terminal, a table and JSON, in place: control characters and bytes that are not
 *  of well-formed UTF-8 become '?', white space of any kind becomes a space. Returns `text`; NULL is fine if `size`, in
 *  bytes without the final 0, is 0. The texts of the library (errors, log lines, names of devices) are so already. */
SSA_API char *ssa_plain_text(char *text, size_t size);

/** Levels of the log. Programs show at least the first three: a note says what is being waited for, such as a driver
 *  that takes more than two seconds to build a kernel. */
enum ssa_log_level { SSA_LOG_ERROR, SSA_LOG_WARNING, SSA_LOG_NOTE, SSA_LOG_INFO, SSA_LOG_DEBUG };

/** Receives one line (no newline), plain as ssa_plain_text() makes it. Called from any thread; must not call the
 *  library. */
typedef void (*ssa_log_function)(void *cookie, int level, const char *line);

/** Sets the log callback of the process; NULL, the default, discards. Set it before any device is opened. */
SSA_API void ssa_set_log(ssa_log_function function, void *cookie);

/** "0.2.0", of the library that runs (not of the header compiled against). */
SSA_API const char *ssa_version(void);

/** The same to compare with SSA_VERSION. Until 1.0 the soname changes with the minor version: what was built against
 *  another one does not load this library. */
SSA_API int ssa_version_number(void);

/** Bytes that the library takes the public struct of this tag to have, as "ssa_tensor"; 0 if there is none, NULL
 *  included. For bindings that declare the structs once more: compare each with one's own before the first call. */
SSA_API size_t ssa_sizeof(const char *tag);

#ifdef __cplusplus
}
#endif
#endif
