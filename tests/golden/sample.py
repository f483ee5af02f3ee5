"""Prints the known answers of tests/test_sample.c and tests/test_cells.c, from a second implementation of the draw (see
lib/sample/sample.c).

    python3 tests/golden/sample.py
"""
MASK32, INDEX_BITS, FRACTION_BITS, GAIN_BITS = 0xFFFFFFFF, 22, 12, 20


def philox(key, low, high):
    c = [low & MASK32, low >> 32, high & MASK32, high >> 32]
    k0, k1 = key & MASK32, key >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & MASK32, (a >> 32) ^ c[3] ^ k1, a & MASK32]
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c


def jittered(place, sigma, number, seed, step, layer, example):
    """`place` and noise of deviation sigma, in fixed point: the draw of that number."""
    r = philox(seed, example << 32 | number, 1 << 63 | layer << 48 | step)
    gain = int(sigma * (2.0**32 / (8 * (2**32 - 1) / 12) ** 0.5))
    noise = sum((x & 0xFFFF) + (x >> 16) for x in r)
    return (place << FRACTION_BITS) + (gain * noise >> GAIN_BITS)


def shuffle(n, sigma, seed, step, layer, example):
    """The order of ssa_shuffle(): sigma < 0 is uniform."""
    high = 1 << 63 | layer << 48 | step
    keys = []
    for i in range(n):
        if sigma < 0:
            r = philox(seed, example << 32 | i // 2, high)[2 * (i % 2):][:2]
            keys.append(((r[1] << 32 | r[0]) >> INDEX_BITS, i))
        else:
            keys.append((jittered(i, sigma, i, seed, step, layer, example), i))
    return [i for _, i in sorted(keys)]


def sources(n, ratio, seed, step, layer, example):
    """Those of n positions that stay, each with this probability."""
    high = 1 << 63 | layer << 48 | step
    draws = [philox(seed, example << 32 | i // 2, high)[2 * (i % 2):][:2] for i in range(n)]
    return [i for i, r in enumerate(draws) if ((r[1] << 32 | r[0]) >> INDEX_BITS) < ratio * 2**(64 - INDEX_BITS)]


def cells(rows, columns, channels, high, wide, sigma, *counter):
    """The cell, numbered row by row, that each position of a grid is a key of."""
    points = [(r, c, (r * columns + c) * channels + x) for r in range(rows) for c in range(columns)
              for x in range(channels)]
    by_row = sorted((jittered(r, sigma * high, i, *counter), i, c) for r, c, i in points)
    cell = [None] * len(points)
    band = high * columns * channels
    for b in range(rows // high):
        by_column = sorted((jittered(c, sigma * wide, (1 << INDEX_BITS) + i, *counter), i)
                           for _, i, c in by_row[b * band:(b + 1) * band])
        for rank, (_, i) in enumerate(by_column):
            cell[i] = b * (columns // wide) + rank // (high * wide * channels)
    return cell


if __name__ == "__main__":
    LARGE = 0xFEDCBA9876543210, 2**47 + 5, 32767, 4294967295
    for case in [(16, -1.0, 0, 0, 0, 0), (16, -1.0, 7, 1, 0, 0), (16, -1.0, *LARGE), (16, 2.0, 0, 0, 0, 0),
                 (16, 4.0, 7, 1, 0, 0), (16, 0.75, 7, 1, 3, 2), (16, 256.0, *LARGE), (5, 1.5, 1, 2, 3, 4)]:
        n, sigma, seed, step, layer, example = case
        print(f"    {{{n}, {sigma}, {seed if seed < 10 else hex(seed)}, {step}, {layer}, {example},\n     "
              f"{{{', '.join(map(str, shuffle(*case)))}}}}},")
    for case in [(4, 6, 1, 2, 3, 0.5, 7, 1, 3, 2), (4, 4, 2, 2, 2, 1.0, *LARGE), (6, 2, 3, 3, 1, 32.0, 1, 2, 0, 0),
                 (3, 4, 1, 1, 2, 0.0, 0, 0, 0, 0)]:
        *shape, sigma, seed, step, layer, example = case
        print(f"    {{{', '.join(map(str, shape))}, {sigma}, {seed if seed < 10 else hex(seed)}, {step}, {layer}, "
              f"{example},\n     {{{', '.join(map(str, cells(*case)))}}}}},")
    for case in [(23, 0.5, 0, 0, 0, 0), (23, 0.25, 7, 1, 3, 2), (23, 0.3125, *LARGE), (23, 2.0**-6, 7, 1, 3, 2)]:
        n, ratio, seed, step, layer, example = case
        of = sources(*case)
        print(f"    {{{n}, {ratio}f, {seed if seed < 10 else hex(seed)}, {step}, {layer}, {example}, {len(of)}, "
              f"{{{', '.join(map(str, of or [0]))}}}}},")
