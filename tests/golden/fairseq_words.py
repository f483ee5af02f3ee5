#!/usr/bin/env python3
"""fairseq's transformer_lm with adaptive input and adaptive softmax, tied, by the formulas of its modules on the names
of its state_dict(); writes fairseq.safetensors, a small model as one would save it, and fairseq.json: ids, and what
each of those that are held out costs, in double precision. Run it where PyTorch is installed, after changing it:
python3 tests/golden/fairseq_words.py
"""
import json
import math
import os
import struct

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def shapes(vocabulary, width, hidden, layers, cutoffs, factor=4):
    """By name, of the parameters; then what of them is there once more, and buffers."""
    ends, names = [*cutoffs, vocabulary], {}
    for band, (begin, end) in enumerate(zip([0, *ends], ends)):
        names[f"decoder.embed_tokens.embeddings.{band}.0.weight"] = end - begin, width // factor ** band
        names[f"decoder.embed_tokens.embeddings.{band}.1.weight"] = width, width // factor ** band
    for layer in range(layers):
        before = f"decoder.layers.{layer}."
        for part in "self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj":
            names[before + part + ".weight"], names[before + part + ".bias"] = (width, width), (width,)
        for norm in "self_attn_layer_norm", "final_layer_norm":
            names[before + norm + ".weight"] = names[before + norm + ".bias"] = (width,)
        names[before + "fc1.weight"], names[before + "fc1.bias"] = (hidden, width), (hidden,)
        names[before + "fc2.weight"], names[before + "fc2.bias"] = (width, hidden), (width,)
    names["decoder.adaptive_softmax.head.class_proj.weight"] = len(cutoffs), width
    return names


def tied(state):
    """What state_dict() has besides."""
    embeddings = "decoder.embed_tokens.embeddings."
    more = {"decoder.adaptive_softmax.head.word_proj.weight": state[embeddings + "0.0.weight"]}
    band = 1
    while embeddings + f"{band}.0.weight" in state:
        tail = f"decoder.adaptive_softmax.tail.{band - 1}."
        more[tail + "0.weight"], more[tail + "2.weight"] = (state[embeddings + f"{band}.{i}.weight"] for i in (1, 0))
        band += 1
    return more


def buffers():
    one = torch.ones(1)
    return {"decoder.version": 3 * one, "decoder.embed_tokens._float_tensor": one,
            "decoder.embed_positions._float_tensor": one, "decoder.adaptive_softmax.head._float_tensor": one}


def random_state(generator, **config):
    """Weights of which all count."""
    state = {}
    for name, shape in shapes(**config).items():
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        gain = name.endswith("norm.weight")
        scale = 0.1 if len(shape) == 1 else (0.3 if ".0.weight" in name else 1.2) / shape[-1] ** 0.5
        state[name] = (x * scale + gain).float()
    return state


def embed(state, tokens):
    width = state["decoder.layers.0.self_attn.out_proj.weight"].shape[0]
    x, begin, band = torch.zeros(*tokens.shape, width, dtype=torch.float64), 0, 0
    while f"decoder.embed_tokens.embeddings.{band}.0.weight" in state:
        table, projection = (state[f"decoder.embed_tokens.embeddings.{band}.{i}.weight"] for i in (0, 1))
        inside = (tokens >= begin) & (tokens < begin + len(table))
        x[inside] = F.linear(table[tokens[inside] - begin], projection)
        begin, band = begin + len(table), band + 1
    half = width // 2  # SinusoidalPositionalEmbedding: positions count from padding_idx + 1 on
    frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * -(math.log(10000) / (half - 1)))
    angles = torch.arange(2, 2 + tokens.shape[-1], dtype=torch.float64)[:, None] * frequencies
    return math.sqrt(width) * x + torch.cat([angles.sin(), angles.cos()], 1)


def layer(state, before, x, heads):
    def linear(part, y):
        return F.linear(y, state[before + part + ".weight"], state[before + part + ".bias"])

    def norm(part, y):
        return F.layer_norm(y, y.shape[-1:], state[before + part + ".weight"], state[before + part + ".bias"])

    def split(y):
        return y.view(*y.shape[:-1], heads, -1).transpose(-3, -2)
    y = norm("self_attn_layer_norm", x)
    q = split(linear("self_attn.q_proj", y) * (x.shape[-1] // heads) ** -0.5)
    scores = q @ split(linear("self_attn.k_proj", y)).transpose(-2, -1)
    scores += torch.full(scores.shape[-2:], -math.inf).triu(1)
    y = (scores.softmax(-1) @ split(linear("self_attn.v_proj", y))).transpose(-3, -2).reshape(x.shape)
    x = x + linear("self_attn.out_proj", y)
    return x + linear("fc2", F.relu(linear("fc1", norm("final_layer_norm", x))))


def log_probabilities(state, tokens, heads):
    """[.., N, V] of ids [.., N]: AdaptiveSoftmax.get_log_prob()."""
    state = {name: t.double() for name, t in state.items()}
    state.update(tied(state))
    x, number = embed(state, tokens), 0
    while f"decoder.layers.{number}.fc1.weight" in state:
        x, number = layer(state, f"decoder.layers.{number}.", x, heads), number + 1
    head = "decoder.adaptive_softmax.head."
    first = torch.cat([F.linear(x, state[head + part + "_proj.weight"]) for part in ("word", "class")], -1)
    first = first.log_softmax(-1)
    words = len(state[head + "word_proj.weight"])
    parts, band = [first[..., :words]], 0
    while f"decoder.adaptive_softmax.tail.{band}.2.weight" in state:
        projection, table = (state[f"decoder.adaptive_softmax.tail.{band}.{i}.weight"] for i in (0, 2))
        parts.append(F.linear(F.linear(x, projection.t()), table).log_softmax(-1) + first[..., words + band, None])
        band += 1
    return torch.cat(parts, -1)


def save(path, state):
    """As safetensors.torch.save_file()."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, x in sorted(state.items()):
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + 4 * x.numel()]}
        at += 4 * x.numel()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(state):
            f.write(state[name].float().contiguous().numpy().tobytes())


def main():
    generator = torch.Generator().manual_seed(1)
    config, heads, length = dict(vocabulary=48, width=16, hidden=24, layers=2, cutoffs=(20, 32)), 2, 16
    state = random_state(generator, **config)
    save(os.path.join(HERE, "fairseq.safetensors"), {**state, **tied(state), **buffers()})
    ids = torch.randint(0, 48, (40 * length,), generator=generator)
    test = ids[-(len(ids) // 20):]  # as files are cut
    losses = []
    for begin in range(0, len(test) - 1, length):
        seen, asked = test[begin:begin + length], test[begin + 1:begin + length + 1]
        p = log_probabilities(state, seen[:len(asked)], heads)
        losses += (-p.gather(-1, asked[:, None])).flatten().tolist()
    with open(os.path.join(HERE, "fairseq.json"), "w", encoding="ascii") as f:
        json.dump({"heads": heads, "length": length, "ids": ids.tolist(), "losses": losses}, f)
        f.write("\n")


if __name__ == "__main__":
    main()
