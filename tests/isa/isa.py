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
import mistakes  # noqa: E402
from source import ASKED, Source  # noqa: E402,F401

# What limits occupancy. AMD: registers of a lane of a SIMD, their granule, most waves of a SIMD, SIMDs and bytes of
# local memory that share it. NVIDIA: registers, warps, groups and bytes of a multiprocessor. Intel: threads of an
# execution unit at 128 registers, units and bytes that share local memory.
AMD = {"gfx906": (256, 4, 10, 4, 65536), "gfx90a": (512, 8, 8, 4, 65536),
       "gfx1030": (1024, 8, 16, 4, 131072), "gfx1100": (1536, 24, 16, 4, 131072)}
NVIDIA = {"sm_80": (65536, 64, 32, 164 << 10), "sm_90": (65536, 64, 32, 228 << 10)}
INTEL = {"tgllp": (7, 16, 65536), "acm-g10": (8, 16, 65536), "pvc": (8, 8, 131072)}
MAKERS = {"AMD": AMD, "NVIDIA": NVIDIA, "Intel": INTEL}
SUB_GROUP = {"tgllp": 8, "acm-g10": 8, "pvc": 16}  # the least that the device has: what the library asks for
TARGETS = ["spirv", *AMD, *NVIDIA, *INTEL]


class Failure(Exception):
    pass


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


FOLDER = os.environ.get("SSACL_ISA_TOOLS", "")  # what isa.sh --install got, beside what the machine has
INTEL_LIBRARIES = os.path.join(FOLDER, "ocloc/usr/lib/x86_64-linux-gnu")


def run(*command, cwd=None, **environment):
    p = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace", cwd=cwd, check=False)
    if p.returncode:
        raise Failure("%s: %s" % (os.path.basename(command[0]), p.stdout.strip()[-2000:]))
    return p.stdout


def first_of(names):
    here = glob.glob(FOLDER + "/nv*/lib/python*/site-packages/nvidia/*/bin") + [FOLDER + "/ocloc/usr/bin"]
    where = os.pathsep.join([os.environ.get("PATH", "")] + here * bool(FOLDER))
    return next((path for name in names for path in [shutil.which(name, path=where)] if path), None)


def ocloc(tools, *command, **environment):
    own = {"LD_LIBRARY_PATH": INTEL_LIBRARIES} if FOLDER and tools["ocloc"].startswith(FOLDER) else {}
    return run(tools["ocloc"], *command, **own, **environment)


def find_tools():
    ptxas = first_of(["ptxas"])
    cuda = []
    for start in (ptxas, first_of(["nvcc"])):
        if start:
            cuda.append(os.path.dirname(os.path.dirname(os.path.realpath(start))))
    cuda += ["/usr/local/cuda", "/usr/lib/cuda", "/usr/lib/nvidia-cuda-toolkit"]
    device = [f for c in cuda for at in ("/nvvm/libdevice/libdevice*.bc", "/libdevice/*.bc") for f in glob.glob(c + at)]
    return {"clang": first_of(["clang-19", "clang-22", "clang-20", "clang-18"]), "clang15": first_of(["clang-15"]),
            "cc": first_of(["cc", "gcc", "clang", "clang-19", "clang-15"]),
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
        return ["cc", "clang", "libclc amdgcn--amdhsa.bc"]
    nvidia = ["cc", "clang", "libclc nvptx64--nvidiacl.bc", "ptxas", "libdevice"]
    return nvidia if target in NVIDIA else ["cc", "ocloc"]


def state_of(path):
    """What tells one version of a tool or a library from the next at the same place."""
    path = path and os.path.realpath(path)
    return path and (path, os.stat(path).st_size, os.stat(path).st_mtime_ns)


def find_compilers(tools, targets):
    """{maker: names and versions of what compiles for its targets}"""
    found, number = {}, lambda text: (re.search(r"\d+\.\d+\.\d+", text) or ["of an unknown version"])[0]
    clang = tools["clang"] and "clang " + number(run(tools["clang"], "--version"))
    if any(t in AMD for t in targets):
        found["AMD"] = clang
    if any(t in NVIDIA for t in targets):
        found["NVIDIA"] = clang + ", ptxas " + number(run(tools["ptxas"], "--version"))
    if any(t in INTEL for t in targets):
        with tempfile.TemporaryDirectory() as at:
            said = ocloc(tools, "query", "OCL_DRIVER_VERSION", cwd=at)
            for path in glob.glob(at + "/*"):
                said += read(path)
        found["Intel"] = "ocloc " + number(said)
    return found


# ---- what there is to compile: the lists of cl/meson.build ----

def build_list(name):
    text = read(os.path.join(CL, "meson.build"))
    m = re.search(r"^%s = \[(.*?)\]" % name, text, re.S | re.M)
    return re.findall(r"'([^']+)'", m.group(1)) if m else []


def kinds(options, listed):
    """Attention in these options, once more in each kind of build: with pairs only where none is listed for that."""
    if not options.startswith("D="):
        return []
    all_kinds = build_list("gpu_kinds")
    pairs = [kind for kind in all_kinds if "PAIRS" in kind]
    if options.endswith(",PAIRS=1"):
        return [options.replace("PAIRS=1", kind) for kind in pairs if kind != "PAIRS=1"]
    listed_pairs = any(o.endswith(",PAIRS=1") and o.split(",")[0] == options.split(",")[0] for o in listed)
    return [options + "," + kind for kind in all_kinds if kind not in pairs or not listed_pairs]


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
        own += [built for o in own for built in kinds(o, own)]
        for options in own or [""]:
            yield name, options


# ---- operations in the output, for what the source asks: {operation: [(expression, how many each is)]} ----

COUNTED = {
    "amd": {"exp2": [(r"\bv_exp_f32", 1)], "divide": [(r"\bv_rcp_f32", 1)], "root": [(r"\bv_(?:sqrt|rsq)_f32", 1)],
            "fma": [(r"\bv_(?:dual_)?(?:fma|fmac|mad|mac)(?:ak|mk|c)?_(?:legacy_)?f32", 1), (r"\bv_pk_fma_f32", 2)]},
    "ptx": {"exp2": [(r"\bex2\.approx\S*f32", 1)], "divide": [(r"\b(?:div|rcp)\.(?:rn|full|approx)\S*f32", 1)],
            "root": [(r"\br?sqrt\.\S*f32", 1)], "fma": [(r"\bfma\.rn\S*f32", 1)]},
    "sass": {"exp2": [(r"\bMUFU\.EX2", 1)], "fma": [(r"\bFFMA\b", 1), (r"\bFFMA2\b", 2)]},
}
INTEL_COUNTED = {"exp2": r"\bmath\.exp +\((\d+)\|", "divide": r"\bmath\.inv +\((\d+)\|",
                 "root": r"\bmath\.r?sqt +\((\d+)\|", "fma": r"\bmad +\((\d+)\|\w+\)[^:\n]*:f\b"}


def count(language, text):
    return {operation: sum(n * len(re.findall(expression, text)) for expression, n in expressions)
            for operation, expressions in COUNTED[language].items()}


def count_intel(text, lanes):
    """An instruction serves as many work-items as it is wide, or all where they have the same value."""
    return {operation: int(sum(1 if w == "1" else int(w) / lanes for w in re.findall(expression, text)))
            for operation, expression in INTEL_COUNTED.items()}


def missing(asked, counts):
    """In words, of what the source asks, that of which the output has too little."""
    return ["%d of %d %s" % (counts[operation], n, operation) for operation, n in asked.items()
            if operation in counts and counts[operation] < n]


# ---- compiling: each returns {kernel: {registers, spill, stack, local, occupancy in %, counts}} ----

# Warnings are errors: one told of the shim that had lost three lanes of four, and was not shown.
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function", "-Wno-sign-compare"]
CLANG = ["-x", "cl", "-cl-std=CL1.2", "-Xclang", "-finclude-default-header", "-Xclang", "-fdeclare-opencl-builtins",
         *WARNINGS, "-Wno-linker-warnings", "-O3"]  # libclc names its target less exactly


def same_group(source, kernel, size):
    """That the code requires the group that the source does."""
    if size != source.sizes[kernel]:
        raise Failure("%s: the source requires groups of %s, the code of %s" % (kernel, source.sizes[kernel], size))


def quiet(log):
    """A compiler's log, in which a warning is an error: of spills, which are counted, it may warn."""
    for line in log.splitlines():
        if re.search(r"\bwarning\b", line, re.I) and "spilled" not in line:
            raise Failure(line)
    return log


def link(*libraries):
    return [a for lib in libraries for a in ("-Xclang", "-mlink-builtin-bitcode", "-Xclang", lib)]


def percent(waves, most):
    return int(100 * min(waves, most) // most)


def compile_spirv(tools, target, source, options, at):
    run(tools["clang15"], *CLANG[:-1], "-O2", *options, "--target=spir64-unknown-unknown", "-Xclang",
        "-disable-llvm-passes", "-fgnu89-inline", "-emit-llvm", "-c", source, "-o", at + "/a.bc")
    run(tools["llvm-spirv"], "--spirv-max-version=1.0", at + "/a.bc", "-o", at + "/a.spv")
    run(tools["spirv-val"], "--target-env", "opencl1.2", at + "/a.spv")
    return None, {}


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
    text = read(at + "/a.s")
    if "s_swappc_b64" in text:
        raise Failure("a call of a function that the target's library does not have")
    said, out = Source(tools["cc"], source, options), {}
    bodies = dict(re.findall(r"^(\w+):.*?@\1\n(.*?)^\.Lfunc_end", text, re.S | re.M))
    for part in text.split("amdhsa.kernels:")[1].split("amdhsa.target")[0].split("\n  - ")[1:]:
        value = lambda key: (re.search(r"\.%s: +(\S+)" % key, part) or [0, "0"])[1]  # noqa: E731
        group = re.search(r"\.reqd_workgroup_size:\s+- (\d+)\s+- (\d+)\s+- (\d+)", part)
        name = value("symbol").replace(".kd", "")
        same_group(said, name, tuple(map(int, group.groups())) if group else None)
        registers, local = int(value("vgpr_count")), int(value("group_segment_fixed_size"))
        out[name] = {
            "registers": registers, "spill": int(value("vgpr_spill_count")), "scalar": int(value("sgpr_spill_count")),
            "stack": int(value("private_segment_fixed_size")), "local": local, "counts": count("amd", bodies[name]),
            "occupancy": amd_occupancy(target, registers, local, said.group(name), int(value("wavefront_size")))}
    attach_loops(out, bodies.items())
    return said, out


# The native functions as the makers' drivers have them, one instruction; libclc computes them by polynomials.
FOUR_LANES = "(ONE(x.x), ONE(x.y), ONE(x.z), ONE(x.w))"
SHIM = """
static float __attribute__((overloadable)) hardware_exp2(float x) { return ONE(x); }
static float4 __attribute__((overloadable)) hardware_exp2(float4 x) { return (float4)%s; }
#define native_exp2 hardware_exp2
""" % FOUR_LANES


def nvidia_occupancy(target, registers, local, group):
    total, most, most_groups, memory = NVIDIA[target]
    warps = -(-group // 32)
    fit = 4 * (total // 4 // (-(-registers // 8) * 8 * 32))  # each of four schedulers has a quarter of the registers
    groups = min(most_groups, most // warps, fit // warps)
    if local:
        groups = min(groups, memory // (-(-local // 128) * 128 + 1024))
    return percent(groups * warps, most)


def with_groups(ptx, source):
    """What the maker's driver writes of reqd_work_group_size, and clang does not. The assembler needs it."""
    def entry(m):
        size = source.sizes[m[2]]
        return "%s\n.reqntid %d, %d, %d\n{" % (m[1], *size) if size else m[0]
    ptx = re.sub(r"(\.entry\s+(\w+)\s*\([^)]*\))\s*\{", entry, ptx)
    for part in ptx.split(".entry ")[1:]:
        m = re.search(r"\.reqntid (\d+), (\d+), (\d+)", part.split("{")[0])
        same_group(source, re.match(r"\w+", part)[0], tuple(map(int, m.groups())) if m else None)
    return ptx


def compile_nvidia(tools, target, source, options, at):
    with open(at + "/shim.h", "w", encoding="utf-8") as f:
        f.write("#define ONE __nvvm_ex2_approx_ftz_f\n" + SHIM)
    # Code for a later target than the compiler knows is what the driver's assembler makes of it.
    run(tools["clang"], *CLANG, *options, "--target=nvptx64-unknown-nvidiacl", "-Xclang", "-target-cpu", "-Xclang",
        "sm_80", "-include", at + "/shim.h", *link(tools["libclc nvptx64--nvidiacl.bc"], tools["libdevice"]), "-S",
        source, "-o", at + "/a.ptx")
    said, out = Source(tools["cc"], source, options), {}
    text = with_groups(read(at + "/a.ptx"), said)
    with open(at + "/a.ptx", "w", encoding="utf-8") as f:
        f.write(text)
    bodies = {re.match(r"\w+", part)[0]: part for part in text.split(".entry ")[1:]}
    log = quiet(run(tools["ptxas"], "-v", "-arch=" + target, at + "/a.ptx", "-o", at + "/a.cubin"))
    for part in log.split("Compiling entry function '")[1:]:
        name, number = part.split("'")[0], lambda pattern: int((re.search(pattern, part) or [0, 0])[1])  # noqa: E731
        registers, local = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
        out[name] = {"registers": registers, "spill": number(r"(\d+) bytes spill stores"),
                     "stack": number(r"(\d+) bytes stack"), "local": local, "counts": count("ptx", bodies[name]),
                     "occupancy": nvidia_occupancy(target, registers, local, said.group(name))}
    if tools["nvdisasm"]:
        code = run(tools["nvdisasm"], "-c", at + "/a.cubin")
        bodies = dict(re.findall(r"^\.text\.(\w+):\n(.*?)(?=^\.text\.|^//-----|\Z)", code, re.S | re.M))
        for name, body in bodies.items():
            for operation, n in count("sass", body).items():
                out[name]["counts"][operation] = min(n, out[name]["counts"][operation])
        attach_loops(out, bodies.items())
    return said, out


def intel_occupancy(target, registers, local, group, lanes):
    threads, units_, memory = INTEL[target]
    threads, most = threads * 128 // max(registers, 128), threads
    per_group = -(-group // lanes)
    groups = threads * units_ // per_group
    if local:
        groups = min(groups, memory // max(1024, 1 << (local - 1).bit_length()))  # given out in powers of two
    return percent(groups * per_group / units_, most)


def compile_intel(tools, target, source, options, at):
    sub_group = "-DSUB_GROUP=%d" % SUB_GROUP[target]
    os.mkdir(at + "/assembly")
    log = quiet(ocloc(tools, "compile", "-file", source, "-device", target, "-options",
                      " ".join(["-cl-std=CL1.2", sub_group, *options]), "-internal_options", "-cl-intel-allow-zebin",
                      "-out_dir", at, "-output", "x", IGC_ShaderDumpEnable="1",
                      IGC_DumpToCustomDir=at + "/assembly/"))
    os.mkdir(at + "/dump")
    ocloc(tools, "disasm", "-file", glob.glob(at + "/x_*.bin")[0], "-device", target, "-dump", at + "/dump")
    info = read(at + "/dump/.ze_info").split("kernels_misc_info")[0]
    extensions = ["-Dcl_intel_required_subgroup_size=1", "-Dcl_intel_subgroups=1"]
    said, out = Source(tools["cc"], source, [*options, sub_group, *extensions]), {}
    bodies = {}
    for path in glob.glob(at + "/assembly/*.asm"):
        text = read(path)
        bodies[re.search(r"^//\.kernel (\w+)", text, re.M)[1]] = text
    for part in re.split(r"^  - name: +", info, flags=re.M)[1:]:
        name = part.split()[0].strip("'")
        if name not in said.sizes:
            continue
        number = lambda key: int((re.search(key + r": +(\d+)", part) or [0, 0])[1])  # noqa: E731
        group = re.search(r"required_work_group_size:\s+- (\d+)\s+- (\d+)\s+- (\d+)", part) or re.search(
            r"required_work_group_size: +\[ *(\d+), *(\d+), *(\d+)", part)
        same_group(said, name, tuple(map(int, group.groups())) if group else None)
        scratch = sum(int(s) for s in re.findall(r"\n +size: +(\d+)", part.split("per_thread_memory_buffers")[1])) \
            if "per_thread_memory_buffers" in part else 0
        spilled, local = re.search(r"kernel %s +compiled.*spilled" % name, log), number("slm_size")
        lanes = number("simd_size")
        out[name] = {"registers": number("grf_count"), "spill": scratch if spilled else 0,
                     "stack": 0 if spilled else scratch, "local": local, "lanes": lanes,
                     "counts": count_intel(bodies[name], lanes) if name in bodies else {},
                     "occupancy": intel_occupancy(target, number("grf_count"), local, said.group(name), lanes)}
    return said, out


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

COMPILERS = {"spirv": compile_spirv, **{t: compile_amd for t in AMD}, **{t: compile_nvidia for t in NVIDIA},
             **{t: compile_intel for t in INTEL}}


def compile_text(tools, target, name, text, options):
    """{kernel: result}; raises Failure."""
    with tempfile.TemporaryDirectory() as at:
        path = os.path.join(at, name + ".cl")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        flags = ["-DSSA_GPU=1"] + ["-D" + o for o in options.split(",") if o]
        said, result = COMPILERS[target](tools, target, path, flags, at)
    for kernel in said.sizes if said else []:
        if kernel not in result:
            raise Failure("the compiler left out " + kernel)
        result[kernel]["missing"] = missing(said.asked.get(kernel, {}), result[kernel]["counts"])
        result[kernel]["counted"] = bool(result[kernel].pop("counts"))
    return result


def compile_one(tools, target, name, options, cache):
    text = "".join(embed.resolve(os.path.join(CL, name + ".cl"), set()))
    states = [state_of(tools[n]) for n in needs(target) + ["nvdisasm"]]
    own = [read(os.path.join(os.path.dirname(TABLE), f)) for f in ("isa.py", "source.py")]
    key = hashlib.sha256(repr((embed.without_words(text), options, target, states, own)).encode()).hexdigest()
    kept = os.path.join(cache, key)
    if os.path.exists(kept):
        return json.loads(read(kept))
    try:
        result = compile_text(tools, target, name, text, options)
    except Failure as f:
        return {"": {"failure": str(f)}}
    with open(kept + ".%d" % os.getpid(), "w", encoding="utf-8") as f:
        json.dump(result, f)
    os.replace(kept + ".%d" % os.getpid(), kept)
    return result


def cell(r):
    if r is None:
        return ""
    extra = "".join(" %s %d" % (k, r[k]) for k in ("spill", "stack", "scalar") if r.get(k))
    return "%d%s · %d%%%s" % (r["registers"], "/%d" % r["lanes"] if "lanes" in r else "", r["occupancy"], extra)


HEADER = """# What GPU compilers make of the kernels

Written by `tests/isa.sh`, which fails on spills, on private memory and where the code has fewer exponentials,
divisions, roots or multiply-adds than the source asks for. A cell: registers of a work-item (Intel: of a thread /
work-items in it) · occupancy in percent of the threads that the device can hold at once, then spills and private memory
in bytes if there are any; "scalar": so many scalar registers of AMD's lie in lanes of vector registers, which is no
memory, and not failed. Local: bytes of local memory of a work-group. Work-groups are those that the source requires,
else 64. Variants with REGISTERS=128 are for devices of few registers a work-item, which Intel's are, the other variants
of a kernel that has both for the rest. No GPU has run for this table.

"""


def table(rows, targets, compilers):
    columns = [t for t in targets if t != "spirv"]
    lines = ["Compilers: %s." % "; ".join("%s's: %s" % c for c in compilers.items()), "",
             "| kernel | variant | local | " + " | ".join(columns) + " |", "|" + " --- |" * (len(columns) + 3)]
    for (_, options, kernel), cells in rows.items():
        local = max(c["local"] for c in cells.values())
        lines.append("| %s | %s | %d | %s |" % (kernel, options.replace(",", " "), local,
                                               " | ".join(cell(cells.get(t)) for t in columns)))
    return HEADER + "\n".join(lines) + "\n"


def table_compilers():
    """{maker: compilers} that the kept table was made with."""
    text = read(TABLE) if os.path.exists(TABLE) else ""
    line = re.search(r"^Compilers: (.*)\.$", text, re.M)
    return dict(part.split("'s: ", 1) for part in line[1].split("; ")) if line else {}


def maker(target):
    return next((m for m, targets in MAKERS.items() if target in targets), None)


def show_loops(rows, targets):
    for (_, options, kernel), cells in rows.items():
        for t in targets:
            fma, all_ = cells.get(t, {}).get("loop", [0, 0])
            if fma >= 16:
                print("%-24s %-20s %-8s %4d of %4d instructions multiply and add: %d%%; %s" %
                      (kernel, options, t, fma, all_, 100 * fma // all_, cell(cells[t])))


def compare(rows):
    """Differences from the kept table, of the rows and targets at hand: said, not failed."""
    kept = {}
    for line in read(TABLE).splitlines() if os.path.exists(TABLE) else []:
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
            if was and was.get(t, cell(r)) != cell(r):
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


def faults(result):
    """(what no compiler may do, what another version of the compiler might)"""
    if "failure" in result:
        return "does not compile: " + result["failure"], ""
    lost = "".join(", %s left" % m for m in result["missing"])
    return "code is missing" + lost if lost else "", cell(result) if result["spill"] or result["stack"] else ""


def compile_all(tools, targets, files, judged):
    """({(file, options, kernel): {target: result}}, {target: [(file and options, failure)]}, {target: compiled}).
    Registers are judged on some targets only: those whose compiler is the table's."""
    cache = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "isa")
    os.makedirs(cache, exist_ok=True)
    rows, failures, checks, jobs, uncounted = {}, {}, {t: 0 for t in targets}, [], set()
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", 0)) or os.cpu_count()) as pool:
        for t in targets:
            for name, options in units(files, t):
                jobs.append((name, options, t, pool.submit(compile_one, tools, t, name, options, cache)))
    for name, options, t, job in jobs:
        where = "cl/%s.cl %s" % (name, options)
        checks[t] += 1
        for kernel, r in job.result().items():
            fault, spill = faults(r)
            if "failure" not in r:
                rows.setdefault((name, options, kernel), {})[t] = r
                uncounted |= set() if r["counted"] else {t}
            if fault or (spill and t in judged):
                failures.setdefault(t, []).append((where, "%s on %s: %s: %s" % (where, t, kernel, fault or spill)))
            elif spill:
                print("skipped: %s on %s, another compiler than the table's: %s: %s" % (where, t, kernel, spill))
    for t in sorted(uncounted):
        print("skipped: counting operations on %s, whose compiler shows no code" % t)
    order = list(units(files, "spirv"))
    return dict(sorted(rows.items(), key=lambda row: order.index(row[0][:2]))), failures, checks


def find_judged(targets, compilers):
    """The targets whose compilers are those of the kept table."""
    was = table_compilers()
    for m in compilers:
        if compilers[m] != was.get(m):
            print("skipped: registers and spills of %s's targets: %s here, the table is of %s" % (
                m, compilers[m], was.get(m, "no such target")))
    return [t for t in targets if maker(t) and compilers[maker(t)] == was.get(maker(t))]


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
    compilers = find_compilers(tools, targets)
    making = not (args.check or args.loops or args.files) and targets == TARGETS
    judged = targets if making else find_judged(targets, compilers)
    rows, failures, checks = compile_all(tools, targets, args.files, judged)
    if args.loops:
        show_loops(rows, targets)
    elif making:
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write(table(rows, targets, compilers))
    else:
        compare({row: {t: r for t, r in cells.items() if t in judged} for row, cells in rows.items()})
    if not args.files:
        mistakes.check(sys.modules[__name__], tools, targets, checks, failures)
    wrong += [words for t in failures for _, words in failures[t]]
    for words in wrong:
        print("FAILED: " + words, file=sys.stderr)
    print("%d kernels on %d targets, %d failures" % (len(rows), len(targets), len(wrong)))
    if args.log:
        write_log(args.log, checks, failures, skipped)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
