#!/usr/bin/env python3
"""Who includes whom: every file of lib/ includes only what its room may, from lib's root or its own folder; programs
include public headers and what is theirs. Usage: test_rooms.py SOURCE_ROOT"""
import os
import re
import sys

ROOT = sys.argv[1]
FRONT = {"impl.h", "clock.h", "thread.h", "machine.h"}
KERNELS = {"launch.h", "gemm_parts.h", "plan.h", "rng.h"}  # of cl/: how launches are cut, layout of a plan, generator
FILES = {"disk/files.h", "disk/json.h", "disk/hash.h"}  # compiled into programs too: they need nothing else of lib/

# A room: what it may include of others. Whole rooms end in a slash. Public headers, FRONT and KERNELS are for all.
ROOMS = {
    "": {"tune/", "disk/files.h", "disk/json.h", "disk/store.h", "mpi/module.h"},
    "op": {"tune/verify.h", "tune/tuning.h"},
    "host": {"disk/hash.h"},
    "ocl": {"disk/", "tune/"},
    "mpi": set(),
    "disk": set(),
    "sample": set(),
    "graph": set(),
    "tune": {"disk/"},
    "pool": set(),
    "net": {"pool/pool.h", "net/family/family.h"},
    "net/block": {"net/block.h"},
    "net/family": {"net/net.h", "net/block/blocks.h"},
    "checkpoint": {"disk/", "net/net.h", "net/replicas.h", "train/", "pool/pool.h"},
    "evaluate": {"net/net.h", "net/replicas.h", "pool/pool.h", "train/feed.h", "train/internal.h"},
    "train": {"net/net.h", "net/arena.h", "net/replicas.h", "pool/pool.h", "checkpoint/checkpoint.h", "train/"},
}
ROOMS["train/sum"] = ROOMS["train/team"] = ROOMS["train"] | {"disk/crc32.h", "disk/json.h"}


def sources(folder):
    for at, _, names in os.walk(os.path.join(ROOT, folder)):
        for name in names:
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(at, name), ROOT)


def includes(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return re.findall(r'^#include "([^"]+)"', f.read(), re.M)


def wrong_in_library(path, name):
    room = os.path.dirname(os.path.relpath(path, "lib"))
    if room not in ROOMS:
        return "lib/%s is no room of ROOMS" % room
    if name.startswith("ssacl/") or name in FRONT | KERNELS or os.path.exists(os.path.join(ROOT, "lib", room, name)):
        return ".." in name and "say it from lib/"
    allowed = ROOMS[room]
    return name not in allowed and not any(a.endswith("/") and name.startswith(a) for a in allowed) and \
        "lib/%s may not include it" % room


def wrong_in_program(path, name):
    if name.startswith("ssacl/"):
        return not os.path.exists(os.path.join(ROOT, "include", name)) and "not public"
    own = any(os.path.exists(os.path.join(ROOT, at, name)) for at in (os.path.dirname(path), "demos/common", "demos"))
    return not own and name not in FILES and \
        any(os.path.exists(os.path.join(ROOT, "lib", at, name)) for at in ROOMS) and "of lib/"


def complaints():
    for folder, wrong in ("lib", wrong_in_library), ("demos", wrong_in_program):
        for path in sources(folder):
            for name in includes(path):
                why = wrong(path, name)
                if why:
                    yield "%s includes %s: %s" % (path, name, why)


found = sorted(complaints())
print("\n".join(found) or "all as they may")
sys.exit(bool(found))
