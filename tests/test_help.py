#!/usr/bin/env python3
"""--help and --version of every program, command and script that people call.
Usage: test_help.py FOLDER_OF_PROGRAMS VERSION"""
import os
import subprocess
import sys

PROGRAMS, VERSION = os.path.abspath(sys.argv[1]), sys.argv[2]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMANDS = [("ssacl-text", *c) for c in ((), ("train",), ("plan",), ("eval",), ("sample",), ("report",))]
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
    if len(command) > 1 or command[0] != "ssacl-text":
        assert "takes no value" in run(*words, "--version=1", code=2)[1]
        assert "takes no value" in run(*words, "--help=1", code=2)[1]

quickstart = os.path.join(ROOT, "demos", "quickstart.sh")
assert run("sh", quickstart, "--version")[0] == "quickstart %s\n" % VERSION
for script in (quickstart, *(os.path.join(ROOT, "tests", name + ".sh") for name in ("run", "vendors", "isa"))):
    for option in ("-h", "--help"):
        text, errors = run("sh", script, option)
        assert text.count("\n") > 1 and not errors, (script, text)
for script, code in (("demos/quickstart.sh", 1), ("tests/run.sh", 2), ("tests/vendors.sh", 2)):
    text, errors = run("sh", os.path.join(ROOT, script), "--no-such-thing", code=code)
    assert not text and errors.count("\n") == 1 and "--help" in errors, (script, errors)
