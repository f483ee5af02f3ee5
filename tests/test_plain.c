/* ssa_plain_text(), and that the library's own texts are so: whatever a driver or a path has in it. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static void expect(const char *from, const char *want)
{
    char text[128];
    snprintf(text, sizeof text, "%s", from);
    ck_assert_str_eq(ssa_plain_text(text, strlen(text)), want);
}

START_TEST(plain)
{
    expect("", "");
    expect("a b~", "a b~");
    expect("a\tb\nc\vd\fe\rf", "a b c d e f");
    expect("\x01\x1b[31m\x7f", "??[31m?");
    static const char good[] = "\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf";
    expect(good, good);
    expect("\xc2\x80\xc2\x9f", "????");             /* C1 */
    expect("\x80\xbf\xff\xfe", "????");             /* begins nothing */
    expect("\xc3", "?");                            /* cut */
    expect("\xe2\x82", "??");
    expect("\xf0\x9f\x98x", "???x");
    expect("\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf", "?????????"); /* longer than need be */
    expect("\xed\xa0\x80\xf4\x90\x80\x80\xf5\x80\x80\x80", "???????????"); /* surrogates; beyond U+10FFFF */
    char zero[3] = {'a', 0, 'b'};
    ssa_plain_text(zero, 3);
    ck_assert_mem_eq(zero, "a?b", 3);
    ck_assert_ptr_null(ssa_plain_text(NULL, 0));
}
END_TEST

static char line[256];

static void keep(void *cookie, int level, const char *text)
{
    (void)cookie, (void)level;
    snprintf(line, sizeof line, "%s", text);
}

START_TEST(errors_and_log)
{
    char long_path[4096];
    ssa_fail(SSA_EIO, "%s: no\nsuch \x1b[2J%s", "\xff", "\xc3\xa9");
    ck_assert_str_eq(ssa_last_error(), "?: no such ?[2J\xc3\xa9");
    for (size_t i = 0; i + 2 < sizeof long_path; i += 2)
        memcpy(long_path + i, "\xc3\xa9", 3);
    ssa_fail(SSA_EIO, "%s", long_path); /* longer than there is room for, which is odd */
    size_t n = strlen(ssa_last_error());
    ck_assert(n % 2 && ssa_last_error()[n - 1] == '?' && ssa_last_error()[n - 2] == '\xa9');
    ssa_set_log(keep, NULL);
    ssa_log(SSA_LOG_INFO, "a\nb\xff");
    ck_assert_str_eq(line, "a b?");
    struct ssa_device *device;
    FAILS(ssa_device_open(&device, "no \xff\x1b such"), SSA_ENODEVICE, "no device \"no ?? such\"");
}
END_TEST

int main(void)
{
    return test_run_alone("plain", (const TTest *const[]){plain, errors_and_log, NULL});
}
