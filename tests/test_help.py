#!/usr/bin/env python3
"""--help and --version of every program, command and script that people call.
Usage: test_help.py FOLDER_OF_PROGRAMS VERSION"""
import json
import os
import re
import subprocess
import sys

PROGRAMS, VERSION = os.path.abspath(sys.argv[1]), sys.argv[2]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMANDS = [("ssacl-text", *c) for c in ((), ("train",), ("plan",), ("eval",), ("sample",), ("report",),
                                         ("import",), ("export",))]
COMMANDS += [("ssacl-image", *c) for c in ((), ("train",), ("plan",), ("eval",), ("report",), ("answers",), ("draw",))]
COMMANDS += [("ssacl-image", *c) for c in (("import",), ("export",))]
COMMANDS += [("ssacl-graph", *c) for c in ((), ("train",), ("plan",), ("eval",), ("report",), ("predict",), ("import",))]
COMMANDS += [("ssacl-graph", "export")]
COMMANDS += [("ssacl-bench", *c) for c in ((), ("tune",), ("pool",), ("run",), ("compare",), ("show",))]
COMMANDS += [("ssacl-doctor",), ("ssacl-scale",)]


def run(*command, code=0):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert done.returncode == code, (command, done)
    return done.stdout, done.stderr


def full(*command):
    with open("/dev/full", "w", encoding="ascii") as disk:
        done = subprocess.run(command, stdout=disk, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert done.returncode == 1 and "could not be written" in done.stderr, (command, done)


for command in COMMANDS:
    words = os.path.join(PROGRAMS, command[0].split("-")[1], command[0]), *command[1:]
    assert run(*words, "--version") == ("%s %s\n" % (command[0], VERSION), ""), command
    for option in ("-h", "--help"):
        text, errors = run(*words, option)
        assert text.startswith("usage: " + command[0]) and not errors, command
        assert "  -h, --help" in text and "      --version" in text, command
        assert all(len(line) <= 160 for line in text.split("\n")), command
    full(*words, "--help")
    full(*words, "--version")
    if len(command) > 1 or command[0] not in ("ssacl-text", "ssacl-image", "ssacl-graph"):
        assert "takes no value" in run(*words, "--version=1", code=2)[1]
        assert "takes no value" in run(*words, "--help=1", code=2)[1]

# Every field of a config is an option and stands in the JSON of a model: what adds one to the header and to its family's
# table has both.
def fields_of(family):
    with open(os.path.join(ROOT, "include", "ssacl", "model.h"), encoding="utf-8") as header:
        struct = re.search(r"^struct ssa_%s \{(.*?)^\};" % family, header.read(), re.M | re.S).group(1)
    names = re.findall(r"^    (?:int|float) ([\w, \[\]]+);", struct, re.M)
    return [re.sub(r"\[\d+\]", "", name).strip() for line in names for name in line.split(",")]


fields = fields_of("gpt")
assert len(fields) > 15 and "layers" in fields, fields
text = os.path.join(PROGRAMS, "text", "ssacl-text")
told = run(text, "train", "--help")[0]
model = json.loads(run(text, "plan", "--device", "cpu", "--measure", "0", "--json", "--norm", "rms", "--untied", "--hidden",
                       "96", "--gelu-tanh", "--rope-base", "500", "--kv-heads", "2")[0])["model"]
for field in fields:
    option = {"activation": "gelu-tanh"}.get(field, field.replace("_", "-"))
    assert (" --%s " % option in told.replace("\n", " ")) == (field != "bidirectional"), field
    assert {"untied": "tied", "no_bias": "bias"}.get(field, field) in model, (field, model)
assert model == {"layers": 4, "heads": 4, "kv_heads": 2, "width": 128, "hidden": 96, "vocabulary": 256, "length": 256,
                 "positions": "rotary", "rope_base": 500, "norm": "rms", "norm_eps": model["norm_eps"],
                 "activation": "gelu-tanh", "gated": False, "tied": False, "bias": True, "bidirectional": False,
                 "dropout": 0, "drop_keys": 0}, model
assert abs(model["norm_eps"] - 1e-5) < 1e-9
assert "one of layer|rms" in run(text, "plan", "--norm", "batch", code=2)[1]
assert "not an option" in run(text, "plan", "--bidirectional", code=2)[1]
assert "transformers over bytes, tokens or words" in run(text, "--help")[0]
told = run(text, "train", "--family", "words", "--help")[0].replace("\n", " ")
model = json.loads(run(text, "plan", "--family=words", "--vocabulary", "80", "--cutoffs", "10,40", "--device", "cpu",
                       "--measure", "0", "--json")[0])["model"]
assert set(fields_of("words")) == set(model) and model["cutoffs"] == [10, 40], (fields_of("words"), model)
for field in fields_of("words"):
    assert " --%s " % field.replace("_", "-") in told, field

image = os.path.join(PROGRAMS, "image", "ssacl-image")
for family in "vit", "pixels", "swin":
    told = run(image, "train", "--family", family, "--help")[0].replace("\n", " ")
    model = json.loads(run(image, "plan", "--family=" + family, "--size", "8", "--channels", "1", "--classes", "4",
                           "--device", "cpu", "--measure", "0", "--json")[0])["model"]
    assert set(fields_of(family)) == set(model), (fields_of(family), model)
    for field in fields_of(family):
        hidden = field in ("rows", "columns", "values")
        assert hidden or " --%s " % field.replace("_", "-") in told, field

graph = os.path.join(PROGRAMS, "graph", "ssacl-graph")
told = run(graph, "train", "--help")[0].replace("\n", " ")
model = json.loads(run(graph, "plan", "--nodes", "9", "--device", "cpu", "--measure", "0", "--json")[0])["model"]
assert set(fields_of("egt")) == set(model), (fields_of("egt"), model)
for field in fields_of("egt"):
    hidden = field in ("node_ids", "node_values", "edge_ids", "edge_values", "targets")
    assert (" --%s " % field.replace("_", "-") in told) != hidden, field

demos = {name: os.path.join(ROOT, "demos", name + ".sh") for name in ("quickstart", "text", "images", "molecules")}
for name, script in demos.items():
    assert run("sh", script, "--version")[0] == "%s %s\n" % (name, VERSION)
assert "--minutes: give more than 0" in run("sh", demos["images"], "--minutes", "0.0", code=1)[1]
for script in (*demos.values(), *(os.path.join(ROOT, "tests", name + ".sh") for name in ("run", "vendors", "isa"))):
    for option in ("-h", "--help"):
        text, errors = run("sh", script, option)
        assert text.count("\n") > 1 and not errors, (script, text)
for name, script in demos.items():
    for words, told in ((("--data",), "--data needs a value (see --help)"),
                        (("data",), "unknown option data (see --help)"),
                        (("--data device", "cpu"), "unknown option --data device (see --help)"),
                        (("--device", "cpu", "--data", "$(echo no) where"), "--data: $(echo no) where cannot be read")):
        assert run("sh", script, *words, code=1)[1] == "%s: %s\n" % (name, told), (name, words)
for told, ratio in (("'half' is not a number", "half"), ("'' is not a number", ""), ("give more than 0", "0.0"),
                    ("give at most 1", "1.01")):
    assert "--ratio: " + told in run("sh", demos["molecules"], "--no-install", "--ratio", ratio, code=1)[1]
short = "--grid", "--no-install", "--epochs", "1"
assert "--epochs: give at least 2" in run("sh", demos["quickstart"], *short, code=1)[1]
for script, code in (*((f"demos/{name}.sh", 1) for name in demos), ("tests/run.sh", 2), ("tests/vendors.sh", 2)):
    text, errors = run("sh", os.path.join(ROOT, script), "--no-such-thing", code=code)
    assert not text and errors.count("\n") == 1 and "--help" in errors, (script, errors)
