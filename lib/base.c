#define _GNU_SOURCE /* secure_getenv */
#include "impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRING_(x) #x
#define STRING(x) STRING_(x)

static _Thread_local char last_error[2048];
static ssa_log_function log_function;
static void *log_cookie;

const char *ssa_status_name(int status)
{
    static const char *const names[] = {"SSA_OK",          "SSA_EINVAL", "SSA_ENOMEM",      "SSA_ENODEVICE", "SSA_EDEVICE",
                                        "SSA_EBUILD",      "SSA_EUNSUPPORTED", "SSA_EIO", "SSA_EFORMAT",   "SSA_ESTOPPED",
                                        "SSA_ENUMERIC"};
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

int ssa_version_number(void)
{
    return SSA_VERSION;
}

const char *ssa_environment(const char *name)
{
    return secure_getenv(name);
}

/* ---- text from outside ---- */

/* Bytes of the well-formed UTF-8 sequence at the start (Unicode 15, table 3-7); 0 if there is none. */
static size_t utf8_length(const unsigned char *s, size_t size)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (n > size)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool no_character = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90);
    return n > 1 && (overlong || no_character) ? 0 : n;
}

char *ssa_plain_text(char *text, size_t size)
{
    for (size_t i = 0, n; i < size; i += n ? n : 1) {
        unsigned char *s = (unsigned char *)text + i;
        n = utf8_length(s, size - i);
        bool control = n == 1 ? *s < ' ' || *s == 0x7f : n == 2 && s[0] == 0xc2 && s[1] < 0xa0; /* C0, C1 */
        if (n == 1 && *s >= '\t' && *s <= '\r')
            *s = ' ';
        else if (control || !n)
            memset(s, '?', n ? n : 1);
    }
    return text;
}

/* ---- errors and log ---- */

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
    ssa_plain_text(text, strlen(text));
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
    log_function(log_cookie, level, ssa_plain_text(line, strlen(line)));
}
