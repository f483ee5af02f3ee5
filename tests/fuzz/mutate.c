#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SplitMix64. */
uint64_t fuzz_draw(struct fuzz_random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t fuzz_below(struct fuzz_random *r, size_t below)
{
    return below ? (size_t)(fuzz_draw(r) % below) : 0;
}

/* Near the start as often as anywhere: headers are there. */
static size_t place(struct fuzz_random *r, size_t size)
{
    size_t most = fuzz_draw(r) & 1 && size > 64 ? size / 16 : size;
    return fuzz_below(r, most + 1);
}

/* Puts `size` bytes in place of `old` of them. */
static void replace(struct fuzz_input *in, size_t at, size_t old, const void *bytes, size_t size)
{
    old = old < in->size - at ? old : in->size - at;
    if (in->size - old + size > in->capacity)
        return;
    memmove(in->bytes + at + size, in->bytes + at + old, in->size - at - old);
    memcpy(in->bytes + at, bytes, size);
    in->size = in->size - old + size;
}

/* ---- changes ---- */

static void flip_bit(struct fuzz_random *r, struct fuzz_input *in)
{
    if (in->size)
        in->bytes[place(r, in->size - 1)] ^= (unsigned char)(1u << fuzz_below(r, 8));
}

static void set_number(struct fuzz_random *r, struct fuzz_input *in)
{
    static const uint64_t numbers[] = {0, 1, 127, 128, 255, 256, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                       1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX, UINT64_MAX - 7};
    uint64_t n = numbers[fuzz_below(r, sizeof numbers / sizeof *numbers)];
    size_t size = (size_t)1 << fuzz_below(r, 4), at = place(r, in->size);
    replace(in, at, size, &n, size);
}

/* Of a run of digits, other digits. */
static void set_digits(struct fuzz_random *r, struct fuzz_input *in)
{
    static const char *const numbers[] = {"0", "-1", "1", "2147483647", "2147483648", "-2147483649", "4294967296",
                                          "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e39",
                                          "1e400", "-0.0", "1e-400", "0.5", "nan", "99999999999999999999999999"};
    const char *n = numbers[fuzz_below(r, sizeof numbers / sizeof *numbers)];
    size_t at = place(r, in->size), digits = 0;
    while (at < in->size && (in->bytes[at] < '0' || in->bytes[at] > '9'))
        at++;
    while (at + digits < in->size && in->bytes[at + digits] >= '0' && in->bytes[at + digits] <= '9')
        digits++;
    if (digits)
        replace(in, at, digits, n, strlen(n));
}

static void drop(struct fuzz_random *r, struct fuzz_input *in)
{
    replace(in, place(r, in->size), 1 + fuzz_below(r, fuzz_draw(r) & 3 ? 8 : in->size), "", 0);
}

/* A piece of itself, or of another. */
static void copy(struct fuzz_random *r, struct fuzz_input *in, const struct fuzz_input *other)
{
    const struct fuzz_input *from = fuzz_draw(r) & 1 ? in : other;
    size_t start = fuzz_below(r, from->size), size = 1 + fuzz_below(r, fuzz_draw(r) & 3 ? 32 : from->size);
    size = size < from->size - start ? size : from->size - start;
    unsigned char *piece = malloc(size + 1);
    if (!piece)
        return;
    memcpy(piece, from->bytes + start, size);
    replace(in, place(r, in->size), fuzz_draw(r) & 1 ? size : 0, piece, size);
    free(piece);
}

static void put_word(struct fuzz_random *r, struct fuzz_input *in, const char *words)
{
    size_t count = 1, n;
    for (const char *c = words; *c; c++)
        count += *c == ' ';
    for (count = fuzz_below(r, count); count; count--)
        words += strcspn(words, " ") + 1;
    n = strcspn(words, " ");
    size_t at = place(r, in->size);
    replace(in, at, fuzz_draw(r) & 1 ? n : 0, words, n);
}

/* As deep or long as nobody would. */
static void repeat(struct fuzz_random *r, struct fuzz_input *in)
{
    static const char bytes[] = "[{\"\\,0 \xff";
    char many[3000];
    size_t size = 1 + fuzz_below(r, sizeof many);
    memset(many, bytes[fuzz_below(r, sizeof bytes - 1)], size);
    replace(in, place(r, in->size), 0, many, size);
}

void fuzz_mutate(struct fuzz_random *r, struct fuzz_input *in, const struct fuzz_input *other, const char *words)
{
    for (size_t changes = 1 + fuzz_below(r, fuzz_draw(r) & 3 ? 2 : 12); changes; changes--)
        switch (fuzz_below(r, 12)) {
        case 0: case 1:
            flip_bit(r, in);
            break;
        case 2:
            set_number(r, in);
            break;
        case 3: case 4: case 5:
            set_digits(r, in);
            break;
        case 6:
            drop(r, in);
            break;
        case 7: case 8:
            copy(r, in, other);
            break;
        case 9: case 10:
            put_word(r, in, words);
            break;
        default:
            fuzz_draw(r) % 8 ? flip_bit(r, in) : repeat(r, in);
        }
}
