"""Checkpoints that another program wrote, and headers that cost: test_saved_again.py PROGRAM

What Python's safetensors package makes of a checkpoint (tensors sorted by name, metadata in any order, the checksum of
the file that it read) is imitated, so that the test needs no package. Such a file is a checkpoint as long as its
structure is right; of a file in our own form the checksum must be right too.
"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])
TRAIN = ["train", "--device", "cpu", "--data", "text", "--quiet"]


def run(*arguments):
    done = subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    return done.returncode, done.stdout, done.stderr.decode()


def good(*arguments):
    status, out, error = run(*arguments)
    assert status == 0, (arguments, error)
    return out


def refused(words, *arguments):
    status, _, error = run(*arguments)
    assert status == 1 and words in error and error.count("\n") == 1, (arguments, words, status, error)


def read(path):
    """Metadata, and tensors by name as (shape, bytes)."""
    with open(path, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(size)), f.read()
    metadata = header.pop("__metadata__")
    return metadata, {name: (t["shape"], data[slice(*t["data_offsets"])]) for name, t in header.items()}


def write(path, metadata, tensors, order=sorted, separators=(",", ":"), dtype="F32"):
    header, at = {"__metadata__": metadata} if metadata is not None else {}, 0
    for name in order(tensors):
        shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=separators).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(tensors[name][1] for name in order(tensors)))


def sample(path, *more):
    return json.loads(good("sample", "--device", "cpu", "-c", path, "--count", "16", "--json", *more))["bytes"]


def average(a, b):
    mixed = {}
    for name, (shape, data) in a.items():
        count = len(data) // 4
        values = [(x + y) / 2 for x, y in zip(struct.unpack("<%df" % count, data),
                                              struct.unpack("<%df" % count, b[name][1]))]
        mixed[name] = shape, struct.pack("<%df" % count, *values)
    return mixed


def saved_again():
    metadata, tensors = read("c")
    want = sample("c")
    write("sorted", metadata, tensors)
    write("reversed", dict(reversed(metadata.items())), tensors, order=lambda names: sorted(names, reverse=True))
    write("spaced", metadata, tensors, order=list, separators=(", ", ": "))
    write("no-crc32", {k: v for k, v in metadata.items() if k != "crc32"}, tensors, order=list)
    write("more", {**metadata, "averaged": "of one"}, tensors)
    for path in ("sorted", "reversed", "spaced", "no-crc32", "more"):
        assert sample(path) == want, path
        good(*TRAIN, "--resume", path, "-c", path + ".on", "-f")
        with open("on", "rb") as a, open(path + ".on", "rb") as b:
            assert a.read() == b.read(), path + " goes on in another way"
    write("averaged", metadata, average(tensors, read("early")[1]))
    sample("averaged")
    good("eval", "--device", "cpu", "-c", "averaged", "--data", "text", "--windows", "2")
    good(*TRAIN, "--from", "averaged", "-c", "next", "--steps", "1", "--batch", "2", "--eval-windows", "1")
    write("weights", metadata, {k: v for k, v in tensors.items() if not k.startswith("moment")})
    assert sample("weights") == want
    refused("no optimiser state", *TRAIN, "--resume", "weights")


def with_average():
    """Of a run with --ema: what is left out is not there, and files from before there was such a thing are read."""
    metadata, tensors = read("ema")
    raw = {k: v for k, v in tensors.items() if not k.startswith(("moment", "average."))}
    kept = {k: v for k, v in tensors.items() if k.startswith("average.")}
    assert len(kept) == len(raw) and len(tensors) == 4 * len(raw)
    assert sample("ema") != sample("ema", "--raw-weights")
    write("sorted", metadata, tensors)
    assert sample("sorted") == sample("ema") and sample("sorted", "--raw-weights") == sample("ema", "--raw-weights")
    write("no-average", metadata, {k: v for k, v in tensors.items() if k not in kept})
    assert sample("no-average") == sample("ema", "--raw-weights")
    good(*TRAIN, "--resume", "no-average", "--steps", "7", "-c", "on", "-f")
    write("no-moments", metadata, {**raw, **kept})
    assert sample("no-moments") == sample("ema")
    name = sorted(kept)[0]
    write("bad", metadata, {k: v for k, v in tensors.items() if k != name})
    refused("it lacks tensor \"%s\"" % name, "sample", "-c", "bad")
    older = re.sub('"ema":[^,]*,', "", metadata["training"])
    assert older != metadata["training"]
    write("older", {**metadata, "training": older}, {k: v for k, v in tensors.items() if k not in kept})
    assert sample("older") == sample("ema", "--raw-weights")
    write("bad", {**metadata, "training": older}, tensors)
    refused("%d tensors that its config does not call for" % len(kept), "sample", "-c", "bad")


def structure():
    metadata, tensors = read("c")
    name = "layer.0.qkv.weight"
    cases = {
        "|without its metadata": (None, tensors),
        "lacks tensor \"layer.0.qkv.weight\"": (metadata, {k: v for k, v in tensors.items() if k != name}),
        "lacks tensor \"moment2.embed.weight\"": (metadata, {k: v for k, v in tensors.items() if not
                                                             k.startswith("moment2.")}),
        "1 tensors that": (metadata, {**tensors, "extra": ([1], bytes(4))}),
        "not of the shape": (metadata, {**tensors, name: (tensors[name][0][::-1], tensors[name][1])}),
        "good \"seed\"": ({**metadata, "training": metadata["training"].replace('"seed":"', '"seed":"-')}, tensors),
        "good \"lr\"": ({**metadata, "training": metadata["training"].replace('"lr":', '"lr":1e39,"old":')}, tensors),
        "good \"kind\"": ({**metadata, "training": metadata["training"].replace('"kind":0', '"kind":7')}, tensors),
    }
    for words, (its_metadata, its_tensors) in cases.items():
        write("bad", its_metadata, its_tensors)
        refused(words.split("|")[-1], "sample", "-c", "bad")
    write("bad", metadata, {k: (v[0], v[1][::2]) for k, v in tensors.items()}, dtype="F16")
    refused("not of type F32", "sample", "-c", "bad")
    with open("c", "rb") as f: # in our own form every bit counts
        whole = bytearray(f.read())
    whole[-7] ^= 1
    with open("bad", "wb") as f:
        f.write(whole)
    refused("damaged", "sample", "-c", "bad")


def costly():
    """Refused before it is parsed: no more memory than some copies of the header, and what the program needs anyway.
    Written in pieces, since what this process has taken counts as the child's, too."""
    mebi = 1 << 20
    numbers = b"0," * (mebi // 2)
    tensor = b'"%08d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    headers = [(b'{"a":[', numbers, 64), (b'{"a":[', numbers, 14), (b"", b"[" * mebi, 15),
               (b"", b'{"a":' * (mebi // 8), 20), (b"{", b"".join(tensor % i for i in range(10000)), 27), (b'{"', b"x" * mebi, 15)]
    for start, piece, count in headers:
        with open("bad", "wb") as f:
            f.write(struct.pack("<Q", len(start) + count * len(piece)) + start)
            for _ in range(count):
                f.write(piece)
        child = subprocess.Popen([PROGRAM, "sample", "-c", "bad"], stderr=subprocess.PIPE)
        error = child.stderr.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 1 and "its header" in error, error
        assert usage.ru_maxrss < 200 * 1024, "%.0f MiB for a bad header" % (usage.ru_maxrss / 1024)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("text", "w", encoding="ascii") as f:
            f.write("the history of the river and of the city that was first " * 100)
        small = "--layers 1 --width 16 --heads 2 --length 32 --batch 2 --eval-windows 1".split()
        good(*TRAIN, *small, "--stages", "dense:steps=2 dense:steps=2", "--keep-stages", "-c", "on", "--seed", "7")
        os.rename("on.stage1", "c")
        good(*TRAIN, *small, "--steps", "1", "-c", "early")
        saved_again()
        good(*TRAIN, *small, "--steps", "5", "--lr", "0.05", "--ema", "0.9", "-c", "ema")
        with_average()
        structure()
        costly()
    print("ok")


main()
