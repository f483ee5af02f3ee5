"""timm's models at their full size, of random weights: imported, their logits here and there; exported, all of it.

    python3 tests/peers/timm_logits.py build/demos/image/ssacl-image [MODEL ...]

Needs timm 0.9 and safetensors. Fails where a logit is further than 1e-5 of the largest from timm's, or a tensor is not
what it was.
"""
import argparse
import ctypes as C
import functools
import os
import subprocess
import tempfile

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file

import ssacl

MODELS = ["vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]
IMAGES = 2


def make(name):
    """The model, of weights of which all count."""
    model = timm.create_model(name).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return model


def our_logits(lib, device, path, images, classes):
    checkpoint, model, logits = C.c_void_p(), C.c_void_p(), np.empty((len(images), classes), np.float32)
    lib.c.ssa_checkpoint_model.restype = C.c_void_p
    pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    limits, given = lib.make("model_limits", batch=len(images)), lib.make("pass", pixels=ssacl.address(pixels))
    lib.check(lib.c.ssa_checkpoint_open(C.byref(checkpoint), path.encode()))
    config = C.c_void_p(lib.c.ssa_checkpoint_model(checkpoint))
    lib.check(lib.c.ssa_model_create(C.byref(model), device.handle, config, C.byref(limits)))
    lib.check(lib.c.ssa_checkpoint_load(checkpoint, model, None))
    lib.check(lib.c.ssa_model_forward(model, C.byref(given)))
    for i, row in enumerate(logits):
        lib.check(lib.c.ssa_model_read_logits(model, i, 0, C.c_void_p(ssacl.address(row))))
    lib.c.ssa_model_destroy(model)
    lib.c.ssa_checkpoint_close(checkpoint)
    return torch.from_numpy(logits)


def check_export(program, checkpoint, model, images, want, folder):
    """The same tensors, for the model that export says they are for."""
    path = os.path.join(folder, "exported")
    said = subprocess.run([program, "export", "-c", checkpoint, "--to", path], check=True, stdout=subprocess.PIPE)
    state, back = model.state_dict(), load_file(path)
    assert state.keys() == back.keys() and all(torch.equal(state[name], back[name]) for name in state)
    other = eval(said.stdout.decode().splitlines()[1], {"timm": timm, "torch": torch, "functools": functools}).eval()
    other.load_state_dict(back)
    with torch.no_grad():
        assert torch.equal(other(images), want)


def check(lib, device, program, name):
    model, images = make(name), torch.randn(IMAGES, 3, 224, 224)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        saved, checkpoint = os.path.join(folder, "timm"), os.path.join(folder, "checkpoint")
        save_file(model.state_dict(), saved)
        subprocess.run([program, "import", saved, "-c", checkpoint], check=True, stdout=subprocess.DEVNULL)
        want = model(images)
        got = our_logits(lib, device, checkpoint, images, want.shape[1])
        exact = model.double()(images.double())
        far = [float((x - exact).abs().max() / exact.abs().max()) for x in (got, want)]
        apart = float((got - want).abs().max() / want.abs().max())
        check_export(program, checkpoint, model.float(), images, want, folder)
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, logits {apart:.1e} of the largest apart; "
          f"of double precision's ours {far[0]:.1e}, timm's {far[1]:.1e}", flush=True)
    return apart < 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--library")
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args()
    torch.manual_seed(0)
    lib = ssacl.Library(a.library)
    device = lib.open(a.device)
    near = [check(lib, device, a.program, name) for name in a.models]
    device.close()
    raise SystemExit(not all(near))


if __name__ == "__main__":
    main()
