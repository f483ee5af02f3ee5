#!/usr/bin/env python3
"""What a user has set up for gnuplot, fonts, languages or the terminal changes no picture and no table; terminals that
know no escape codes get none. Usage: test_pictures.py FOLDER_OF_PROGRAMS [FAULT_LAYER]"""
import glob
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile

PROGRAMS = os.path.abspath(sys.argv[1])
LAYER = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
TEXT, BENCH, SCALE = (os.path.join(PROGRAMS, p, "ssacl-" + p) for p in ("text", "bench", "scale"))
CLEAN = {k: os.environ[k] for k in ("PATH", "LD_LIBRARY_PATH") if k in os.environ}
CLEAN.update(HOME="/nonexistent", SSACL_OPENCL_LIBRARY="", SSACL_TUNING="", SSACL_CACHE="0", SSACL_THREADS="1")


def run(*command, env):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, check=False)
    assert done.returncode == 0 and not done.stderr, (command, done)
    return done.stdout


def write_log():
    with open("log.jsonl", "w", encoding="ascii") as file:
        for step in range(1, 31):
            file.write(json.dumps(dict(event="step", step=step, tokens=640.5 * step, seconds=step / 8, loss=1,
                                       bits=5.5 - step / 9)) + "\n")


def hostile(home):
    """Everything that one could have set up."""
    os.makedirs(os.path.join(home, ".config", "fontconfig"))
    for name in (".gnuplot", ".gnuplotrc", ".config/gnuplot", "gnuplotrc"):
        if not os.path.isdir(os.path.join(home, name)):
            with open(os.path.join(home, name), "w", encoding="ascii") as file:
                file.write("set terminal dumb\nset decimalsign ','\nset key off\nset output '/dev/null'\nexit\n")
    fonts = os.path.join(home, ".config", "fontconfig", "fonts.conf")
    with open(fonts, "w", encoding="ascii") as file:
        file.write('<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><match target="pattern">'
                   '<edit name="size" mode="assign"><double>40</double></edit></match></fontconfig>')
    return dict(CLEAN, HOME=home, XDG_CONFIG_HOME=os.path.join(home, ".config"), FONTCONFIG_FILE=fonts, GNUTERM="qt",
                GNUPLOT_LIB=home, GDFONTPATH=home, GNUPLOT_FONTPATH=home, GNUPLOT_DEFAULT_GDFONT="x",
                GNUPLOT_DRIVER_DIR=home, GNUHELP=home, FIT_LOG=home, GNUFITLOG=home, LC_ALL="de_DE.UTF-8",
                LC_NUMERIC="de_DE.UTF-8", LANG="de_DE.UTF-8", LANGUAGE="de", COLUMNS="20", SOURCE_DATE_EPOCH="x",
                PANGOCAIRO_BACKEND="x", FC_LANG="ja", POSIXLY_CORRECT="1", TERM="dumb")


def pictures():
    if not shutil.which("gnuplot"):
        return print("no gnuplot: pictures are left out")
    other = hostile(os.path.abspath("home"))
    title = "a, \u00e9 and 1.5"
    for name, env in (("clean", CLEAN), ("other", other)):
        run(TEXT, "report", "log.jsonl", "--out", name, "--title", title, env=env)
        run(SCALE, "--gflops", "100", "--memory", "50", "--chart", name + "-scale.svg", env=env)
    for end in (".svg", ".png", "-scale.svg"):
        with open("clean" + end, "rb") as a, open("other" + end, "rb") as b:
            assert a.read() == b.read(), end + " is another picture"
    with open("clean.svg", encoding="utf-8") as file:
        assert title in file.read()


def tables():
    for program in (TEXT, BENCH, SCALE, *glob.glob(os.path.join(PROGRAMS, "..", "lib", "libssacl.so*"))):
        if os.path.isfile(program):
            with open(program, "rb") as file:
                assert b"setlocale" not in file.read(), "a language is asked for: numbers would be written in it"
    other = dict(CLEAN, LC_ALL="de_DE.UTF-8", LANG="de_DE.UTF-8", COLUMNS="20", TERM="dumb", POSIXLY_CORRECT="1")
    for command in ((TEXT, "report", "log.jsonl"), (TEXT, "report", "log.jsonl", "--json"),
                    (SCALE, "--gflops", "100", "--memory", "50")):
        assert run(*command, env=CLEAN) == run(*command, env=other), command


# ---- terminals ----

def on_terminal(command, env, enough):
    """What a program writes on a terminal, until `enough` of it, or it ends."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, env)
    seen = b""
    while not enough(seen):
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                got = os.read(terminal, 65536)
            except OSError:
                got = b""
            if not got:
                break
            seen += got
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    return seen


def bars():
    """A run of a minute or more: its bar is there within seconds, or never."""
    def train(name, enough, **terminal):
        command = [TEXT, "train", "--data", "text", "--layers", "1", "--width", "8", "--heads", "1", "--length", "16",
                   "--batch", "1", "--steps", "100000000", "--eval-windows", "1", "--device", "cpu", "-c", name, "-l",
                   name + ".jsonl"]
        return on_terminal(command, dict(CLEAN, **terminal), enough)

    def seconds(name):
        def trained(_):
            if not os.path.exists(name + ".jsonl"):
                return False
            with open(name + ".jsonl", encoding="ascii") as file:
                steps = [line for line in file.read().split("\n") if '"event":"step"' in line and line.endswith("}")]
            return bool(steps) and json.loads(steps[-1])["seconds"] > 1
        return trained

    assert b"left" in train("bar", lambda seen: b"\x1b[K" in seen, TERM="xterm")
    for name, terminal in (("dumb", {"TERM": "dumb"}), ("unset", {}), ("empty", {"TERM": ""})):
        seen = train(name, seconds(name), **terminal)
        assert b"stage 1" in seen and b"\x1b" not in seen and b" left  " not in seen, seen


def colours():
    row = {"schema": 2, "suite": "gemm", "case": "a", "status": "failed", "reason": "why", "device_id": "cpu"}
    with open("rows.json", "w", encoding="ascii") as file:
        file.write(json.dumps(row))
    for terminal, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": ""}, True), ({}, False),
                               ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)):
        seen = on_terminal([BENCH, "show", "rows.json"], dict(CLEAN, **terminal),
                           lambda seen: b"why" in seen and seen.endswith(b"\n"))
        assert b"why" in seen and (b"\x1b[31m" in seen) == coloured, (terminal, seen)


def waits():
    """What a driver takes long over stands in the line of the bar; without a terminal in a line of its own."""
    if not LAYER or not os.path.exists("/etc/OpenCL/vendors/pocl.icd"):
        return print("no PoCL or no layer: waiting for drivers is left out")
    env = dict(CLEAN, OPENCL_LAYERS=LAYER, SSA_FAULTS="hang=clBuildProgram,onwards,seconds=10", POCL_DEVICES="basic",
               OCL_ICD_VENDORS="libpocl.so.2", SSACL_DEVICE="opencl", POCL_CACHE_DIR=os.path.abspath("pocl"),
               ASAN_OPTIONS="detect_leaks=0")  # drivers leak
    del env["SSACL_OPENCL_LIBRARY"]
    command = [BENCH, "operators", "--quick", "--only", "add B2 N48 C32", "--reps", "1", "--device", "opencl"]
    words = b"device opencl:0:0: building cl/add.cl, program 1, takes long: "
    seen = on_terminal(command, dict(env, TERM="xterm"), lambda seen: words in seen)
    assert b"\rbench: " + words in seen, seen
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) as waiting:
        lines = iter(waiting.stderr.readline, b"")
        line = next((line for line in lines if words in line), b"")
        waiting.kill()
    assert line.startswith(b"ssacl-bench: " + words), line
    env["SSA_FAULTS"] = "hang=clBuildProgram,onwards,seconds=3"  # past the two after which it would be said
    done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, check=False)
    assert done.returncode == 0 and b"takes long" not in done.stderr, done  # PoCL has words of its own on some machines


with tempfile.TemporaryDirectory(prefix="ssacl-pictures.") as work:
    os.chdir(work)
    write_log()
    with open("text", "wb") as sample_text:
        sample_text.write(b"the history of the river " * 100)
    for part in (pictures, tables, bars, colours, waits):
        part()
    os.chdir("/")
