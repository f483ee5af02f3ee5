#!/usr/bin/env python3
"""Writes model.json and training.json: what PyTorch, in double precision, makes of the models of test_model.c and
test_train.c. Run it where PyTorch is installed, after changing a case here and there:  python3 tests/golden/make.py

Nothing random is stored: parameters and tokens come from value() below, positions in the data from Philox; both are
integer arithmetic and exist in C as well.
"""
import json
import math
import os

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
M32 = 0xFFFFFFFF


def value(parameter, element):
    """In [-1, 1): the same bits as golden_value() in tests/golden.h."""
    u = (element * 2654435761 + parameter * 2246822519 + 12345) & M32
    u ^= u >> 15
    u = (u * 2246822519) & M32
    u ^= u >> 13
    return u / 2147483648.0 - 1


def philox(key, low, high):
    c = [low & M32, low >> 32, high & M32, high >> 32]
    k0, k1 = key & M32, key >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & M32, (a >> 32) ^ c[3] ^ k1, a & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c


assert philox(0, 0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def shapes(c):
    """Names and shapes; their numbers are those of golden_parameters() in tests/golden.c."""
    C, V, D = c["width"], c["vocabulary"], c["width"] // c["heads"]
    hidden, qkv = c.get("hidden") or 4 * C, (c["heads"] + 2 * (c.get("kv_heads") or c["heads"])) * D
    layer_norm, bias = c["norm"] == "layer", not c.get("no_bias")
    out = [("embed.weight", (V, C))]
    if c["positions"] == "learned":
        out.append(("position.weight", (c["length"], C)))
    for l in range(c["layers"]):
        p = f"layer.{l}."
        out += [(p + "qkv.weight", (qkv, C)), (p + "proj.weight", (C, C)), (p + "up.weight", (hidden, C)),
                (p + "down.weight", (C, hidden))]
    if c.get("untied"):
        out.append(("head.weight", (V, C)))

    def norm(p):
        return [(p + "gain", (C,))] + ([(p + "bias", (C,))] if layer_norm and bias else [])

    for l in range(c["layers"]):
        p = f"layer.{l}."
        out += norm(p + "norm1.") + norm(p + "norm2.")
        if bias:
            out += [(p + "qkv.bias", (qkv,)), (p + "proj.bias", (C,)), (p + "up.bias", (hidden,)), (p + "down.bias", (C,))]
    return out + norm("norm.")


def parameters(c, scale):
    """Matrices within +-scale, gains within 1 +- 0.2, biases within +-0.1; rounded to float as the library holds them."""
    out = {}
    for i, (name, shape) in enumerate(shapes(c)):
        n = math.prod(shape)
        base, s = (0, scale) if len(shape) == 2 else (1, 0.2) if name.endswith("gain") else (0, 0.1)
        x = torch.tensor([base + s * value(i, e) for e in range(n)]).float().double()
        out[name] = x.reshape(shape).requires_grad_()
    return out


def norm(c, p, name, x):
    if c["norm"] == "layer":
        return F.layer_norm(x, x.shape[-1:], p[name + "gain"], p.get(name + "bias"), 1e-5)
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * p[name + "gain"]


def rope(x):
    """x [B, heads, N, D]: pairs (j, j + D/2)."""
    N, D = x.shape[-2:]
    angle = torch.arange(N).double()[:, None] * 10000.0 ** (-2 * torch.arange(D // 2).double() / D)
    a, b = x[..., : D // 2], x[..., D // 2:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


def visible(N, window, causal=True):
    """Which keys a query sees: all, or fixed windows with look-back (slices of window/2, its own and the one before)."""
    i, j = torch.arange(N)[:, None], torch.arange(N)[None]
    see = torch.ones(N, N, dtype=torch.bool)
    if window:
        back = i // (window // 2) - j // (window // 2)
        see = (back == 0) | (back == 1)
    return see & (j <= i) if causal else see


def attend(q, k, v, see):
    """[B, heads, N, .] each; see says by query and key which pairs there are."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~see, -math.inf).softmax(-1) @ v


def forward(c, p, tokens, window):
    B, N = tokens.shape
    H, G, D = c["heads"], c.get("kv_heads") or c["heads"], c["width"] // c["heads"]
    x = p["embed.weight"][tokens]
    if c["positions"] == "learned":
        x = x + p["position.weight"][:N]
    see = visible(N, window, not c.get("bidirectional"))
    for l in range(c["layers"]):
        n = f"layer.{l}."
        qkv = F.linear(norm(c, p, n + "norm1.", x), p[n + "qkv.weight"], p.get(n + "qkv.bias"))
        q, k, v = qkv.split([H * D, G * D, G * D], -1)
        q, k, v = (t.reshape(B, N, -1, D).transpose(1, 2) for t in (q, k, v))
        if c["positions"] == "rotary":
            q, k = rope(q), rope(k)
        k, v = (t.repeat_interleave(H // G, 1) for t in (k, v))
        a = attend(q, k, v, see).transpose(1, 2).reshape(B, N, -1)
        x = x + F.linear(a, p[n + "proj.weight"], p.get(n + "proj.bias"))
        h = F.linear(norm(c, p, n + "norm2.", x), p[n + "up.weight"], p.get(n + "up.bias"))
        h = F.gelu(h, approximate="tanh" if c.get("gelu") == "tanh" else "none")
        x = x + F.linear(h, p[n + "down.weight"], p.get(n + "down.bias"))
    return F.linear(norm(c, p, "norm.", x), p["head.weight" if c.get("untied") else "embed.weight"])


def digits(t):
    return [float(f"{x:.6g}") for x in t.detach().flatten().tolist()]


TINY = dict(layers=2, heads=2, width=16, hidden=24, vocabulary=11, length=8, batch=2)
MODELS = {
    "layer norm, learned, tied": dict(TINY, norm="layer", positions="learned"),
    "rms norm, rotary, untied, grouped, tanh": dict(TINY, norm="rms", positions="rotary", untied=1, kv_heads=1,
                                                    gelu="tanh"),
    "no bias, rotary, windows": dict(TINY, norm="layer", positions="rotary", no_bias=1, window=4),
    "encoder": dict(TINY, norm="layer", positions="learned", bidirectional=1),
}


def model_case(c):
    p = parameters(c, 0.3)
    ids = [int((value(1000, i) + 1) / 2 * c["vocabulary"]) for i in range(c["batch"] * (c["length"] + 1))]
    t = torch.tensor(ids).reshape(c["batch"], -1)
    tokens, targets = t[:, :-1], t[:, 1:].clone()
    targets[1, 3] = -1  # ignored
    logits = forward(c, p, tokens, c.get("window"))
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=-1,
                             label_smoothing=0.1)
    (losses.sum() * 0.25).backward()
    return {"config": c, "logits": digits(logits), "losses": digits(losses),
            "gradients": {n: digits(x.grad) for n, x in p.items()}}


def learning_rate(stage, i):
    if i < stage["warmup"]:
        return stage["lr"] * (i + 1) / stage["warmup"]
    last = stage["steps"] - 1 - stage["warmup"]
    done = (i - stage["warmup"]) / last if last > 0 else 0
    return stage["lr"] / 10 + stage["lr"] * 0.9 * 0.5 * (1 + math.cos(math.pi * done))


def training_case():
    c = dict(layers=2, heads=4, width=32, vocabulary=24, length=16, norm="layer", positions="rotary")
    t = dict(batch=4, seed=7, beta1=0.9, beta2=0.95, eps=1e-8, decay=0.1, clip=1.0, data=400,
             stages=[dict(steps=6, lr=0.01, warmup=2, window=0), dict(steps=4, lr=0.005, warmup=1, window=8)])
    p = parameters(c, 0.08)
    data = [int((value(2000, i) + 1) / 2 * c["vocabulary"]) * (i % 3 > 0) for i in range(t["data"])]
    N = c["length"]
    decayed = [x for x in p.values() if x.dim() == 2]
    rest = [x for x in p.values() if x.dim() == 1]
    opt = torch.optim.AdamW([{"params": decayed, "weight_decay": t["decay"]}, {"params": rest, "weight_decay": 0.0}],
                            betas=(t["beta1"], t["beta2"]), eps=t["eps"])
    losses, norms, step = [], [], 0
    for stage in t["stages"]:
        for i in range(stage["steps"]):
            rows = []
            for example in range(t["batch"]):
                r = philox(t["seed"] ^ 0x64617461, step, example)
                start = (r[1] << 32 | r[0]) % (len(data) - N)
                rows.append(data[start: start + N + 1])
            batch = torch.tensor(rows)
            opt.zero_grad()
            loss = F.cross_entropy(forward(c, p, batch[:, :-1], stage["window"]).flatten(0, 1), batch[:, 1:].flatten())
            loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(p.values(), t["clip"])))
            for g in opt.param_groups:
                g["lr"] = learning_rate(stage, i)
            opt.step()
            losses.append(loss.item())
            step += 1
    return {"config": c, "training": t, "losses": losses, "norms": norms}


def write(name, what):
    with open(os.path.join(HERE, name), "w") as f:
        json.dump(what, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    write("model.json", {name: model_case(c) for name, c in MODELS.items()})
    write("training.json", training_case())
