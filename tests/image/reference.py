"""What demos/image must make of pictures and numbers, written once more from the formulas, in Python alone."""
import math

M32 = 0xffffffff


def pattern(size):
    return [(i * i * 7 + i * 31 + (i >> 3) * 13) & 255 for i in range(size)]


# ---- random numbers ----

class Draws:
    """Philox4x32-10, key and counter as in demos/common/draws.h."""

    def __init__(self, key, place, epoch, image):
        self.key, self.counter, self.words, self.at = key, [0, image & M32, place & M32, epoch & M32], [], 0

    @classmethod
    def of(cls, seed, place, epoch, image):
        return cls(seed ^ 0x706963747572650a, place, epoch, image)

    def word(self):
        if not self.words:
            c, k = list(self.counter), [self.key & M32, self.key >> 32]
            for _ in range(10):
                a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
                k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
            self.words = c
            self.counter[0] += 1
        return self.words.pop(0)

    def uniform(self):
        return self.word() / 2**32

    def between(self, low, high):
        return low + (high - low) * self.uniform()

    def below(self, n):
        return self.word() * n >> 32

    def normals(self):
        r = math.sqrt(-2 * math.log(1 - self.uniform()))
        t = 2 * math.pi * self.uniform()
        return r * math.cos(t), r * math.sin(t)

    def permutation(self, n):
        order = []
        for i in range(n):
            j = self.below(i + 1)
            order.append(i)
            order[i] = order[j]
            order[j] = i
        return order

    def gamma(self, shape):
        d = (shape + 1 if shape < 1 else shape) - 1 / 3
        c, more = 1 / math.sqrt(9 * d), 1.0
        if shape < 1:
            more = (1 - self.uniform()) ** (1 / shape)
        while True:
            x = self.normals()[0]
            v, u = (1 + c * x) ** 3, 1 - self.uniform()
            if v > 0 and math.log(u) < x * x / 2 + d - d * v + d * math.log(v):
                return d * v * more

    def beta(self, shape):
        if shape == 1:
            return self.uniform()
        a = self.gamma(shape)
        return a / (a + self.gamma(shape))


SPLIT, SHUFFLE, CROP, FLIP, OPERATIONS, ERASE, MIX = range(7)


# ---- resizing: a picture is (rows, columns, channels, list of bytes) ----

def cubic(x):
    x = abs(x)
    return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def weights(n, m):
    """For each of m outputs: the first input and the weights, whole numbers of 2^-22."""
    s = n / m
    f, found = max(s, 1.0), []
    for o in range(m):
        c = (o + 0.5) * s
        first, end = max(int(c - 2 * f + 0.5), 0), min(int(c + 2 * f + 0.5), n)
        w = [cubic((i - c + 0.5) / f) for i in range(first, end)]
        total = sum(w)
        found.append((first, [int(x / total * 2**22 + (0.5 if x / total >= 0 else -0.5)) for x in w]))
    return found


def line(values, axis):
    sums = [sum(w * values[first + t] for t, w in enumerate(ws)) for first, ws in axis]
    return [min(max((2**21 + s) >> 22, 0), 255) for s in sums]


def resize(picture, m_rows, m_columns):
    rows, columns, channels, p = picture
    across, down, out = weights(columns, m_columns), weights(rows, m_rows), [0] * (m_rows * m_columns * channels)
    for c in range(channels):
        wide = [line([p[(r * columns + i) * channels + c] for i in range(columns)], across) for r in range(rows)]
        for o in range(m_columns):
            for r, v in enumerate(line([w[o] for w in wide], down)):
                out[(r * m_columns + o) * channels + c] = v
    return m_rows, m_columns, channels, out


def cut_box(picture, row, column, h, w):
    _, columns, channels, p = picture
    out = []
    for r in range(row, row + h):
        out += p[(r * columns + column) * channels:(r * columns + column + w) * channels]
    return h, w, channels, out


# ---- operations ----

def clip(v):
    return 0 if v <= 0 else 255 if v >= 255 else int(v)


def f32(x):
    """To float and back, to the nearest."""
    import struct
    return struct.unpack("f", struct.pack("f", x))[0]


def blend(base, v, factor):
    return clip(f32(base + f32(f32(factor) * (v - base))))


def luma(pixel):
    return pixel[0] if len(pixel) == 1 else (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 32768) >> 16


def by_channel(picture, table_of):
    rows, columns, channels, p = picture
    tables = [table_of(p[c::channels]) for c in range(channels)]
    return rows, columns, channels, [tables[i % channels][v] for i, v in enumerate(p)]


def autocontrast(values):
    low, high = min(values), max(values)
    if high <= low:
        return list(range(256))
    scale = 255 / (high - low)
    return [clip(int(v * scale - low * scale)) for v in range(256)]


def equalise(values):
    counts = [0] * 256
    for v in values:
        counts[v] += 1
    step = (len(values) - counts[max(values)]) // 255
    if not step:
        return list(range(256))
    return [min((step // 2 + sum(counts[:v])) // step, 255) for v in range(256)]


def at(picture, r, c, channel):
    rows, columns, channels, p = picture
    return p[(min(max(r, 0), rows - 1) * columns + min(max(c, 0), columns - 1)) * channels + channel]


def keys(v, d):
    v1, v2, v3, v4 = v
    return v2 + d * (v3 - v1 + d * (2 * (v1 - v2) + v3 - v4 + d * (v2 - v1 + v4 - v3)))


def transform(picture, m):
    rows, columns, channels, _ = picture
    out = []
    for r in range(rows):
        for c in range(columns):
            x, y = m[0] * (c + .5) + m[1] * (r + .5) + m[2], m[3] * (c + .5) + m[4] * (r + .5) + m[5]
            if not (0 <= x < columns and 0 <= y < rows):
                out += [124, 116, 104][:channels]
                continue
            i, j = math.floor(x - .5), math.floor(y - .5)
            for k in range(channels):
                out.append(clip(keys([keys([at(picture, j + b, i + a, k) for a in (-1, 0, 1, 2)], x - .5 - i)
                                      for b in (-1, 0, 1, 2)], y - .5 - j)))
    return rows, columns, channels, out


def sharpness(picture, factor):
    rows, columns, channels, p = picture
    out = list(p)
    for r in range(1, rows - 1):
        for c in range(1, columns - 1):
            for k in range(channels):
                around = [at(picture, r + a, c + b, k) for a in (-1, 0, 1) for b in (-1, 0, 1)]
                base = int((sum(around) + 4 * around[4]) / 13 + 0.5)
                out[(r * columns + c) * channels + k] = blend(base, around[4], factor)
    return rows, columns, channels, out


def operate(picture, number, level, sign):
    rows, columns, channels, p = picture
    by = sign * level / 10
    factor = max(0.1, 1 + 0.9 * by)
    pixels = [p[i:i + channels] for i in range(0, len(p), channels)]
    name = ("autocontrast equalise invert rotate posterise solarise solarise-add colour contrast brightness sharpness "
            "shear-x shear-y translate-x translate-y").split()[number]
    if name == "autocontrast":
        return by_channel(picture, autocontrast)
    if name == "equalise":
        return by_channel(picture, equalise)
    if name == "invert":
        return by_channel(picture, lambda _: [255 - v for v in range(256)])
    if name == "posterise":
        bits = 4 - int(level / 10 * 4)
        return by_channel(picture, lambda _: [v >> (8 - bits) << (8 - bits) for v in range(256)])
    if name == "solarise":
        return by_channel(picture, lambda _: [v if v < 256 - int(level / 10 * 256) else 255 - v for v in range(256)])
    if name == "solarise-add":
        return by_channel(picture, lambda _: [v + int(level / 10 * 110) if v < 128 else v for v in range(256)])
    if name == "colour":
        return rows, columns, channels, [blend(luma(q), v, factor) for q in pixels for v in q]
    if name in ("contrast", "brightness"):
        base = int(sum(map(luma, pixels)) / len(pixels) + 0.5) if name == "contrast" else 0
        return rows, columns, channels, [blend(base, v, factor) for v in p]
    if name == "sharpness":
        return sharpness(picture, factor)
    if name == "rotate":
        a, x, y = -math.radians(30 * by), columns / 2, rows / 2
        c, s = math.cos(a), math.sin(a)
        return transform(picture, (c, s, x - c * x - s * y, -s, c, y + s * x - c * y))
    return transform(picture, {"shear-x": (1, .3 * by, 0, 0, 1, 0), "shear-y": (1, 0, 0, .3 * by, 1, 0),
                               "translate-x": (1, 0, .45 * by * columns, 0, 1, 0),
                               "translate-y": (1, 0, 0, 0, 1, .45 * by * rows)}[name])


# ---- a whole picture ----

def area_box(draws, rows, columns):
    for _ in range(10):
        area = draws.between(0.08, 1) * rows * columns
        ratio = math.exp(draws.between(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= columns and 0 < h <= rows:
            row = draws.below(rows - h + 1)
            return row, draws.below(columns - w + 1), h, w
    h, w = rows, columns
    if columns / rows < 3 / 4:
        h = round(columns / (3 / 4))
    elif columns / rows > 4 / 3:
        w = round(rows * (4 / 3))
    return (rows - h) // 2, (columns - w) // 2, h, w


def middle(picture, rows, columns, side):
    r, c, _, _ = picture
    if side:
        r, c = (side, int(side * c / r)) if r <= c else (int(side * r / c), side)
    if not side or r < rows or c < columns:
        scale = max(rows / picture[0], columns / picture[1])
        r, c = max(round(picture[0] * scale), rows), max(round(picture[1] * scale), columns)
    whole = picture if (r, c) == picture[:2] else resize(picture, r, c)
    return cut_box(whole, round((r - rows) / 2), round((c - columns) / 2), rows, columns)


def shifted(picture, down, right):
    rows, columns, channels, p = picture
    out = []
    for r in range(rows):
        for c in range(columns):
            inside = 0 <= r + down < rows and 0 <= c + right < columns
            i = ((r + down) * columns + c + right) * channels
            out += p[i:i + channels] if inside else [0] * channels
    return rows, columns, channels, out


def augmented(flags, seed, epoch, image, picture, rows, columns):
    draws = Draws.of(seed, CROP, epoch, image)
    if "p" in flags or "m" in flags:
        p = middle(picture, rows, columns, rows + 3 if "r" in flags else 0)
        if "p" in flags:
            down = draws.below(9) - 4
            p = shifted(p, down, draws.below(9) - 4)
    else:
        p = resize(cut_box(picture, *area_box(draws, *picture[:2])), rows, columns)
    channels = p[2]
    if "f" in flags and Draws.of(seed, FLIP, epoch, image).uniform() < 0.5:
        pixels = [p[3][i:i + channels] for i in range(0, len(p[3]), channels)]
        lines = [pixels[i:i + columns][::-1] for i in range(0, len(pixels), columns)]
        p = rows, columns, channels, [v for one in lines for q in one for v in q]
    if "o" in flags:
        draws = Draws.of(seed, OPERATIONS, epoch, image)
        for _ in range(2):
            number, applied = draws.below(15), draws.uniform() < 0.5
            sign = -1 if draws.uniform() < 0.5 else 1
            level = min(max(9 + 0.5 * draws.normals()[0], 0), 10)
            p = operate(p, number, level, sign) if applied else p
    return p


MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def values(flags, seed, epoch, image, picture):
    rows, columns, channels, p = picture
    out = [(v / 255 - MEAN[i % channels]) / DEVIATION[i % channels] for i, v in enumerate(p)]
    draws = Draws.of(seed, ERASE, epoch, image)
    if "e" not in flags or draws.uniform() >= 0.9:
        return out
    for _ in range(10):
        area = draws.between(0.02, 1 / 3) * rows * columns
        ratio = math.exp(draws.between(math.log(0.3), math.log(1 / 0.3)))
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < h < rows and 0 < w < columns:
            row = draws.below(rows - h + 1)
            column, normals = draws.below(columns - w + 1), []
            for r in range(row, row + h):
                for i in range((r * columns + column) * channels, (r * columns + column + w) * channels):
                    normals = normals or list(draws.normals())
                    out[i] = normals.pop(0)
            break
    return out


def mix(seed, step, mixup, cutmix, rows, columns):
    draws = Draws.of(seed, MIX, step, 0)
    draws.uniform()
    cuts = draws.uniform() < 0.5
    cuts = cutmix > 0 and (cuts or not mixup > 0)
    share = draws.beta(cutmix if cuts else mixup)
    if not cuts:
        return 1, share, (0, 0, 0, 0)
    row = draws.below(rows)
    return cutmix_box(share, row, draws.below(columns), rows, columns)


def cutmix_box(share, row, column, rows, columns):
    h, w = int(rows * math.sqrt(1 - share)) // 2, int(columns * math.sqrt(1 - share)) // 2
    top, left = max(row - h, 0), max(column - w, 0)
    box = top, left, min(row + h, rows) - top, min(column + w, columns) - left
    return 2, 1 - box[2] * box[3] / (rows * columns), box
