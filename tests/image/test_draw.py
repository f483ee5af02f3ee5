"""`draw` of demos/image, and the pages it writes: test_draw.py PROGRAM PLAIN [NAME...], where PLAIN is without libpng.

Pages are read with Python alone.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pictures as made  # noqa: E402

PROGRAM, PLAIN = map(os.path.abspath, sys.argv[1:3])
WITH_PNG = PROGRAM != PLAIN
ENDING = {1: ".png" if WITH_PNG else ".pgm", 3: ".png" if WITH_PNG else ".ppm"}


def run(*words, program=PROGRAM):
    done = subprocess.run([program, *map(str, words)], capture_output=True, timeout=600)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def good(*words, program=PROGRAM):
    status, out, error = run(*words, program=program)
    assert status == 0, (words, error)
    return out, error


def refused(words, *arguments, status=1):
    got, _, error = run("draw", *arguments)
    said = [line for line in error.splitlines() if "no libpng" not in line]
    assert got == status and len(said) == 1 and words in said[0], (words, got, error)


# ---- pages ----

def unfilter(kind, line, before, step):
    """A line of a PNG, as its standard has it."""
    out = bytearray()
    for i, byte in enumerate(line):
        left, up = out[i - step] if i >= step else 0, before[i]
        corner = before[i - step] if i >= step else 0
        near = left + up - corner
        paeth = min((abs(near - left), 0, left), (abs(near - up), 1, up), (abs(near - corner), 2, corner))[2]
        out.append(byte + (0, left, up, (left + up) // 2, paeth)[kind] & 255)
    return bytes(out)


def read_png(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            columns, rows, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and interlace == 0 and colour in (0, 2)
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    assert kind == b"IEND"
    channels = 3 if colour else 1
    raw, step, lines = zlib.decompress(packed), columns * channels, [bytes(columns * channels)]
    assert len(raw) == rows * (step + 1)
    for r in range(rows):
        line = raw[r * (step + 1):(r + 1) * (step + 1)]
        lines.append(unfilter(line[0], line[1:], lines[-1], channels))
    return rows, columns, channels, b"".join(lines[1:])


def read_pnm(data):
    kind, size, most, pixels = data.split(b"\n", 3)
    columns, rows = map(int, size.split())
    channels = {b"P5": 1, b"P6": 3}[kind]
    assert most == b"255" and len(pixels) == rows * columns * channels
    return rows, columns, channels, pixels


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    return read_png(data) if data[:1] == b"\x89" else read_pnm(data)


def cells(path, rows, columns, across, scale, count, frame=0):
    """The pictures of a page, without their frames; between them, and behind the last, it must be white."""
    high, wide, channels, pixels = read(path)
    down, step = -(-count // across), (rows + 2 * frame + 1, columns + 2 * frame + 1)
    assert (high, wide) == ((down * step[0] - 1) * scale, (across * step[1] - 1) * scale), (high, wide)

    def pixel(r, c):
        return pixels[(r * wide + c) * channels:(r * wide + c + 1) * channels]
    found = [bytearray() for _ in range(count)]
    for r in range(high):
        for c in range(wide):
            small, (row, column) = (r // scale, c // scale), (r // scale % step[0], c // scale % step[1])
            assert pixel(r, c) == pixel(small[0] * scale, small[1] * scale)
            number = small[0] // step[0] * across + small[1] // step[1]
            if row == step[0] - 1 or column == step[1] - 1 or number >= count:
                assert pixel(r, c) == b"\xff" * channels
            elif r % scale == 0 and c % scale == 0 and frame <= row < rows + frame and frame <= column < columns + frame:
                found[number] += pixel(r, c)
    return [bytes(f) for f in found]


def page():
    for program in (PROGRAM, PLAIN):
        ending = {1: ".png", 3: ".png"} if program == PROGRAM and WITH_PNG else {1: ".pgm", 3: ".ppm"}
        _, error = good("page", "grey.png", 0, 3, program=program)
        assert ("no libpng" in error) == (ending[1] == ".pgm"), error
        want = [bytes(40 * i + e for e in range(20)) for i in range(5)]
        want[3] = b"\xff" * 20
        assert cells("grey" + ending[1], 4, 5, 3, 3, 5) == want
        good("page", "framed.png", 2, 1, program=program)
        assert cells("framed" + ending[3], 4, 5, 3, 1, 5, 2) == [bytes(b for b in p for _ in range(3)) for p in want]
        _, wide, channels, pixels = read("framed" + ending[3])
        green, red, white = b"\0\xa0\0", b"\xc8\0\0", b"\xff\xff\xff"
        top = [pixels[3 * c:3 * c + 3] for c in range(wide)]
        assert channels == 3 and top == [green] * 9 + [white] + [green] * 5 + [red] * 4 + [white] + [red] * 9
        side = [pixels[3 * wide * r + 3 * 10:][:3] for r in range(8)]
        assert side == [green] * 8
    good("page", "as.ppm", 1, 1)
    assert read("as.ppm") and open("as.ppm", "rb").read(2) == b"P6"
    status, _, error = run("page", "no/such/folder.pgm", 0, 1)
    assert status == 1 and "no/such/folder.pgm" in error, error


# ---- drawings ----

def draw(out, *words):
    """The result; `out` without its ending."""
    result = json.loads(good("draw", "--json", "--device", "cpu", "-o", out + ".png", *words)[0])
    assert result["out"].startswith(out + "."), result
    return result


def drawn():
    good("make", "grey.st", 6, 5, 1, 3, 256, "local:ratio=0.4,look-back")
    result = draw("a", "-c", "grey.st", "--count", 7, "--columns", 3)
    assert (result["pictures"], result["pattern"], result["passes"], result["completes"]) == (7, "dense", 1, False)
    a = cells("a" + ENDING[1], 6, 5, 3, 23, 7)
    assert len(set(a)) == 7
    draw("b", "-c", "grey.st", "--count", 7, "--scale", 1)
    assert cells("b" + ENDING[1], 6, 5, 3, 1, 7) == a  # as many across as down, at least
    for batch in 1, 3:
        draw("b", "-c", "grey.st", "--count", 7, "--columns", 3, "--batch", batch)
        assert read("b" + ENDING[1]) == read("a" + ENDING[1])  # whoever is drawn beside it
    draw("c", "-c", "grey.st", "--count", 7, "--seed", 1, "--scale", 1)
    assert not set(cells("c" + ENDING[1], 6, 5, 3, 1, 7)) & set(a)
    draw("d", "-c", "grey.st", "--count", 7, "--temperature", 0, "--scale", 1)
    d = cells("d" + ENDING[1], 6, 5, 3, 1, 7)  # of classes 0, 1, 2, 0, 1, 2, 0, without chance
    assert d[:3] == d[3:6] and d[0] == d[6] and len(set(d)) == 3
    draw("e", "-c", "grey.st", "--count", 2, "--class", 2, "--top-k", 1, "--scale", 1)
    assert cells("e" + ENDING[1], 6, 5, 2, 1, 2) == [d[2], d[2]]


def sampled():
    good("make", "local.st", 6, 4, 1, 0, 256, "local:ratio=0.5,look-back dense")
    pages = []
    for name, words, pattern, passes in (("a", (), "dense", 1), ("b", ("--pattern", "trained"), "local", 1),
                                         ("c", ("--passes", 3), "local", 3),
                                         ("d", ("--pattern", "unbiased:ratio=0.25", "--passes", 3), "unbiased", 3),
                                         ("e", ("--pattern", "dense"), "dense", 1)):
        result = draw(name, "-c", "local.st", "--count", 4, "--scale", 1, *words)
        assert result["pattern"].startswith(pattern) and result["passes"] == passes, result
        pages.append(cells(name + ENDING[1], 6, 4, 2, 1, 4))
        draw(name, "-c", "local.st", "--count", 4, "--scale", 1, "--batch", 1, *words)
        assert cells(name + ENDING[1], 6, 4, 2, 1, 4) == pages[-1]
    assert pages[0] == pages[4]
    assert all(pages[i] != pages[j] for i in range(4) for j in range(i))


def completed():
    good("make", "half.st", 5, 4, 1, 2, 256, "dense")
    test = bytes((i * 37 + i * i) & 255 for i in range(5 * 20))
    os.mkdir("digits")
    for name, body in (("train-images-idx3-ubyte", made.idx3(test[::-1], 5, 4)),
                       ("train-labels-idx1-ubyte", made.idx1([0, 1, 0, 1, 0])),
                       ("t10k-images-idx3-ubyte", made.idx3(test, 5, 4)),
                       ("t10k-labels-idx1-ubyte", made.idx1([1, 0, 0, 1, 0]))):
        with open(os.path.join("digits", name), "wb") as f:
            f.write(body)
    result = draw("a", "-c", "half.st", "--complete", "digits", "--count", 4, "--scale", 1)
    assert result["completes"] and result["pictures"] == 4
    draw("b", "-c", "half.st", "--complete", "digits", "--count", 4, "--scale", 1, "--batch", 5)
    assert read("b" + ENDING[1]) == read("a" + ENDING[1])
    all_of = cells("a" + ENDING[1], 5, 4, 4, 1, 16)
    for i in range(4):
        whole, *rest = all_of[4 * i:4 * i + 4]
        assert whole == test[20 * i:20 * i + 20]
        assert all(r[:8] == whole[:8] for r in rest)
        assert len({r[8:] for r in rest} | {whole[8:]}) == 4
    _, error = good("draw", "-c", "half.st", "--complete", "digits", "--class", 1, "--columns", 2, "-o", "b.png",
                    "--scale", 2, "--device", "cpu")
    assert "there are 2 such pictures to complete, not 8" in error, error
    found = cells("b" + ENDING[1], 5, 4, 8, 2, 8)
    assert found[0] == test[:20] and found[4] == test[60:80] and found[1][:8] == test[:8]
    good("make", "fewer.st", 5, 4, 1, 2, 256, "dense", json.dumps({"recipe": {"test": 3, "split_seed": 5}}))
    _, error = good("draw", "-c", "fewer.st", "--complete", "digits", "-o", "c.png", "--device", "cpu")
    assert "there are 3 such pictures to complete, not 8" in error, error


def colours():
    """Fewer values than bytes are spread over them."""
    good("make", "rgb.st", 3, 4, 3, 0, 5, "dense")
    draw("a", "-c", "rgb.st", "--count", 3, "--scale", 1)
    found = cells("a" + ENDING[3], 3, 4, 2, 1, 3)
    assert set(b"".join(found)) == {0, 64, 128, 191, 255}, set(b"".join(found))


def refusals():
    good("make", "some.st", 4, 4, 1, 2, 256, "dense")
    good("make", "none.st", 4, 4, 1, 0, 256, "dense")
    kept = "kept" + ENDING[1]
    with open(kept, "w") as f:
        f.write("kept")
    some = ("-c", "some.st", "-o", kept, "--device", "cpu")
    refused("give --out", "-c", "some.st", status=2)
    refused("give --checkpoint", "-o", kept, status=2)
    refused("--class is 2, and some.st knows 2", *some, "--class", 2)
    refused("--class is 0, and none.st knows 0", "-c", "none.st", "-o", kept, "--class", 0)
    refused("was trained without sampling", *some, "--passes", 2)
    refused("dense passes are all the same", *some, "--passes", 2, "--pattern", "dense")
    refused("is not one stage", *some, "--pattern", "dense dense")
    refused("ratio 0.3 of length 16", *some, "--pattern", "local:ratio=0.3")
    refused("some.st", "-c", "some.st", "-o", "some.st")
    refused("no/folder", "-c", "some.st", "-o", "no/folder/a.png")
    refused("is too large", *some, "--count", 5000, "--columns", 5000, "--temperature", 0, "--scale", 64)
    refused("nowhere", *some, "--complete", "nowhere")
    assert open(kept).read() == "kept"
    status, out, _ = run("draw", "--help")
    assert status == 0 and "--complete" in out


TESTS = [page, drawn, sampled, completed, colours, refusals]

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ssacl-draw-") as home:
        for test in TESTS:
            if not sys.argv[3:] or test.__name__ in sys.argv[3:]:
                print(test.__name__, flush=True)
                os.mkdir(os.path.join(home, test.__name__))
                os.chdir(os.path.join(home, test.__name__))
                test()
        os.chdir("/")
    print("all as they should be")
