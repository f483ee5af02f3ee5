"""The work of tests/isa.sh: see there."""
import argparse
import concurrent.futures
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CL = os.path.join(ROOT, "cl")
TABLE = os.path.join(ROOT, "tests", "isa", "table.md")
sys.path.insert(0, CL)
sys.dont_write_bytecode = True
import embed  # noqa: E402

DEFAULT_GROUP = 64  # of kernels that require no size: what the library launches

# What limits occupancy. AMD: registers of a lane of a SIMD, their granule, most waves of a SIMD, SIMDs and bytes of
# local memory that share it. NVIDIA: registers, warps, groups and bytes of a multiprocessor. Intel: threads of an
# execution unit at 128 registers, units and bytes that share local memory.
AMD = {"gfx906": (256, 4, 10, 4, 65536), "gfx90a": (512, 8, 8, 4, 65536),
       "gfx1030": (1024, 8, 16, 4, 131072), "gfx1100": (1536, 24, 16, 4, 131072)}
NVIDIA = {"sm_80": (65536, 64, 32, 164 << 10), "sm_90": (65536, 64, 32, 228 << 10)}
INTEL = {"tgllp": (7, 16, 65536), "acm-g10": (8, 16, 65536), "pvc": (8, 8, 131072)}
SUB_GROUP = {"tgllp": 8, "acm-g10": 8, "pvc": 16}  # the least that the device has: what the library asks for
TARGETS = ["spirv", *AMD, *NVIDIA, *INTEL]


class Failure(Exception):
    pass


FOLDER = os.environ.get("SSACL_ISA_TOOLS", "")  # what isa.sh --install got, beside what the machine has
INTEL_LIBRARIES = os.path.join(FOLDER, "ocloc/usr/lib/x86_64-linux-gnu")


def run(*command, **environment):
    p = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace")
    if p.returncode:
        raise Failure("%s: %s" % (os.path.basename(command[0]), p.stdout.strip()[-2000:]))
    return p.stdout


def first_of(names):
    here = glob.glob(FOLDER + "/nvidia/lib/python*/site-packages/nvidia/cuda_nvcc/bin") + [FOLDER + "/ocloc/usr/bin"]
    where = os.pathsep.join([os.environ.get("PATH", "")] + here * bool(FOLDER))
    return next((path for name in names for path in [shutil.which(name, path=where)] if path), None)


def ocloc(tools, *command):
    own = {"LD_LIBRARY_PATH": INTEL_LIBRARIES} if FOLDER and tools["ocloc"].startswith(FOLDER) else {}
    return run(tools["ocloc"], *command, **own)


def find_tools():
    ptxas = first_of(["ptxas"])
    cuda = []
    for start in (ptxas, first_of(["nvcc"])):
        if start:
            cuda.append(os.path.dirname(os.path.dirname(os.path.realpath(start))))
    cuda += ["/usr/local/cuda", "/usr/lib/cuda", "/usr/lib/nvidia-cuda-toolkit"]
    device = [f for c in cuda for at in ("/nvvm/libdevice/libdevice*.bc", "/libdevice/*.bc") for f in glob.glob(c + at)]
    return {"clang": first_of(["clang-22", "clang-20", "clang-19", "clang-18"]), "clang15": first_of(["clang-15"]),
            "llvm-spirv": first_of(["llvm-spirv-15"]), "spirv-val": first_of(["spirv-val"]), "ptxas": ptxas,
            "libdevice": device[0] if device else None, "ocloc": first_of(["ocloc"]),
            "nvdisasm": first_of(["nvdisasm"]),
            "libclc amdgcn--amdhsa.bc": first_file("amdgcn--amdhsa.bc"),
            "libclc nvptx64--nvidiacl.bc": first_file("nvptx64--nvidiacl.bc")}


def first_file(name):
    found = [f for f in ["/usr/lib/clc/" + name] + glob.glob("/usr/lib/llvm-*/lib/clang/*/lib/clc/" + name)
             if os.path.exists(f)]
    return found[0] if found else None


def needs(target):
    if target == "spirv":
        return ["clang15", "llvm-spirv", "spirv-val"]
    if target in AMD:
        return ["clang", "libclc amdgcn--amdhsa.bc"]
    return ["clang", "libclc nvptx64--nvidiacl.bc", "ptxas", "libdevice"] if target in NVIDIA else ["ocloc"]


# ---- what there is to compile: the lists of cl/meson.build ----

def build_list(name):
    text = open(os.path.join(CL, "meson.build"), encoding="utf-8").read()
    m = re.search(r"^%s = \[(.*?)\]" % name, text, re.S | re.M)
    return re.findall(r"'([^']+)'", m.group(1)) if m else []


def units(only, target):
    """(file, options) of everything that a GPU may run."""
    variants = build_list("gpu_variants")
    for registers in (256, 128):
        if target == "spirv" or (target in INTEL) == (registers == 128):
            variants += build_list("gpu_variants_%d" % registers)
    gpu = build_list("gpu_kernels")
    for name in build_list("kernels") + gpu:
        if (only and name not in only) or name + "_gpu" in gpu:  # where there are two, a GPU runs the other
            continue
        own = [v.partition(":")[2] for v in variants if v.partition(":")[0] == name]
        for options in own or [""]:
            yield name, options


def kernels_of(source):
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", source, flags=re.S)
    return re.findall(r"__kernel\b[^{;]*?\bvoid\s+(\w+)\s*\(", text)


# ---- compiling: each returns {kernel: {registers, spill, stack, local, occupancy in %}} ----

CLANG = ["-x", "cl", "-cl-std=CL1.2", "-Xclang", "-finclude-default-header", "-Xclang", "-fdeclare-opencl-builtins",
         "-Wno-linker-warnings", "-O3"]


def link(*libraries):
    return [a for lib in libraries for a in ("-Xclang", "-mlink-builtin-bitcode", "-Xclang", lib)]


def percent(waves, most):
    return int(100 * min(waves, most) // most)


def compile_spirv(tools, target, source, options, at):
    run(tools["clang15"], *CLANG[:-1], "-O2", *options, "--target=spir64-unknown-unknown", "-Wall",
        "-Werror=implicit-function-declaration", "-Xclang", "-disable-llvm-passes", "-fgnu89-inline", "-emit-llvm",
        "-c", source, "-o", at + "/a.bc")
    run(tools["llvm-spirv"], "--spirv-max-version=1.0", at + "/a.bc", "-o", at + "/a.spv")
    run(tools["spirv-val"], "--target-env", "opencl1.2", at + "/a.spv")
    return {}


def amd_occupancy(target, registers, local, group, lanes):
    total, granule, most, simds, memory = AMD[target]
    waves = total // (-(-max(registers, 1) // granule) * granule)
    per_group = -(-group // lanes)
    groups = min(waves, most) * simds // per_group
    if local:
        groups = min(groups, memory // local)
    return percent(groups * per_group / simds, most)


def compile_amd(tools, target, source, options, at):
    with open(at + "/shim.h", "w", encoding="utf-8") as f:
        f.write("#define ONE __builtin_amdgcn_exp2f\n" + SHIM)
    run(tools["clang"], *CLANG, *options, "-include", at + "/shim.h", "--target=amdgcn-amd-amdhsa", "-mcpu=" + target,
        "-nogpulib", *link(tools["libclc amdgcn--amdhsa.bc"]), "-S", source, "-o", at + "/a.s")
    text = open(at + "/a.s", encoding="utf-8").read()
    if "s_swappc_b64" in text:
        raise Failure("a call of a function that the target's library does not have")
    out = {}
    for part in text.split("amdhsa.kernels:")[1].split("amdhsa.target")[0].split("\n  - ")[1:]:
        value = lambda key: (re.search(r"\.%s: +(\S+)" % key, part) or [0, "0"])[1]  # noqa: E731
        group = re.search(r"\.reqd_workgroup_size:\s+- (\d+)\s+- (\d+)\s+- (\d+)", part)
        size = int(group[1]) * int(group[2]) * int(group[3]) if group else DEFAULT_GROUP
        registers, local = int(value("vgpr_count")), int(value("group_segment_fixed_size"))
        out[value("symbol").replace(".kd", "")] = {
            "registers": registers, "spill": int(value("vgpr_spill_count")) + int(value("sgpr_spill_count")),
            "stack": int(value("private_segment_fixed_size")), "local": local,
            "occupancy": amd_occupancy(target, registers, local, size, int(value("wavefront_size")))}
    attach_loops(out, re.findall(r"^(\w+):.*?@\1\n(.*?)s_endpgm", text, re.S | re.M))
    return out


# The native functions as the makers' drivers have them, one instruction; libclc computes them by polynomials.
SHIM = """
#define NATIVE(type, lanes) static type __attribute__((overloadable)) hardware_exp2(type x) { return (type)(lanes); }
NATIVE(float, ONE(x))
NATIVE(float4, (ONE(x.x), ONE(x.y), ONE(x.z), ONE(x.w)))
#define native_exp2 hardware_exp2
"""


def nvidia_occupancy(target, registers, local, group):
    total, most, most_groups, memory = NVIDIA[target]
    warps = -(-group // 32)
    groups = min(most_groups, most // warps, total // (-(-registers // 8) * 8 * 32 * warps))
    if local:
        groups = min(groups, memory // (local + 1024))
    return percent(groups * warps, most)


def compile_nvidia(tools, target, source, options, at):
    with open(at + "/shim.h", "w", encoding="utf-8") as f:
        f.write("#define ONE __nvvm_ex2_approx_ftz_f\n" + SHIM)
    # Code for a later target than the compiler knows is what the driver's assembler makes of it.
    run(tools["clang"], *CLANG, *options, "--target=nvptx64-unknown-nvidiacl", "-Xclang", "-target-cpu", "-Xclang",
        "sm_80", "-include", at + "/shim.h", *link(tools["libclc nvptx64--nvidiacl.bc"], tools["libdevice"]), "-S",
        source, "-o", at + "/a.ptx")
    log = run(tools["ptxas"], "-v", "-arch=" + target, at + "/a.ptx", "-o", at + "/a.cubin")
    text = open(at + "/a.ptx", encoding="utf-8").read()
    sizes = {}
    for entry in re.split(r"\.entry ", text)[1:]:
        m = re.search(r"\.reqntid (\d+), (\d+), (\d+)", entry.split("{")[0])
        sizes[re.match(r"\w+", entry)[0]] = int(m[1]) * int(m[2]) * int(m[3]) if m else DEFAULT_GROUP
    out = {}
    for part in log.split("Compiling entry function '")[1:]:
        name, number = part.split("'")[0], lambda pattern: int((re.search(pattern, part) or [0, 0])[1])  # noqa: E731
        registers, local = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
        out[name] = {"registers": registers, "spill": number(r"(\d+) bytes spill stores"),
                     "stack": number(r"(\d+) bytes stack"), "local": local,
                     "occupancy": nvidia_occupancy(target, registers, local, sizes.get(name, DEFAULT_GROUP))}
    if tools["nvdisasm"]:
        code = run(tools["nvdisasm"], "-c", at + "/a.cubin")
        attach_loops(out, re.findall(r"^\.text\.(\w+):\n(.*?)(?=^\.text\.|\Z)", code, re.S | re.M))
    return out


def intel_occupancy(target, registers, local, group, lanes):
    threads, units_, memory = INTEL[target]
    threads, most = threads * 128 // max(registers, 128), threads
    per_group = -(-group // lanes)
    groups = threads * units_ // per_group
    if local:
        groups = min(groups, memory // local)
    return percent(groups * per_group / units_, most)


def compile_intel(tools, target, source, options, at):
    log = ocloc(tools, "compile", "-file", source, "-device", target, "-options",
                "-cl-std=CL1.2 -DSUB_GROUP=%d " % SUB_GROUP[target] + " ".join(options), "-internal_options",
                "-cl-intel-allow-zebin", "-out_dir", at, "-output", "x")
    os.mkdir(at + "/dump")
    ocloc(tools, "disasm", "-file", glob.glob(at + "/x_*.bin")[0], "-device", target, "-dump", at + "/dump")
    info = open(at + "/dump/.ze_info", encoding="utf-8", errors="replace").read().split("kernels_misc_info")[0]
    out = {}
    for part in re.split(r"^  - name: +", info, flags=re.M)[1:]:
        if part.startswith("Intel_Symbol_Table"):
            continue
        name = part.split()[0].strip("'")
        number = lambda key: int((re.search(key + r": +(\d+)", part) or [0, 0])[1])  # noqa: E731
        group = re.search(r"required_work_group_size:\s+- (\d+)\s+- (\d+)\s+- (\d+)", part) or re.search(
            r"required_work_group_size: +\[ *(\d+), *(\d+), *(\d+)", part)
        size = int(group[1]) * int(group[2]) * int(group[3]) if group else DEFAULT_GROUP
        scratch = sum(int(s) for s in re.findall(r"\n +size: +(\d+)", part.split("per_thread_memory_buffers")[1])) \
            if "per_thread_memory_buffers" in part else 0
        spilled, local = re.search(r"kernel %s +compiled.*spilled" % name, log), number("slm_size")
        out[name] = {"registers": number("grf_count"), "spill": scratch if spilled else 0,
                     "stack": 0 if spilled else scratch, "local": local, "lanes": number("simd_size"),
                     "occupancy": intel_occupancy(target, number("grf_count"), local, size, number("simd_size"))}
    return out


# ---- loops: the innermost one with the most multiply-adds ----

FMA = re.compile(r"^(v_(pk_)?(fma|fmac|mad|mac)(ak|mk|c)?_(legacy_)?f32|v_dual_fmac_f32|FFMA2?)")


def attach_loops(out, functions):
    for name, body in functions:
        if name in out:
            out[name]["loop"] = hottest_loop(body)


def hottest_loop(body):
    """[instructions that multiply and add, instructions]."""
    labels, code = {}, []
    for line in body.splitlines():
        line = re.sub(r"/\*.*?\*/|;.*|//.*", "", line).strip()
        m = re.match(r"\.?([\w.$]+):", line)
        if m:
            labels[m[1].lstrip(".")] = len(code)
        elif line and not line.startswith("."):
            code.append(line)
    best = [0, 0]
    spans = []
    for i, line in enumerate(code):
        m = re.search(r"(?:s_c?branch\w*|BRA(?:\.\w+)*)\s+(?:[!\w.]+,\s*)*`?\(?\.?([\w.$]+)", line)
        if m and labels.get(m[1].lstrip("."), i + 1) <= i:
            spans.append((labels[m[1].lstrip(".")], i + 1))
    for a, b in spans:
        if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in spans):
            part = [re.sub(r"^@!?\w+\s+", "", line) for line in code[a:b]]
            found = sum(1 for p in part if FMA.match(p))
            if found > best[0]:
                best = [found, len(part)]
    return best


# ---- the table ----

def compile_one(tools, target, name, options, cache):
    text = "".join(embed.resolve(os.path.join(CL, name + ".cl"), set()))
    versions = [tools[n] and os.path.realpath(tools[n]) for n in needs(target)]
    own = open(os.path.abspath(__file__), encoding="utf-8").read()
    key = hashlib.sha256(repr((text, options, target, versions, tools["nvdisasm"], own)).encode()).hexdigest()
    kept = os.path.join(cache, key)
    if os.path.exists(kept):
        return json.load(open(kept, encoding="utf-8"))
    compilers = {"spirv": compile_spirv, **{t: compile_amd for t in AMD}, **{t: compile_nvidia for t in NVIDIA},
                 **{t: compile_intel for t in INTEL}}
    with tempfile.TemporaryDirectory() as at:
        source = os.path.join(at, name + ".cl")
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
        flags = ["-DSSA_GPU=1"] + ["-D" + o for o in options.split(",") if o]
        try:
            result = compilers[target](tools, target, source, flags, at)
            missing = [k for k in kernels_of(text) if k not in result and target != "spirv"]
            if missing:
                raise Failure("the compiler left out " + ", ".join(missing))
        except Failure as f:
            return {"": {"failure": str(f)}}
    with open(kept + ".%d" % os.getpid(), "w", encoding="utf-8") as f:
        json.dump(result, f)
    os.replace(kept + ".%d" % os.getpid(), kept)
    return result


def cell(r):
    if r is None:
        return ""
    extra = "".join(" %s %d" % (k, r[k]) for k in ("spill", "stack") if r[k])
    return "%d%s · %d%%%s" % (r["registers"], "/%d" % r["lanes"] if "lanes" in r else "", r["occupancy"], extra)


HEADER = """# What GPU compilers make of the kernels

Written by `tests/isa.sh`, which fails on spills and on private memory. A cell: registers of a work-item (Intel: of a
thread / work-items in it) · occupancy in percent of the threads that the device can hold at once, then spills and
private memory in bytes if there are any. Local: bytes of local memory of a work-group. Variants with REGISTERS=128 are
for devices of few registers a work-item, which Intel's are, the other variants of a kernel that has both for the rest.
No GPU has run for this table.

"""


def table(rows, targets):
    columns = [t for t in targets if t != "spirv"]
    lines = ["| kernel | variant | local | " + " | ".join(columns) + " |", "|" + " --- |" * (len(columns) + 3)]
    for (name, options, kernel), cells in rows.items():
        local = max(c["local"] for c in cells.values())
        lines.append("| %s | %s | %d | %s |" % (kernel, options.replace(",", " "), local,
                                               " | ".join(cell(cells.get(t)) for t in columns)))
    return HEADER + "\n".join(lines) + "\n"


def show_loops(rows, targets):
    for (_, options, kernel), cells in rows.items():
        for t in targets:
            fma, all_ = cells.get(t, {}).get("loop", [0, 0])
            if fma >= 16:
                print("%-24s %-20s %-8s %4d of %4d instructions multiply and add: %d%%; %s" %
                      (kernel, options, t, fma, all_, 100 * fma // all_, cell(cells[t])))


def compare(rows, targets):
    """Differences from the kept table, of the rows and targets at hand: said, not failed."""
    kept = {}
    for line in open(TABLE, encoding="utf-8") if os.path.exists(TABLE) else []:
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if line.startswith("| kernel "):
            columns = cells[3:]
        elif line.startswith("| ") and len(cells) > 3:
            kept[cells[0], cells[1]] = dict(zip(columns, cells[3:]))
    for (_, options, kernel), cells in rows.items():
        was = kept.get((kernel, options.replace(",", " ")))
        if was is None:
            print("new: %s %s" % (kernel, options))
        for t, r in cells.items():
            if was and was.get(t) != cell(r):
                print("changed: %s %s on %s: %s, was %s" % (kernel, options, t, cell(r), was.get(t, "not there")))


def write_log(path, checks, failures, skipped):
    """One line a target, as `meson test` logs its tests."""
    with open(path, "w", encoding="utf-8") as f:
        for t in skipped:
            f.write(json.dumps({"name": "isa " + t, "result": "SKIP", "duration": 0, "stdout": ""}) + "\n")
        for t, count in checks.items():
            words = failures.get(t, [])
            bad = len({where for where, _ in words})
            f.write(json.dumps({
                "name": "isa " + t, "result": "FAIL" if bad else "OK", "duration": 0,
                "stdout": "\n".join(w for _, w in words) + "\nChecks: %d, Failures: %d, Errors: 0\n" % (count, bad)}) +
                "\n")


def find_targets(names, tools):
    """Those that can be compiled for, those that cannot, and what is wrong with asking for them."""
    targets, skipped, wrong = [], [], []
    for t in names:
        lacking = [n for n in needs(t) if not tools[n]] if t in TARGETS else ["such a target"]
        if lacking and (os.environ.get("SSACL_ISA_ALL") or t not in TARGETS):
            wrong.append("%s: no %s" % (t, ", ".join(lacking)))
        elif lacking:
            print("skipped: %s, for want of %s" % (t, ", ".join(lacking)))
            skipped.append(t)
        else:
            targets.append(t)
    return targets, skipped, wrong


def compile_all(tools, targets, files):
    """({(file, options, kernel): {target: result}}, {target: [(file and options, failure)]}, {target: compiled})"""
    cache = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "isa")
    os.makedirs(cache, exist_ok=True)
    rows, failures, checks, jobs = {}, {}, {t: 0 for t in targets}, []
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", 0)) or os.cpu_count()) as pool:
        for t in targets:
            for name, options in units(files, t):
                jobs.append((name, options, t, pool.submit(compile_one, tools, t, name, options, cache)))
    for name, options, t, job in jobs:
        where = "cl/%s.cl %s" % (name, options)
        checks[t] += 1
        for kernel, r in job.result().items():
            words = "does not compile: " + r["failure"] if "failure" in r else "%s: %s" % (kernel, cell(r))
            if "failure" not in r:
                rows.setdefault((name, options, kernel), {})[t] = r
            if "failure" in r or r["spill"] or r["stack"]:
                failures.setdefault(t, []).append((where, "%s on %s: %s" % (where, t, words)))
    order = list(units(files, "spirv"))
    return dict(sorted(rows.items(), key=lambda row: order.index(row[0][:2]))), failures, checks


def main():
    parser = argparse.ArgumentParser(description="See tests/isa.sh.")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--loops", action="store_true")
    parser.add_argument("--log")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    tools = find_tools()
    targets, skipped, wrong = find_targets(args.targets.split(","), tools)
    rows, failures, checks = compile_all(tools, targets, args.files)
    if args.loops:
        show_loops(rows, targets)
    elif args.check or args.files or targets != TARGETS:
        compare(rows, targets)
    else:
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write(table(rows, targets))
    wrong += [words for t in failures for _, words in failures[t]]
    for words in wrong:
        print("FAILED: " + words, file=sys.stderr)
    print("%d kernels on %d targets, %d failures" % (len(rows), len(targets), len(wrong)))
    if args.log:
        write_log(args.log, checks, failures, skipped)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
