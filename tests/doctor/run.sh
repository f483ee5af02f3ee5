#!/bin/sh
# ssacl-doctor on machines that are ill in one way each: it names the cause and the remedy, and its exit status says
# whether training would work. Usage: run.sh PROGRAM CL_FOLDER CRASHING_ICD HANGING_ICD CRASHING_CLBLAST
# Without the last four (a build without OpenCL) only what needs no OpenCL is run.
set -u
program=$(realpath "$1") cl=${2:+$(realpath "$2")} crashing=${3:+$(realpath "$3")} hanging=${4:+$(realpath "$4")}
clblast=${5:+$(realpath "$5")}
operators=$(grep -c '^    X(' "$(dirname "$(realpath "$0")")/../../include/ssacl/ops.h") # SSA_OPS
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-doctor.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0
export SSACL_CACHE_DIR="${SSACL_CACHE_DIR:-$work/cache}"
unset SSACL_DEVICE SSACL_SHAPE SSACL_SELFTEST SSACL_PORTABLE SSACL_CL_DIR OCL_ICD_VENDORS RUSTICL_ENABLE OPENCL_LAYERS

wrong() { failures=$((failures + 1)); printf 'WRONG (%s): %s\n' "$case" "$*"; cat out err; }
# doctor NAME STATUS [VARIABLE=VALUE ...] -- OPTIONS
doctor() {
    case=$1 status=$2
    shift 2
    variables=
    while [ "$1" != -- ]; do variables="$variables $1"; shift; done
    shift
    # shellcheck disable=SC2086
    env $variables "$program" "$@" >out 2>err
    got=$?
    checks=$((checks + 1))
    [ $got = "$status" ] || wrong "exit status $got, not $status"
}
has() { checks=$((checks + 1)); grep -qF -- "$1" out || wrong "not there: $1"; }
lacks() { checks=$((checks + 1)); if grep -qF -- "$1" out; then wrong "there: $1"; fi; }
json() {
    checks=$((checks + 1))
    python3 -c "import json, sys; x = json.load(open('out')); sys.exit(not eval(sys.argv[1]))" "$1" || wrong "$1"
}

# ---- its own command line ----
doctor help 0 -- --help
has 'usage: ssacl-doctor'
has 'Exit status: 0 if this machine can train'
doctor 'bad width' 2 -- --width 12
doctor 'bad option' 2 -- --what
doctor 'no such device' 1 SSACL_OPENCL_LIBRARY= -- --device teapot --no-tests
has 'error: no device "teapot"; there are: cpu'
doctor 'no such default' 1 SSACL_OPENCL_LIBRARY= SSACL_DEVICE=teapot -- --no-tests
has 'remedy: unset $SSACL_DEVICE'
for threads in abc 4,2 0 -1 99999; do
    doctor "SSACL_THREADS=$threads" 0 SSACL_OPENCL_LIBRARY= SSACL_THREADS=$threads -- --no-tests
    has "\$SSACL_THREADS is \"$threads\", must be a number from 1 to 1024: it is ignored"
    doctor "SSACL_THREADS=$threads" 0 SSACL_OPENCL_LIBRARY= SSACL_THREADS=$threads -- --no-tests --json
    json 'any("SSACL_THREADS" in p["what"] for p in x["problems"])'
done
doctor 'SSACL_THREADS=2' 0 SSACL_OPENCL_LIBRARY= SSACL_THREADS=2 -- --no-tests
lacks 'it is ignored'
checks=$((checks + 1))
if SSACL_OPENCL_LIBRARY='' "$program" --no-tests --json >/dev/full 2>err; then wrong 'a full disk is not seen'; fi

# ---- the host backend alone, every operator ----
doctor host 0 SSACL_OPENCL_LIBRARY= SSACL_MATRIX=emulate -- --json
json 'x["schema"] == 1 and x["can_train"] is True and x["auto"]["device"] == "cpu"'
json 'len(x["devices"]) == 1 and sum(t["precision"] == "float32" for t in x["devices"][0]["tests"]) == '"$operators"
json 'all(t["right"] and 0 <= t["error"] <= t["allowed"] and t["path"] and t["cases"] for t in x["devices"][0]["tests"])'
json 'x["devices"][0]["engine"] == "emulated"'
json 'all(sum(t["precision"] == p and "PARTS" in t["path"] for t in x["devices"][0]["tests"]) >= 2 for p in ("fast", "bf16"))'
json 'any("own CPU backend serves" in p["what"] for p in x["problems"])'
if [ -z "$cl" ]; then
    has 'built without OpenCL'
    echo "$checks checks, $failures failures"
    [ $failures = 0 ]
    exit
fi

# ---- no loader ----
doctor 'no such loader' 0 SSACL_OPENCL_LIBRARY=/nowhere.so -- --no-tests
has '$SSACL_OPENCL_LIBRARY names no OpenCL loader ("/nowhere.so")'
has 'remedy: unset $SSACL_OPENCL_LIBRARY'
has 'no OpenCL device was found'
has '`auto` takes cpu'
mkdir loaders && : >loaders/libOpenCL.so.1 && : >loaders/libOpenCL.so
doctor 'no loader' 0 LD_LIBRARY_PATH="$work/loaders" -- --no-tests
has 'warning: no OpenCL loader: '
has 'ocl-icd-libopencl1 (Debian)'

# ---- ICD files ----
mkdir none bad
doctor 'no ICD file' 0 OCL_ICD_VENDORS="$work/none" -- --no-tests
has "no ICD file in \$OCL_ICD_VENDORS ($work/none)"
has 'remedy: unset $OCL_ICD_VENDORS'
has 'no OpenCL device was found'
echo /nowhere/libdriver.so >bad/missing.icd
echo libm.so.6 >bad/other.icd
: >bad/empty.icd
: >bad/readme.txt
doctor 'bad ICD files' 0 OCL_ICD_VENDORS="$work/bad" -- --no-tests
has 'missing.icd: /nowhere/libdriver.so does not load: /nowhere/libdriver.so: cannot open shared object file'
has 'remedy: install the package that /nowhere/libdriver.so belongs to again'
has 'other.icd: libm.so.6 is no OpenCL driver: it lacks the symbol clIcdGetPlatformIDsKHR'
has 'empty.icd: it is empty'
has 'the loader finds no platform (clGetPlatformIDs answers -1001)'
lacks readme.txt
mkdir crash hang
echo "$crashing" >crash/crash.icd
echo "$hanging" >hang/hang.icd
doctor 'an ICD that crashes' 1 OCL_ICD_VENDORS="$work/crash" -- --no-tests
has 'breaks the process that loads it: crashes (Aborted)'
has 'asking the loader for its platforms crashes (Aborted)'
has 'until then SSACL_DEVICE=cpu'
doctor 'an ICD that crashes, avoided' 0 OCL_ICD_VENDORS="$work/crash" SSACL_DEVICE=cpu -- --no-tests
doctor 'an ICD that hangs' 1 OCL_ICD_VENDORS="$work/hang" SSACL_OPENCL_LIBRARY=libOpenCL.so.1 -- --no-tests --timeout 4
has 'hangs: no answer in 4 s'

# ---- platforms without devices, and with ----
pocl=$(sed -n 1p /etc/OpenCL/vendors/pocl.icd 2>/dev/null)
if [ -z "$pocl" ]; then
    echo "no PoCL: the rest is left out; $checks checks, $failures failures"
    [ $failures = 0 ]
    exit
fi
doctor 'no devices' 0 OCL_ICD_VENDORS="$pocl" POCL_DEVICES=bogus -- --no-tests
has 'platform 0 (Portable Computing Language) offers no device: clGetDeviceIDs answers -1'
has 'remedy: $POCL_DEVICES is set: unset it'
if [ -f /etc/OpenCL/vendors/rusticl.icd ]; then
    doctor 'rusticl asleep' 0 OCL_ICD_VENDORS=/etc/OpenCL/vendors/rusticl.icd -- --no-tests
    has 'remedy: rusticl offers what $RUSTICL_ENABLE names'
fi
doctor 'a device' 0 OCL_ICD_VENDORS="$pocl" -- --no-tests --json
json 'x["auto"]["device"] == "opencl:0:0" and x["loader"]["path"].startswith("/") and x["icds"][0]["status"] == "works"'
json '[d for d in x["devices"] if d["chosen"]][0]["score"] > 1e8 and x["devices"][0]["limits"]["local_memory"] > 0'
json 'x["cache"]["directory"] and x["variables"]["OCL_ICD_VENDORS"] and x["platforms"][0]["devices"] == 1'

# ---- a device that miscomputes ----
cp -r "$cl" kernels
cat >kernels/add.cl <<'END'
#include "common.h"
__kernel void add(TENSOR(const float, x), TENSOR(const float, y), TENSOR(float, out), const ulong count)
{
    out_buffer[out_at] = 1.0f;
}
END
{ printf '#ifdef D\n#include "vector.h"\n#define vec_exp2(x) (0.5f * vec_exp2(x))\n#endif\n'
    cat "$cl/attention_fwd.cl"; } >kernels/attention_fwd.cl
doctor miscomputes 1 OCL_ICD_VENDORS="$pocl" SSACL_CL_DIR="$work/kernels" -- --device opencl --width 16 --timeout 1000
has 'error: device opencl:0:0 miscomputes add (out, by opencl cpu-shape): error'
has 'remedy: update its driver; until then use another device: SSACL_DEVICE=cpu'
has 'This machine cannot train with it.'
has 'attention_fwd D=16 PAIRS=0: wrong, largest error'
has 'attention_fwd  right  error'
has 'portable: opencl cpu-shape PAIRS=0 (quarantined: attention_fwd D=16'
cp "$cl/add.cl" kernels
doctor 'right by quarantine' 0 OCL_ICD_VENDORS="$pocl" SSACL_CL_DIR="$work/kernels" -- --device opencl --width 16 --json --timeout 1000
json 'x["can_train"] and len(x["devices"][0]["tests"]) == '"$operators"' and all(t["right"] for t in x["devices"][0]["tests"])'
json 'any(p["severity"] == "warning" and "quarantined" in p["what"] for p in x["problems"])'

# ---- one whose tests crash ----
doctor 'a crash' 1 OCL_ICD_VENDORS="$pocl" SSACL_SHAPE=gpu SSACL_CLBLAST_LIBRARY="$clblast" -- --device opencl --width 16 --timeout 1000
has 'error: device opencl:0:0 cannot be used: its driver crashes (Aborted)'

echo "$checks checks, $failures failures"
[ $failures = 0 ]
