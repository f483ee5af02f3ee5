"""Safetensors files, for tests of what reads and writes them."""
import json
import struct


def tensors(path):
    """Of a file: [type, shape, bytes] by name."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    assert sum(t["data_offsets"][1] - t["data_offsets"][0] for t in header.values()) == len(data), path
    return {name: [t["dtype"], t["shape"], data[slice(*t["data_offsets"])]] for name, t in header.items()}


def save(path, all):
    header, data = {}, b""
    for name, (kind, shape, values) in all.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
