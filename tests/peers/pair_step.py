"""Whole training steps of a GPT (forward, backward, AdamW): ours against PyTorch's, dense and sampled. Ours also
clips the gradient's norm, which PyTorch is spared."""
import numpy as np
import torch

import gpt
import pairing
import ssacl


def pattern(ratio):
    """What gpt.py samples: position 0 always, and a uniform subset."""
    if ratio == 1:
        return dict(kind=ssacl.DENSE)
    return dict(kind=ssacl.UNBIASED, ratio=1.0 / ratio, own_key=ssacl.NONE, keep_first=1)


def our_step(device, trainer):
    def run():
        trainer.step()
        device.finish()
    return run


def name_of(side, ratio):
    return side + (" dense" if ratio == 1 else " k=N/%d" % ratio)


def compare(devices, sizes, ratios, reps):
    layers, width, heads, length, batch = sizes
    tokens = np.random.default_rng(0).integers(0, gpt.VOCABULARY, 64 * batch * length, np.uint8)
    sides, trainers = {}, []
    for ratio in ratios:
        sides[name_of("torch", ratio)] = gpt.Training(*sizes, ratio).step
    for device in devices:
        for ratio in ratios:
            trainers.append(ssacl.Trainer(device, *sizes, pattern(ratio), tokens))
            sides[name_of(device.name, ratio)] = our_step(device, trainers[-1])
    best = pairing.alternate(sides, reps)
    for name, seconds in best.items():
        same = best["torch " + name.split(" ", 1)[1]]
        print("L%d C%d H%d N%d B%d  %-20s %7.0f tokens/s  %8.1f ms   %5.2fx torch dense  %5.2fx the same in torch" % (
            *sizes, name, batch * length / seconds, 1e3 * seconds, best["torch dense"] / seconds, same / seconds),
            flush=True)
    for trainer in trainers:
        trainer.close()


def main():
    a = pairing.arguments(__doc__, layers=6, width=256, heads=8, cases="512x8,2048x4", ratio=4, reps=4)
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    lib = ssacl.Library(a.library)
    devices = [lib.open(name) for name in a.devices.split(",")]
    for case in a.cases.split(","):
        length, batch = map(int, case.split("x"))
        compare(devices, (a.layers, a.width, a.heads, length, batch), (1, a.ratio), a.reps)


if __name__ == "__main__":
    main()
