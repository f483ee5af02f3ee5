"""Trains in PyTorch what `ssacl-image train --family vit --mean-pool` does, dense: the same model, start, augmentation,
optimiser and schedule on the same pictures, but for the numbers drawn. Prints the test's loss and accuracy. Who
compares the two takes several seeds of each.

    python tests/peers/train_images.py FOLDER [--width 96 --epochs 24 --seed 0 ...]

FOLDER has the four files of MNIST's form, .gz or not."""
import argparse
import gzip
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import families

TRAINED = 59000  # the last 1,000 are for validation


def idx(folder, name):
    path = os.path.join(folder, name)
    opened = open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz", "rb")
    with opened as file:
        data = file.read()
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape).copy())


class MeanViT(families.ViT):
    """Without a class token: the mean over all patches is classified. Starts as DeiT does."""

    def __init__(self, a):
        super().__init__(28, 1, a.patch, a.layers, a.heads, a.width, 10)
        del self.first
        self.position = nn.Parameter(torch.randn(1, (28 // a.patch) ** 2, a.width) * 0.02)
        for name, p in self.named_parameters():
            if p.dim() == 2 and not name.startswith("embed"):
                nn.init.normal_(p, std=0.02)
            elif name.endswith("bias") and not name.startswith("embed"):
                nn.init.zeros_(p)

    def forward(self, x):
        x = self.embed(families.patches(x, self.patch).flatten(1, 2))
        return self.head(self.norm(self.layers(x + self.position)).mean(1))


def augmented(pictures, pad):
    """Shifted by up to `pad` pixels each way, black where nothing was, and flipped, each picture by itself."""
    count, rows, columns = pictures.shape
    wide = F.pad(pictures, (pad, pad, pad, pad))
    down, right = torch.randint(2 * pad + 1, (2, count, 1))
    across = right + torch.arange(columns)
    across = torch.where(torch.rand(count, 1) < 0.5, across.flip(1), across)
    return wide[torch.arange(count)[:, None, None], (down + torch.arange(rows))[:, :, None], across[:, None, :]]


def optimiser_of(model, a):
    decayed = [p for n, p in model.named_parameters() if p.dim() == 2]
    others = [p for n, p in model.named_parameters() if p.dim() != 2]
    return torch.optim.AdamW([dict(params=decayed, weight_decay=0.05), dict(params=others, weight_decay=0)], lr=a.lr,
                             betas=(0.9, a.beta2))


def rate(step, steps, peak):
    warm = steps // 20
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2)


def measure(model, pictures, labels):
    with torch.no_grad():
        logits = torch.cat([model(x) for x in pictures.split(1000)])
    return F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    for name, default in dict(layers=4, heads=6, width=96, patch=4, batch=64, pad=2, seed=0).items():
        p.add_argument("--" + name, type=int, default=default)
    for name, default in dict(epochs=24, lr=2e-3, beta2=0.999).items():
        p.add_argument("--" + name, type=float, default=default)
    a = p.parse_args()
    torch.manual_seed(a.seed)
    images, labels = idx(a.folder, "train-images-idx3-ubyte")[:TRAINED], idx(a.folder, "train-labels-idx1-ubyte")
    mean, deviation = images.float().div(255).mean(), images.float().div(255).std()
    scaled = lambda x: ((x.float() / 255 - mean) / deviation)[..., None]
    model, steps = MeanViT(a), round(a.epochs * TRAINED / a.batch)
    optimiser, began = optimiser_of(model, a), time.time()
    for step in range(steps):
        if step % (TRAINED // a.batch) == 0:
            order = torch.randperm(TRAINED)
        chosen = order[step % (TRAINED // a.batch) * a.batch:][:a.batch]
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, a.lr)
        loss = F.cross_entropy(model(scaled(augmented(images[chosen], a.pad))), labels[chosen].long())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % 500 == 0:
            print("step %d of %d, %.0f s: %.3f nats" % (step + 1, steps, time.time() - began, loss.item()), flush=True)
    tests = scaled(idx(a.folder, "t10k-images-idx3-ubyte")), idx(a.folder, "t10k-labels-idx1-ubyte").long()
    print("seed %d, %d parameters, %.0f s: test loss %.4f, top-1 %.2f%%" % (
        a.seed, sum(p.numel() for p in model.parameters()), time.time() - began,
        *(x * y for x, y in zip(measure(model, *tests), (1, 100)))))


if __name__ == "__main__":
    main()
