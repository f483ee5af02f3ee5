"""The word model of families.py trained on WikiText's three files (words.py) as ssacl-text trains it: AdamW of betas
0.9 and 0.95, matrices decayed, gradients clipped at 1, a warm-up of a twentieth and a cosine down to a tenth; windows
from anywhere. Prints the perplexity of validation, and at the end of the test, every word predicted once.

    python tests/peers/train_words.py FOLDER --steps 4000 --dropout 0.2
    ssacl-text train --family words --data FOLDER --cutoffs 2000,6000 --dropout 0.2 --steps 4000 --batch 8 --lr 1e-3
"""
import argparse
import json
import math
import time

import numpy as np
import torch

import families
import words


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--log", help="a JSON object for each evaluation, a line each")
    parser.add_argument("--cutoffs", default="2000,6000")
    for name, value in dict(layers=4, heads=4, width=256, length=256, keys=0, batch=8, steps=4000, eval_every=500,
                            seed=1, threads=0, dropout=0.2, attention_dropout=0.0, activation_dropout=0.0, head_dropout=0.0,
                            lr=1e-3, decay=0.1, clip=1.0, context=0).items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value, help="default %s" % value)
    return parser.parse_args()


def rate(step, a):
    """Of a step from 0 on."""
    warm = max(1, a.steps // 20)
    if step < warm:
        return a.lr * (step + 1) / warm
    return a.lr * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - warm) / max(1, a.steps - warm))) / 2)


def measure(model, row, length, context):
    """Nats a word: of windows of `length` the first `context` are read alone, but of the first."""
    total, count, start, known = 0.0, 0, 0, 0
    model.eval()
    with torch.no_grad():
        while known < len(row) - 1:
            window = row[start:start + length + 1]
            new = len(window) - 1 - (known - start)
            x, y = window[None, :-1], window[None, 1:].clone()
            total += float(model.losses(x, y))
            if new < len(window) - 1:  # what is counted already
                y = y[:, :-new]
                total -= float(model.losses(x[:, :-new], y))
            known, count = known + new, count + new
            start += length - context
    model.train()
    return total / count


def optimiser(model, a):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [dict(params=matrices, weight_decay=a.decay), dict(params=rest, weight_decay=0)]
    return torch.optim.AdamW(groups, lr=a.lr, betas=(0.9, 0.95), foreach=True)


def main():
    a = arguments()
    torch.manual_seed(a.seed)
    if a.threads:
        torch.set_num_threads(a.threads)
    vocabulary, parts = words.load(a.folder)
    parts = [torch.from_numpy(np.array(p, np.int64)) for p in parts]
    cutoffs = [int(c) for c in a.cutoffs.split(",") if int(c)]
    model = families.Words(words.size(vocabulary), a.length, a.layers, a.heads, a.width, cutoffs, dropout=a.dropout,
                           attention_dropout=a.attention_dropout, activation_dropout=a.activation_dropout,
                           head_dropout=a.head_dropout, keys=a.keys)
    steps, began, log = optimiser(model, a), time.time(), open(a.log, "w", encoding="ascii") if a.log else None

    def tell(step, part):
        loss = measure(model, parts[part], a.length, a.context)
        line = {"step": step, "part": words.PARTS[part], "loss": loss, "perplexity": math.exp(loss),
                "seconds": time.time() - began}
        print("step %d, %.0f s: %s %.4f nats/word (perplexity %.2f)" % (step, line["seconds"], line["part"], loss,
                                                                        line["perplexity"]), flush=True)
        if log:
            log.write(json.dumps(line) + "\n")
            log.flush()

    print("%d parameters, %d words" % (sum(p.numel() for p in model.parameters()), len(parts[0]) - 1), flush=True)
    for step in range(a.steps):
        at = torch.randint(0, len(parts[0]) - a.length, (a.batch, 1)) + torch.arange(a.length + 1)
        batch = parts[0][at]
        for group in steps.param_groups:
            group["lr"] = rate(step, a)
        model.loss(batch[:, :-1], batch[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), a.clip)
        steps.step()
        steps.zero_grad()
        if (step + 1) % a.eval_every == 0 or step + 1 == a.steps:
            tell(step + 1, 1)
    tell(a.steps, 2)


if __name__ == "__main__":
    main()
