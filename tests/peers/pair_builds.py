"""Two builds of the library in one process, in turns: what a change costs, on a machine that is busy too.

    python3 tests/peers/pair_builds.py OLD_BUILD NEW_BUILD [--device cpu,opencl] [--rounds 20]

Attention (forward + backward) and training steps, dense and sampled. Each round runs both, first the one and then the
other; a ratio is the median over the rounds of new / old, with its quartiles, so below 1 is faster: by the clock, and
by the processor time of all threads, which other work on the machine changes less. A build against itself shows what
is noise. Each build's structs are those of the headers that it was built from, so only the calls must be the same in
both. Python's own library is enough."""
import argparse
import array
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time

import pairing
import ssacl

SAMPLED = {"dense": dict(kind=ssacl.DENSE), "k=N/4": dict(kind=ssacl.UNBIASED, ratio=0.25, keep_first=1, own_key=ssacl.NONE),
           "local w=N/4": dict(kind=ssacl.LOCAL, ratio=0.25)}


def load(build, folder):
    """The library of a build folder, as a copy under a name of its own: the loader knows the same file only once."""
    path = os.path.join(build, "lib", "libssacl.so")
    try:
        with open(os.path.join(build, "meson-info", "meson-info.json"), encoding="utf-8") as f:
            source = json.load(f)["directories"]["source"]
        copy = tempfile.mkstemp(suffix=".so", dir=folder)[1]
        shutil.copyfile(path, copy)
    except OSError as error:
        raise SystemExit("no build with a shared library: %s" % error) from error
    return ssacl.Library(copy, os.path.join(source, "include", "ssacl"))


def floats(count, seed):
    rng = random.Random(seed)
    return array.array("f", [rng.gauss(0, 1) for _ in range(count)])


class Attention:
    """Forward and backward of one attention; result() are the gradients' bytes."""

    def __init__(self, device, how, length, causal, inputs):
        heads, width = 8, 64
        self.device, self.count = device, length * heads * width
        sample = dict(kind=how["kind"], length=length, seed=1)
        if "ratio" in how:
            sample.update(keys=length // 4, own_key=how["kind"] == ssacl.LOCAL)
        plan = device.lib.plan(**sample)
        tensors = {name: device.tensor(values) for name, values in zip(("q", "k", "v"), inputs)}
        tensors.update(out=device.empty(self.count), lse=device.empty(length * heads), plan=plan,
                       plan_data=device.plan_tensor(plan), batch=1, length=length, heads=heads, width=width,
                       causal=causal)
        self.gradients = {name: device.empty(self.count) for name in ("dq", "dk", "dv")}
        self.forward = device.operator("attention_fwd", **tensors)
        self.backward = device.operator("attention_bwd", dout=device.tensor(inputs[3]), **self.gradients, **tensors)

    def run(self):
        self.forward()
        self.backward()
        self.device.finish()

    def result(self):
        return [self.device.read(t, array.array("f", bytes(4 * self.count))).tobytes() for t in self.gradients.values()]

    def close(self):
        self.device.release()


class Step:
    """A training step; result() is the last one's loss."""

    def __init__(self, device, how, sizes, tokens):
        self.device, self.trainer = device, ssacl.Trainer(device, *sizes, how, tokens)

    def run(self):
        self.trainer.step()
        self.device.finish()

    def result(self):
        return self.trainer.loss()

    def close(self):
        self.trainer.close()


def taken(side):
    """(seconds, seconds of processor time of all threads) of one run."""
    time.sleep(pairing.PAUSE)
    clock, work = time.perf_counter(), time.process_time()
    side.run()
    return time.perf_counter() - clock, time.process_time() - work


def ratios(pairs):
    """Median and quartiles of new / old, as text, and the median."""
    low, middle, high = statistics.quantiles((new / old for old, new in pairs), n=4, method="inclusive")
    return "%6.3f (%.3f to %.3f)" % (middle, low, high), middle


def compare(name, make, devices, rounds):
    """Makes both sides, runs them in turns and prints their line; returns the ratio of processor time."""
    old, new = sides = [make(device) for device in devices]
    for side in sides:
        side.run()
    clock, work = [], []
    for r in range(rounds):
        times = {side: taken(side) for side in (sides if r % 2 == 0 else sides[::-1])}
        clock.append((times[old][0], times[new][0]))
        work.append((times[old][1], times[new][1]))
    text, ratio = ratios(work)
    print("%-44s %8.2f %8.2f  %s  %s  %s" % (
        name, *(1e3 * statistics.median(side) for side in zip(*clock)), ratios(clock)[0], text,
        "same bits" if old.result() == new.result() else "other bits"), flush=True)
    for side in sides:
        side.close()
    return ratio


def cases(name, a):
    """Pairs of a case's name and the function that makes it on a device."""
    count = a.length * 8 * 64
    inputs = [floats(count, seed) for seed in range(4)]
    for causal in (0, 1):
        for kind, how in SAMPLED.items():
            yield ("%s: attention N=%d %s%s" % (name, a.length, kind, " causal" * causal),
                   lambda device, how=how, causal=causal: Attention(device, how, a.length, causal, inputs))
    sizes = a.layers, a.width, a.width // 32, a.length // 2, 2
    tokens = array.array("B", random.Random(0).choices(range(256), k=64 * a.length))
    for kind, how in SAMPLED.items():
        yield ("%s: step L%d C%d N=%d %s" % (name, a.layers, a.width, a.length // 2, kind),
               lambda device, how=how: Step(device, how, sizes, tokens))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a build folder")
    parser.add_argument("new", help="another, or the same")
    parser.add_argument("--device", default="cpu,opencl", help="a comma list (default cpu,opencl)")
    parser.add_argument("--rounds", type=int, default=20, help="default 20; at least 2")
    parser.add_argument("--length", type=int, default=1024, help="of attention; half of it of a step (default 1024)")
    parser.add_argument("--layers", type=int, default=4, help="of a step's model (default 4)")
    parser.add_argument("--width", type=int, default=256, help="of a step's model (default 256)")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--most", type=float, help="fail where a ratio of processor time is above this, as 1.02")
    a = parser.parse_args()
    if a.rounds < 2:
        parser.error("--rounds: quartiles need at least 2")
    with tempfile.TemporaryDirectory() as folder:
        libraries = [load(build, folder) for build in (a.old, a.new)]
    print("%-44s %8s %8s  %-23s  %s" % ("", "old ms", "new ms", "clock", "processor time"))
    slow = []
    for name in a.device.split(","):
        devices = [library.open(name) for library in libraries]
        for case, make in cases(name, a):
            if a.only in case and compare(case, make, devices, a.rounds) > (a.most or float("inf")):
                slow.append(case)
        for device in devices:
            device.close()
    if slow:
        sys.exit("slower than %g: %s" % (a.most, "; ".join(slow)))


if __name__ == "__main__":
    main()
