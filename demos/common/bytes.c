#include "bytes.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int why_not(char why[WHY], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, WHY, format, args);
    va_end(args);
    return 1;
}

bool is_file(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISREG(s.st_mode);
}

int file_open(const char *path, uint64_t *size)
{
    struct stat s;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY); /* a pipe must not keep us waiting */
    if (file >= 0 && !fstat(file, &s) && S_ISREG(s.st_mode)) {
        *size = (uint64_t)s.st_size;
        return file;
    }
    if (file < 0)
        say_error("%s: cannot be opened: %s", path, strerror(errno));
    else {
        close(file);
        say_error("%s: is not a regular file", path);
    }
    return -1;
}

int file_bytes(int file, void *to, size_t size, uint64_t at)
{
    enum { AT_ONCE = 1 << 30 }; /* no call reads 2 GiB */
    for (char *p = to; size;) {
        ssize_t n = pread(file, p, size < AT_ONCE ? size : AT_ONCE, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : EIO;
        p += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}
