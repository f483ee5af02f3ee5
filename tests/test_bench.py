"""ssacl-bench on small cases: test_bench.py PROGRAM WHAT, where WHAT is a suite or a function of `OTHERS`."""
import csv
import html.parser
import io
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored here would be ignored there
PROGRAM = sys.argv[1]
SUITES = ("peak", "gemm", "attention", "operators", "step")
TEXTS = ("library", "suite", "case", "direction", "status", "time", "device", "device_id", "device_kind", "backend",
         "path", "tuning", "platform", "platform_version", "device_version", "driver", "bound", "note", "build_cache")
NUMBERS = ("tolerance", "seconds", "seconds_min", "seconds_q1", "seconds_q3", "seconds_max", "processor_seconds",
           "busy", "flops", "flops_dense", "gflops", "gflops_dense", "peak_gflops", "peak_gbs", "peak_gbs_set_bytes",
           "share_arithmetic", "share", "bytes_held", "first_call_seconds", "build_seconds", "error")
SHAPES = {"attention": ("batch", "heads", "width", "length"), "gemm": ("rows", "in", "out"), "peak": (),
          "operators": ("batch", "length", "width"), "step": ("layers", "width", "heads", "length", "batch")}


def run(*arguments, code=0, env=None):
    """stdout and stderr; the exit status must be `code`."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", check=False, env=dict(os.environ, **(env or {})))
    assert done.returncode == code, "%s: %d\n%s%s" % (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


def has_opencl():
    return subprocess.run([PROGRAM, "peak", "--list", "--device", "opencl"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


# ---- the suites ----

def check_row(row, suite, backend):
    where = "%s %s" % (row["case"], row["direction"])
    assert row["schema"] == 2 and row["status"] == "ok" and row["reason"] is None and row["closed"] is None, row
    assert row["suite"] == suite and row["backend"] == backend, row
    for name in TEXTS:
        assert isinstance(row.get(name), str), "%s: %s is %r" % (where, name, row.get(name))
    for name in SHAPES[suite]:
        assert isinstance(row["shape"][name], int) and row["shape"][name] > 0, (where, name)
    if suite != "peak":
        for name in NUMBERS:
            assert isinstance(row.get(name), float) and math.isfinite(row[name]), "%s: %s is %r" % (
                where, name, row.get(name))
        assert 0 <= row["error"] <= row["tolerance"] < 2e-3, where
        assert row["first_call_seconds"] > 0 and row["bytes_held"] > 0, where
    samples = sorted(row["samples"])
    assert samples and samples[0] > 0 and row["calls_per_sample"] >= 1, where
    assert math.isclose(row["seconds_min"], samples[0], rel_tol=1e-6), where
    assert math.isclose(row["seconds_max"], samples[-1], rel_tol=1e-6), where
    if len(samples) % 2:
        assert math.isclose(row["seconds"], samples[len(samples) // 2], rel_tol=1e-6), where
    assert math.isclose(row["gflops"], row["flops"] / row["seconds"] * 1e-9, rel_tol=1e-5), where
    assert math.isclose(row["share_arithmetic"], row["gflops"] / row["peak_gflops"], rel_tol=1e-5), where
    assert row["flops_dense"] >= row["flops"] * 0.99, where
    if row["bytes_moved"]:
        assert math.isclose(row["gbs"], row["bytes_moved"] / row["seconds"] * 1e-9, rel_tol=1e-5), where
        assert math.isclose(row["share"], max(row["share_arithmetic"], row["share_bandwidth"]), rel_tol=1e-5), where
        assert (row["bound"] == "bandwidth") == (row["share_bandwidth"] > row["share_arithmetic"]), where


def suite(name):
    for device, backend in (("cpu", "host"), ("opencl", "opencl")):
        if device == "opencl" and not has_opencl():
            print("opencl: skipped, there is no such device")
            continue
        rows = rows_of(run(name, "--quick", "--json", "--device", device)[0])
        assert len(rows) >= 3
        for row in rows:
            check_row(row, name, backend)
        assert len({(r["case"], r["direction"]) for r in rows}) == len(rows), "a case has no name of its own"
        if name == "step":
            presets = rows_of(run(name, "--preset", "tiny", "--json", "--device", device, "--reps", "3")[0])
            assert [r["case"] for r in presets] == ["tiny local look-back k=32 L2 C64 H2 N128 B8",
                                                    "tiny dense k=128 L2 C64 H2 N128 B8"], presets
            assert presets[1]["flops"] == 6 * (1024 * (2 * 12 * 64**2 + 256 * 64) + 2 * 2 * 8 * 64 * 128 * 129 / 2)
            for row in presets:
                check_row(row, name, backend)
            images = rows_of(run(name, "--preset", "fashion", "--batch", "2", "--json", "--device", device, "--reps", "3",
                                 "--filter", "k=12")[0])
            assert [r["case"] for r in images] == ["fashion unbiased k=12 L4 C96 H6 N50 B2"], images
            check_row(images[0], name, backend)
            for family in ("vit", "pixels", "swin", "words", "egt"):
                two = [r for r in rows if r["case"].startswith(family)]
                assert len(two) == 2 and two[0]["plan"]["keys"] < two[1]["plan"]["keys"], two
                assert two[0]["plan"]["causal"] == (family in ("pixels", "words")), two
                assert two[1]["plan"]["kind"] == "dense", two
            listed = lambda *options: [line.split("\t")[2] for line in run(name, "--list", "--device", device, "--preset",
                                                                           *options)[0].splitlines()]
            assert listed("egt-90m") == ["egt-90m dense k=22 L24 C768 H32 N22 B64x8"], "not in the recipe's passes"
            assert listed("egt-90m-ssa", "--batch", "3") == ["egt-90m-ssa unbiased k=9 L24 C768 H32 N22 B3",
                                                             "egt-90m-ssa dense k=22 L24 C768 H32 N22 B3"]
            assert "  enwik8 " in run(name, "--preset", "help")[0]
            assert "  enwik8 " in run(name, "--preset", "none", code=2)[1]
            assert all(0 < r["outside_share"] < 1 and r["operator_seconds"]["adamw"] > 0 for r in rows)
        if name == "operators":
            header = open(os.path.join(os.path.dirname(__file__), "../include/ssacl/ops.h"), encoding="utf-8").read()
            names = re.findall(r"X\((\w+)\)", header.split("SSA_OPS(X)")[1].split("/**")[0])
            assert [r["case"].split()[0] for r in rows] == names, "not every operator"
        print("%s %s: %d rows" % (device, name, len(rows)))


# ---- what can be asked ----

def lists():
    """--list and --filter; the cases that the figures need."""
    out = run("attention", "--list", "--device", "cpu")[0]
    for length in (1024, 2048, 4096):
        for keys in ("dense k=%d" % length, *("unbiased k=%d" % (length // part) for part in (2, 4, 8)),
                     "local k=%d" % (length // 4), "look-back k=%d" % (length // 4)):
            for causal in ("", " causal"):
                assert "%s%s B1 H8 D64 N%d\tfwd|bwd|fwd+bwd" % (keys, causal, length) in out, (keys, causal)
    out = run("attention", "--list", "--device", "cpu", "--filter", "dense causal N1024 bwd")[0]
    assert out == "cpu\tattention\tdense k=1024 causal B1 H8 D64 N1024\tfwd|bwd|fwd+bwd\n", out
    rows = rows_of(run("attention", "--quick", "--json", "--device", "cpu", "--filter", "dense causal fwd+bwd")[0])
    assert [r["direction"] for r in rows] == ["fwd+bwd"], rows
    assert "no case fits" in run("gemm", "--device", "cpu", "--filter", "nothing", code=1)[1]
    assert "is no suite" in run("gem", code=2)[1]
    assert "name a suite" in run(code=2)[1]
    rows = rows_of(run("gemm", "--quick", "--json", "--reps", "4", "--device", "cpu", "--device", "cpu", "--filter",
                       "out 192")[0])
    assert len(rows) == 3 and all(len(r["samples"]) == 4 for r in rows), "a device named twice is one"
    err = run("gemm", "--list", "--device", "teapot,cpu", "--device", "kettle", code=1)[1]
    assert '"teapot"' in err and '"kettle"' in err and "cpu:" not in err, err
    assert all(r["build_cold_seconds"] is None for r in rows)
    row = rows_of(run("operators", "--quick", "--json", "--build-times", "--device", "cpu", "--only",
                      "add B2 N48 C32")[0])
    assert len(row) == 1 and row[0]["build_cold_seconds"] >= 0 and row[0]["build_warm_seconds"] >= 0, row


class Page(html.parser.HTMLParser):
    """Counts what stands open, and refuses whatever would be fetched."""
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], {}

    def handle_starttag(self, tag, attrs):
        self.seen[tag] = self.seen.get(tag, 0) + 1
        for name, value in attrs:
            assert name not in ("src", "href", "srcset", "xlink:href", "data", "action"), (tag, name, value)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen[tag] = self.seen.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def forms():
    """Every form of the same rows; files, and what stops a run before any work."""
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        run("all", "--quick", "--device", "cpu", "--output", at("a.json"), "--html", at("a.html"), "--charts",
            at("c"))
        rows = rows_of(open(at("a.json"), encoding="utf-8").read())
        assert {r["suite"] for r in rows} == set(SUITES)
        page = Page()
        text = open(at("a.html"), encoding="utf-8").read()
        page.feed(text)
        assert not page.open and page.seen["table"] >= 6 and page.seen["svg"] >= 3, (page.open, page.seen)
        assert not re.search(r"https?://", text.replace("http://www.w3.org/2000/svg", "")) and "@import" not in text
        assert not re.search(r"url\(", text)
        kept = text.split('id="rows">')[1].split("</script>")[0]
        assert rows_of(kept.strip()) == rows, "the page does not hold the rows"
        assert {"c-speed.svg", "c-roofline.svg", "c-step.svg", "c-caches.svg"} <= set(os.listdir(folder))
        assert not [f for f in os.listdir(folder) if ".part-" in f]
        table = list(csv.DictReader(io.StringIO(run("show", at("a.json"), "--csv")[0])))
        assert len(table) == len(rows)
        for line, row in zip(table, rows):
            assert line["case"] == row["case"] and math.isclose(float(line["seconds"]), row["seconds"], rel_tol=1e-6)
            assert len(line["samples"].split()) == len(row["samples"]) and None not in line.values()
        lines = [l for l in run("show", at("a.json"), "--markdown")[0].splitlines() if l.startswith("|")]
        assert len(lines) == len(rows) + 2 * len(SUITES) and len({l.count("|") for l in lines}) == 1
        out = run("show", at("a.json"))[0]
        assert "\033" not in out and all(r["case"] in out for r in rows)
        for bad in ("--output", "--html", "--charts"):
            start = time.monotonic()
            err = run("all", "--device", "cpu", bad, at("none/x"), code=1)[1]
            assert "none" in err and err.count("\n") == 1 and time.monotonic() - start < 10, err
        assert "choose" in run("gemm", "--csv", "--json", code=2)[1]
        assert "same file" in run("gemm", "--output", at("x"), "--html", at("x"), code=1)[1]
        before = open(at("a.json"), encoding="utf-8").read()
        run("gemm", "--device", "nowhere", "--json", "--output", at("a.json"), code=1)
        assert open(at("a.json"), encoding="utf-8").read() == before, "a run without a row took the old file"


def made_up(path, times, seed, **other):
    """Rows as if measured, with samples around the times: {(suite, case): seconds}."""
    noise = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for (name, case), seconds in times.items():
            row = dict(schema=2, suite=name, case=case, direction="fwd", status="ok", device="made up", device_id="cpu",
                       library="0.0.1", platform="none", units=1, seconds=seconds,
                       samples=[seconds * noise.uniform(0.98, 1.02) for _ in range(11)])
            row.update(other)
            file.write(json.dumps(row) + "\n")


def compare():
    """Known ratios, missing cases, and files that cannot be compared."""
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        made_up(at("a"), {("gemm", "x"): 0.2, ("gemm", "y"): 0.3, ("step", "same"): 1, ("step", "gone"): 1}, 1)
        made_up(at("b"), {("gemm", "x"): 0.1, ("gemm", "y"): 0.6, ("step", "same"): 1, ("step", "new"): 1}, 2)
        pairs = {p["case"]: p for p in rows_of(run("--compare", at("a"), at("b"), "--json")[0])}
        for case, ratio, verdict in (("x", 2, "B faster"), ("y", 0.5, "A faster"), ("same", 1, "no difference seen")):
            p = pairs[case]
            assert abs(p["ratio"] / ratio - 1) < 0.03 and p["low"] < p["ratio"] < p["high"], p
            assert p["verdict"] == verdict and p["low"] / ratio > 0.94 and p["high"] / ratio < 1.06, p
        assert pairs["gone"]["why"] == "only in A" and pairs["new"]["why"] == "only in B"
        out = run("compare", at("a"), at("b"))[0]
        mean = re.search(r"gemm: geometric mean of 2 ratios: ([\d.]+)", out)
        assert mean and abs(float(mean.group(1)) - 1) < 0.03 and "2 of 5 cases are missing" in out, out
        table = list(csv.DictReader(io.StringIO(run("compare", at("a"), at("b"), "--csv")[0])))
        assert len(table) == 5 and abs(float(table[0]["ratio"]) - 2) < 0.06
        lines = [l for l in run("compare", at("a"), at("b"), "--markdown")[0].splitlines() if l.startswith("|")]
        assert len(lines) == 7 and len({l.count("|") for l in lines}) == 1, lines
        made_up(at("few"), {("gemm", "x"): 0.1}, 3, samples=[0.1, 0.12])
        p = rows_of(run("compare", at("few"), at("few"), "--json")[0])[0]
        assert abs(p["low"] - 0.1 / 0.12) < 1e-6 and abs(p["high"] - 1.2) < 1e-6, p
        made_up(at("wrong"), {("gemm", "x"): 0.1}, 3, status="wrong")
        assert rows_of(run("compare", at("a"), at("wrong"), "--json")[0])[0]["why"] == "wrong"
        made_up(at("two"), {("gemm", "x"): 0.4}, 4)
        with open(at("two"), "a", encoding="utf-8") as file:
            made_up(at("more"), {("gemm", "x"): 0.1}, 5, device_id="opencl:0:0")
            file.write(open(at("more"), encoding="utf-8").read())
        p = rows_of(run("compare", at("two") + "@cpu", at("two") + "@opencl", "--json")[0])[0]
        assert abs(p["ratio"] - 4) < 0.2, p
        ratios = [p["ratio"] for p in rows_of(run("compare", at("two"), at("two"), "--json")[0])]
        assert ratios == [1, 1], "devices mixed"
        made_up(at("first"), {("gemm", "x"): 0.1}, 1, schema=1, roof_gflops=7.5, roof_gbs=3.5, roof_gbs_set_bytes=1)
        row = rows_of(run("show", at("first"), "--json")[0])[0]
        assert (row["schema"], row["peak_gflops"], row["peak_gbs"], row["peak_gbs_set_bytes"]) == (2, 7.5, 3.5, 1), row
        assert "roof_gflops" not in row and rows_of(run("compare", at("first"), at("b"), "--json")[0])[0]["ratio"] > 0
        made_up(at("old"), {("gemm", "x"): 0.1}, 1, schema=999)
        open(at("text"), "w", encoding="utf-8").write("hello\n")
        open(at("other"), "w", encoding="utf-8").write("{}\n")
        open(at("empty"), "w", encoding="utf-8").close()
        for bad, words in (("old", "schema 999"), ("text", "is no JSON"), ("other", "no row of ssacl-bench"),
                           ("empty", "is empty"), ("none", "cannot be read"), ("a@gpu", "no row of a device 'gpu'; it has cpu (made up)\n")):
            err = run("compare", at("a"), at(bad), code=1)[1]
            assert words in err and err.count("\n") == 1, err
        assert "two files" in run("compare", at("a"), code=2)[1]


def labels():
    """What charts and pages call a device: short, and told apart from its like."""
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        def headings(*machines):
            for i, other in enumerate(machines):
                made_up(at(str(i)), {("gemm", "x"): 0.2}, i, **other)
            run("show", *(at(str(i)) for i in range(len(machines))), "--html", at("page"))
            return re.findall(r"<h2>(.*, .*)</h2>", open(at("page"), encoding="utf-8").read())
        arc = {"device": "Intel(R) Arc(TM) A770 Graphics (0x56a0) @ 2 GHz", "driver": "1.0"}
        assert headings(arc) == ["Intel Arc A770 Graphics, cpu"]
        assert headings(arc, dict(arc, driver="2.0")) == ["Intel Arc A770 Graphics, cpu, " + v for v in ("1.0", "2.0")]
        assert headings(arc, dict(arc, device="gfx1030", driver="2.0")) == ["Intel Arc A770 Graphics, cpu",
                                                                            "gfx1030, cpu"]
        places = [dict(arc, machine={"processor": name}) for name in ("AMD EPYC (Zen)", "Intel(R) Xeon(R)")]
        os.mkdir(at("b"))
        made_up(at("0.json"), {("gemm", "x"): 0.2}, 1, **arc)
        made_up(at("b/0.json"), {("gemm", "x"): 0.4}, 2, **arc)
        files = at("0.json"), at("b/0.json")
        run("show", *files, "--html", at("page"))
        names = [os.path.basename(folder) + "/0", "b/0"]
        page = open(at("page"), encoding="utf-8").read()
        assert re.findall(r"<h2>(.*, .*)</h2>", page) == ["Intel Arc A770 Graphics, cpu, " + n for n in names]
        assert [r["file"] for r in rows_of(run("show", *files, "--json")[0])] == names
        assert all(n + "\n" in run("compare", *files)[0] for n in names) # A and B
        assert "file" not in rows_of(run("show", files[0], "--json")[0])[0]
        made_up(at("many"), {("gemm", "x"): 0.2}, 1, device="Arc 1")
        with open(at("many"), "a", encoding="utf-8") as file:
            made_up(at("1"), {("gemm", "x"): 0.2}, 1, device="Arc 21", device_id="opencl:0:1")
            file.write(open(at("1"), encoding="utf-8").read())
        assert "no row of a device '1'; it has cpu (Arc 1), opencl:0:1 (Arc 21)" in run("show", at("many@1"), code=1)[1]
        assert "'Arc' may be one of several devices" in run("show", at("many@Arc"), code=1)[1]
        assert len(rows_of(run("show", at("many@Arc 2"), "--json")[0])) == 1
        assert headings(*places) == ["Intel Arc A770 Graphics, cpu, on " + v for v in ("AMD EPYC", "Intel Xeon")]


def closed():
    """The fixed set refuses whatever would change it; Ctrl-C keeps what is finished."""
    for options in (["--reps", 3], ["--quick"], ["--filter", "x"], ["--length", 64], ["--seconds", 1]):
        err = run("--closed", *options, code=2)[1]
        assert "--closed is fixed work: %s would change it" % options[0] in err, err
    assert "name none" in run("gemm", "--closed", code=2)[1]
    assert "unset SSACL_ISA" in run("--closed", code=2, env={"SSACL_ISA": "0"})[1]
    out = run("--closed", "--list", "--device", "cpu")[0]
    assert {line.split("\t")[1] for line in out.splitlines()} == set(SUITES)
    steps = [line.split("\t")[2] for line in out.splitlines() if line.split("\t")[1] == "step"]
    assert steps == ["dense k=512 L6 C256 H8 N512 B8", "unbiased k=128 L6 C256 H8 N512 B8",
                     "vit unbiased k=12 L4 C96 H6 N50 B50", "vit dense k=50 L4 C96 H6 N50 B50",
                     "pixels local look-back k=196 L4 C128 H4 N784 B4", "pixels dense k=784 L4 C128 H4 N784 B4",
                     "swin unbiased k=49 L4 C32 H2 N784 B4", "swin dense k=196 L4 C32 H2 N784 B4",
                     "words local look-back k=64 L4 C256 H4 N256 B4", "words dense k=256 L4 C256 H4 N256 B4",
                     "egt unbiased k=9 L4 C64 H8 N22 B32", "egt dense k=22 L4 C64 H8 N22 B32"], steps
    assert "N4096" not in out
    assert "closed-3" in run("--help")[0]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "closed.json")
        child = subprocess.Popen([PROGRAM, "--closed", "--device", "cpu", "--json", "--output", path],
                                 stderr=subprocess.PIPE, encoding="utf-8")
        while child.poll() is None and not any(".part-" in f and os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)):
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        err = child.communicate()[1]
        assert child.returncode == 130 and "stopped" in err, (child.returncode, err)
        rows = rows_of(open(path, encoding="utf-8").read())
        assert rows and all(r["closed"] == "closed-3" and r["status"] == "ok" for r in rows)


def trouble():
    """A device that is too small, that is not there, or that computes wrongly: said, and the rest runs."""
    err = run("gemm", "--quick", "--device", "nowhere", "--device", "cpu", "--filter", "in 64 out 64 fwd", code=1)[1]
    assert "nowhere" in err
    if not has_opencl():
        return print("no OpenCL: the rest is skipped")
    large = ["attention", "--json", "--reps", 1, "--device", "opencl:0:0", "--filter", "unbiased k=4 B32 fwd",
             "--filter", "fma", "--length", 1 << 17, "--ratio", 3e-5, "--batch", 32]
    rows = rows_of(run("peak", *large, env={"POCL_MEMORY_LIMIT": "1"})[0])
    if rows[-1]["platform"].startswith("Portable Computing"):
        assert [r["status"] for r in rows] == ["ok", "skipped", "skipped"], [(r["case"], r["status"]) for r in rows]
        assert re.search(r"needs about \d+ MiB, opencl:0:0 has \d+", rows[1]["reason"]), rows[1]
        assert "seconds" not in rows[1] or rows[1]["seconds"] is None
    kernels = os.path.join(os.path.dirname(__file__), "../cl")
    with tempfile.TemporaryDirectory() as folder:
        broken = os.path.join(folder, "cl")
        shutil.copytree(kernels, broken)
        path = os.path.join(broken, "add.cl")
        text = open(path, encoding="utf-8").read()
        changed = text.replace("+ LOAD(", "- LOAD(")
        assert changed != text
        open(path, "w", encoding="utf-8").write(changed)
        arguments = ["operators", "--quick", "--device", "opencl", "--filter", "gelu_fwd", "--filter", " add "]
        out = run(*arguments, "--json", code=1, env={"SSACL_CL_DIR": broken})[0]
        status = {r["case"].split()[0]: r for r in rows_of(out)}
        assert status["gelu_fwd"]["status"] == "ok" and status["add"]["status"] == "wrong", status
        assert "the error is" in status["add"]["reason"] and "gflops" not in status["add"], status["add"]
        out = run(*arguments, code=1, env={"SSACL_CL_DIR": broken})[0]
        assert re.search(r"add B2 N48 C32 +call +wrong: the error is", out), out


# ---- several devices ----

def check_pool(rows, ids):
    """Of one case: a row for each device alone, one for a pool of the first, one for the pool."""
    assert [r["direction"] for r in rows] == ["single", "pool of one"] + ["single"] * (len(ids) - 1) + ["pool"], rows
    assert [r["device_id"] for r in rows] == [ids[0], *ids, "pool"], rows
    for row in rows:
        assert row["schema"] == 2 and row["suite"] == "pool" and row["status"] == "ok", row
        assert 0 <= row["error"] <= row["tolerance"] and row["busy"] > 0 and len(row["samples"]) == 3, row
        tokens = row["tokens_per_second"] * row["seconds"]
        if "molecules" in row["case"]:
            assert 5 < tokens / row["shape"]["batch"] < row["shape"]["atoms"], row
            assert row["calls_per_sample"] % 8 == 0 and row["flops"] > 0 and not row["plan"]["causal"], row
        else:
            assert math.isclose(tokens, tokens_of(row), rel_tol=1e-5), row
        assert row["direction"] == "single" or row["backend"] == "pool", row
    singles, one, pool = [rows[0], *rows[2:-1]], rows[1], rows[-1]
    efficiency = sorted(1 / pool["samples"][i] / sum(1 / r["samples"][i] for r in singles) for i in range(3))
    assert math.isclose(pool["efficiency"], efficiency[1], rel_tol=1e-5), (pool["efficiency"], efficiency)
    overhead = sorted(one["samples"][i] / singles[0]["samples"][i] - 1 for i in range(3))
    assert math.isclose(one["overhead"], overhead[1], rel_tol=1e-4, abs_tol=1e-6), (one["overhead"], overhead)
    assert pool["efficiency_q1"] <= pool["efficiency"] <= pool["efficiency_q3"]
    assert pool["efficiency_without_pool"] > 0 and "efficiency" in pool["note"]
    assert [m["id"] for m in pool["members"]] == ids and not any(m["lost"] for m in pool["members"]), pool
    assert 0.3 < pool.get("balance", 1) <= 1.000001, pool
    if pool["case"].startswith("train"):
        assert sum(m["share"] for m in pool["members"]) == 16, pool["members"]
        alone = sum(m["share"] / 16 * r["processor_seconds"] for m, r in zip(pool["members"], singles))
        assert math.isclose(pool["processor_overhead"], pool["processor_seconds"] / alone - 1, rel_tol=1e-4,
                            abs_tol=1e-6), pool


def tokens_of(row):
    passes = 20 if row["case"].startswith("ensemble") else 1
    return row["shape"]["batch"] * row["shape"]["length"] * passes


def pool():
    words = ("pool", "--quick", "--reps", "3", "--json", "--device")
    sets = [("cpu", ["cpu"], {})]
    two = {"OCL_ICD_VENDORS": "libpocl.so.2", "POCL_DEVICES": "basic basic"}
    if subprocess.run([PROGRAM, "peak", "--list", "--device", "opencl:0:1"], stdout=subprocess.DEVNULL, check=False,
                      stderr=subprocess.DEVNULL, env=dict(os.environ, **two)).returncode == 0:
        sets.append(("opencl:0:0,opencl:0:1", ["opencl:0:0", "opencl:0:1"], two))
        sets.append(("opencl:0:1,cpu", ["opencl:0:1", "cpu"], dict(two, SSACL_THREADS="1")))
    else:
        print("two devices: skipped, there is no PoCL")
    for names, ids, env in sets:
        rows = rows_of(run(*words, names, env=env)[0])
        half = len(rows) // 2
        check_pool(rows[:half], ids)
        check_pool(rows[half:], ids)
        for options in ((), ("--sort-steps", "8", "--attention", "unbiased")) if "cpu" in ids else ():
            check_pool(rows_of(run(*words, names, "--molecules", *options, env=env)[0]), ids)
        print("pool of %s: %d rows" % (names, len(rows)))
    assert len(rows_of(run(*words, "cpu", "--filter", "train")[0])) == 3
    for again in (1, 2): # named apart is named together
        assert "listed twice" in run(*words, "cpu", *("--device", "cpu") * again, code=1)[1]
    assert run("pool", "--list", "--filter", "ensemble")[0].startswith("pool\tensemble of 20 unbiased k=128 L6 C256")
    table = run("pool", "--quick", "--reps", "3", "--device", "cpu", "--filter", "train")[0]
    assert "pool of 1 (ssacl), pool" in table and "efficiency" in table, table
    for arguments, why in ((("--device", "cpu,cpu"), "listed twice"), (("--device", "cpu,teapot"), "no device"),
                           (("--filter", "nothing"), "no case fits")):
        out, err = run("pool", "--quick", *arguments, code=1)
        assert why in err, err
    molecules = run("pool", "--list", "--molecules", "--sort-steps", "3")[0]
    assert molecules.startswith("pool\ttrain dense molecules k=40 L4 C64 H8 A40 B256 in 16 sort 3\t"), molecules
    assert molecules.count("\n") == 1, molecules
    for arguments, why in ((("--micro-batch", "3"), "multiple of --micro-batch"),
                           (("--molecules", "--width", "30"), "multiple of 4"),
                           (("--molecules", "--attention", "look-back"), "atoms have no order")):
        assert why in run("pool", *arguments, code=2)[1], why


OTHERS = {f.__name__: f for f in (lists, forms, compare, labels, closed, trouble, pool)}

if __name__ == "__main__":
    OTHERS[sys.argv[2]]() if sys.argv[2] in OTHERS else suite(sys.argv[2])
