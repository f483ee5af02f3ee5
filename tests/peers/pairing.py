"""Alternating two or more sides in one process, and what the scripts have in common."""
import argparse
import math
import os
import time

PAUSE = 0.050  # threads of OpenMP and OpenBLAS spin on for up to 30 ms after their work, on the core that ours need


def arguments(text, **defaults):
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--library", help="libssacl.so (default: the first build*/lib/libssacl.so)")
    parser.add_argument("--devices", default="opencl,cpu", help="of ours: a comma list (default opencl,cpu)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the other side")
    for name, value in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value, help="default %s" % value)
    return parser.parse_args()


def alternate(sides, reps, clock=time.perf_counter):
    """The least seconds of each of the functions in `sides` (a dictionary), run in turns; the first turn warms up."""
    best = {name: math.inf for name in sides}
    for turn in range(reps + 1):
        for name, run in sides.items():
            time.sleep(PAUSE)
            start = clock()
            run()
            seconds = clock() - start
            if turn:
                best[name] = min(best[name], seconds)
    return best


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))
