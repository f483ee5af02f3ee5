"""Python's own safetensors package reads our checkpoints: names, shapes, values, metadata; and we read what it saves.

test_safetensors.py PROGRAM; skipped (77) where the package is missing. $SSA_PYTHON names an interpreter that has it.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError:
    other = os.environ.pop("SSA_PYTHON", "")
    if other:
        os.execv(other, [other, *sys.argv])
    print("no safetensors and numpy in this Python (pip install safetensors numpy); set $SSA_PYTHON to one that has them")
    sys.exit(77)


def train(program, folder):
    text, path = os.path.join(folder, "text"), os.path.join(folder, "run.safetensors")
    with open(text, "w", encoding="ascii") as f:
        f.write("the history of the river and of the city that was first " * 200)
    subprocess.run([program, "train", "--device", "cpu", "--data", text, "--checkpoint", path, "--steps", "2", "--layers",
                    "2", "--width", "32", "--heads", "2", "--length", "64", "--batch", "2", "--eval-windows", "2"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def sample(program, path):
    """What it writes, by the likeliest bytes."""
    return subprocess.run([program, "sample", "--device", "cpu", "-c", path, "-n", "16", "-t", "0"], check=True,
                          stdout=subprocess.PIPE).stdout


def read_plainly(path):
    """The file by its format's description alone: its metadata, and its tensors by name."""
    with open(path, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    metadata = header.pop("__metadata__")
    return metadata, {name: np.frombuffer(data[slice(*t["data_offsets"])], "<f4").reshape(t["shape"])
                      for name, t in header.items()}


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = train(sys.argv[1], folder)
        metadata, tensors = read_plainly(path)
        with safe_open(path, framework="numpy") as f:
            assert f.metadata() == metadata
            assert sorted(f.keys()) == sorted(tensors)
            for name, want in tensors.items():
                got = f.get_tensor(name)
                assert got.dtype == np.float32 and got.shape == want.shape, name
                assert np.array_equal(got, want) and np.isfinite(got).all(), name
        again = os.path.join(folder, "again")
        save_file(tensors, again, metadata=metadata)
        assert sample(sys.argv[1], again) == sample(sys.argv[1], path)
        save_file({name: tensor / 2 for name, tensor in tensors.items()}, again, metadata={**metadata, "halved": "yes"})
        sample(sys.argv[1], again)
    parameters = [name for name in tensors if not name.startswith("moment")]
    assert parameters and all("moment%d.%s" % (i, name) in tensors for name in parameters for i in (1, 2))
    assert any(tensors[name].std() > 0 for name in parameters)
    print("%d tensors, %d of them parameters" % (len(tensors), len(parameters)))


main()
