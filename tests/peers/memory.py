"""Peak memory of a training run, each side in a process of its own: the largest resident set above the one after
imports (and, for ours, after opening the device), and what our device counts."""
import subprocess
import sys

import pairing

STEPS = 3


def resident(key):
    """MiB of VmRSS (now) or VmHWM (the most so far)."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key))


def run_torch(sizes, ratio, threads):
    import torch
    import gpt
    torch.set_num_threads(threads)
    base = resident("VmRSS")
    training = gpt.Training(*sizes, ratio)
    for _ in range(STEPS):
        training.step()
    print("%.1f" % (resident("VmHWM") - base))


def run_ours(sizes, ratio, library, device_name):
    import numpy as np
    import ssacl
    device = ssacl.Library(library).open(device_name)
    length, batch = sizes[3:]
    tokens = np.random.default_rng(0).integers(0, 256, 64 * batch * length, np.uint8)
    pattern = dict(kind=ssacl.DENSE) if ratio == 1 else dict(kind=ssacl.UNBIASED, ratio=1.0 / ratio, own_key=ssacl.NONE,
                                                             keep_first=1)
    base = resident("VmRSS")
    trainer = ssacl.Trainer(device, *sizes, pattern, tokens)
    for _ in range(STEPS):
        trainer.step()
        device.finish()
    print("%.1f %.1f" % (resident("VmHWM") - base, device.peak_bytes() / 2**20))
    trainer.close()


def in_process(a, side, ratio):
    command = [sys.executable, __file__, "--side", side, "--ratio", str(ratio)]
    for name in ("layers", "width", "heads", "length", "batch", "threads"):
        command += ["--" + name, str(getattr(a, name))]
    if a.library:
        command += ["--library", a.library]
    return [float(x) for x in subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()]


def main():
    a = pairing.arguments(__doc__, layers=6, width=256, heads=8, length=2048, batch=4, ratio=4, side="")
    sizes = (a.layers, a.width, a.heads, a.length, a.batch)
    if a.side == "torch":
        return run_torch(sizes, a.ratio, a.threads)
    if a.side:
        return run_ours(sizes, a.ratio, a.library, a.side)
    for ratio in (1, a.ratio):
        name = "dense" if ratio == 1 else "k=N/%d" % ratio
        theirs = in_process(a, "torch", ratio)[0]
        print("%-6s torch   %7.1f MiB" % (name, theirs), flush=True)
        for device in a.devices.split(","):
            grown, held = in_process(a, device, ratio)
            print("%-6s %-7s %7.1f MiB (%.2fx), of which the device's buffers %.1f" % (
                name, device, grown, grown / theirs, held), flush=True)
    return None


if __name__ == "__main__":
    main()
