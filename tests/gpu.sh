#!/bin/sh
# What a GPU makes of the library, in at most ten minutes, on a machine that has no more than its driver and Python: no
# root, compiler, meson, OpenCL loader or CLBlast.
#
#   sh tests/gpu.sh --pack FOLDER           on a machine like it: makes FOLDER from a build ($BUILD, else "build")
#   sh FOLDER/gpu.sh [--device NAME] [--slow N] OUT    on the one with the GPU; OUT (else $OUT) gets all output,
#                                           summary.txt above all. --slow: limits times N, to try it on a CPU's OpenCL
#
# The parts: about (machine and drivers), doctor, operators (each test program), train (200 steps, the same on the host
# backend, losses compared), bench (ssacl-bench --closed), pool (GPU and host train one model). Each has its own limit
# of time; one that fails does not stop the others. The device is opencl:0:0 unless named. Where no ICD file names a
# driver, one known by its library's name is looked for. The last line is "N passed, N failed", and 1 is the exit status
# if any failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)

usage()
{
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
}

wrong()
{
    echo "$0: $1" >&2
    usage >&2
    exit 2
}

# ---- pack ----

# The libraries that the files given need or load by name, except the C library's own.
needed()
{
    { ldd "$@"; ldd "$(loaded libclblast.so.1)" "$(loaded libOpenCL.so.1)"; } 2>/dev/null |
        awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
        grep -Ev '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | sort -u
    loaded libclblast.so.1
    loaded libOpenCL.so.1
}

loaded()
{
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | awk -v name="$1" '$1 == name && /x86-64/ {print $NF; exit}'
}

# Name, variables and program of each test of the operator suite, a line each. Shapes that a GPU has in any case are
# left out, and those for PoCL. What takes the longest, attention, comes last but for two.
operators()
{
    meson introspect "$1" --tests | python3 -c '
import json, os, sys
for test in json.load(sys.stdin):
    name, suites = test["name"], [s.split(":")[-1] for s in test["suite"]]
    other = "_gpu_shape" in name or "small_groups" in name or name.startswith("isa")
    if ("operator" in suites or name.endswith("_portable")) and not other:
        print(name, *("%s=%s" % v for v in test["env"].items() if v[0].startswith("SSA")), os.path.basename(test["cmd"][0]))' |
        sort -r
}

pack()
{
    build=${BUILD:-$here/../build}
    [ -f "$build/build.ninja" ] || { echo "tests/gpu.sh: $build is no build: sh tests/run.sh makes one" >&2; exit 1; }
    mkdir -p "$1/bin" "$1/lib" "$1/c++" || exit 1
    operators "$build" >"$1/operators" || exit 1
    for program in $(awk '{print $NF}' "$1/operators" | sort -u); do
        cp "$build/tests/$program" "$1/bin/" || exit 1
    done
    cp "$build"/demos/*/ssacl-text "$build"/demos/*/ssacl-bench "$build"/demos/*/ssacl-doctor "$1/bin/" || exit 1
    soname=$(readelf -d "$build/lib/libssacl.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
    cp "$build/lib/$soname" "$1/lib/" || exit 1
    for library in $(needed "$1"/bin/*); do # that of C++ is used only where the machine has none: drivers want their own
        case $library in
        */libssacl.so*) ;;
        */libstdc++.so* | */libgcc_s.so*) cp -L "$library" "$1/c++/" ;;
        *) cp -L "$library" "$1/lib/" ;;
        esac || exit 1
    done
    [ -f "$1/lib/libOpenCL.so.1" ] || { echo "tests/gpu.sh: no libOpenCL.so.1 here to carry" >&2; exit 1; }
    [ -f "$1/lib/libclblast.so.1" ] || echo "tests/gpu.sh: no CLBlast here to carry; our own GEMM serves" >&2
    cp -R "$here/../lib/tune/settings" "$1/tuning" || exit 1
    cat "$here"/../README.md "$here"/../lib/*.c "$here"/../lib/*/*.c >"$1/text" && cp "$0" "$1/gpu.sh" || exit 1
    echo "packed $(du -sm "$1" | cut -f 1) MiB; there: sh $1/gpu.sh OUT"
}

# ---- run ----

# part NAME SECONDS COMMAND...: its output is NAME.txt; a line of the summary, and passed and failed count.
passed=0 failed=0 child=
part()
{
    name=$1 limit=$(($2 * slow)) begin=$(date +%s) status=0
    shift 2
    timeout -k 5 "$limit" "$@" >"$OUT/$name.txt" 2>&1 </dev/null &
    child=$!
    wait "$child" || status=$?
    child=
    seconds=$(($(date +%s) - begin))
    case $status in
    0) passed=$((passed + 1)) verdict="ok" ;;
    124 | 137) failed=$((failed + 1)) verdict="failed: took longer" ;;
    *) failed=$((failed + 1)) verdict="failed" ;;
    esac
    printf '%-28s exit %3d  %4d s of %4d  %s\n' "$name" "$status" "$seconds" "$limit" "$verdict" | tee -a "$OUT/summary.txt"
}

not_run()
{
    failed=$((failed + 1))
    printf '%-28s not run: no time left\n' "$1" | tee -a "$OUT/summary.txt"
}

# Ends the running part too: timeout passes the signal on to all of it.
end()
{
    trap '' INT TERM HUP
    [ -z "$child" ] || { kill "$child"; wait "$child"; }
    exit 130
}

# Drivers are found by ICD files, which bare machines and containers lack.
find_driver()
{
    [ -z "${OCL_ICD_VENDORS:-}" ] || return 0
    ! ls /etc/OpenCL/vendors/*.icd >/dev/null 2>&1 || return 0
    mkdir -p "$OUT/vendors"
    for name in libnvidia-opencl.so.1 libamdocl64.so libigdrcl.so; do
        for folder in /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib /usr/local/nvidia/lib64 /opt/rocm*/lib \
            /opt/amdgpu*/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/intel-opencl /usr/lib/wsl/lib; do
            [ ! -e "$folder/$name" ] || { echo "$folder/$name" >"$OUT/vendors/${name%%.*}.icd"; break; }
        done
    done
    export OCL_ICD_VENDORS="$OUT/vendors"
}

about()
{
    uname -a
    cat /etc/os-release
    lscpu || cat /proc/cpuinfo
    free -m
    ldd --version | head -1
    nvidia-smi || rocm-smi || ls -l /dev/dri
    ls /etc/OpenCL/vendors "${OCL_ICD_VENDORS:-/nowhere}"
    env | grep -E '^(OCL|SSA|LD_LIB|CUDA|POCL|NVIDIA)'
    return 0
}

losses()
{
    python3 - "$1" "$2" <<'PYTHON'
import json
import sys

here, there = ({e["step"]: e["loss"] for e in map(json.loads, open(name)) if e["event"] == "step"}
               for name in sys.argv[1:])
assert here and here.keys() == there.keys(), "the logs have other steps"
off = {step: abs(here[step] - there[step]) / there[step] for step in there}
for step, share in off.items():
    print("step %4d: %.6f, host %.6f, off by %.1e" % (step, here[step], there[step], share))
first = min(off)
assert off[first] < 1e-3 and max(off.values()) < 0.02, "losses differ from the host backend's"
PYTHON
}

train()
{
    rest="--data $here/text --layers 4 --width 128 --heads 4 --length 256 --batch 8 --steps 160 --fine-tune 40 --seed 1"
    for name in "$1" cpu; do
        log=$OUT/train-$([ "$name" = cpu ] && echo host || echo device).jsonl
        # shellcheck disable=SC2086
        "$here/bin/ssacl-text" train --device "$name" $rest --attention local --ratio 0.25 --look-back \
            --log "$log" --force -c "$scratch/${log##*/}.st" || return 1
    done
    losses "$OUT/train-device.jsonl" "$OUT/train-host.jsonl"
}

pool()
{
    "$here/bin/ssacl-text" train --device "$1,cpu" --data "$here/text" --layers 4 --width 128 --heads 4 --length 256 \
        --batch 4 --accumulate 8 --steps 30 --seed 1 --log "$OUT/pool.jsonl" --force -c "$scratch/pool.st" || return 1
    "$here/bin/ssacl-bench" pool --device "$1,cpu" --quick --json --output "$OUT/pool.json"
}

# The sum of the limits is 9 min 50 s.
run()
{
    part about 20 sh "$0" --part about
    part doctor 60 "$here/bin/ssacl-doctor" --device "$device"
    ! grep '^error: no device' "$OUT/doctor.txt" || return
    end=$(($(date +%s) / slow + 170))
    while read -r name rest; do
        left=$((end - $(date +%s) / slow))
        [ "$left" -gt 0 ] || { not_run "operator-$name"; continue; }
        # shellcheck disable=SC2086
        part "operator-$name" "$left" env CK_FORK=no SSA_TEST_DEVICES="$device" ${rest%test_*} \
            "$here/bin/test_${rest##*test_}"
    done <"$here/operators"
    part train 100 sh "$0" --part train "$device"
    part bench 180 "$here/bin/ssacl-bench" --closed --device "$device" --json --output "$OUT/bench.json"
    part pool 60 sh "$0" --part pool "$device"
}

device=opencl:0:0 slow=1
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit ;;
    --pack) [ $# = 2 ] || wrong '--pack needs a folder, and nothing else'; pack "$2"; exit ;;
    --part) shift; "$@"; exit ;; # by run() alone
    --device) [ $# -gt 1 ] || wrong '--device needs a name'; device=$2; shift ;;
    --slow) [ $# -gt 1 ] || wrong '--slow needs a number'; slow=$2; shift ;;
    -*) wrong "there is no option $1" ;;
    *) OUT=$1 ;;
    esac
    shift
done
case $slow in
'' | *[!0-9]* | 0*) wrong "--slow $slow: must be a whole number from 1" ;;
esac
[ -n "${OUT:-}" ] || wrong 'give the folder for what comes out'
[ -f "$here/operators" ] || { echo "$0: runs in the folder that --pack makes" >&2; exit 2; }
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap end INT TERM HUP
find_driver
libraries=$here/lib
{ ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep -q 'libstdc++\.so\.6' || libraries=$here/lib:$here/c++
export OUT scratch SSACL_CACHE_DIR="$scratch/cache" SSACL_TUNING="$here/tuning"
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
: >"$OUT/summary.txt"
run
echo "$passed passed, $failed failed" | tee -a "$OUT/summary.txt"
[ "$failed" = 0 ]
