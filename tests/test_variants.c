/* The variants of attention that tests/isa.sh compiles, as arguments ("FILE:D=64,SIDE=16,EACH=8"), are those that
 * devices of GPU shape take: none is left out, none is there that nobody takes. */
#include "op/attention.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 128 };
static char taken[MOST][96];
static int count;

static void take(const char *text)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(taken[i], text))
            return;
    if (count < MOST)
        snprintf(taken[count++], sizeof taken[0], "%s", text);
}

static void take_tile(const char *file, int width, struct attention_tile t, int few, const char *kind)
{
    char tall[16] = "", text[96];
    if (t.tall != t.side)
        snprintf(tall, sizeof tall, ",TALL=%d", t.tall);
    snprintf(text, sizeof text, "%s:D=%d,SIDE=%d%s,EACH=%d%s%s", file, width, t.side, tall, t.each,
             few || t.registers ? ",REGISTERS=128" : "", kind);
    take(text);
}

/* Of devices whose work-groups have 256 work-items, as all of those have that tests/isa.sh compiles for. */
static void take_all(const char *file)
{
    static const int widths[] = {32, 64, 96, 128, 256}, rows[] = {1, 256};
    for (int few = 0; few < 2; few++) {
        struct ssa_device d = {.few_registers = few, .info = {.kind = SSA_DEVICE_GPU, .gpu_shape = 1, .max_group = 256,
                               .local_memory = 32768}};
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                const struct attention_tile plain = ssa_attention_tile(&d, file, rows[r], widths[w], false);
                const struct attention_tile pairs = ssa_attention_tile(&d, file, rows[r], widths[w], true);
                take_tile(file, widths[w], plain, few, "");
                if (memcmp(&plain, &pairs, sizeof plain)) /* else it is one of gpu_kinds */
                    take_tile(file, widths[w], pairs, few, ",PAIRS=1");
            }
    }
}

int main(int argc, char **argv)
{
    int wrong = 0;
    take_all("attention_fwd_gpu");
    take_all("attention_bwd_gpu");
    take("attention_pairs:PAIRS=1"); /* what it is without, too */
    take("attention_pairs:PAIRS=2");
    for (int i = 0; i < count; i++) {
        int listed = 0;
        for (int a = 1; a < argc; a++)
            listed |= !strcmp(argv[a], taken[i]);
        if (!listed)
            wrong += printf("%s is taken, and not in a list of cl/meson.build\n", taken[i]) > 0;
    }
    for (int a = 1; a < argc; a++) {
        int found = strncmp(argv[a], "attention", 9) != 0;
        for (int i = 0; i < count; i++)
            found |= !strcmp(argv[a], taken[i]);
        if (!found)
            wrong += printf("%s is listed, and no device takes it\n", argv[a]) > 0;
    }
    printf("%d variants\n", count);
    return wrong > 0;
}
