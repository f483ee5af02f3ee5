"""fairseq's model of words, of random weights, by its formulas (tests/golden/fairseq_words.py): imported into
ssacl-text, log-probabilities of all words here and there; exported, all of it.

    python3 tests/peers/fairseq_logits.py build/demos/text/ssacl-text

Fails where a log-probability is further than 1e-5 of its size from the formulas' in double precision, or a tensor is
not what it was.
"""
import argparse
import ctypes as C
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch

import ssacl

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import fairseq_words as fairseq  # noqa: E402

CASES = [  # model, heads, words in a sequence
    (dict(vocabulary=1008, width=64, hidden=160, layers=3, cutoffs=(200,)), 4, 33),
    (dict(vocabulary=13272, width=256, hidden=1024, layers=4, cutoffs=(2000, 6000)), 2, 64),
    (dict(vocabulary=20000, width=256, hidden=512, layers=2, cutoffs=(500, 2500, 9000)), 4, 17)]


def our_logs(lib, device, path, ids, vocabulary):
    checkpoint, model, logs = C.c_void_p(), C.c_void_p(), np.empty((len(ids), vocabulary), np.float32)
    lib.c.ssa_checkpoint_model.restype = C.c_void_p
    tokens = ids.numpy().astype(np.int32)
    limits, given = lib.make("model_limits", batch=1), lib.make("pass", tokens=ssacl.address(tokens), batch=1,
                                                                length=len(ids))
    lib.check(lib.c.ssa_checkpoint_open(C.byref(checkpoint), path.encode()))
    lib.check(lib.c.ssa_model_create(C.byref(model), device.handle, C.c_void_p(lib.c.ssa_checkpoint_model(checkpoint)),
                                     C.byref(limits)))
    lib.check(lib.c.ssa_checkpoint_load(checkpoint, model, None))
    lib.check(lib.c.ssa_model_forward(model, C.byref(given)))
    for i, row in enumerate(logs):
        lib.check(lib.c.ssa_model_read_logits(model, 0, i, C.c_void_p(ssacl.address(row))))
    lib.c.ssa_model_destroy(model)
    lib.c.ssa_checkpoint_close(checkpoint)
    return torch.from_numpy(logs).double()


def tensors(path):
    with open(path, "rb") as f:
        header, data = json.loads(f.read(struct.unpack("<Q", f.read(8))[0])), f.read()
    return {name: data[slice(*t["data_offsets"])] for name, t in header.items() if name != "__metadata__"}


def check(lib, device, program, config, heads, length):
    generator = torch.Generator().manual_seed(heads)
    state = fairseq.random_state(generator, **config)
    ids = torch.randint(0, config["vocabulary"], (length,), generator=generator)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        saved, checkpoint, back = (os.path.join(folder, name) for name in ("saved", "checkpoint", "back"))
        fairseq.save(saved, {**state, **fairseq.tied(state)})
        subprocess.run([program, "import", saved, "-c", checkpoint, "--heads", str(heads), "--length", str(length)],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run([program, "export", "-c", checkpoint, "--to", back], check=True, stdout=subprocess.DEVNULL)
        assert tensors(saved) == tensors(back)
        want = fairseq.log_probabilities(state, ids, heads)
        got = our_logs(lib, device, checkpoint, ids, config["vocabulary"])
    apart = ((got - want).abs() / want.abs().clamp(min=1)).max()
    print("%d words, %d wide, bands of %s: log-probabilities of %.1f to %.1f, %.1e apart; they add up to 1 but for %.1e"
          % (config["vocabulary"], config["width"], config["cutoffs"], want.min(), want.max(), apart,
             (got.exp().sum(-1) - 1).abs().max()), flush=True)
    return apart < 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--library")
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args()
    lib = ssacl.Library(a.library)
    device = lib.open(a.device)
    near = [check(lib, device, a.program, *case) for case in CASES]
    device.close()
    raise SystemExit(not all(near))


if __name__ == "__main__":
    main()
