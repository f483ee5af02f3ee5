"""ssacl-scale against closed forms: test_scale.py PROGRAM."""
import json
import math
import os
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
GBIT = (0.1, 1, 10, 100, 1000)
RANKS = (1, 2, 3, 4, 6, 8, 64, 1000, 1024)


def run(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", check=False)
    assert done.returncode == code, "%s: %d\n%s%s" % (arguments, done.returncode, done.stdout, done.stderr)
    if code:
        assert not done.stdout and len(done.stderr.splitlines()) == 1, (arguments, done.stdout, done.stderr)
    return done.stderr if code else done.stdout


def models(*arguments):
    return json.loads(run("--json", "--ranks", ",".join(map(str, RANKS)), "--gbit", ",".join(map(str, GBIT)),
                          *arguments))["models"]


def close(got, want, *where):
    assert math.isclose(got, want, rel_tol=1e-5, abs_tol=1e-9), (got, want, *where)


# ---- the reference ----

def all_reduce(n, ranks, gbit, latency, sums, ring):
    """Seconds; latency in seconds, sums in bytes/s."""
    if ranks == 1:
        return 0
    if ring or math.log2(ranks) % 1:
        count = 2 * (ranks - 1)
    else:
        count = 2 * math.log2(ranks) * max(1, math.ceil(n / 2 ** 24))
    share = (ranks - 1) / ranks * n
    return count * latency + 2 * share / (gbit * 1e9 / 8) + (share / sums if sums else 0)


def uniform(model, ranks, gbit, latency, sums, ring, alone):
    """What is left of the all-reduces when backward ends. They follow one another without a pause from some bucket on,
    or begin with it: the latest end over all such buckets counts. Between layers, which are alike, it is linear, so
    the first two and the last decide."""
    c = [all_reduce(n, ranks, gbit, latency, sums, ring) for n in model["bytes"]]
    d = model["backward"]
    last = model["layers"] - 1
    if alone:
        return sum(c)
    ready = {0: d[0], 1: d[0] + d[1], last: d[0] + last * d[1]}
    return max(ready[k] + sum(c[k:]) for k in ready) - ready[last]


def check_rows(model, latency, sums, ring=False, alone=False):
    compute = model["micro_batches"] * (model["forward"] + sum(model["backward"]))
    for row in model["rows"]:
        ranks = row["ranks"]
        close(row["sent"], 2 * (ranks - 1) / ranks * sum(model["bytes"]), row)
        for step in row["steps"]:
            exposed = uniform(model, ranks, step["gbit"], latency, sums, ring, alone)
            close(step["compute"], compute)
            close(step["reduce"], sum(all_reduce(n, ranks, step["gbit"], latency, sums, ring) for n in model["bytes"]))
            close(step["exposed"], exposed, ranks, step)
            close(step["seconds"], compute + exposed + model["update"])
            close(step["efficiency"], (compute + model["update"]) / step["seconds"])


def closed_forms():
    for latency, sums in ((0, 0), (20, 0), (500, 3), (0, 8)):
        for extra in ((), ("--all-reduce", "ring"), ("--alone",), ("--accumulate", "4", "--batch", "2")):
            for model in models("--gflops", 2000, "--memory", 100, "--latency", latency, "--sum", sums, *extra):
                check_rows(model, latency * 1e-6, sums * 1e9, "ring" in extra, "--alone" in extra)


def hiding():
    """At the bandwidth at which it hides, all but the last layer's all-reduces take as long as their backwards."""
    for model in models("--gflops", 2000, "--latency", 10, "--sum", 0):
        assert all(row["hides_gbit"] for row in model["rows"][1:5]), model["rows"]
        for row in model["rows"]:
            if row["ranks"] == 1:
                assert row["hides_gbit"] == 0
            elif row["hides_gbit"]:
                first, layer = (all_reduce(n, row["ranks"], row["hides_gbit"], 1e-5, 0, False)
                                for n in model["bytes"][:2])
                last = model["layers"] - 1
                close(first + (last - 1) * layer, last * model["backward"][1], row["ranks"])
    never = models("--gflops", 2000, "--latency", 1e5)[0]["rows"][-1]
    assert never["hides_gbit"] is None, never
    assert "never" in run("--gflops", 2000, "--latency", 1e5)


# ---- the model ----

def counts():
    """Parameters and operations as they are counted elsewhere."""
    own = models("--gflops", 100, "--layers", 3, "--width", 128, "--length", 64, "--vocabulary", 100, "--untied",
                 "--ratio", 0.25, "--batch", 2)[0]
    width, tokens = 128, 128
    layer = 12 * width * width + 13 * width
    assert own["bytes"] == [4 * (layer + (2 + 100) * width)] + 2 * [4 * layer] + [4 * 100 * width, 0], own["bytes"]
    assert own["parameters"] * 4 == sum(own["bytes"])
    flops = tokens * 6 * (3 * (12 * width * width + width * 64 * 0.25) + 100 * width)
    close(own["forward"] + sum(own["backward"]), flops / 100e9)
    close(own["forward"], flops / 100e9 / 3)
    millions = [round(m["parameters"] / 1e6) for m in models("--gflops", 100)]
    assert millions == [11, 252, 1008], millions


def rates():
    """The same rate, told in three ways."""
    by_tokens = models("--layers", 2, "--width", 64, "--length", 128, "--batch", 2, "--tokens-per-second", 1000)[0]
    close(by_tokens["forward"] + sum(by_tokens["backward"]), 256 / 1000)
    flops = 12345678900
    shape = {"layers": 2, "width": 64, "heads": 2, "length": 128, "batch": 2}
    row = {"suite": "step", "status": "ok", "case": "dense k=128 L2", "seconds": 0.5, "flops": flops, "shape": shape,
           "operator_seconds": {"adamw": 0.1}}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.json")
        with open(path, "w", encoding="utf-8") as file:
            for case in (dict(row, suite="gemm"), dict(row, status="wrong", flops=1),
                         dict(row, case="unbiased", flops=2), row):
                file.write(json.dumps(case) + "\n")
        got = json.loads(run("--json", "--bench", path, "--case", "dense L2"))
        close(got["gflops"], flops / 0.4 * 1e-9)
        parameters = 2 * (12 * 64 * 64 + 13 * 64) + 2 * 64 + 2 * 256 * 64 + 128 * 64
        close(got["memory_gbs"], 32 * parameters / 0.1 * 1e-9)
        assert "no case" in run("--bench", path, "--case", "sparse", code=1)
        assert "no case" in run("--bench", __file__, code=1)
    assert "cannot be opened" in run("--bench", "nowhere.json", code=1)


def shares():
    """A global batch is split; where it does not divide, all wait for who has most. Ranks that share processors."""
    model = models("--gflops", 1000, "--global-batch", 96, "--batch", 8, "--latency", 0, "--sum", 0)[0]
    one = model["rows"][0]["steps"][-1]
    for row in model["rows"]:
        if row["ranks"] > 12:
            assert row["sequences"] == 0 and row["steps"] == [], row
            continue
        step = row["steps"][-1]
        close(step["compute"], one["compute"] / 12 * math.ceil(12 / row["ranks"]))
        close(step["efficiency"], one["seconds"] / step["seconds"] / row["ranks"])
    model = models("--gflops", 1000, "--processors", 2, "--memory", 10)[0]
    for row in model["rows"]:
        close(row["steps"][0]["compute"], model["rows"][0]["steps"][0]["compute"] * max(1, row["ranks"] / 2))


def refusals():
    for words, why in ((("--layers", 2), "both --layers and --width"), ((), "say how fast"),
                       (("--gflops", 1, "--bench", "x"), "in one way"), (("--gflops", 0), "not a number from"),
                       (("--tokens-per-second", 1), "of one model"), (("--gflops", 1, "--case", "x"), "--bench"),
                       (("--gflops", 1, "--ranks", "2,x"), "not a list"),
                       (("--gflops", 1, "--ranks", "2,"), "not a list"),
                       (("--gflops", 1, "--ranks", "0"), "not a list"), (("--gflops", 1, "--ranks", "1.5"), "whole"),
                       (("--gflops", 1, "--gbit", "0"), "not a list"), (("--gflops", 1, "extra"), "not expected"),
                       (("--gflops", 1, "--layers", 2, "--width", 65), "multiple of 8"),
                       (("--gflops", 1, "--ranks", ",".join(["2"] * 17)), "up to 16")):
        err = run(*words, code=2)
        assert why in err, (words, err)
    assert "mpirun" in run("--measure", code=1)
    assert "the folder" in run("--gflops", 1, "--chart", "/nowhere/x.svg", code=1)


def outputs():
    text = run("--gflops", 1000, "--markdown")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) == 3 * 12 and len({line.count("|") for line in tables}) == 1, text
    largest = run("--gflops", 1000, "--batch", 65536, "--accumulate", 65536, "--length", 1 << 20)
    assert "a step of %d tokens" % 2**52 in largest, largest
    assert run("--help").startswith("usage: ssacl-scale")
    if subprocess.run(["sh", "-c", "command -v gnuplot"], stdout=subprocess.DEVNULL, check=False).returncode:
        print("chart: skipped, there is no gnuplot")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "scale.svg")
        run("--gflops", 1000, "--chart", path)
        with open(path, encoding="utf-8") as file:
            picture = file.read()
        assert "</svg>" in picture and "1024" in picture and "400 Gbit/s" in picture


for check in (closed_forms, hiding, counts, rates, shares, refusals, outputs):
    check()
print("ssacl-scale: as the closed forms say")
