#!/usr/bin/env python3
"""Writes timm.json, in the format of families.json: what timm's own VisionTransformer, which is DeiT too, and
SwinTransformer make of the parameters of families.py, in double precision; and timm.safetensors and
timm_swin.safetensors, one model of each as timm saves it. Run it where timm is installed (pip install timm==0.9.16
safetensors), after changing a case:  python3 tests/golden/timm_models.py

NAMES says what weights of timm's are called here. All are the same arrays, row by row: a convolution's weight
[C, channels, patch, patch] is a matrix of as many columns, cls_token [1, 1, C] and pos_embed [1, N, C] lose what is 1;
qkv has all heads of q, then of k, then of v in both. But timm's models that end in the mean mostly have fc_norm, a norm
after the mean, where ours is before it: those are other models.
"""
import os
import re

import torch
from safetensors.torch import save_file
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from families import FOUR, MEAN, SWIN, VIT, answers, given_to, images_of, parameter, swin_shapes, vit_shapes
from make import HERE, write

NAMES = [(r"cls_token", "class.weight"), (r"pos_embed", "position.weight"), (r"patch_embed\.proj\.", "patch."),
         (r"patch_embed\.", "patch."), (r"blocks\.", "layer."), (r"attn\.(qkv|proj)\.", r"\1."),
         (r"mlp\.fc1\.", "up."), (r"mlp\.fc2\.", "down."), (r"attn\.relative_position_bias_table", "relative.weight"),
         (r"reduction\.", ""), (r"head\.fc\.", "head."), (r"(norm\d?)\.weight", r"\1.gain")]


def in_stage(c):
    """Of Swin: layers are counted through all stages, and merging belongs to the stage before."""
    def layer(found):
        stage, at = int(found[1]), int(found[2])
        return f"blocks.{sum(c['layers'][:stage]) + at}."
    return [(r"layers\.(\d+)\.blocks\.(\d+)\.", layer),
            (r"layers\.(\d+)\.downsample\.", lambda found: f"merge.{int(found[1]) - 1}.")]


def our_name(name, c):
    for theirs, ours in in_stage(c) + NAMES:
        name = re.sub(theirs, ours, name)
    return name


def vit(c):
    mean = c.get("mean_pool", 0)
    return VisionTransformer(
        img_size=(c["rows"], c["columns"]), patch_size=c["patch"], in_chans=c["channels"], num_classes=c["classes"],
        embed_dim=c["width"], depth=c["layers"], num_heads=c["heads"], mlp_ratio=c["hidden"] / c["width"],
        class_token=not mean, global_pool="avg" if mean else "token", fc_norm=False)


def swin(c):
    return SwinTransformer(
        img_size=(c["rows"], c["columns"]), patch_size=c["patch"], in_chans=c["channels"], num_classes=c["classes"],
        embed_dim=c["width"], depths=tuple(c["layers"]), num_heads=tuple(c["heads"]), window_size=c["window"],
        mlp_ratio=c["hidden_ratio"])


MODELS = {"vit": (vit, vit_shapes), "swin": (swin, swin_shapes)}


def case(family, c, batch, soft=0, smoothing=0.0, file=None):
    make, shapes_of = MODELS[family]
    model, scale, shapes = make(c).double().eval(), 0.3, shapes_of(c)
    theirs = {our_name(name, c): p for name, p in model.named_parameters()}
    assert theirs.keys() == shapes.keys(), theirs.keys() ^ shapes.keys()
    with torch.no_grad():
        for name, p in theirs.items():
            p.copy_(parameter(name, shapes[name], scale).reshape(p.shape))
    if file:
        save_file({name: x.float() for name, x in model.state_dict().items()}, os.path.join(HERE, file))
    given = given_to(family, c, batch, 0, soft)
    logits = model(images_of(c, batch).permute(0, 3, 1, 2))[:, None]
    return {"family": family, "config": c, "batch": batch, "scale": scale, "smoothing": smoothing, "pass": given,
            "sample": None, "keys": None} | answers(c, given, smoothing, logits,
                                                    lambda: {name: p.grad for name, p in theirs.items()})


if __name__ == "__main__":
    tiny = dict(rows=8, columns=8, channels=3, patch=4, layers=2, heads=2, width=16, hidden=24, classes=5)
    wide = dict(SWIN, rows=24, columns=36, channels=3, window=3)
    write("timm.json", {
        "timm, DeiT": case("vit", dict(VIT, rows=16, columns=16, layers=3), 3, smoothing=0.1),
        "timm, soft targets": case("vit", VIT, 4, soft=1), "timm, mean": case("vit", MEAN, 4),
        "timm, in a file": case("vit", tiny, 2, file="timm.safetensors"),
        "timm, Swin, windows of 3": case("swin", wide, 2, soft=1),
        "timm, Swin, in a file": case("swin", FOUR, 2, file="timm_swin.safetensors")})
