#!/usr/bin/env python3
"""Words from outside may be any bytes: names of devices, paths, arguments, files of others. Whatever is written is
UTF-8; terminals and tables get no control characters, JSON is JSON, pictures are well-formed.
Usage: test_words.py FOLDER_OF_PROGRAMS [FAULT_LAYER]"""
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

PROGRAMS = os.path.abspath(sys.argv[1])
LAYER = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
BAD = b"Bad\xff\x1b[31m\n\xc2\x9bGPU\t<&'\"|,\xc3\xa9"  # no UTF-8, ESC, a newline, C1, a tab; and one good character
SHOWN = "Bad\ufffd?[31m \ufffd\ufffdGPU <&'\"|,\u00e9"  # what was JSON before
PLAIN = "Bad??[31m ??GPU <&'\"|,\u00e9"
HERE = {k: v for k, v in os.environ.items() if not k.startswith("SSACL_") and k != "OPENCL_LAYERS"}
HOST = dict(HERE, SSACL_OPENCL_LIBRARY="", SSACL_CACHE_DIR=os.environ.get("SSACL_CACHE_DIR", "cache"), SSACL_TUNING="",
            SSACL_THREADS="1")


def run(program, *arguments, code=0, env=None):
    """What it printed on stdout and stderr, which must be plain text."""
    command = [os.path.join(PROGRAMS, program.split("-")[1], program), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env or HOST, check=False)
    assert done.returncode == code, (command, done)
    for stream in (done.stdout, done.stderr):
        text = stream.decode("utf-8")  # or it raises
        odd = [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
        assert not odd, (command, odd, text)
    return done.stdout.decode(), done.stderr.decode()


def rows_of(path):
    with open(path, "rb") as file:
        return [json.loads(line.decode("utf-8")) for line in file if line.strip()]


def picture(path):
    ElementTree.parse(path)


def model(name, *more, env=None, device="cpu"):
    return run("ssacl-text", "train", "--data", "text", "--layers", "1", "--width", "8", "--heads", "1", "--length",
               "16", "--batch", "1", "--steps", "2", "--eval-windows", "1", "--device", device, "-c", name, *more, env=env)


def paths():
    """Names of files: in JSON, in tables, in pictures."""
    os.mkdir(b"folder" + BAD.replace(b"/", b""))
    folder = b"folder" + BAD
    log, weights = folder + b"/" + BAD + b".jsonl", folder + b"/weights"
    out, _ = model(weights, "-l", log, "--json")
    written = json.loads(out)["checkpoint"]
    assert "\ufffd" in written and "\x1b[31m\n" in written and "\u00e9" in written, written
    assert rows_of(log)[-1]["checkpoint"] == written
    assert json.loads(run("ssacl-text", "sample", "-c", weights, "-n", "3", "-p", b"a\xff", "--json",
                          "--device", "cpu")[0])["checkpoint"] == written
    ev = ("ssacl-text", "eval", "-c", weights, "--data", "text", "--windows", "1", "--mode", "dense", "--device", "cpu")
    assert json.loads(run(*ev, "--json", "--log", log)[0])["checkpoint"] == written
    assert "folder" + PLAIN + "/weights after step 2" in run(*ev)[0]
    assert PLAIN in run("ssacl-text", "report", log)[0]
    assert PLAIN in run("ssacl-text", "report", folder + b"/none" + BAD, code=1)[1]
    assert PLAIN in run("ssacl-text", "train", "--data", BAD, code=1)[1]
    assert "\ufffd" not in run("ssacl-text", BAD, code=2)[1]
    assert PLAIN in run("ssacl-image", "train", "--data", BAD, code=1)[1]
    assert PLAIN in run("ssacl-image", "report", log, code=1)[1]
    run("ssacl-image", "train", b"--family=" + BAD, code=2)
    run("ssacl-text", "train", b"--" + BAD, code=2)
    if shutil.which("gnuplot"):
        drawn = json.loads(run("ssacl-text", "report", log, "--out", BAD, "--title", BAD, "--json")[0])["pictures"]
        assert len(drawn) == 2 and drawn[0].endswith("\u00e9.svg"), drawn
        picture(BAD + b".svg")
        run("ssacl-scale", "--gflops", "100", "--memory", "50", "--chart", b"scale" + BAD, "--title", BAD)
        picture(b"scale" + BAD)


def labels():
    """Runs whose logs have the same name are told apart by the shortest part of their paths that differs."""
    def names(*logs):
        runs = [r["run"] for r in json.loads(run("ssacl-text", "report", *logs, "--json")[0])["runs"]]
        table = run("ssacl-text", "report", *logs)[0].split("\n")
        assert all(name in table[0] for name in runs) and len({len(line) for line in table[:3]}) == 1, table
        return runs

    long = "x" * 100
    for folder in ("dense/a", "ssa/a", "ssa/b", long + "1", long + "2"):
        os.makedirs(folder)
        with open(folder + "/log.jsonl", "w", encoding="ascii") as file:
            file.write('{"event": "step", "step": 1, "tokens": 64, "seconds": 1, "bits": 5}\n')
    shutil.copy("dense/a/log.jsonl", "other.jsonl")
    shutil.copy("dense/a/log.jsonl", "\u00e9\u00e8\u00ea-of-another-alphabet.jsonl")
    assert names("dense/a/log.jsonl") == ["log"]
    assert names("ssa/a/log.jsonl", "ssa/b/log.jsonl") == ["a/log", "b/log"]
    assert names("dense/a/log.jsonl", "ssa/a//log.jsonl", "other.jsonl") == ["dense/a/log", "ssa/a/log", "other"]
    assert names("./other.jsonl", "other.jsonl", "other.jsonl") == ["./other", "other", "other (3)"]
    assert names("other.jsonl", "\u00e9\u00e8\u00ea-of-another-alphabet.jsonl")[1].startswith("\u00e9")
    first, second = names(long + "1/log.jsonl", long + "2/log.jsonl")
    assert first != second and second.endswith(" (2)")


def environment():
    """Variables, of any name; folders of the cache and of ICD files."""
    env = {os.fsencode(k): os.fsencode(v) for k, v in HERE.items()}
    env.update({b"SSACL_OPENCL_LIBRARY": BAD, b"OCL_ICD_VENDORS": BAD, b"SSACL_X" + BAD: BAD,
                b"SSACL_CACHE_DIR": b"cache-" + BAD, b"SSACL_CLBLAST_LIBRARY": BAD, b"SSACL_THREADS": b"1"})
    report = json.loads(run("ssacl-doctor", "--json", "--no-tests", env=env)[0])
    assert any(name.startswith("SSACL_XBad") and "\ufffd" in value for name, value in report["variables"].items())
    assert report["can_train"] and "\ufffd" in report["cache"]["directory"]
    run("ssacl-doctor", "--no-tests", env=env)
    env[b"SSACL_DEVICE"] = BAD
    assert 'no device "%s"' % PLAIN in run("ssacl-doctor", "--no-tests", env=env, code=1)[0]
    assert "\ufffd" in json.loads(run("ssacl-doctor", "--no-tests", "--json", env=env, code=1)[0])["auto"]["asked"]
    assert PLAIN in run("ssacl-text", "sample", "-c", "c", env=env, code=1)[1] if os.path.exists("c") else True
    run("ssacl-bench", "gemm", env=env, code=1)


def icd_files():
    """Names of ICD files and what stands in them."""
    os.mkdir("icds")
    with open(b"icds/" + BAD + b".icd", "wb") as file:
        file.write(BAD.split(b"\n", maxsplit=1)[0] + b".so\n")
    env = dict(HERE, OCL_ICD_VENDORS=os.path.abspath("icds"), SSACL_CACHE_DIR=HOST["SSACL_CACHE_DIR"])
    report = json.loads(run("ssacl-doctor", "--json", "--no-tests", env=env)[0])
    if "icds" not in report: # a build without OpenCL, which says so
        assert any("without OpenCL" in p["what"] for p in report["problems"]), report
        return
    assert len(report["icds"]) == 1 and "\ufffd" in report["icds"][0]["library"], report["icds"]
    assert any("does not load" in p["what"] for p in report["problems"])
    assert "Bad\ufffd?[31m.so" in run("ssacl-doctor", "--no-tests", env=env)[0]


def rows():
    """Results of another machine: tables, charts and pages of them."""
    row = {"schema": 2, "suite": "gemm", "case": BAD.decode("latin1"), "direction": "fwd", "status": "ok",
           "device": "\x1b[2J" + "\u00e9" * 300, "device_id": "opencl:0:0\n", "driver": "\x9b",
           "platform": "\u00e9" * 600,
           "library": "0.1.0", "seconds": 1, "gflops": 2.0, "share": .5, "samples": [1, 1.1], "flops": 1,
           "bytes_moved": 1, "note": "\x1b" + "\u00e9" * 400, "machine": {"processor": "x" + "\u00e9" * 300}}
    failed = dict(row, status="failed", reason="x" + "\u00e9" * 200, case="other")
    with open("rows.json", "w", encoding="ascii") as file:
        file.write(json.dumps(row) + "\n" + json.dumps(failed) + "\n")
    run("ssacl-bench", "show", "rows.json")
    run("ssacl-bench", "show", "rows.json", "--csv")
    run("ssacl-bench", "show", "rows.json", "--markdown")
    run("ssacl-bench", "compare", "rows.json", "rows.json")
    lines = run("ssacl-bench", "compare", "rows.json", "rows.json", "--markdown")[0].split("\n")
    assert len({line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}) == 1, lines
    table = list(csv.reader(run("ssacl-bench", "compare", "rows.json", "rows.json", "--csv")[0].splitlines()))
    assert {len(line) for line in table} == {9}, table
    run("ssacl-bench", "show", "rows.json@" + "\u00e9", code=0)
    run("ssacl-bench", "show", "rows.json", "--charts", BAD, "--html", BAD + b".html")
    picture(BAD + b"-speed.svg")
    with open(BAD + b".html", "rb") as file:
        page = file.read().decode("utf-8")
    assert PLAIN.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#39;").replace('"', "&quot;") in page


def devices():
    """What a driver says of itself."""
    if not LAYER or not os.path.exists("/etc/OpenCL/vendors/pocl.icd"):
        return print("no PoCL or no layer: names of devices are left out")
    said = "name", "vendor", "driver", "version", "platform"
    words = ";".join("say=%s,bytes=%s" % (what, BAD.hex()) for what in said)
    env = dict(HERE, OPENCL_LAYERS=LAYER, SSA_FAULTS=words, POCL_DEVICES="basic", OCL_ICD_VENDORS="libpocl.so.2",
               SSACL_CACHE_DIR=HOST["SSACL_CACHE_DIR"], XDG_CONFIG_HOME=os.path.abspath("config"),
               ASAN_OPTIONS="detect_leaks=0")  # drivers leak
    assert "opencl:0:0   %s," % PLAIN in run("ssacl-text", "--devices", env=env)[0]
    report = json.loads(run("ssacl-doctor", "--no-tests", "--json", env=env)[0])
    device = report["devices"][0]
    assert device["name"] == PLAIN == device["driver"] and "\ufffd" in device["version"], device
    assert "\ufffd" in report["platforms"][0]["name"]
    assert "platform 0: " + SHOWN in run("ssacl-doctor", "--no-tests", env=env)[0]
    few = dict(env, SSA_FAULTS=words + ";memory=1000")  # the run does not fit: left out before kernels are built
    model("named", "-l", "named.jsonl", env=few, device="opencl:0:0,cpu")
    assert rows_of("named.jsonl")[0]["devices"][0]["driver"] == PLAIN
    assert any(r["event"] == "device" and r["id"] == "opencl:0:0" for r in rows_of("named.jsonl"))
    bench = ("ssacl-bench", "operators", "--quick", "--only", "add B2 N48 C32", "--reps", "1", "--device", "opencl")
    assert json.loads(run(*bench, "--json", env=env)[0])["device"] == PLAIN
    run(*bench, "--html", "named.html", "--charts", "named", "-o", "named.json", env=env)
    with open("named.html", "rb") as file:
        file.read().decode("utf-8")
    run("ssacl-bench", "show", "named.json@opencl")


with tempfile.TemporaryDirectory(prefix="ssacl-words.") as work:
    os.chdir(work)
    with open("text", "wb") as sample_text:
        sample_text.write(b"the history of the river " * 100)
    for part in (paths, labels, environment, icd_files, rows, devices):
        part()
    os.chdir("/")
