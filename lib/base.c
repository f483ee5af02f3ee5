#define _GNU_SOURCE /* secure_getenv */
#include "impl.h"

#include <stdio.h>
#include <stdlib.h>

#define STRING_(x) #x
#define STRING(x) STRING_(x)

static _Thread_local char last_error[2048];
static ssa_log_function log_function;
static void *log_cookie;

const char *ssa_status_name(int status)
{
    static const char *const names[] = {"SSA_OK",          "SSA_EINVAL", "SSA_ENOMEM",      "SSA_ENODEVICE", "SSA_EDEVICE",
                                        "SSA_EBUILD",      "SSA_EUNSUPPORTED", "SSA_EIO", "SSA_EFORMAT",   "SSA_ESTOPPED"};
    int i = -status;
    return i >= 0 && i < (int)(sizeof names / sizeof *names) ? names[i] : "unknown status";
}

const char *ssa_last_error(void)
{
    return last_error;
}

const char *ssa_version(void)
{
    return STRING(SSA_VERSION_MAJOR) "." STRING(SSA_VERSION_MINOR) "." STRING(SSA_VERSION_PATCH);
}

const char *ssa_environment(const char *name)
{
    return secure_getenv(name);
}

void ssa_set_log(ssa_log_function function, void *cookie)
{
    log_function = function;
    log_cookie = cookie;
}

int ssa_fail(int code, const char *format, ...)
{
    char text[sizeof last_error]; /* the old text may be among the arguments */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(last_error, sizeof last_error, "%s", text);
    return code;
}

void ssa_log(int level, const char *format, ...)
{
    if (!log_function)
        return;
    char line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_function(log_cookie, level, line);
}
