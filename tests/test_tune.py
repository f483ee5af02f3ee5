"""ssacl-bench tune on the host backend with small cases: result, Ctrl-C and going on, targets that cannot be written.

test_tune.py PROGRAM CL
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored here would be ignored there
PROGRAM = sys.argv[1]
SECONDS = "40"


def run(*arguments, **variables):
    environment = dict(os.environ, SSACL_TUNING="", **variables)
    return subprocess.run([PROGRAM, "tune", "--quick", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", env=environment, check=False)


def start(*arguments):
    return subprocess.Popen([PROGRAM, "tune", "--quick", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            encoding="utf-8", env=dict(os.environ, SSACL_TUNING=""))


def check_file(path):
    with open(path, encoding="utf-8") as f:
        root = json.load(f)
    assert root["format"] == "ssacl tuning" and root["schema"] == 1, root
    assert root["device"]["shape"] == "host" and root["device"]["name"], root["device"]
    for kernel, parameter in (("gemm", "ROWS"), ("gemm", "ITEMS"), ("attention_bwd", "PARTS")):
        assert isinstance(root["kernels"][kernel]["parameters"][parameter], int), root["kernels"]
        assert len(root["kernels"][kernel]["source"]) == 16, root["kernels"]
    return root


def whole(folder):
    """A whole search, whose file the next run starts from, and the library takes."""
    out = os.path.join(folder, "whole.json")
    done = run("--device", "cpu", "--seconds", "60", "--output", out)
    assert done.returncode == 0, done.stderr
    speeds = check_file(out)["speeds"]
    assert len(speeds) == 5 and all(s["before"] > 0 and s["after"] > 0 for s in speeds), speeds
    assert all(s["case"] in done.stdout for s in speeds) and "geometric mean" in done.stdout, done.stdout
    assert out in done.stdout and not os.path.exists(out + ".partial"), os.listdir(folder)
    assert "candidates tried" in done.stderr and ": not tuned" not in done.stderr, done.stderr


def catches_ctrl_c(process):
    with open("/proc/%d/status" % process.pid, encoding="utf-8") as f:
        return int(re.search(r"^SigCgt:\s*(\w+)", f.read(), re.M)[1], 16) >> (signal.SIGINT - 1) & 1


def starts_from_file(folder):
    """What a file has already found is never lost to a shorter run."""
    out = os.path.join(folder, "whole.json")
    root = check_file(out)
    root["kernels"]["gemm"]["parameters"].update(ROWS=96, ITEMS=8)
    with open(out, "w", encoding="utf-8") as f:
        json.dump(root, f)
    process = start("--device", "cpu", "--seconds", "3600", "--output", out)
    while process.poll() is None and not catches_ctrl_c(process):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)  # before any candidate, if the machine is not very fast
    process.communicate()
    found = check_file(out)["kernels"]["gemm"]["parameters"]
    assert process.returncode == 130, process.returncode
    assert os.path.exists(out + ".partial") or found == root["kernels"]["gemm"]["parameters"], found


def stopped(folder):
    """Ctrl-C in the middle: the best so far is written, the exit status is 130, and the same command goes on."""
    out = os.path.join(folder, "stopped.json")
    state = out + ".partial"
    arguments = ["--device", "cpu", "--seconds", "3600", "--output", out]
    process = start(*arguments)
    while not os.path.exists(state) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    if process.returncode == 0:
        return print("over before it could be stopped")
    assert process.returncode == 130, (process.returncode, words)
    assert "stopped; the same command goes on" in words, words
    check_file(out)
    with open(state, encoding="utf-8") as f:
        tried = json.load(f)["tried"]
    assert tried, state
    again = run("--device", "cpu", "--seconds", "60", "--output", out)
    assert again.returncode == 0, again.stderr
    assert "goes on from %s, %d candidates" % (state, len(tried)) in again.stderr, again.stderr
    assert not os.path.exists(state)
    return check_file(out)


def damaged_state(folder):
    """What a crash or another left in place of the state is no obstacle."""
    out = os.path.join(folder, "damaged.json")
    for words in ("", "{", '{"tried": {}}', "[" * 60000):
        with open(out + ".partial", "w", encoding="utf-8") as f:
            f.write(words)
        done = run("--device", "cpu", "--seconds", "1", "--output", out)
        assert done.returncode == 0 and "goes on" not in done.stderr, (words[:20], done.stderr)
        check_file(out)


def unwritable(folder):
    """Said before the work: in less time than one candidate takes, and in one line."""
    plain = os.path.join(folder, "plain")
    with open(plain, "w", encoding="utf-8") as f:
        f.write("x")
    for target, words in (("/proc/nowhere/a.json", "cannot be used"), (folder, "not a regular file"),
                          (os.path.join(plain, "a.json"), "")):
        done = run("--device", "cpu", "--seconds", "3600", "--output", target)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, (target, done.returncode, done.stderr)
        assert target in done.stderr and words in done.stderr, done.stderr
    done = run("--device", "cpu", XDG_CONFIG_HOME=plain)
    assert done.returncode == 1 and "cannot be made" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    done = run("--device", "cpu", XDG_CONFIG_HOME="", HOME="")
    assert done.returncode == 1 and "--output" in done.stderr, done.stderr


def own_folder(folder):
    """Without --output the file lies where the library looks for it."""
    done = run("--device", "cpu", "--seconds", "1", XDG_CONFIG_HOME=folder)
    assert done.returncode == 0, done.stderr
    names = os.listdir(os.path.join(folder, "ssacl", "tuning"))
    assert len(names) == 1 and names[0].endswith("-host.json"), names


def wrong_candidates(folder):
    """Kernels that are fast and wrong, or do not build, are never taken: with and without the library's own test."""
    kernels = os.path.join(folder, "cl")
    shutil.copytree(sys.argv[2], kernels)
    name = os.path.join(kernels, "gemm_gpu.cl")
    with open(name, encoding="utf-8") as f:
        text = f.read()
    loop = "    for (int kk = begin; kk < end;"
    assert loop in text
    text = text.replace(loop, "#if DEPTH == 8\n#error no such depth\n#endif\n    "
                        "for (int kk = SIDE == 8 ? end : begin; kk < end;")
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)
    for test in ("0", "1"):
        out = os.path.join(folder, "wrong%s.json" % test)
        done = run("--device", "opencl", "--kernel", "gemm", "--busy", "--seconds", SECONDS, "--output", out,
                   SSACL_CL_DIR=kernels, SSACL_SHAPE="gpu", SSACL_CLBLAST_LIBRARY="", SSACL_SELFTEST=test)
        if done.returncode and "no device" in done.stderr:
            return print("no OpenCL device: skipped")
        assert done.returncode == 0, done.stderr
        with open(out, encoding="utf-8") as f:
            found = json.load(f)["kernels"]["gemm_gpu"]["parameters"]
        assert found["SIDE"] == 16 and found["DEPTH"] != 8, found
        tried, refused = map(int, re.search(r"(\d+) candidates tried, (\d+) of them did not", done.stderr).groups())
        assert refused >= 2 or tried < 5, done.stderr  # a machine that is very busy does not come to them
    return None


def usage():
    for arguments in (["--seconds", "0"], ["--seconds", "soon"], ["--width", "12"], ["--warp"], ["word"]):
        done = run(*arguments)
        assert done.returncode == 2 and done.stderr, (arguments, done.returncode, done.stderr)
    assert run("--device", "cpu", "--kernel", "warp", "--output", "/tmp/ssacl-never-written.json").returncode == 1
    assert run("--device", "warp drive", "--output", "/tmp/x.json").returncode == 1
    assert "--seconds" in run("--help").stdout


with tempfile.TemporaryDirectory() as directory:
    usage()
    unwritable(directory)
    whole(directory)
    starts_from_file(directory)
    stopped(directory)
    damaged_state(directory)
    own_folder(directory)
    wrong_candidates(directory)
