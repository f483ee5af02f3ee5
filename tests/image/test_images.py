"""Readers, splits and augmentation of demos/image: test_images.py PROBE [NAME...]

Files are made here, by Python alone; what must come of them, and of every picture, is computed a second time.
"""
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pictures as made  # noqa: E402
import reference as ref  # noqa: E402

PROBE = os.path.abspath(sys.argv[1])


def run(*words):
    done = subprocess.run([PROBE, *map(os.fsencode, map(str, words))], capture_output=True, timeout=600)
    assert done.returncode in (0, 1), (words, done)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def probe(*words):
    status, out, error = run(*words)
    assert status == 0, (words, error)
    return json.loads(out)


def dataset(*paths, seed=1, train=0, valid=0, test=0, flags="-"):
    return probe("dataset", seed, train, valid, test, flags, *paths)


def notes(*paths):
    status, _, error = run("dataset", 1, 0, 0, 0, "s", *paths)
    assert status == 0, error
    return error.splitlines()


def refused(words, *paths, **options):
    o = {"seed": 1, "train": 0, "valid": 0, "test": 0, "flags": "-", **options}
    status, _, error = run("dataset", o["seed"], o["train"], o["valid"], o["test"], o["flags"], *paths)
    errors = [line for line in error.splitlines() if line.startswith("probe: ")]
    assert status == 1 and len(errors) == 1 and words in errors[0], (words, error)


def write(path, data):
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True) if isinstance(path, bytes) else \
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def pixels(d, i):
    return bytes.fromhex(d["pictures"][i]["pixels"])


HAS = probe("kinds")


# ---- idx ----

def idx_folder(name, wrap=lambda b: b, end="", **changes):
    train, test = made.rgb(6, 7)[:6 * 5 * 4], bytes(range(2 * 5 * 4))
    files = {"train-images-idx3-ubyte": made.idx3(train, 5, 4),
             "train-labels-idx1-ubyte": made.idx1([0, 3, 1, 2, 0, 3]),
             "t10k-images-idx3-ubyte": made.idx3(test, 5, 4), "t10k-labels-idx1-ubyte": made.idx1([1, 2])}
    files.update({key.replace("_", "-"): value for key, value in changes.items()})
    for key, value in files.items():
        if value is not None:
            write("%s/%s%s" % (name, key, end), wrap(value))
    return train, test


def idx():
    train, test = idx_folder("mnist")
    d = dataset("mnist")
    assert (d["kind"], d["shape"], d["classes"]) == ("MNIST's idx", [5, 4, 1], 4)
    assert d["labels"] == [0, 3, 1, 2, 0, 3, 1, 2] and d["names"] == ["0", "1", "2", "3"]
    assert b"".join(pixels(d, i) for i in range(8)) == train + test
    assert d["parts"][2] == [6, 7] and d["parts"][0] == [0, 1, 2, 3, 4, 5]  # a twentieth of 6 is none
    four = dataset(*("mnist/" + name for name in sorted(os.listdir("mnist"))))
    assert four == d
    if HAS["zlib"]:
        idx_folder("packed", gzip.compress, ".gz")
        assert dataset("packed") == d
        whole = gzip.compress(made.idx3(train, 5, 4))
        for cut in (1, 9, len(whole) - 20, len(whole) - 1):
            write("packed/train-images-idx3-ubyte.gz", whole[:cut])
            refused("train-images-idx3-ubyte.gz", "packed")
        write("packed/train-images-idx3-ubyte.gz", whole[:-8] + bytes(8))
        refused("train-images-idx3-ubyte.gz: cannot be read: it is damaged", "packed")
    else:
        idx_folder("packed", gzip.compress, ".gz")
        refused("built without zlib", "packed")
    names = ["fashion", "ten"]
    for name in names:
        idx_folder(name, train_images_idx3_ubyte=made.idx3(bytes(200), 5, 4),
                   train_labels_idx1_ubyte=made.idx1(range(10)))
    assert dataset("fashion")["names"][7] == "sneaker" and dataset("ten")["names"][7] == "7"


def bad_idx():
    good = made.idx3(bytes(120), 5, 4)
    for data, words in (
            (b"", "is no idx file"), (good[:3], "is no idx file"), (good[:12], "within its header"),
            (good[:-1], "is cut short: its header says 120 bytes follow, there are 119"),
            (good[:100], "more than the file can"),
            (good + b"x", "more bytes than its header"),
            (b"\0\0\x0d\x03" + good[4:], "is no idx file"), (struct.pack("<I", 0x803) + good[4:], "is no idx file"),
            (struct.pack(">IIII", 0x803, 0, 5, 4), "of no pictures"),
            (struct.pack(">IIII", 0x803, 6, 0, 4), "has no pixels"),
            (struct.pack(">IIII", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1), "hundred million"),
            (struct.pack(">IIII", 0x803, 2**32 - 1, 60000, 1600), "more than the file can hold"),
            (struct.pack(">IIII", 0x803, 2**31, 2, 2**16 - 1) + bytes(9), "more than the file can hold"),
            (made.idx3(bytes(100), 5, 4), "5 pictures, but"), (made.idx1([1]), "both are labels")):
        idx_folder("bad", train_images_idx3_ubyte=data)
        refused(words, "bad")
    idx_folder("bad", t10k_labels_idx1_ubyte=made.idx1([1, 4]))
    refused("picture 7 (from 0) is of class 4; there are 4", "bad")
    idx_folder("bad", t10k_images_idx3_ubyte=made.idx3(bytes(32), 4, 4))
    refused("of 4 x 4 pixels, 1 channels; those of the other files of 4 x 5", "bad")
    os.remove("bad/t10k-images-idx3-ubyte")
    refused("no file of the pictures", "bad")
    idx_folder("bad")
    os.remove("bad/train-labels-idx1-ubyte")
    refused("no file of the labels", "bad")
    idx_folder("two")
    write("two/emnist-train-images-idx3-ubyte", good)
    refused("both are pictures of one part", "two")
    os.mkfifo("two/pipe")
    refused("is not a regular file", "two/pipe")
    refused("No such file", "nowhere")
    refused("is a folder", "two", "mnist")
    refused("give a folder or files")


# ---- CIFAR ----

def cifar():
    one = [made.rgb(32, 32, 31 * i) for i in range(7)]
    records = [bytes([3 * i % 10]) + made.planar(p) for i, p in enumerate(one)]
    folder = "c10/cifar-10-batches-bin/"
    names = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    write(folder + "data_batch_1.bin", b"".join(records[:3]))
    write(folder + "data_batch_2.bin", b"".join(records[3:5]))
    write(folder + "test_batch.bin", b"".join(records[5:]))
    write(folder + "batches.meta.txt", "\r\n".join(names).encode() + b"\n\n")
    d = dataset("c10")
    assert d == dataset(folder) and (d["kind"], d["shape"], d["names"]) == ("CIFAR-10", [32, 32, 3], names)
    assert d["labels"] == [0, 3, 6, 9, 2, 5, 8] and d["parts"][2] == [5, 6]
    assert [pixels(d, i) for i in range(7)] == one
    hundred = [bytes([i % 20, 33 * i % 100]) + made.planar(p) for i, p in enumerate(one)]
    write("c100/train.bin", b"".join(hundred[:5]))
    write("c100/test.bin", b"".join(hundred[5:]))
    d, coarse = dataset("c100"), dataset("c100", flags="c")
    assert d["labels"] == [0, 33, 66, 99, 32, 65, 98] and d["classes"] == 100, d["labels"]
    assert coarse["labels"] == [0, 1, 2, 3, 4, 5, 6] and coarse["classes"] == 20
    assert [pixels(d, i) for i in range(7)] == one
    for data, words in ((records[0][:-1], "no whole number of records of 3073"), (b"", "its 0 bytes are no whole"),
                        (records[0] + b"\x0a" + records[1][1:], "record 1 (from 0) is of class 10")):
        write(folder + "data_batch_1.bin", data)
        refused(words, "c10")
    write(folder + "data_batch_1.bin", records[0])
    write(folder + "batches.meta.txt", b"a\nb\n")
    refused("2 names, the data set has 10", "c10")
    write("c100/test.bin", b"\x14\0" + bytes(3072))
    refused("record 0 (from 0) is of class 20, classes are 0 to 19", "c100", flags="c")


# ---- npz ----

def npz_bytes(members, method=zipfile.ZIP_STORED, force64=True):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in members.items():
            with z.open(name, "w", force_zip64=force64) as f:  # as numpy does
                f.write(data)
    return out.getvalue()


def imagenet64(count, first, **changes):
    one = [made.rgb(8, 8, first + i) for i in range(count)]
    labels = struct.pack("<%dq" % count, *(1 + (first + i) % 5 for i in range(count)))
    members = {"data.npy": made.npy("|u1", (count, 192), b"".join(map(made.planar, one))),
               "labels.npy": made.npy("<i8", (count,), labels),
               "mean.npy": made.npy("<f8", (192,), bytes(1536))}
    members.update({key + ".npy": value for key, value in changes.items()})
    return members, one


def npz():
    (a, one), (b, two), (c, three) = imagenet64(6, 0), imagenet64(4, 6), imagenet64(3, 20)
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        for file, members in (("train_data_batch_1", a), ("train_data_batch_2", b), ("val_data", c)):
            write("%s/%s.npz" % (name, file), npz_bytes(members, method))
    d = dataset("stored")
    assert (d["kind"], d["shape"], d["classes"]) == ("numpy's npz", [8, 8, 3], 5)
    assert d["labels"] == [i % 5 for i in range(10)] + [0, 1, 2] and d["parts"][2] == [10, 11, 12]
    assert [pixels(d, i) for i in range(13)] == one + two + three
    if HAS["zlib"]:
        packed = dataset("deflated")
        packed["fingerprint"] = d["fingerprint"]
        assert packed == d
    else:
        refused("built without zlib", "deflated")
    grey, labels = bytes(range(60)), made.npy(">i4", (5, 1), struct.pack(">5i", 0, 1, 2, 1, 0))
    write("keras.npz", npz_bytes({"x_train.npy": made.npy("|u1", (5, 3, 4), grey, version=2), "y_train.npy": labels,
                                  "x_test.npy": made.npy("|u1", (1, 3, 4), grey[7:19]),
                                  "y_test.npy": made.npy("|u1", (1,), b"\2")}, force64=False))
    d = dataset("keras.npz")
    assert d["shape"] == [3, 4, 1] and d["labels"] == [0, 1, 2, 1, 0, 2] and pixels(d, 5) == grey[7:19]
    colour = made.rgb(4, 5, 9)
    for shape, data in (((1, 4, 5, 3), colour), ((1, 3, 4, 5), made.planar(colour))):
        part = {"images.npy": made.npy("|u1", (2,) + shape[1:], 2 * data), "labels.npy": made.npy("|u1", (2,), b"\0\1")}
        write("one.npz", npz_bytes(part))
        assert pixels(dataset("one.npz"), 0) == colour
    write("med.npz", npz_bytes({"%s_%s.npy" % (part, what): data for part in ("train", "val", "test") for what, data in
                                (("images", made.npy("|u1", (2, 3, 4), grey[:24])),
                                 ("labels", made.npy("|u1", (2, 1), b"\0\1")))}))
    assert dataset("med.npz")["parts"] == [[0, 1], [2, 3], [4, 5]]


def bad_npz():
    good = npz_bytes(imagenet64(3, 0)[0])
    for cut in (0, 5, 100, len(good) // 2, len(good) - 3):
        write("bad.npz", good[:cut])
        refused("is no whole zip file", "bad.npz")
    write("bad.npz", good.replace(b"PK\x01\x02", b"PK\x01\x07"))
    refused("is no whole zip file", "bad.npz")
    labels = made.npy("<i8", (3,), bytes(24))
    for changes, words in (
            ({"data": made.npy("|u1", (3, 191), bytes(573))}, "is no array of pictures"),
            ({"data": made.npy("|u1", (3, 192), bytes(575))}, "does not fit its"),
            ({"data": made.npy("|u1", (3, 192), bytes(577))}, "does not fit its"),
            ({"data": made.npy("|u1", (2**31, 2**31, 2**31, 2**31), b"")}, "does not fit its"),
            ({"data": made.npy("|u1", (2**32, 192), b"")}, "does not fit its"),
            ({"data": made.npy("|u1", (-1, 192), b"")}, "does not fit its"),
            ({"data": made.npy("<f4", (3, 192), bytes(2304))}, "does not fit its"),
            ({"data": made.npy("|O", (3,), b"pickled")}, "does not fit its"),
            ({"data": made.npy("|u1", (3, 192), bytes(576), order="True")}, "does not fit its"),
            ({"data": b"\x93NUMPY\1\0\xff\xff{"}, "does not fit its"), ({"data": b"short"}, "does not fit its"),
            ({"data": made.npy("|u1", (3, 2, 2, 2), bytes(24))}, "have 2 channels"),
            ({"labels": made.npy("<i8", (2,), bytes(16))}, "3 pictures, but labels.npy has 2"),
            ({"labels": made.npy("<i8", (3,), struct.pack("<3q", 1, -7, 2))}, "label 1 (from 0) of labels.npy is -7"),
            ({"labels": made.npy("<i2", (3,), struct.pack("<3h", 1, -7, 2))}, "label 1 (from 0) of labels.npy is -7"),
            ({"labels": made.npy("<u8", (3,), struct.pack("<3Q", 1, 2, 2**64 - 1))}, "label 2 (from 0)"),
            ({"labels": made.npy("<i8", (3,), struct.pack("<3q", 1, 2, 2**40))}, "is 1099511627776")):
        write("bad.npz", npz_bytes(imagenet64(3, 0, **changes)[0]))
        refused(words, "bad.npz")
    write("bad.npz", npz_bytes({"data.npy": made.npy("|u1", (3, 192), bytes(576))}))
    refused("has data.npy, but not labels.npy", "bad.npz")
    write("bad.npz", npz_bytes({"other.npy": labels}))
    refused("no arrays of pictures and labels", "bad.npz")
    if HAS["zlib"]:
        packed = npz_bytes(imagenet64(3, 0)[0], zipfile.ZIP_DEFLATED)
        data = bytearray(packed)
        data[data.index(b"data.npy") + 60] ^= 0x55
        write("bad.npz", data)
        refused("bad.npz: data.npy is", "bad.npz")
        whole = bytearray(npz_bytes(imagenet64(3, 0)[0]))
        whole[whole.index(b"NUMPY", whole.index(b"labels.npy")) + 122] ^= 1  # a label: its sum is wrong
        write("bad.npz", whole)
        refused("labels.npy is damaged", "bad.npz")
        write("bad.npz", npz_bytes(imagenet64(3, 0)[0], zipfile.ZIP_BZIP2))
        refused("compressed by method 12", "bad.npz")


# ---- PNG and JPEG ----

def only(path):
    """The one picture of a folder."""
    return dataset(path, flags="-")["pictures"][0]


def folder_of(name, *files):
    for i, data in enumerate(files):
        write("%s/%d.png" % (name, i), data)
    return dataset(name)


def on_white(v, alpha):
    return (alpha * v + (255 - alpha) * 255 + 127) // 255


def png_kinds():
    grey = bytes(range(0, 240, 20))  # 3 x 4
    lines = [grey[i:i + 4] for i in (0, 4, 8)]
    wide = [bytes(b for v in line for b in (v, 200)) for line in lines]  # 16 bits
    palette = made.chunk(b"PLTE", bytes([10, 20, 30, 200, 150, 100, 7, 8, 9]))
    see_through = made.chunk(b"tRNS", bytes([255, 100]))
    packed = [bytes([0b00011000]), bytes([0b10000100]), bytes([0b01000010])]
    index = [[0, 1, 2, 0], [2, 0, 1, 0], [1, 0, 0, 2]]
    colours = [(10, 20, 30), (200, 150, 100), (7, 8, 9)]
    alphas = [255, 100, 255]
    grey_alpha = [bytes(b for v in line for b in (v, 255 - v)) for line in lines]
    for name, data, shape, want in (
            ("grey", made.png(3, 4, 0, 8, lines), 1, grey),
            ("wide", made.png(3, 4, 0, 16, wide), 1, bytes(round((v * 256 + 200) * 255 / 65535) for v in grey)),
            ("palette", made.png(3, 4, 3, 2, packed, palette), 3,
             bytes(v for r in index for i in r for v in colours[i])),
            ("see", made.png(3, 4, 3, 2, packed, palette + see_through), 3,
             bytes(on_white(v, alphas[i]) for r in index for i in r for v in colours[i])),
            ("alpha", made.png(3, 4, 4, 8, grey_alpha), 1, bytes(on_white(v, 255 - v) for v in grey)),
            ("bits", made.png(3, 4, 0, 1, [b"\x50", b"\xa0", b"\xf0"]), 1,
             bytes([0, 255, 0, 255, 255, 0, 255, 0] + [255] * 4))):
        picture = folder_of("png-" + name, data)["pictures"][0]
        assert picture["shape"] == [3, 4, shape] and bytes.fromhex(picture["pixels"]) == want, (name, picture)
    rgba = bytes(v for i in range(12) for v in (i, 2 * i, 3 * i, 20 * i))
    picture = folder_of("png-rgba", made.png(3, 4, 6, 8, [rgba[i:i + 16] for i in (0, 16, 32)]))["pictures"][0]
    assert bytes.fromhex(picture["pixels"]) == bytes(on_white(c * i, 20 * i) for i in range(12) for c in (1, 2, 3))
    d = folder_of("mixed", made.png(3, 4, 0, 8, lines), made.rgb_png(3, 4))  # grey where colour is expected
    assert d["shape"] == [3, 4, 3] and pixels(d, 0) == bytes(v for v in grey for _ in "rgb")
    assert pixels(d, 1) == made.rgb(3, 4)


def bad_png():
    good = made.rgb_png(20, 30)
    wrong_sum = bytearray(good)
    wrong_sum[len(good) - 20] ^= 1
    huge = made.chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    wide = made.chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0))
    files = [made.rgb_png(20, 30, 1), good[:-1], good[:60], bytes(wrong_sum), good[:8] + huge + good[33:],
             good[:8] + wide + good[33:], b"", b"GIF89a", good[:8], made.rgb_png(21, 30)]
    for i, data in enumerate(files):
        write("png-bad/%d.png" % i, data)
    d = dataset("png-bad")
    whys = [p.get("why", "") for p in d["pictures"]]
    assert whys[0] == "" and pixels(d, 0) == made.rgb(20, 30, 1) and d["pictures"][1]["name"].endswith("png-bad/1.png")
    for i, words in ((1, "is no whole PNG"), (2, "is no whole PNG"), (3, "is no whole PNG"), (4, "hundred million"),
                     (5, "cannot hold"), (6, "is empty"), (7, "neither JPEG nor PNG"), (8, "is no whole PNG")):
        assert words in whys[i], (i, whys[i])
    assert whys[9] == "" and d["shape"] == [0, 0, 3]  # another size: sizes differ
    for name in range(2, 10):
        os.remove("png-bad/%d.png" % name)
    os.remove("png-bad/0.png")
    os.remove("png-bad/1.png")
    write("png-bad/1.png", b"")
    write("png-bad/2.png", good[:20])
    refused("none of 2 pictures that were tried can be read", "png-bad")


def jpeg_pixel(r, c, channel):
    return (40 + 50 * channel + 3 * r + c) & 255


def near(shown, want, most=6):
    got = bytes.fromhex(shown["pixels"])
    assert len(got) == len(want) and max(abs(a - b) for a, b in zip(got, want)) <= most, (list(got[:12]), want[:12])


def jpegs():
    rows, columns = 17, 23
    for kind in ("grey", "colour", "progressive", "cmyk", "adobe"):
        os.makedirs("jpeg-" + kind)
        status, _, error = run("jpeg", "jpeg-%s/a.JPEG" % kind, rows, columns, kind)
        assert status == 0, error
        shown = only("jpeg-" + kind)
        assert shown["shape"] == [rows, columns, 1 if kind == "grey" else 3]
        places = [(r, c) for r in range(rows) for c in range(columns)]
        ink = [[jpeg_pixel(r, c, i) for i in range(4)] for r, c in places]
        if kind in ("cmyk", "adobe"):  # Adobe's are the other way round
            turn = 255 if kind == "cmyk" else 0
            near(shown, [round((turn ^ p[i]) * (turn ^ p[3]) / 255) for p in ink for i in range(3)])
        else:
            near(shown, [p[i] for p in ink for i in range(shown["shape"][2])])
    with open("jpeg-colour/a.JPEG", "rb") as f:
        good = f.read()
    write("jpeg-bad/0.%s" % ("png" if HAS["png"] else "jpg"), good)  # names lie
    write("jpeg-bad/1.jpg", good[:len(good) // 2])
    write("jpeg-bad/2.jpg", good[:-2])
    write("jpeg-bad/3.jpg", good[:3])
    at = good.index(b"\xff\xc0") + 5
    write("jpeg-bad/4.jpg", good[:at] + struct.pack(">HH", 65000, 65000) + good[at + 4:])
    write("jpeg-bad/5.jpg", good[:at] + struct.pack(">HH", 9000, 9000) + good[at + 4:])
    write("jpeg-bad/6.jpg", good[:at] + struct.pack(">HH", 0, 9000) + good[at + 4:])
    whys = [p.get("why", "") for p in dataset("jpeg-bad")["pictures"]]
    for i, words in enumerate(("", "is no whole JPEG", "is no whole JPEG", "is no whole JPEG", "hundred million",
                               "cannot hold", "JPEG")):
        assert words in whys[i] and bool(words) == bool(whys[i]), (i, whys)


# ---- folders ----

def folders():
    for i, name in enumerate(("b", "a", "c d", os.fsdecode(b"\xff\n\x1b[1m"))):
        for k in range(i + 1):
            write("classes/%s/deep/%d.png" % (name, k), made.rgb_png(4, 6, 10 * i + k))
    write("classes/a/.hidden.png", b"")
    write("classes/a/notes.txt", b"x")
    write("classes/README", b"x")
    d = dataset("classes")
    assert d["classes"] == 4 and d["names"][3] == "\ufffd\n\x1b[1m" and d["shape"] == [4, 6, 3] and d["skipped"] == 2
    assert d["labels"] == [0, 0, 1, 2, 2, 2, 3, 3, 3, 3]
    assert pixels(d, 2) == made.rgb(4, 6, 0) and pixels(d, 9) == made.rgb(4, 6, 33)
    said = notes("classes")
    assert len(said) == 1 and "2 are not read: neither .jpg" in said[0] and said[0].endswith("classes/README"), said
    os.makedirs("classes/empty")
    os.symlink("..", "classes/b/loop")
    os.symlink(".", "classes/self")
    os.symlink("nowhere", "classes/a/gone.png")
    os.mkfifo("classes/b/pipe.png")
    again, said = dataset("classes"), notes("classes")
    assert again["labels"] == d["labels"] and again["skipped"] == 6, again
    for words in ("classes/empty: has no pictures, and is no class", "classes/self: has no pictures",
                  "1 is not read: links to nothing", "2 are not read: a folder that contains itself",
                  "1 is not read: neither file nor folder"):
        assert any(words in line for line in said), (words, said)
    parts = (("train", "ab", 3), ("val", "b", 2), ("test", "a", 1))
    for part, classes, count in parts:
        for c in classes:
            for k in range(count):
                write("parts/%s/%s/%d.png" % (part, c, k), made.rgb_png(2, 2, ord(c) + k))
    d = dataset("parts")
    assert d["parts"] == [list(range(6)), [6, 7], [8]] and d["labels"] == [0, 0, 0, 1, 1, 1, 1, 1, 0]
    os.rename("parts/test", "parts/.test")
    assert dataset("parts")["parts"][1:] == [[], [6, 7]]  # val is what is held out
    write("parts/val/z/1.png", made.rgb_png(2, 2))
    refused("parts/val/z: a class without pictures for training", "parts")
    for name in ("train", "bus"):  # a class may be called so
        write("vehicles/%s/1.png" % name, made.rgb_png(2, 2))
    assert dataset("vehicles")["names"] == ["bus", "train"]
    write("plain/sub/1.png", made.rgb_png(2, 2))
    write("plain/2.png", made.rgb_png(2, 2))
    d = dataset("plain")
    assert d["classes"] == 0 and d["labels"] == [-1, -1]
    deep = "deep" + "/d" * 40
    write(deep + "/1.png", made.rgb_png(2, 2))
    refused("more than 32 folders deep", "deep")
    os.makedirs("nothing/here")
    refused("there are no pictures", "nothing")


def without():
    """What a build lacks is said, and counted."""
    if HAS["jpeg"]:
        return
    write("lacks/a.jpg", b"\xff\xd8\xff")
    write("lacks/b.jpeg", b"\xff\xd8\xff")
    refused("there are no pictures", "lacks")
    status, _, error = run("dataset", 1, 0, 0, 0, "s", "lacks")
    assert status and "2 are not read: JPEG, and this build was made without libjpeg" in error, error


# ---- parts ----

def splits():
    count = 200
    idx_folder("many", train_images_idx3_ubyte=made.idx3(bytes(20 * count), 5, 4),
               train_labels_idx1_ubyte=made.idx1([i % 4 for i in range(count)]))
    order = ref.Draws.of(1, ref.SPLIT, 0, 0).permutation(count)
    d = dataset("many", flags="s")
    assert d["parts"][2] == [200, 201] and d["parts"][1] == sorted(order[190:]) and d["parts"][0] == sorted(order[:190])
    fewer = dataset("many", train=20, flags="s")
    assert fewer["parts"][1:] == d["parts"][1:] and fewer["parts"][0] == sorted(order[:20])
    assert fewer["fingerprint"] != d["fingerprint"]
    other = dataset("many", seed=2, flags="s")
    assert other["parts"][1] != d["parts"][1] and other["fingerprint"] != d["fingerprint"]
    last = dataset("many", valid=30, flags="sl")
    assert last["parts"][1] == list(range(170, 200)) and len(last["parts"][0]) == 170
    one = dataset("many", test=1, valid=50, flags="s")
    assert len(one["parts"][2]) == 1 and len(one["parts"][1]) == 50 and len(one["parts"][0]) == 150
    refused("cannot be set aside", "many", valid=200)
    for i in range(40):
        write("forty/%d.png" % i, made.rgb_png(2, 2, i))
    p = dataset("forty", valid=10, test=10, flags="s")["parts"]
    assert [len(x) for x in p] == [20, 10, 10] and sorted(sum(p, [])) == list(range(40))


# ---- augmentation ----

def unhex(text):
    return list(bytes.fromhex(text))


def random_words():
    d = ref.Draws(0, 0, 0, 0)
    assert [d.word() for _ in range(4)] == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
    for seed, place, epoch, image in ((0, 0, 0, 0), (2**64 - 1, 3, 7, 9), (12345, 6, 2**31 - 1, 2**31 - 1)):
        d = ref.Draws(seed, place, epoch, image)
        assert probe("draws", seed, place, epoch, image, 9) == [d.word() for _ in range(9)]


def resampling():
    for rows, columns, channels, box, m_rows, m_columns in (
            (1, 1, 1, (0, 0, 1, 1), 3, 5), (7, 5, 3, (0, 0, 7, 5), 7, 5), (7, 5, 3, (1, 2, 5, 3), 11, 13),
            (33, 29, 3, (0, 0, 33, 29), 8, 5), (40, 31, 1, (3, 4, 30, 20), 7, 64), (64, 3, 3, (0, 0, 64, 3), 1, 1),
            (9, 80, 3, (2, 5, 6, 70), 6, 23)):
        p = rows, columns, channels, ref.pattern(rows * columns * channels)
        want = ref.resize(ref.cut_box(p, *box), m_rows, m_columns)
        whole = (0, 0, m_rows, m_columns)
        part = (m_rows // 3, m_columns // 2, m_rows - m_rows // 3, m_columns - m_columns // 2)
        for window in (whole, part):
            got = unhex(probe("resample", rows, columns, channels, *box, m_rows, m_columns, *window))
            assert got == ref.cut_box(want, *window)[3], (rows, columns, box, window)
    flat = ref.resize((5, 5, 1, [77] * 25), 3, 9)
    assert set(flat[3]) == {77}  # weights sum to 1


def operations():
    for rows, columns, channels in ((1, 1, 1), (13, 11, 3), (6, 9, 1), (2, 2, 3)):
        p = rows, columns, channels, ref.pattern(rows * columns * channels)
        for number in range(15):
            for level, sign in ((9, 1), (8.3, -1), (10, 1), (0, -1)):
                got = unhex(probe("operation", number, level, sign, rows, columns, channels))
                want = ref.operate(p, number, level, sign)[3]
                worst = max(abs(a - b) for a, b in zip(got, want))
                # sines and cosines may round otherwise, and values are cut off, not rounded
                assert worst <= (1 if number == 3 else 0), (number, level, sign, rows, columns, channels, worst)
    even = 16, 16, 1, ref.pattern(256)
    assert ref.operate(even, 13, 0, 1) == even


def whole_pictures():
    sizes = ((30, 40, 3, 16, 24), (8, 60, 3, 12, 12), (28, 28, 1, 28, 28), (5, 5, 3, 9, 7))
    for flags in ("ofe", "pfe", "m", "mr", "prof"):
        for rows, columns, channels, m_rows, m_columns in sizes:
            p = rows, columns, channels, ref.pattern(rows * columns * channels)
            for seed, epoch, image in ((1, 0, 0), (1, 1, 0), (2**63 + 5, 9, 59999)):
                got = probe("augment", flags, seed, epoch, image, rows, columns, channels, m_rows, m_columns)
                want = ref.augmented(flags, seed, epoch, image, p, m_rows, m_columns)
                off = [abs(a - b) for a, b in zip(unhex(got["bytes"]), want[3])]
                assert max(off) <= (1 if "o" in flags else 0) and sum(off) < 9, (flags, rows, seed, max(off))
                if max(off):
                    continue
                values = ref.values(flags, seed, epoch, image, want)
                assert max(abs(a - b) for a, b in zip(got["values"], values)) < 1e-5, (flags, rows, seed)
    boxes = {tuple(ref.area_box(ref.Draws.of(1, ref.CROP, e, 0), 30, 40)) for e in range(20)}
    assert len(boxes) > 15  # epochs differ


def mixing():
    got = probe("cutmix", 32, 0.75, 4, 30)
    assert (got["share"], got["box"]) == (0.8828125, [0, 22, 12, 10])  # golden: 120 pixels
    for mixup, cutmix in ((0.8, 1), (0.2, 0), (0, 1), (0, 0.5), (2, 0)):
        for step, m in enumerate(probe("mix", 7, 60, mixup, cutmix)):
            kind, share, box = ref.mix(7, step, mixup, cutmix, 16, 24)
            assert m["kind"] == kind and tuple(m["box"]) == box, (mixup, cutmix, step)
            assert abs(m["share"] - share) < 1e-12, (mixup, cutmix, step)
    assert all(m["kind"] == 0 and m["share"] == 1 for m in probe("mix", 7, 5, 0, 0))
    for k, e, share in ((10, 0.1, 0.3), (7, 0, 1), (3, 0.5, 0.25)):
        got = probe("targets", 1, share, 1, 2, k, e)
        smooth = [[(1 - e if i == y else 0) + e / k for i in range(k)] for y in (1, 2)]
        assert max(abs(g - share * a - (1 - share) * b) for g, a, b in zip(got, *smooth)) < 1e-7
        assert abs(sum(got) - 1) < 1e-6
    assert probe("targets", 0, 0.3, 1, 2, 4, 0) == [0, 1, 0, 0] and probe("targets", 0, 1, -1, -1, 3, 0.1) == [0, 0, 0]


def drawn():
    """Statistics of what is drawn, at fixed seeds: means and variances of 6,000 within four standard errors."""
    import math
    n = 6000
    for shape in (0.2, 0.8, 1, 2):
        x = [m["share"] for m in probe("mix", 3, n, shape, 0)]
        mean, variance = 0.5, 1 / (4 * (2 * shape + 1))
        assert abs(sum(x) / n - mean) < 4 * math.sqrt(variance / n), shape
        assert abs(sum((v - mean) ** 2 for v in x) / n - variance) < 4 * variance * math.sqrt(2 / n), shape
    kinds = [m["kind"] for m in probe("mix", 5, n, 0.8, 1)]
    assert abs(kinds.count(2) - n / 2) < 4 * math.sqrt(n / 4)
    words = [w / 2**32 for w in probe("draws", 9, 1, 2, 3, n)]
    assert abs(sum(words) / n - 0.5) < 4 * math.sqrt(1 / 12 / n)
    areas = [b[2] * b[3] / 4e4 for b in (ref.area_box(ref.Draws.of(4, ref.CROP, 0, i), 200, 200) for i in range(2000))]
    assert 0.07 < min(areas) < 0.12 and max(areas) > 0.9 and 0.45 < sum(areas) / 2000 < 0.55


# ---- loading ----

SIZE = 6, 5  # of the pictures, of one channel
LOADED = [made.rgb(6, 5, 17 * i)[:30] for i in range(14)]


def load(flags, fills, threads=0, ahead=0, batch=5, first=0, count=0, part=0, path="load", seed=3, size=SIZE):
    got = probe("loader", flags, seed, threads, ahead, batch, first, count, part, *size, path,
                *("%d,%d,%d" % f for f in fills))
    assert got["timed"] and got["examples"] == 2 * sum(f[2] for f, shown in zip(fills, got["fills"]) if shown)
    return got


def floats(text):
    data = bytes.fromhex(text)
    return struct.unpack("%df" % (len(data) // 4), data)


def expected(flags, images, batch, step, seed=3):
    """Values, labels and targets of a whole batch; `images` are those of the part."""
    values, labels, soft, shown = [], [], [], []
    for i in range(batch):
        epoch, place = divmod(step * batch + i, len(images))
        order = ref.Draws.of(seed, ref.SHUFFLE, epoch, 0).permutation(len(images))
        image = images[place if "i" in flags else order[place]]
        picture = SIZE + (1, list(LOADED[image]))
        done = ref.augmented(flags, seed, epoch, image, picture, *SIZE)
        shown += done[3]
        values.append(ref.values(flags, seed, epoch, image, done))
        labels.append(image % 4)
    kind, share, box = ref.mix(seed, step, 0.8, 1, *SIZE) if "x" in flags else (0, 1, None)
    mixed = []
    for i in range(batch):
        x, y = values[i], values[batch - 1 - i]
        if kind == 1:
            mixed.append([share * a + (1 - share) * b for a, b in zip(x, y)])
        else:
            inside = [kind == 2 and box[0] <= k // SIZE[1] < box[0] + box[2] and box[1] <= k % SIZE[1] < box[1] + box[3]
                      for k in range(len(x))]
            mixed.append([b if cut else a for a, b, cut in zip(x, y, inside)])
        smooth = [[0.9 * (k == l) + 0.1 / 4 for k in range(4)] for l in (labels[i], labels[batch - 1 - i])]
        soft.append([share * a + (1 - share) * b for a, b in zip(*smooth)])
    return mixed, labels, soft, shown


def loader():
    idx_folder("load", train_images_idx3_ubyte=made.idx3(b"".join(LOADED[:11]), *SIZE),
               train_labels_idx1_ubyte=made.idx1([i % 4 for i in range(11)]),
               t10k_images_idx3_ubyte=made.idx3(b"".join(LOADED[11:]), *SIZE),
               t10k_labels_idx1_ubyte=made.idx1([i % 4 for i in range(11, 14)]))
    steps = [0, 1, 2, 3, 7, 2, 900]
    for flags, part, images in (("pfex", 0, range(11)), ("pfe", 0, range(11)), ("mi", 2, range(11, 14))):
        got = load(flags, [(s, 0, 5) for s in steps], part=part)
        for s, shown in zip(steps, got["fills"]):
            values, labels, soft, bytes_ = expected(flags, list(images), 5, s)
            assert unhex(shown["bytes"]) == bytes_, (flags, s)
            off = [abs(a - b) for a, b in zip(floats(shown["pixels"]), sum(values, []))]
            assert len(off) == 150 and max(off) < 1e-5, (flags, s, max(off))
            assert shown["labels"] == labels, (flags, s)
            assert max(abs(a - b) for a, b in zip(floats(shown["soft"]), sum(soft, []))) < 1e-6, (flags, s)
    epoch = load("m", [(s, 0, 11) for s in range(3)], batch=11)["fills"]
    assert all(sorted(e["labels"]) == sorted(i % 4 for i in range(11)) for e in epoch)  # each once
    assert epoch[0] != epoch[1]
    cost = probe("cost", 3, *SIZE, "swin", "load")
    assert sorted(cost) == ["augment", "read", "values"] and all(s >= 0 for s in cost.values())


def loader_threads():
    """The same whoever prepares it, in whatever order and shares."""
    whole = [(s, 0, 7) for s in range(9)]
    alone = load("ofex", whole, batch=7)
    assert alone["helped"] == 63
    for threads, ahead in ((1, 0), (1, 3), (2, 1), (4, 8), (16, 2)):
        assert load("ofex", whole, threads, ahead, batch=7)["fills"] == alone["fills"], (threads, ahead)
        back = load("ofex", whole[::-1] + whole[4:6], threads, ahead, batch=7)["fills"]
        assert back == alone["fills"][::-1] + alone["fills"][4:6], (threads, ahead)
    shares = [(s, f, c) for s in range(9) for f, c in ((2, 3), (0, 2), (5, 2))]
    for threads, first, count in ((0, 0, 0), (2, 0, 0), (2, 2, 3), (3, 6, 1)):
        got = load("ofex", shares, threads, 2, batch=7, first=first, count=count)["fills"]
        for s in range(9):
            part = [got[3 * s + k] for k in (1, 0, 2)]
            for key in ("pixels", "labels", "soft", "bytes"):
                assert sum((list(p[key]) for p in part), []) == list(alone["fills"][s][key]), (threads, s, key)
    colour = {"path": "classes", "batch": 9, "size": (12, 12)}
    if HAS["png"]:
        big = [(s, 0, 9) for s in range(6)]
        assert load("ofex", big, 3, 2, **colour)["fills"] == load("ofex", big, **colour)["fills"]


def loader_refusals():
    got = load("m", [(0, 0, 6), (-1, 0, 1), (0, 5, 1), (0, -1, 1), (0, 0, 0), (0, 4, 1), (2**62, 0, 1)])
    assert [f is None for f in got["fills"]] == [True] * 5 + [False, True]
    for words, sentence in ((("m", 3, 0, 0, 0), "of a batch of 0"), (("m", 3, -1, 0, 5), "-1 threads"),
                            (("m", 3, 1, -1, 5), "steps ahead"), (("m", 3, 300, 0, 5), "300 threads")):
        status, _, error = run("loader", *words, 0, 0, 0, *SIZE, "load")
        assert status == 1 and sentence in error, error
    for first, count, part, size in ((3, 4, 0, SIZE), (0, 0, 1, SIZE), (0, 0, 0, (0, 5))):
        assert run("loader", "m", 3, 0, 0, 5, first, count, part, *size, "load")[0] == 1


def unreadable():
    """Pictures that cannot be read are counted once, named, and replaced in training, left out in evaluation."""
    for i in range(6):
        for c in "ab":
            good = made.rgb_png(*SIZE, 40 * i + ord(c))
            write("torn/%s/%d.png" % (c, i), good[:-30] if i in (1, 2) else good)
    wanted = [(s, 0, 12) for s in range(4)]
    seen = []
    for threads in (0, 3):
        got = load("m", wanted, threads, 1, batch=12, path="torn")
        seen.append(got["fills"])
        assert got["unreadable"] == 4 and ".png is no whole PNG" in got["first"], got["first"]
        assert all(set(f["labels"]) == {0, 1} for f in got["fills"])
    assert seen[0] == seen[1]
    one = 4 * SIZE[0] * SIZE[1] * 3
    still = load("mi", wanted[:1], 2, 1, batch=12, path="torn")
    fill = still["fills"][0]
    assert fill["labels"] == [0, -1, -1, 0, 0, 0, 1, -1, -1, 1, 1, 1] and still["unreadable"] == 4
    data = bytes.fromhex(fill["pixels"])
    zero = [not any(data[i * one:(i + 1) * one]) for i in range(12)]
    assert zero == [l < 0 for l in fill["labels"]]
    soft = floats(fill["soft"])
    assert [not any(soft[2 * i:2 * i + 2]) for i in range(12)] == zero


TESTS = [idx, bad_idx, cifar, npz, bad_npz, without, random_words, resampling, operations,
         whole_pictures, mixing, drawn, loader, loader_threads, loader_refusals]
TESTS_PNG = [png_kinds, bad_png, folders, splits, unreadable]
TESTS_JPEG = [jpegs]

if __name__ == "__main__":
    wanted = sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="ssacl-images-") as folder:
        os.chdir(folder)
        for test in (TESTS_PNG if HAS["png"] else []) + (TESTS_JPEG if HAS["jpeg"] else []) + TESTS:
            if not wanted or test.__name__ in wanted:
                print(test.__name__, flush=True)
                test()
        os.chdir("/")
    print("all as they should be")
