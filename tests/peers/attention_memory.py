"""Peak memory of attention, forward and backward, above its inputs: PyTorch with its scores written out, PyTorch's
fused attention, and ours, dense and with k = N/4 and N/8 keys. Each in a process of its own. --json FILE writes what
the pages of demos/repro show (results/memory.json)."""
import json
import subprocess
import sys

import pairing
from memory import resident

SIDES = ("torch, scores written out", "torch, fused", "ssacl, dense", "ssacl, k = N/4", "ssacl, k = N/8")


def run_torch(a, shape):
    import torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel
    torch.set_num_threads(a.threads)
    backend = SDPBackend.MATH if "written" in a.side else SDPBackend.FLASH_ATTENTION

    def step(q, k, v, dout):
        with sdpa_kernel(backend):
            F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(dout)
    step(*(torch.randn(1, 1, 64, shape[3], requires_grad=True) for _ in range(3)), torch.randn(1, 1, 64, shape[3]))
    tensors = [torch.randn(shape, requires_grad=True) for _ in range(3)] + [torch.randn(shape)]
    base = resident("VmRSS")
    step(*tensors)
    return resident("VmHWM") - base


def run_ours(a, shape):
    import numpy as np
    import ssacl
    batch, heads, length, width = shape
    lib = ssacl.Library(a.library)
    device = lib.open("cpu")
    share = 1 if "dense" in a.side else int(a.side[-1])
    how = dict(kind=ssacl.DENSE) if share == 1 else dict(kind=ssacl.UNBIASED, keys=length // share, own_key=1)
    plan = lib.plan(length=length, **how)
    q, k, v, dout = (device.tensor(np.random.default_rng(i).standard_normal(shape, np.float32)) for i in range(4))
    base = resident("VmRSS")
    out, dq, dk, dv = (device.tensor(np.zeros(shape, np.float32)) for _ in range(4))
    same = dict(q=q, k=k, v=v, out=out, lse=device.empty(batch * heads * length), plan=plan,
                plan_data=device.plan_tensor(plan), batch=batch, length=length, heads=heads, width=width, causal=True)
    device.operator("attention_fwd", **same)()
    device.operator("attention_bwd", dout=dout, dq=dq, dk=dk, dv=dv, **same)()
    device.finish()
    return resident("VmHWM") - base


def in_process(a, side, length):
    command = [sys.executable, __file__, "--side", side, "--length", str(length)]
    for name in ("heads", "width", "threads"):
        command += ["--" + name, str(getattr(a, name))]
    if a.library:
        command += ["--library", a.library]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    a = pairing.arguments(__doc__, heads=4, width=32, length=0, side="", json="")
    if a.side:
        shape = (1, a.heads, a.length, a.width)
        return print("%.1f" % (run_torch if a.side.startswith("torch") else run_ours)(a, shape))
    rows = []
    for length in (a.length,) if a.length else (1024, 2048, 4096, 8192):
        row = dict(length=length, heads=a.heads, width=a.width, MiB={s: in_process(a, s, length) for s in SIDES})
        rows.append(row)
        print("N=%-6d" % length, ", ".join("%s %.1f MiB" % item for item in row["MiB"].items()), flush=True)
    if a.json:
        with open(a.json, "w", encoding="utf-8") as out:
            json.dump(rows, out, indent=1)
            out.write("\n")
    return None


if __name__ == "__main__":
    main()
