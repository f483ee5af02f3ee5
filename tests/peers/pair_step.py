"""Whole training steps (forward, backward, AdamW) of a GPT, or with --family and --width of another model of MODELS:
ours against PyTorch's, dense and sampled, on the same batch. Ours also clips the gradient's norm, which PyTorch is
spared. --rows and --channels change the images of pixels; --only takes some variants of a family by their names, with
commas between (dense, or "k=768 of 3072"), for of the largest models not all find room at once; --precision of ours,
several with commas between (with bf16 a GPT's PyTorch is there in bf16 autocast, too, and what ours is set beside);
--processor-time 1 takes the least processor time of all threads instead of the least time, and is of use with --threads 1, for other threads spin
while they wait. Zero is the model's own."""
import math
import os
import time

import numpy as np
import torch

import egt
import families
import gpt
import pairing
import ssacl

# By family and width: what ours and families.py call it, the batch, and keys of how many a sampled query sees, in a
# window of a Swin, which has larger windows then.
MODELS = {
    ("vit", 96): (dict(rows=28, channels=1, patch=4, layers=4, heads=6, classes=10), 50, (13, 50)),
    ("vit", 192): (dict(rows=224, channels=3, patch=16, layers=12, heads=3, classes=1000), 8, (49, 197)),
    ("vit", 512): (dict(rows=224, channels=3, patch=16, layers=6, heads=8, classes=1000), 8, (49, 197)),
    ("pixels", 128): (dict(rows=28, channels=1, layers=4, heads=4), 4, (98, 784)),
    ("pixels", 256): (dict(rows=32, channels=3, layers=4, heads=2, key_width=64, hidden=512), 1, (384, 3072)),
    ("swin", 32): (dict(rows=28, channels=1, patch=2, layers=(2, 2, 0, 0), heads=2, classes=10, window=7), 50,
                   (49, 196)),
    ("swin", 96): (dict(rows=224, channels=3, patch=4, layers=(2, 2, 6, 2), heads=3, classes=1000, window=7), 8,
                   (49, 196)),
    ("words", 256): (dict(vocabulary=13272, length=256, layers=4, heads=4, cutoffs=(2000, 6000, 0), dropout=0.2), 8,
                     (64, 256)),
    ("words", 1024): (dict(vocabulary=267744, length=3072, layers=16, heads=8, cutoffs=(20000, 60000, 0), dropout=0.3,
                           attention_dropout=0.1, activation_dropout=0.1, head_dropout=0.2), 1, (768, 3072)),
    ("egt", 64): (dict(layers=4, heads=8, edge_width=16), 64, (7, 14)),
    ("egt", 128): (dict(layers=6, heads=16, edge_width=32), 64, (7, 14)),
    ("egt", 768): (dict(layers=24, heads=32, edge_width=64), 16, (8, 16)),
}
GRAPHS = dict(virtual_nodes=4, node_ids=9, node_values=128, edge_ids=3, edge_values=8, hops=17, encodings=16)


def gpt_pattern(ratio):
    """What gpt.py samples: position 0 always, and a uniform subset."""
    if ratio == 1:
        return dict(kind=ssacl.DENSE)
    return dict(kind=ssacl.UNBIASED, ratio=1.0 / ratio, own_key=ssacl.NONE, keep_first=1)


def open_in(lib, name, precision):
    device = lib.open(name)
    device.set_precision(precision)
    return device


def our_step(device, trainer):
    def run():
        trainer.step()
        device.finish()
    return run


def name_of(side, ratio):
    return side + (" dense" if ratio == 1 else " k=N/%d" % ratio)


def compare(title, sides, trainers, sequences, a):
    best = pairing.alternate(sides, a.reps, time.process_time if a.processor_time else time.perf_counter)
    for name, seconds in best.items():
        side, what = name.split(" ", 1)
        torch_side = "torch-bf16" if side.endswith("bf16") else "torch"
        same, dense, own = (best.get(n, math.nan) for n in ("%s %s" % (torch_side, what.replace(" local", "")),
                                                            torch_side + " dense", side + " dense"))
        print("%s  %-26s %9.2f sequences/s  %8.1f ms   %5.2fx torch dense  %5.2fx the same in torch  %5.2fx its own "
              "dense" % (title, name, sequences / seconds, 1e3 * seconds, dense / seconds, same / seconds, own / seconds),
              flush=True)
    for trainer in trainers:
        trainer.close()


def compare_gpt(devices, sizes, ratios, a):
    length, batch = sizes[3:]
    tokens = np.random.default_rng(0).integers(0, gpt.VOCABULARY, 64 * batch * length, np.uint8)
    sides, trainers = {}, []
    for ratio in ratios:
        sides[name_of("torch", ratio)] = gpt.Training(*sizes, ratio).step
        if "bf16" in a.precision:
            sides[name_of("torch-bf16", ratio)] = gpt.Training(*sizes, ratio, bf16=True).step
    for device in devices:
        for ratio in ratios:
            trainers.append(ssacl.Trainer(device, *sizes, gpt_pattern(ratio), tokens))
            sides[name_of(device.name, ratio)] = our_step(device, trainers[-1])
    compare("L%d C%d H%d N%d B%d" % sizes, sides, trainers, batch, a)


def batch_of(family, fields, batch):
    """Ours by field of struct ssa_batch; PyTorch's inputs and targets, the same."""
    rng = np.random.default_rng(0)
    if family == "egt":
        graphs = egt.molecules(batch, fields["nodes"] * 3 // 4, fields["nodes"])
        values = torch.rand(batch)
        arrays = {name: x.numpy().astype(np.float32 if name == "encodings" else np.int32)
                  for name, x in graphs.items()}
        return dict(arrays, values=values.numpy()), graphs, values
    if family == "words":  # the r-th is 1/r times as frequent as the first
        V = fields["vocabulary"]
        ids = np.minimum(V ** rng.random((batch, fields["length"] + 1)) - 0.5, V - 1).astype(np.int32)
        tokens, targets = (np.ascontiguousarray(x) for x in (ids[:, :-1], ids[:, 1:]))
        return dict(tokens=tokens, targets=targets), *(torch.from_numpy(x.astype(np.int64)) for x in (tokens, targets))
    shape = (batch, fields["rows"], fields["rows"], fields["channels"])
    if family == "pixels":
        tokens = rng.integers(0, 256, (batch, int(np.prod(shape[1:]))), np.int32)
        ids = torch.from_numpy(tokens.astype(np.int64))
        return dict(tokens=tokens, targets=tokens), ids, ids
    pixels, targets = rng.standard_normal(shape, np.float32), rng.integers(0, fields["classes"], batch, np.int32)
    return dict(pixels=pixels, targets=targets), torch.from_numpy(pixels), torch.from_numpy(targets.astype(np.int64))


def variants(family, fields, keys, of):
    """Name, fields, the pattern of ours, keys of PyTorch's (None: it has not that pattern). Sampled queries of both see
    position 0 too; of a Swin ours their own keys where the grid is shifted, which PyTorch is spared."""
    yield "dense", fields, dict(kind=ssacl.DENSE), 0
    lead = 0 if family == "swin" else 1
    pattern = dict(kind=ssacl.UNBIASED, ratio=(keys - lead) / of, own_key=ssacl.NONE, keep_first=lead,
                   per_example=int(family == "vit"))
    wide = dict(fields, window=14) if family == "swin" else fields
    if family == "egt":  # virtual nodes are always seen
        sampled = dict(kind=ssacl.UNBIASED, ratio=keys / of, own_key=ssacl.NONE, per_example=1)
        yield "k=%d of %d" % (keys, of), fields, sampled, keys / of
        yield "k=%d of %d fixed edges" % (keys, of), dict(fields, edge_mode=2), sampled, keys / of
        return
    yield "k=%d of %d" % (keys, of), wide, pattern, keys - (family == "vit")
    if family in ("pixels", "words"):
        yield "k=%d of %d local" % (keys, of), fields, dict(kind=ssacl.LOCAL, ratio=keys / of, look_back=1), None


def torch_model(family, fields, keys):
    if family == "egt":
        fields = dict(fields)
        del fields["nodes"]
        return egt.Egt(**dict(fields, keys=keys, fixed=fields.pop("edge_mode", 0) == 2))
    model = {"vit": families.ViT, "pixels": families.Pixels, "swin": families.Swin,
             "words": families.Words}[family]
    return model(**fields, keys=keys)


def compare_family(devices, a):
    fields, batch, (keys, of) = MODELS[a.family, a.width]
    fields, batch = dict(fields, width=a.width), a.batch or batch
    if a.layers and a.family != "swin":
        fields["layers"] = a.layers
    if a.family == "pixels":
        fields.update(rows=a.rows or fields["rows"], channels=a.channels or fields["channels"])
        of = fields["rows"] ** 2 * fields["channels"]
        keys = of // a.ratio
    if a.family == "egt":
        fields.update(GRAPHS, nodes=of)
    arrays, inputs, targets = batch_of(a.family, fields, batch)
    sides, trainers = {}, []
    for name, model, pattern, torch_keys in variants(a.family, fields, keys, of):
        if a.only and name not in a.only.split(","):
            continue
        if torch_keys is not None:
            training = families.Training(torch_model(a.family, model, torch_keys), inputs, targets)
            sides["torch " + name] = training.step
        if "rows" in model:
            model = dict(model, columns=model["rows"])
        if a.family == "swin":
            model["heads"] = (model["heads"], 0, 0, 0)
        for device in devices:
            trainers.append(ssacl.FamilyTrainer(device, a.family, model, batch, pattern, **arrays))
            sides["%s %s" % (device.name, name)] = our_step(device, trainers[-1])
            ours, theirs = trainers[-1].elements(), sum(p.numel() for p in training.model.parameters())
            assert ours == theirs, "%s: %d parameters, of PyTorch's %d" % (name, ours, theirs)
    compare("%s C%d B%d" % (a.family, a.width, batch), sides, trainers, batch, a)


def main():
    a = pairing.arguments(__doc__, family="gpt", layers=0, width=256, heads=8, cases="512x8,2048x4", batch=0, rows=0,
                          channels=0, ratio=0, reps=4, processor_time=0, only="", precision="float32")
    a.ratio = a.ratio or (8 if a.family == "pixels" else 4)
    torch.set_num_threads(a.threads)
    os.environ["SSACL_THREADS"] = str(a.threads)
    torch.manual_seed(0)
    lib = ssacl.Library(a.library)
    devices = [open_in(lib, name, precision) for name in a.devices.split(",") for precision in a.precision.split(",")]
    print("PyTorch %s, %d threads a side%s" % (torch.__version__, a.threads,
                                               ", processor time" if a.processor_time else ""))
    if a.family != "gpt":
        if (a.family, a.width) not in MODELS:
            raise SystemExit("--family and --width: there are %s" % ", ".join("%s %d" % m for m in MODELS))
        return compare_family(devices, a)
    for case in a.cases.split(","):
        length, batch = map(int, case.split("x"))
        compare_gpt(devices, (a.layers or 6, a.width, a.heads, length, batch), (1, a.ratio), a)
    return None


if __name__ == "__main__":
    main()
