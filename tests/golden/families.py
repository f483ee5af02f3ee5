#!/usr/bin/env python3
"""Writes families.json: what PyTorch, in double precision, makes of models of all families, for test_families.c. Run
it where PyTorch is installed, after changing a case:  python3 tests/golden/families.py

Each case: what a pass is given; which keys were sampled, from a second implementation of the draw; logits at a few
positions, all losses; and of the gradient of 0.25 * (sum of losses), by parameter, its norm, what it is along a
direction, and a few elements. Parameters are made by name: parameter() below, golden_named_parameters() in C.
"""
import math

import torch
import torch.nn.functional as F

from make import M32, attend, digits, rope, value, write
from sample import shuffle

PIXELS, INPUT, RMS, GRAD_SCALE = 1000, 1001, 1, 0.25
GELU, GELU_TANH, SILU, QUICK_GELU, RELU, ELU = 1, 2, 3, 4, 5, 6


def number(name):
    """A parameter's first argument of value(): FNV-1a of its name."""
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & M32
    return h


def parameter(name, shape, scale):
    """Gains within 1 +- 0.2, biases within +-0.1, all else within +-scale; rounded to float."""
    base, s = (1, 0.2) if name.endswith(".gain") else (0, 0.1) if name.endswith(".bias") else (0, scale)
    x = torch.tensor([base + s * value(number(name), e) for e in range(math.prod(shape))])
    return x.float().double().reshape(shape).requires_grad_()


# ---- names and shapes ----

def of_norm(name, C, bias=True):
    return {name + ".gain": (C,)} | ({name + ".bias": (C,)} if bias else {})


def of_linear(name, out, into, bias=True):
    return {name + ".weight": (out, into)} | ({name + ".bias": (out,)} if bias else {})


def of_layer(p, C, qkv, up, hidden, norm_bias=True, bias=True):
    return (of_norm(p + "norm1", C, norm_bias) | of_norm(p + "norm2", C, norm_bias) |
            of_linear(p + "qkv", qkv, C, bias) | of_linear(p + "proj", C, C, bias) |
            of_linear(p + "up", up, C, bias) | of_linear(p + "down", C, hidden, bias))


def of_layers(c, norm_bias=True, bias=True):
    C, H, E = c["width"], c["heads"], c["width"] // c["heads"]
    D, G, hidden = c.get("key_width", E), c.get("kv_heads", H), c["hidden"]
    out = {}
    for l in range(c["layers"]):
        up = (1 + c.get("gated", 0)) * hidden
        out |= of_layer(f"layer.{l}.", C, H * D + G * (D + E), up, hidden, norm_bias, bias)
    return out


def gpt_shapes(c):
    C, V = c["width"], c["vocabulary"]
    return {"embed.weight": (V, C), "head.weight": (V, C)} | of_layers(c, False, False) | of_norm("norm", C, False)


def vit_shapes(c):
    C, P, token = c["width"], c["patch"], not c.get("mean_pool")
    positions = c["rows"] // P * (c["columns"] // P) + token
    return (of_linear("patch", C, c["channels"] * P * P) | {"position.weight": (positions, C)} |
            ({"class.weight": (C,)} if token else {}) | of_layers(c) | of_norm("norm", C) |
            of_linear("head", c["classes"], C))


def pixels_shapes(c):
    C = c["width"]
    tables = {"embed": c["values"], "row": c["rows"], "column": c["columns"], "head": c["values"]}
    tables |= {"channel": c["channels"]} if c["channels"] > 1 else {}
    tables |= {"label": c["classes"]} if c.get("classes") else {}
    return ({t + ".weight": (n, C) for t, n in tables.items()} | {"start": (C,)} | of_layers(c) | of_norm("norm", C))


def bands(c):
    """Of words: where each band begins and ends, and how wide its table is."""
    ends = [*c.get("cutoffs", []), c["vocabulary"]]
    return [(a, b, c["width"] // c.get("factor", 4) ** i) for i, (a, b) in enumerate(zip([0, *ends], ends))]


def words_shapes(c):
    C, out = c["width"], of_layers(c)
    for b, (begin, end, width) in enumerate(bands(c)):
        out |= {f"embed.{b}.weight": (end - begin, width), f"embed.{b}.proj.weight": (C, width)}
    return out | ({"tails.weight": (len(c["cutoffs"]), C)} if c.get("cutoffs") else {})


class Layer:
    """Of a Swin: its grid, its heads, and its windows."""

    def __init__(self, c, stage, at):
        self.rows, self.columns = (c[side] // c["patch"] >> stage for side in ("rows", "columns"))
        self.width, self.heads = c["width"] << stage, c["heads"][stage]
        self.hidden = round(c["hidden_ratio"] * self.width)
        least = min(self.rows, self.columns)
        self.window = min(c["window"], least)
        self.shift = c["window"] // 2 if at % 2 and least > c["window"] else 0
        self.area, self.count = self.window ** 2, self.rows * self.columns
        self.windows = self.count // self.area
        self.merges = at + 1 == c["layers"][stage] and stage + 1 < len(c["layers"])


def swin_layers(c):
    return [Layer(c, stage, at) for stage, count in enumerate(c["layers"]) for at in range(count)]


def swin_shapes(c):
    C, merge = c["width"], 0
    out = of_linear("patch", C, c["channels"] * c["patch"] ** 2) | of_norm("patch.norm", C)
    for l, s in enumerate(swin_layers(c)):
        C = s.width
        out |= of_layer(f"layer.{l}.", C, 3 * C, s.hidden, s.hidden)
        out[f"layer.{l}.relative.weight"] = (2 * s.window - 1) ** 2, s.heads
        if s.merges:
            out |= of_norm(f"merge.{merge}.norm", 4 * C) | of_linear(f"merge.{merge}", 2 * C, 4 * C, bias=False)
            merge += 1
    return out | of_norm("norm", C) | of_linear("head", c["classes"], C)


ALL, SAMPLED, FIXED = 0, 1, 2 # edge_mode


def egt_shapes(c):
    C, D, H, v = c["width"], c["edge_width"], c["heads"], c.get("virtual_nodes", 0)
    inner, edge_inner = (round(c.get(ratio, 1) * w) for ratio, w in (("hidden_ratio", C), ("edge_hidden_ratio", D)))
    out = {"node.weight": (1 + c["node_ids"] * c["node_values"], C), "hop.weight": (c["hops"] + 1, D)}
    out |= {"edge.weight": (1 + c["edge_ids"] * c["edge_values"], D)} if c.get("edge_ids") else {}
    out |= of_linear("encoding", C, c["encodings"]) if c.get("encodings") else {}
    out |= {"virtual.weight": (v, C), "virtual_edge.weight": (v, D)} if v else {}
    for l in range(c["layers"]):
        p = f"layer.{l}."
        out |= of_layer(p, C, 3 * C, inner, inner)
        out |= of_norm(p + "edge.norm1", D) | of_linear(p + "edge.pair", 2 * H, D)
        if c.get("edge_mode", ALL) != FIXED and l + 1 < c["layers"]:
            out |= of_linear(p + "edge.proj", D, H) | of_norm(p + "edge.norm2", D)
            out |= of_linear(p + "edge.up", edge_inner, D) | of_linear(p + "edge.down", D, edge_inner)
    widths = [max(v, 1) * C] + [C] * (c.get("head_layers", 3) - 1) + [c["targets"]]
    for i in range(len(widths) - 1):
        out |= of_linear(f"head.{i}", widths[i + 1], widths[i])
    return out | of_norm("norm", C)


# ---- models ----

def norm(p, name, x, rms=False, eps=1e-5):
    if rms:
        return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * p[name + ".gain"]
    return F.layer_norm(x, x.shape[-1:], p[name + ".gain"], p[name + ".bias"], eps)


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p.get(name + ".bias"))


ACTIVATIONS = {GELU: F.gelu, GELU_TANH: lambda x: F.gelu(x, approximate="tanh"), SILU: F.silu,
               QUICK_GELU: lambda x: x * torch.sigmoid(1.702 * x), RELU: F.relu, ELU: F.elu}


def layer(c, p, l, x, see, activation, rms=False, rotary=False, eps=1e-5):
    B, N, C = x.shape
    H, E = c["heads"], C // c["heads"]
    D, G, n = c.get("key_width", E), c.get("kv_heads", H), f"layer.{l}."
    qkv = linear(p, n + "qkv", norm(p, n + "norm1", x, rms, eps)).split([H * D, G * D, G * E], -1)
    q, k, v = (t.reshape(B, N, heads, -1).transpose(1, 2) for t, heads in zip(qkv, (H, G, G)))
    if rotary:
        q, k = rope(q), rope(k)
    k, v = (t.repeat_interleave(H // G, 1) for t in (k, v))
    x = x + linear(p, n + "proj", attend(q, k, v, see).transpose(1, 2).reshape(B, N, C))
    up = linear(p, n + "up", norm(p, n + "norm2", x, rms, eps))
    if c.get("gated"):
        gate, up = up.chunk(2, -1)
        return x + linear(p, n + "down", ACTIVATIONS[activation](gate) * up)
    return x + linear(p, n + "down", ACTIVATIONS[activation](up))


def gpt(c, p, given, see):
    x = p["embed.weight"][given["tokens"]]
    for l in range(c["layers"]):
        x = layer(c, p, l, x, see[l], SILU, rms=True, rotary=True)
    return linear(p, "head", norm(p, "norm", x, rms=True))


def words(c, p, given, see):
    N, C = c["length"], c["width"]
    tables = [p[f"embed.{b}.weight"] for b in range(len(bands(c)))]
    projections = [p[f"embed.{b}.proj.weight"] for b in range(len(bands(c)))]
    rows = torch.cat([E @ P.T for E, P in zip(tables, projections)])  # of all words
    frequencies = torch.exp(-math.log(10000) * torch.arange(C // 2).double() / (C // 2 - 1))
    angles = torch.arange(2, N + 2)[:, None] * frequencies
    x = math.sqrt(C) * rows[given["tokens"]] + torch.cat([angles.sin(), angles.cos()], -1)
    for l in range(c["layers"]):
        x = layer(c, p, l, x, see[l], c.get("activation", RELU))
    first = tables[0].shape[0]
    head = F.linear(x, torch.cat([tables[0], p["tails.weight"]]) if len(tables) > 1 else tables[0]).log_softmax(-1)
    tails = [head[..., first + b:first + b + 1] + ((x @ P) @ E.T).log_softmax(-1)
             for b, (E, P) in enumerate(zip(tables[1:], projections[1:]))]
    return torch.cat([head[..., :first], *tails], -1)


def patches(c, p, given):
    images = given["pixels"].permute(0, 3, 1, 2)
    w = p["patch.weight"].reshape(c["width"], c["channels"], c["patch"], c["patch"])
    return F.conv2d(images, w, p["patch.bias"], stride=c["patch"]).flatten(2).transpose(1, 2)


def vit(c, p, given, see):
    x = patches(c, p, given)
    if not c.get("mean_pool"):
        x = torch.cat([p["class.weight"].expand(x.shape[0], 1, -1), x], 1)
    x = x + p["position.weight"]
    for l in range(c["layers"]):
        x = layer(c, p, l, x, see[l], GELU, eps=1e-6)
    x = norm(p, "norm", x, eps=1e-6)
    return linear(p, "head", x.mean(1, keepdim=True) if c.get("mean_pool") else x[:, :1])


def places(s):
    """Of each position of a grid: its window, its row and column there, and, where the grid was shifted, from which
    part of it it came: what came around the edge sees none but its like."""
    out = []
    for n in range(s.count):
        row, column = divmod(n, s.columns)
        u, v = (row - s.shift) % s.rows, (column - s.shift) % s.columns
        out.append((u // s.window * (s.columns // s.window) + v // s.window, u % s.window, v % s.window,
                    2 * (row < s.shift) + (column < s.shift)))
    return out


def window_pairs(s, keys, examples):
    """Which pairs of positions of a grid see each other, [examples, 1, n, n], and what row of the table of biases is
    theirs. There are no windows here, only positions that are in the same one."""
    at = places(s)
    see = torch.zeros(examples, 1, s.count, s.count, dtype=torch.bool)
    row = torch.zeros(s.count, s.count, dtype=torch.long)
    for i, (window, u, v, part) in enumerate(at):
        for j, (w, x, y, q) in enumerate(at):
            if (w, q) != (window, part):
                continue
            row[i, j] = (u - x + s.window - 1) * (2 * s.window - 1) + v - y + s.window - 1
            for b in range(examples):
                drawn = keys and keys[b * s.windows + window if len(keys) > 1 else 0][u * s.window + v]
                see[b, 0, i, j] = not keys or x * s.window + y in drawn
    return see, row


def merge_cells(p, m, s, x):
    cells = x.reshape(x.shape[0], s.rows // 2, 2, s.columns // 2, 2, -1)
    cells = torch.cat([cells[:, :, a, :, b] for a, b in ((0, 0), (1, 0), (0, 1), (1, 1))], -1).flatten(1, 2)
    return linear(p, f"merge.{m}", norm(p, f"merge.{m}.norm", cells))


def swin(c, p, given, keys):
    x, merges = norm(p, "patch.norm", patches(c, p, given)), 0
    B = x.shape[0]
    for l, s in enumerate(swin_layers(c)):
        n = f"layer.{l}."
        see, row = window_pairs(s, keys and keys[l], B if keys and len(keys[l]) > 1 else 1)
        qkv = linear(p, n + "qkv", norm(p, n + "norm1", x)).reshape(B, s.count, 3, s.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + p[n + "relative.weight"][row].permute(2, 0, 1)
        seen = scores.masked_fill(~see, -math.inf).softmax(-1) @ v
        x = x + linear(p, n + "proj", seen.transpose(1, 2).reshape(x.shape))
        x = x + linear(p, n + "down", F.gelu(linear(p, n + "up", norm(p, n + "norm2", x))))
        if s.merges:
            x = merge_cells(p, merges, s, x)
            merges += 1
    return linear(p, "head", norm(p, "norm", x).mean(1, keepdim=True))


def pixels(c, p, given, see):
    tokens = given["tokens"]
    t = torch.arange(tokens.shape[1])
    place = t // c["channels"]
    e = p["embed.weight"][tokens] + p["row.weight"][place // c["columns"]] + p["column.weight"][place % c["columns"]]
    if c["channels"] > 1:
        e = e + p["channel.weight"][t % c["channels"]]
    start = p["start"].expand(tokens.shape[0], 1, -1)
    if "labels" in given:
        start = start + p["label.weight"][given["labels"]][:, None]
    x = torch.cat([start, e[:, :-1]], 1)
    for l in range(c["layers"]):
        x = layer(c, p, l, x, see[l], c.get("activation", QUICK_GELU))
    return linear(p, "head", norm(p, "norm", x, eps=1e-6))


def embed_graph(c, p, given):
    """Nodes behind virtual ones, and edges behind theirs; id 0 takes no row."""
    def rows(table, ids):
        return (p[table][ids] * (ids > 0)[..., None]).sum(-2)

    h, e = rows("node.weight", given["nodes"]), p["hop.weight"][given["hops"]]
    if "encodings" in given:
        h = h + linear(p, "encoding", given["encodings"])
    if "edges" in given:
        e = e + rows("edge.weight", given["edges"])
    if not c.get("virtual_nodes"):
        return h, e
    B, n = h.shape[:2]
    ends, v = p["virtual_edge.weight"], c["virtual_nodes"]
    corner = (ends[:, None] + ends[None]) / 2
    top = torch.cat([corner, ends[:, None].expand(-1, n, -1)], 1).expand(B, -1, -1, -1)
    left = ends[None, None].expand(B, n, -1, -1)
    return torch.cat([p["virtual.weight"].expand(B, -1, -1), h], 1), torch.cat([top, torch.cat([left, e], 2)], 1)


def edge_attention(c, p, n, h, e, see):
    """What nodes get of a layer's attention, and its scores; see [B, N, N]."""
    B, N, C = h.shape
    H, v = c["heads"], c.get("virtual_nodes", 0)
    q, k, u = linear(p, n + "qkv", norm(p, n + "norm1", h)).reshape(B, N, 3, H, -1).permute(2, 0, 3, 1, 4)
    E, G = linear(p, n + "edge.pair", norm(p, n + "edge.norm1", e)).permute(0, 3, 1, 2).chunk(2, 1)
    a, clip = q @ k.transpose(-1, -2) / math.sqrt(C // H), c.get("clip", 5)
    scores = (a if clip < 0 else a.clamp(-clip, clip)) + E
    see = see[:, None]
    weights = torch.nan_to_num(scores.masked_fill(~see, -math.inf).softmax(-1)) # of a row that sees nothing 0
    gates = torch.sigmoid(G) * see
    degrees = gates.sum(-1, keepdim=True)
    if c.get("scale_degrees"): # rows that see anything, as many as the sequence is long, see equally many
        seen = see.sum(-1, keepdim=True)
        degrees = degrees * (seen > 0).sum(2, keepdim=True) / seen.amax(2, keepdim=True)
    z = torch.log1p(degrees)
    z = torch.cat([torch.ones_like(z[:, :, :v]), z[:, :, v:]], 2)
    return ((weights * gates) @ u * z).transpose(1, 2).reshape(B, N, C), scores.permute(0, 2, 3, 1)


def egt(c, p, given, see):
    act, mode = ACTIVATIONS[c.get("activation", ELU)], c.get("edge_mode", ALL)
    h, e = embed_graph(c, p, given)
    for l in range(c["layers"]):
        n = f"layer.{l}."
        seen, scores = edge_attention(c, p, n, h, e, see[l])
        h = h + linear(p, n + "proj", seen)
        h = h + linear(p, n + "down", act(linear(p, n + "up", norm(p, n + "norm2", h))))
        if mode != FIXED and l + 1 < c["layers"]:
            new = e + linear(p, n + "edge.proj", scores)
            new = new + linear(p, n + "edge.down", act(linear(p, n + "edge.up", norm(p, n + "edge.norm2", new))))
            e = new if mode == ALL else torch.where(see[l][..., None], new, e)
    h, v = norm(p, "norm", h), c.get("virtual_nodes", 0)
    if v:
        x = h[:, :v].flatten(1)
    else:
        real = torch.arange(h.shape[1])[None] < given["lengths"][:, None]
        x = (h * real[..., None]).sum(1) / real.sum(1, keepdim=True)
    for i in range(c.get("head_layers", 3)):
        x = linear(p, f"head.{i}", act(x) if i else x)
    return x[..., None]


# ---- sampling ----

def visible(how, layer, example, N):
    """The keys of each query, before causality."""
    local = how["kind"] == "local"
    sigma = how["sigma"] * how["keys"] / 2 if local else -1
    order = shuffle(N, sigma, how["seed"], how["step"], layer, example)
    if local:  # slices of half as many keys; a query sees its own, and the one before
        s = how["keys"] // 2
        sets = [order[max(0, i // s - 1) * s: (i // s + 1) * s] for i in range(N)]
    else:
        keep = [0] if how.get("keep_first") else []
        sets = [keep + [i for i in order if i not in keep][:how["keys"]]] * N
    return [sorted(set(keys) | ({i} if how.get("own_key") else set())) for i, keys in enumerate(sets)]


def sees(keys, layers, N, causal):
    """Of each layer which pairs there are, [examples, 1, N, N]."""
    before = torch.ones(N, N, dtype=torch.bool).tril() if causal else torch.ones(N, N, dtype=torch.bool)
    if not keys:
        return [before] * layers
    see = torch.zeros(layers, len(keys[0]), 1, N, N, dtype=torch.bool)
    for l, of_layer in enumerate(keys):
        for e, of_example in enumerate(of_layer):
            for i, seen in enumerate(of_example):
                see[l, e, 0, i, seen] = True
    return list(see & before)


def graph_keys(c, lengths, N, how, layer):
    """Of a layer the keys of each query: the virtual nodes' and those of the share of a graph's that is drawn, or all;
    or, where padding is seen, of each kind of query its own."""
    v, out = c.get("virtual_nodes", 0), []
    for e, length in enumerate(lengths):
        virtual, real, all_of_it = list(range(v)), list(range(v, length)), list(range(N))
        if c.get("virtual_see_padding"):
            out.append([all_of_it if i < v else virtual + real if i < length else virtual for i in range(N)])
            continue
        if how:
            order = shuffle(N, -1, how["seed"], how["step"], layer, e)
            real = [i for i in order if v <= i < length][:math.ceil(how["ratio"] * len(real))]
        out.append([sorted(virtual + real) if i < length else [] for i in range(N)])
    return out


# ---- cases ----

LLAMA = dict(layers=2, heads=4, kv_heads=2, width=32, hidden=40, vocabulary=13, length=12, norm=RMS, gated=1, untied=1,
             no_bias=1)
VIT = dict(rows=8, columns=12, channels=3, patch=4, layers=2, heads=4, width=32, hidden=48, classes=7)
MEAN = dict(VIT, mean_pool=1)
SWIN = dict(rows=16, columns=24, channels=2, patch=2, width=8, layers=[2, 2], heads=[2, 1], window=2,
            hidden_ratio=1.5, classes=5)
FOUR = dict(SWIN, rows=16, columns=16, channels=3, heads=[2, 2], window=4, hidden_ratio=2)
COLOURS = dict(rows=3, columns=4, channels=3, values=11, layers=2, heads=4, key_width=4, width=48, hidden=40)
GREY = dict(rows=6, columns=5, channels=1, values=9, classes=3, layers=2, heads=4, width=32, hidden=40)
GELU_GREY = dict(GREY, activation=GELU)
WORDS = dict(vocabulary=29, length=12, layers=2, heads=2, width=32, hidden=40, cutoffs=[6, 8, 20], factor=2)
FULL = dict(vocabulary=11, length=12, layers=2, heads=4, width=16, hidden=24, activation=ELU)
UNBIASED = dict(kind="unbiased", keys=3, own_key=1, seed=7, step=3)
EACH_WINDOW = dict(UNBIASED, keys=5, per_example=1)
TOKEN = dict(kind="unbiased", keys=3, keep_first=1, per_example=1, seed=7, step=3)
LOOK_BACK = dict(kind="local", keys=4, sigma=1, own_key=1, seed=7, step=3)
LOCAL = dict(kind="local", keys=12, sigma=0.75, own_key=1, seed=7, step=3)
GRAPHS = dict(nodes=9, node_ids=2, node_values=4, edge_ids=2, edge_values=3, hops=4, encodings=6, layers=3, heads=2,
              width=24, edge_width=6, virtual_nodes=2, hidden_ratio=1.5, edge_hidden_ratio=2, targets=2, clip=0.3)
CELLS, SIMPLE = dict(GRAPHS, edge_mode=SAMPLED), dict(GRAPHS, edge_mode=FIXED, loss=1)
PLAIN = dict(nodes=11, node_ids=1, node_values=5, hops=3, layers=2, heads=4, width=16, edge_width=8, targets=1,
             head_layers=1, activation=GELU, clip=-1)
HALF = dict(kind="unbiased", ratio=0.5, per_example=1, seed=7, step=3)
THIRD = dict(HALF, ratio=0.3)
CASES = {
    "gpt, as Llama": ("gpt", LLAMA, {}),
    "gpt, as Llama, sampled": ("gpt", LLAMA, dict(sample=UNBIASED)),
    "vit, class token": ("vit", VIT, dict(smoothing=0.1)),
    "vit, class token, soft targets, sampled": ("vit", VIT, dict(soft=1, sample=TOKEN)),
    "vit, mean": ("vit", MEAN, dict(soft=1)),
    "vit, mean, sampled": ("vit", MEAN, dict(sample=UNBIASED)),
    "swin": ("swin", SWIN, dict(smoothing=0.1)),
    "swin, soft targets, sampled": ("swin", FOUR, dict(soft=1, sample=UNBIASED)),
    "swin, each window sampled": ("swin", FOUR, dict(sample=EACH_WINDOW)),
    "pixels, colours": ("pixels", COLOURS, {}),
    "pixels, colours, sampled": ("pixels", COLOURS, dict(sample=LOCAL)),
    "pixels, grey, labels, GELU": ("pixels", GELU_GREY, {}),
    "words": ("words", WORDS, {}),
    "words, sampled": ("words", WORDS, dict(sample=LOOK_BACK)),
    "words, one band, ELU": ("words", FULL, {}),
    "egt": ("egt", GRAPHS, {}),
    "egt, sampled": ("egt", GRAPHS, dict(sample=HALF)),
    "egt, cells": ("egt", CELLS, {}),
    "egt, cells, sampled": ("egt", CELLS, dict(sample=THIRD)),
    "egt, fixed edges": ("egt", SIMPLE, {}),
    "egt, fixed edges, sampled": ("egt", SIMPLE, dict(sample=HALF)),
    "egt, degrees scaled, sampled": ("egt", dict(GRAPHS, scale_degrees=1), dict(sample=THIRD)),
    "egt, padding seen": ("egt", dict(GRAPHS, virtual_see_padding=1), {}),
    "egt, as TGT's": ("egt", PLAIN, {}),
    "egt, as TGT's, sampled": ("egt", PLAIN, dict(sample=HALF)),
}
FAMILIES = {"gpt": (gpt, gpt_shapes), "vit": (vit, vit_shapes), "swin": (swin, swin_shapes),
            "pixels": (pixels, pixels_shapes), "words": (words, words_shapes), "egt": (egt, egt_shapes)}
OF_IMAGES = "vit", "swin" # and of their classes


def whole(first, count, below):
    """Numbers in [0, below)."""
    return [int((value(INPUT, first + i) + 1) / 2 * below) for i in range(count)]


def images_of(c, batch):
    shape = batch, c["rows"], c["columns"], c["channels"]
    return torch.tensor([value(PIXELS, i) for i in range(math.prod(shape))]).float().double().reshape(shape)


def given_to(family, c, batch, N, soft):
    """What a pass is given, as lists; pixels are made by both sides."""
    if family in OF_IMAGES:
        weights = torch.tensor([value(INPUT, i) + 1 for i in range(batch * c["classes"])]).reshape(batch, -1)
        weights = (weights / weights.sum(-1, keepdim=True)).float().flatten().tolist()
        return {"soft_targets": weights} if soft else {"targets": [c["classes"] - 1, 2, -1, 0][:batch]}
    tokens = whole(0, batch * N, c.get("vocabulary", c.get("values")))
    targets = tokens[:] if family == "pixels" else whole(batch * N, batch * N, c["vocabulary"])
    targets[N + 3] = -1
    given = {"tokens": tokens, "targets": targets}
    return given | {"labels": whole(5000, batch, c["classes"])} if c.get("classes") else given


GRAPH_LENGTHS = 7, 3, 9 # nodes of each graph of a batch; with virtual ones its lengths


def graphs_given(c):
    """A batch of graphs, the last as long as a pass of it; padding is 0, one of its values is to be ignored."""
    B, n, v, at = len(GRAPH_LENGTHS), max(GRAPH_LENGTHS), c.get("virtual_nodes", 0), 0
    given = {"lengths": [v + r for r in GRAPH_LENGTHS]}
    for name, each, below in (("nodes", c["node_ids"], 1 + c["node_ids"] * c["node_values"]), ("hops", 0, c["hops"] + 1),
                              ("edges", c.get("edge_ids"), 1 + c.get("edge_ids", 0) * c.get("edge_values", 0))):
        if each is None:
            continue
        count = B * n * max(each, 1) * (1 if name == "nodes" else n)
        x = torch.tensor(whole(at, count, below)).reshape([B, n] + ([] if name == "nodes" else [n]) + [-1] * (each > 0))
        at += count
        for b, r in enumerate(GRAPH_LENGTHS):
            x[b, r:] = 0
            if name != "nodes":
                x[b, :, r:] = 0
        given[name] = x.flatten().tolist()
    if c.get("encodings"):
        x = torch.tensor([value(INPUT, 3000 + i) for i in range(B * n * c["encodings"])]).float().reshape(B, n, -1)
        for b, r in enumerate(GRAPH_LENGTHS):
            x[b, r:] = 0
        given["encodings"] = x.flatten().tolist()
    values = torch.tensor([value(INPUT, 4000 + i) for i in range(B * c["targets"])]).float().tolist()
    return given | {"values": values[:-1] + [None]} # JSON has no NaN


def graph_tensors(c, given):
    B, n = len(GRAPH_LENGTHS), max(GRAPH_LENGTHS)
    shape = {"lengths": (B,), "nodes": (B, n, -1), "encodings": (B, n, -1), "edges": (B, n, n, -1), "hops": (B, n, n)}
    return {k: torch.tensor(given[k]).reshape(shape[k]) for k in shape if k in given}


def losses_of(logits, given, smoothing, squares=False):
    flat = logits.flatten(0, 1)
    if "values" in given: # of which a loss that is ignored has no gradient
        target = torch.tensor([math.nan if v is None else v for v in given["values"]])
        d = torch.where(target.isnan(), torch.zeros_like(target), flat[:, 0] - target)
        return d ** 2 if squares else d.abs()
    if "soft_targets" in given:
        return -(torch.tensor(given["soft_targets"]).reshape(flat.shape) * flat.log_softmax(-1)).sum(-1)
    return F.cross_entropy(flat, torch.tensor(given["targets"]), reduction="none", ignore_index=-1,
                           label_smoothing=smoothing)


def gradient(name, g):
    g = g.flatten()
    n = len(g)
    direction = torch.tensor([value(number(name) + 1 & M32, e) for e in range(n)])
    return {"norm": digits(g.norm())[0], "along": digits(g @ direction)[0],
            "elements": digits(torch.stack([g[i * (n - 1) // 7] for i in range(8)]))}


def answers(c, given, smoothing, logits, gradients):
    """Ends a case: logits at some positions of each sequence, losses, and gradients, which gradients() names."""
    positions = sorted({0, 1, logits.shape[1] // 2, logits.shape[1] - 1} & set(range(logits.shape[1])))
    losses = losses_of(logits, given, smoothing, c.get("loss"))
    (losses.sum() * GRAD_SCALE).backward()
    return {"positions": positions, "logits": digits(logits[:, positions]), "losses": digits(losses),
            "gradients": {name: gradient(name, g) for name, g in gradients().items()}}


def graphs_case(c, p, scale, sample):
    given, N = graphs_given(c), max(GRAPH_LENGTHS) + c.get("virtual_nodes", 0)
    keys = [graph_keys(c, given["lengths"], N, sample, l) for l in range(c["layers"])]
    see = [s[:, 0] for s in sees(keys, c["layers"], N, False)]
    values = egt(c, p, graph_tensors(c, given), see)
    return {"family": "egt", "config": c, "batch": len(GRAPH_LENGTHS), "length": N, "scale": scale, "pass": given,
            "sample": sample, "keys": keys if sample else None} | answers(
                c, given, 0, values, lambda: {name: x.grad for name, x in p.items()})


def case(family, c, soft=0, smoothing=0.0, sample=None):
    forward, shapes = FAMILIES[family]
    batch, scale = (2 if family == "swin" else 4) if family in OF_IMAGES else 2, 0.3
    p = {name: parameter(name, shape, scale) for name, shape in shapes(c).items()}
    if family == "egt":
        return graphs_case(c, p, scale, sample)
    N = {"gpt": lambda: c["length"], "words": lambda: c["length"], "vit": lambda: p["position.weight"].shape[0],
         "swin": lambda: 0, "pixels": lambda: c["rows"] * c["columns"] * c["channels"]}[family]()
    of_layers = [(s.area, s.windows) for s in swin_layers(c)] if family == "swin" else [(N, 1)] * c["layers"]
    given = given_to(family, c, batch, N, soft)
    tensors = {k: torch.tensor(v).reshape(batch, -1) if k == "tokens" else torch.tensor(v) for k, v in given.items()}
    if family in OF_IMAGES:
        tensors["pixels"] = images_of(c, batch)
    each = sample and sample.get("per_example")
    keys = sample and [[visible(sample, l, e, length) for e in range(batch * sequences if each else 1)]
                       for l, (length, sequences) in enumerate(of_layers)]
    logits = forward(c, p, tensors, keys if family == "swin" else sees(keys, len(of_layers), N, family != "vit"))
    return {"family": family, "config": c, "batch": batch, "scale": scale, "smoothing": smoothing, "pass": given,
            "sample": sample, "keys": keys} | answers(c, given, smoothing, logits,
                                                      lambda: {name: x.grad for name, x in p.items()})


if __name__ == "__main__":
    write("families.json", {name: case(family, c, **more) for name, (family, c, more) in CASES.items()})
