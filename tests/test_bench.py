"""Runs a suite of ssacl-bench on small cases and checks its rows: test_bench.py PROGRAM SUITE."""
import json
import math
import subprocess
import sys

FIELDS = {"suite": str, "case": str, "device": str, "backend": str, "direction": str, "seconds": float,
          "seconds_min": float, "gflops": float, "peak_gflops": float, "share": float, "bandwidth_gbs": float,
          "error": float, "bytes": float}
LARGEST_ERROR = {"attention": 1e-5, "gemm": 1e-5, "step": 1e-3}


def check_row(row, suite, backend):
    for name, kind in FIELDS.items():
        assert isinstance(row.get(name), kind), "%s: %s is %r" % (row.get("case"), name, row.get(name))
    assert row["suite"] == suite and row["backend"] == backend, row
    for name in ("seconds", "gflops", "peak_gflops", "bandwidth_gbs", "bytes"):
        assert math.isfinite(row[name]) and row[name] > 0, "%s: %s is %r" % (row["case"], name, row[name])
    assert row["seconds_min"] <= row["seconds"], row
    assert 0 <= row["error"] < LARGEST_ERROR[suite], "%s %s: error %g" % (row["case"], row["direction"], row["error"])


def check_device(program, suite, device, backend):
    run = subprocess.run([program, suite, "--quick", "--json", "--device", device], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, encoding="utf-8", check=False)
    if run.returncode and "no device" in run.stderr and device != "cpu":
        return print("%s: skipped, there is no such device" % device)
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(rows) > 3 and rows[-1]["suite"] == "peak", run.stdout
    assert rows[-1]["peak_gflops"] > 0 and rows[-1]["bandwidth_gbs"] > 0
    for row in rows[:-1]:
        check_row(row, suite, backend)
    return print("%s %s: %d rows" % (device, suite, len(rows)))


if __name__ == "__main__":
    check_device(sys.argv[1], sys.argv[2], "cpu", "host")
    check_device(sys.argv[1], sys.argv[2], "opencl", "opencl")
