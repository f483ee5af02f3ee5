#!/usr/bin/env python3
"""Writes egt.safetensors and egt_simple.safetensors, random weights with the names and layouts that the authors of
EGT (egt_pytorch) have for their model of molecules; egt.graphs, molecules for them; and egt.json, what the formulas of
their model, which stand below, make of both in double precision: of all molecules as one batch, in which virtual nodes
see the padding, and of each alone. Run it where torch is, after changing a case:  python3 tests/golden/egt_models.py

Their layouts: column c of lin_QKV's output, of its thirds q, k and v, is of head c mod H, and of dimension c div H; so
are the columns that lin_O_h takes. A mask of 0 stands before rows and columns of virtual nodes.
"""
import importlib.util
import json
import math
import os
import random
import struct

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
CONVERT = os.path.join(HERE, "..", "..", "demos", "graph", "convert.py")
FULL = dict(layers=3, width=12, edge_width=8, heads=3, virtual=2, hops=17, svd=8, inner=18, edge_inner=10, simple=False)
SIMPLE = dict(FULL, layers=2, virtual=0, inner=12, edge_inner=8, simple=True)


# ---- weights ----

def shapes(c):
    """By their names."""
    d, e, h = c["width"], c["edge_width"], c["heads"]
    made = {"nodef_embed.weight": (9 * 128 + 1, d), "svd_embed": (d, 2 * c["svd"]),
            "dist_embed.weight": (c["hops"] + 1, e), "featm_embed.weight": (3 * 8 + 1, e), "final_ln_h": (d,)}
    if c["virtual"]:
        made |= {"vn_layer.vn_node_embeddings": (c["virtual"], d), "vn_layer.vn_edge_embeddings": (c["virtual"], e)}
    for i in range(c["layers"]):
        of = {"mha_ln_h": (d,), "mha_ln_e": (e,), "lin_E": (h, e), "lin_QKV": (3 * d, d), "lin_G": (h, e),
              "lin_O_h": (d, d), "ffn_ln_h": (d,), "lin_W_h_1": (c["inner"], d), "lin_W_h_2": (d, c["inner"])}
        if i < c["layers"] - 1 and not c["simple"]:
            of |= {"lin_O_e": (e, h), "ffn_ln_e": (e,), "lin_W_e_1": (c["edge_inner"], e),
                   "lin_W_e_2": (e, c["edge_inner"])}
        made |= {f"EGT_layers.{i}.{name}": shape for name, shape in of.items()}
    for i, (rows, columns) in enumerate(((d, d * max(c["virtual"], 1)), (d, d), (1, d))):
        made[f"mlp_layers.{i}"] = (rows, columns)
    return made


def weights(c, seed):
    torch.manual_seed(seed)
    made = {}
    for name, shape in shapes(c).items():
        if len(shape) == 1:
            made[name + ".weight"] = 1 + 0.3 * torch.randn(shape)
            made[name + ".bias"] = 0.3 * torch.randn(shape)
        elif name.endswith(".weight") or "embeddings" in name:
            made[name] = torch.randn(shape)
        else:
            bound = (6 if "lin_QKV" in name else 2) / math.sqrt(shape[1])
            made[name + ".weight"] = bound * (2 * torch.rand(shape) - 1)
            made[name + ".bias"] = bound * (2 * torch.rand(shape[0]) - 1)
    for name in "nodef_embed.weight", "featm_embed.weight":
        made[name][0] = 0
    return {name: x.float() for name, x in made.items()}


def save(path, tensors):
    """As the safetensors package does."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        size = 4 * tensors[name].numel()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(tensors[name].contiguous().numpy().tobytes())


# ---- molecules ----

def encodings(atoms, bonds, count):
    """As include/ssacl/graph.h says; None: values that are nearly equal leave it open which these are."""
    a = np.eye(atoms)
    for i, j in bonds:
        a[i, j] = a[j, i] = 1
    values, vectors = np.linalg.eigh(a)
    order = sorted(range(atoms), key=lambda c: -abs(values[c]))
    sizes = [abs(values[c]) for c in order[:count + 1]]
    if any(p - q < 1e-3 for p, q in zip(sizes, sizes[1:])):
        return None
    made = np.zeros((atoms, 2 * count))
    for at, c in enumerate(order[:count]):
        x = vectors[:, c]
        largest = np.sort(abs(x))[::-1]
        if atoms > 1 and largest[0] - largest[1] < 1e-4:
            return None
        u = x * np.sign(x[np.argmax(abs(x))]) * math.sqrt(sizes[at])
        made[:, 2 * at], made[:, 2 * at + 1] = u, u * np.sign(values[c])
    return made


def hops(atoms, bonds, most):
    d = np.full((atoms, atoms), 510)
    for i, j in bonds:
        d[i, j] = d[j, i] = 1
    np.fill_diagonal(d, 0)
    for k in range(atoms):
        d = np.minimum(d, d[:, k:k + 1] + d[k:k + 1])
    return np.minimum(d, most)


def molecule(draw, atoms):
    """A random tree with some rings, of which one in five comes in two parts."""
    while True:
        bonds = {(draw.randrange(i), i) for i in range(1, atoms) if i == 1 or draw.random() < 0.95}
        bonds |= {tuple(sorted(draw.sample(range(atoms), 2))) for _ in range(atoms // 4)}
        bonds = sorted(bonds)
        if encodings(atoms, bonds, 8) is not None:
            break
    limits = (119, 5, 12, 12, 10, 6, 6, 2, 2), (5, 6, 2)
    return {"bonds": bonds, "atoms": [[draw.randrange(v) for v in limits[0]] for _ in range(atoms)],
            "of_bonds": [[draw.randrange(v) for v in limits[1]] for _ in bonds]}


def write_graphs(path, molecules):
    spec = importlib.util.spec_from_file_location("convert", CONVERT)
    convert = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(convert)
    sections = convert.Sections(os.path.dirname(path))
    for i, m in enumerate(molecules):
        ends = struct.pack(f"<{2 * len(m['bonds'])}H", *(x for pair in m["bonds"] for x in pair))
        graph = (len(m["atoms"]), bytes(sum(m["atoms"], [])), ends, bytes(sum(m["of_bonds"], [])), [])
        sections.add((i + 2, i, f"made up {i}", None, 2), 0.25 * i, graph)
    sections.write(path, "none", "1")


# ---- the formulas ----

def normed(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-5)


def linear(w, name, x):
    return F.linear(x, w[name + ".weight"], w[name + ".bias"])


def batch(c, molecules):
    """Ids, encodings and distances, padded to the largest."""
    n, size = max(len(m["atoms"]) for m in molecules), len(molecules)
    atoms, bonds = torch.zeros(size, n, 9, dtype=torch.long), torch.zeros(size, n, n, 3, dtype=torch.long)
    svd, far = torch.zeros(size, n, 2 * c["svd"], dtype=torch.double), torch.zeros(size, n, n, dtype=torch.long)
    there = torch.zeros(size, n, dtype=torch.double)
    for b, m in enumerate(molecules):
        own = len(m["atoms"])
        there[b, :own] = 1
        atoms[b, :own] = torch.tensor(m["atoms"]) + 1 + 128 * torch.arange(9)
        svd[b, :own] = torch.tensor(encodings(own, m["bonds"], c["svd"]))
        far[b, :own, :own] = torch.tensor(hops(own, m["bonds"], c["hops"]))
        for (i, j), of in zip(m["bonds"], m["of_bonds"]):
            bonds[b, i, j] = bonds[b, j, i] = torch.tensor(of) + 1 + 8 * torch.arange(3)
    return atoms, bonds, svd, far, there


def layer(c, w, at, h, e, mask):
    heads, size, n = c["heads"], h.shape[0], h.shape[1]
    here = f"EGT_layers.{at}."
    e_hat = normed(w, here + "mha_ln_e", e)
    qkv = linear(w, here + "lin_QKV", normed(w, here + "mha_ln_h", h)).reshape(size, n, 3, -1, heads)
    q, k, v = qkv.unbind(2)
    scores = (torch.einsum("bidh,bjdh->bijh", q, k) / math.sqrt(q.shape[2])).clip(-5, 5)
    scores = scores + linear(w, here + "lin_E", e_hat)
    gates = torch.sigmoid(linear(w, here + "lin_G", e_hat) + mask)
    y = torch.einsum("bijh,bjdh->bidh", torch.softmax(scores + mask, 2) * gates, v)
    z = torch.log1p(gates.sum(2))
    z[:, :c["virtual"]] = 1
    h = h + linear(w, here + "lin_O_h", (y * z[:, :, None]).reshape(size, n, -1))
    h = h + linear(w, here + "lin_W_h_2", F.elu(linear(w, here + "lin_W_h_1", normed(w, here + "ffn_ln_h", h))))
    if here + "lin_O_e.weight" in w:
        e = e + linear(w, here + "lin_O_e", scores)
        e = e + linear(w, here + "lin_W_e_2", F.elu(linear(w, here + "lin_W_e_1", normed(w, here + "ffn_ln_e", e))))
    return h, e


def answers(c, w, molecules):
    w = {name: x.double() for name, x in w.items()}
    atoms, bonds, svd, far, there = batch(c, molecules)
    h = w["nodef_embed.weight"][atoms].sum(2) + linear(w, "svd_embed", svd)
    e = w["dist_embed.weight"][far] + w["featm_embed.weight"][bonds].sum(3)
    mask = (there[:, :, None, None] * there[:, None, :, None] - 1) * 1e9
    size, n, v = h.shape[0], h.shape[1], c["virtual"]
    if v:
        edge = w["vn_layer.vn_edge_embeddings"]
        h = torch.cat((w["vn_layer.vn_node_embeddings"].expand(size, -1, -1), h), 1)
        whole = torch.zeros(size, v + n, v + n, e.shape[-1], dtype=torch.double)
        whole[:, v:, v:] = e
        whole[:, :v, v:] = edge[:, None]
        whole[:, v:, :v] = edge
        whole[:, :v, :v] = (edge[:, None] + edge) / 2
        e, mask = whole, F.pad(mask, (0, 0, v, 0, v, 0))
    for at in range(c["layers"]):
        h, e = layer(c, w, at, h, e, mask)
    h = normed(w, "final_ln_h", h)
    h = h[:, :v].flatten(1) if v else (h * there[..., None]).sum(1) / there.sum(1, keepdim=True)
    h = linear(w, "mlp_layers.0", h)
    for at in 1, 2:
        h = linear(w, f"mlp_layers.{at}", F.elu(h))
    return h[:, 0].tolist()


def case(name, c, seed, molecules):
    w = weights(c, seed)
    save(os.path.join(HERE, name + ".safetensors"), w)
    return {"config": c, "parameters": sum(x.numel() for x in w.values()), "batch": answers(c, w, molecules),
            "alone": [answers(c, w, [m])[0] for m in molecules]}


if __name__ == "__main__":
    drawn = random.Random(5)
    made = [molecule(drawn, n) for n in (1, 7, 8, 9, 10, 10, 11, 12, 14)]
    write_graphs(os.path.join(HERE, "egt.graphs"), made)
    results = {"egt": case("egt", FULL, 1, made), "egt_simple": case("egt_simple", SIMPLE, 2, made)}
    with open(os.path.join(HERE, "egt.json"), "w", encoding="ascii") as out:
        json.dump(results, out)
        out.write("\n")
