"""What ssacl-text makes of its inputs: test_inputs.py PROGRAM

Large seeds and products of numbers, texts of any number and from stdin, long prompts, texts that are not those of the
training, weights that are not numbers, and the memory that a text takes. On the host backend.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])
CPU = ["--device", "cpu"]
SMALL = "--device cpu --layers 1 --width 16 --heads 2 --length 32 --batch 2 --eval-windows 1 --steps 1 -f".split()


def run(*arguments, given=b""):
    done = subprocess.run([PROGRAM, *arguments], input=given, capture_output=True, timeout=600)
    return done.returncode, done.stdout, done.stderr.decode()


def good(*arguments, given=b""):
    status, out, error = run(*arguments, given=given)
    assert status == 0, (arguments, error)
    return out


def refused(status, words, *arguments, given=b""):
    got, _, error = run(*arguments, given=given)
    errors = [line for line in error.splitlines() if line.startswith("ssacl-text")]
    assert got == status and len(errors) == 1 and words in errors[0], (arguments, words, got, error)


def train(*more, data=("text",), given=b""):
    files = [word for name in data for word in ("--data", name)]
    return good("train", *SMALL, *files, "--quiet", *more, given=given)


def numbers():
    """Seeds of 64 bits, and products that no int holds."""
    for seed in (2**63 - 1, 2**63, 2**64 - 1):
        shown = json.loads(train("--seed", str(seed), "-c", "c", "-l", "log", "--json"))["seed"]
        with open("log", encoding="utf-8") as f:
            logged = json.loads(f.readline())["seed"]
        assert int(shown) == int(logged) == seed, (seed, shown, logged)
        again = json.loads(good("sample", *CPU, "-c", "c", "-n", "1", "--seed", str(seed), "--json"))["seed"]
        assert int(again) == seed, (seed, again)
        assert (seed < 2**63) == isinstance(shown, int)
    refused(2, "from 0 to 18446744073709551615", "train", *SMALL, "--data", "text", "--seed", str(2**64))
    for batch, accumulate in ((65536, 65536), (65536, 32768), (46341, 46341)):
        refused(2, "sequences a step", "train", *SMALL, "--data", "text", "-c", "new", "--batch", str(batch),
                "--accumulate", str(accumulate))
    refused(1, "steps are too many", "train", *SMALL, "--data", "text", "-c", "new", "--steps", str(2**31 - 1),
            "--fine-tune", "1", "--warm-up", "0")
    refused(1, "tokens for one pass", "train", *SMALL, "--data", "zeros", "-c", "new", "--batch", "65536", "--length",
            "32768")
    assert not os.path.exists("new")


def text_of(path):
    """The fingerprint of its text that a checkpoint keeps."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    return json.loads(header["__metadata__"]["note"])["text"]


def fingerprint(names):
    """FNV-1a of the training parts of all files, then of their validation parts, then of their test parts."""
    parts = [b"", b"", b""]
    for name in names:
        with open(name, "rb") as f:
            data = f.read()
        held = len(data) // 20
        kept = len(data) - 2 * held
        for i, part in enumerate((data[:kept], data[kept:kept + held], data[kept + held:])):
            parts[i] += part
    value = 0xcbf29ce484222325
    for byte in b"".join(parts):
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return "%016x" % value


def texts():
    """The parts of many files; the same bytes from stdin; what is not the text of the training."""
    with open("text", "rb") as f:
        whole = f.read()
    names = ["piece%d" % i for i in range(100)]
    for i, name in enumerate(names):
        with open(name, "wb") as f:
            f.write(whole[60 * i:60 * i + 60 + i % 7])
    log = json.loads(train("-c", "many", "--json", data=names))
    assert log["train_bytes"] == sum(n - 2 * (n // 20) for n in (60 + i % 7 for i in range(100)))
    train("-c", "file")
    train("-c", "pipe", data=["-"], given=whole)
    with open("file", "rb") as a, open("pipe", "rb") as b:
        assert a.read() == b.read()
    refused(1, "stdin: is empty", "train", *SMALL, "--data", "-")
    assert text_of("many") == fingerprint(names)
    measure = ["eval", *CPU, "--json", "--mode", "dense"]
    for name, data, same in (("file", ["text"], True), ("file", ["piece1", "text"], False), ("many", names, True),
                             ("many", names[::-1], False)):
        files = [word for name_ in data for word in ("--data", name_)]
        told = json.loads(good(*measure, "-c", name, *files, "--part", "train"))["same_text"]
        assert told is same, (name, data[:2], told)
    _, _, error = run("eval", *CPU, "-c", "file", "--data", "piece1", "--data", "text", "--mode", "dense")
    assert error.count("trained on other text") == 1, error
    _, _, error = run("eval", *CPU, "-c", "file", "--data", "text", "--mode", "dense")
    assert "other text" not in error, error
    go_on = ["train", *CPU, "--batch", "2", "--eval-windows", "1", "--steps", "1", "-f", "--from", "file", "-c", "next"]
    _, _, error = run(*go_on, "--data", "piece1", "--data", "text")
    assert error.count("trained on other text") == 1, error
    assert json.loads(good(*go_on, "--data", "text", "--json"))["same_text"] is True


def prompts():
    """All of a prompt is told back, and its end is what counts."""
    long = b"the river " * 30000
    result = json.loads(good("sample", *CPU, "-c", "file", "-n", "8", "-p", "-", "--json", given=long))
    assert result["prompt"].encode() == long
    end = json.loads(good("sample", *CPU, "-c", "file", "-n", "8", "-p", long[-32:].decode(), "--json"))
    assert end["bytes"] == result["bytes"]
    assert good("sample", *CPU, "-c", "file", "-n", "8", "-p", "-", given=long).startswith(long)


def not_numbers():
    """Weights that are NaN or infinite: an error, and no answer."""
    with open("file", "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    at = header["embed.weight"]["data_offsets"][0]
    for value in (float("nan"), float("inf")):
        # Not in our order: the checksum is of another program's file, and not looked at.
        text = json.dumps({"__metadata__": header["__metadata__"], **dict(sorted(header.items()))}).encode()
        with open("bad", "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + data[:at])
            f.write(struct.pack("<f", value) * 4096 + data[at + 16384:])
        for mode in ("dense", "ensemble"):
            refused(1, "not numbers", "eval", *CPU, "-c", "bad", "--data", "text", "--json", "--mode",
                    mode, "--pattern", "unbiased:ratio=0.5", "--passes", "2")
        refused(1, "not numbers", "sample", *CPU, "-c", "bad", "-n", "4", "--json")
    # Tokens that are no bytes.
    metadata = {**header["__metadata__"], "model": header["__metadata__"]["model"].replace(
        '"vocabulary":256', '"vocabulary":257')}
    del metadata["training"]
    tensors = {k: v for k, v in header.items() if k != "__metadata__" and not k.startswith("moment")}
    size = max(v["data_offsets"][1] for v in tensors.values())
    tensors["embed.weight"] = {"dtype": "F32", "shape": [257, 16], "data_offsets": [size, size + 257 * 64]}
    first = min(v["data_offsets"][0] for v in tensors.values())
    for entry in tensors.values():
        entry["data_offsets"] = [x - first for x in entry["data_offsets"]]
    text = json.dumps({"__metadata__": metadata, **tensors}).encode()
    with open("bad", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data[first:size] + bytes(257 * 64))
    refused(1, "no model of bytes", "sample", *CPU, "-c", "bad", "-n", "4")
    refused(1, "no model of bytes", "eval", *CPU, "-c", "bad", "--data", "text")


def memory():
    """A text is in memory once. One of zeros takes no disk."""
    mebi = 256
    with open("zeros", "wb") as f:
        f.truncate(mebi << 20)
    child = subprocess.Popen([PROGRAM, "train", *SMALL, "--data", "zeros", "-q", "-c", "z"], stderr=subprocess.PIPE)
    error = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, error
    assert usage.ru_maxrss < (mebi + 150) * 1024, "%d MiB for a text of %d" % (usage.ru_maxrss / 1024, mebi)
    os.truncate("zeros", 1 << 20)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("text", "w", encoding="ascii") as f:
            f.write("the history of the river and of the city that was first " * 120)
        memory() # first: what this process has taken counts as its children's, too
        numbers()
        texts()
        prompts()
        not_numbers()
    print("ok")


main()
