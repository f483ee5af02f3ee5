#!/bin/sh
# Self-test before use, with variants that are wrong on purpose: right results all the same, one warning in words, the
# verdict kept for the next process and asked anew when anything it hangs on changes.
# Usage: run.sh PROBE CL_FOLDER WRONG_CLBLAST FAILING_CLBLAST
set -u
probe=$(realpath "$1") cl=$(realpath "$2") wrong_clblast=$(realpath "$3") failing_clblast=$(realpath "$4")
device=${SSA_TEST_DEVICE:-opencl:0:0}
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-verify.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0
export SSACL_CACHE_DIR="$work/cache"
unset SSACL_SHAPE SSACL_CACHE SSACL_SELFTEST SSACL_PORTABLE SSACL_CL_DIR

wrong() { failures=$((failures + 1)); printf 'WRONG (%s): %s\n' "$case" "$*"; cat out; }
# begin NAME STATUS WARNINGS [VARIABLE=VALUE ...]: runs the probe
begin() {
    case=$1 status=$2 warnings=$3
    shift 3
    env "$@" "$probe" "$device" ${driver:+"$driver"} >out 2>err
    got=$?
    checks=$((checks + 1))
    if [ $got = 77 ]; then echo "no OpenCL device"; exit 77; fi
    [ $got = "$status" ] || wrong "exit status $got"
    [ "$(grep -c '^warning' out)" = "$warnings" ] || wrong "not $warnings warnings"
    if grep -q 'a trace is left' out; then wrong "a trace"; fi
}
has() { checks=$((checks + 1)); grep -qF -- "$1" out || wrong "not there: $1"; }
driver=

# kernels/ is a copy, with lines of one's own before FILE.
fresh_kernels() { rm -rf kernels && cp -r "$cl" kernels; }
break_kernel() { { printf '%s\n' "$2"; cat "$cl/$1.cl"; } >"kernels/$1.cl"; }

cpu_shape()
{
    # ---- all is well ----
    begin good 0 0
    has 'attention_fwd by opencl cpu-shape D=16 PAIRS=0'
    has 'attention_bwd by opencl cpu-shape D=16 PAIRS=0'
    has 'linear_fwd by opencl cpu-shape'
    has 'self-test: attention_fwd D=16 PAIRS=0 is right'
    begin 'good, again' 0 0
    has 'self-test: attention_bwd D=16 PAIRS=0 is right'
    has '(kept verdict)'
    driver='a newer driver'
    begin 'another driver' 0 0
    checks=$((checks + 1))
    if grep -q 'kept verdict' out; then wrong "another driver's verdict was taken"; fi
    driver=

    # ---- a specialised build that computes nonsense ----
    fresh_kernels
    break_kernel attention_fwd '#ifdef D
    #include "vector.h"
    #define vec_exp2(x) (0.5f * vec_exp2(x))
    #endif'
    begin wrong 0 1 SSACL_CL_DIR=kernels
    has 'warning: attention_fwd D=16 PAIRS=0: wrong, largest error'
    has 'is quarantined after its self-test; the unspecialised kernel serves'
    has 'attention_fwd by portable: opencl cpu-shape PAIRS=0 (quarantined: attention_fwd D=16 PAIRS=0: wrong, largest error'
    has 'attention_bwd by opencl cpu-shape D=16 PAIRS=0'
    begin 'wrong, next process' 0 1 SSACL_CL_DIR=kernels
    has 'is quarantined after its self-test in an earlier run; the unspecialised kernel serves'
    begin 'wrong, untested' 1 0 SSACL_CL_DIR=kernels SSACL_SELFTEST=0
    has 'attention_fwd by opencl cpu-shape D=16 PAIRS=0'
    begin 'wrong, nothing kept' 0 1 SSACL_CL_DIR=kernels SSACL_CACHE=0
    has 'after its self-test; the'
    begin 'portable by wish' 0 0 SSACL_CL_DIR=kernels SSACL_PORTABLE=1
    has 'attention_fwd by portable: opencl cpu-shape PAIRS=0 (quarantined: everything but portable kernels'
    cp "$cl/attention_fwd.cl" kernels
    begin 'wrong, mended' 0 0 SSACL_CL_DIR=kernels
    has 'attention_fwd by opencl cpu-shape D=16 PAIRS=0'
    printf '\n' >>kernels/plan.h
    begin 'a header changed' 0 0 SSACL_CL_DIR=kernels
    checks=$((checks + 1))
    if grep -q 'kept verdict' out; then wrong "the verdict of another header was taken"; fi

    # ---- one that does not build ----
    fresh_kernels
    break_kernel attention_bwd '#ifdef D
    #error no such thing
    #endif'
    begin 'does not build' 0 1 SSACL_CL_DIR=kernels
    has 'warning: attention_bwd D=16 PAIRS=0: does not build on '
    has 'attention_bwd by portable: opencl cpu-shape PAIRS=0 (quarantined: attention_bwd D=16 PAIRS=0: does not build)'
    begin 'does not build, next process' 0 1 SSACL_CL_DIR=kernels
    has 'in an earlier run'

    # ---- tuned parameters ----
    begin 'tuned' 0 0 PROBE_TILE=64
    has 'attention_fwd by opencl cpu-shape D=16 PAIRS=0 TILE=64'
    fresh_kernels
    break_kernel attention_fwd '#if defined(TILE) && TILE == 64
    #include "vector.h"
    #define vec_exp2(x) (0.5f * vec_exp2(x))
    #endif'
    begin 'tuned, wrong' 0 1 SSACL_CL_DIR=kernels PROBE_TILE=64
    has 'warning: attention_fwd D=16 PAIRS=0 TILE=64: wrong'
    has 'the kernel with standard parameters serves'
    has 'attention_fwd by portable: opencl cpu-shape D=16 PAIRS=0 (quarantined: attention_fwd D=16 PAIRS=0 TILE=64'
}

# The CPU shape where a device takes it of itself: rusticl's compiler needs minutes for it.
begin 'its own shape' 0 0 SSACL_CACHE=0
if grep -q 'attention_fwd by opencl cpu-shape' out; then cpu_shape; else has 'attention_fwd by opencl gpu-shape'; fi

# ---- the GPU shape, and a library ----
begin 'GPU shape, wrong library' 0 3 SSACL_SHAPE=gpu SSACL_CLBLAST_LIBRARY="$wrong_clblast"
has 'warning: CLBlast TRANS_A=0 TRANS_B=1 SIZE=0: wrong, largest error inf on '
has 'our own GEMM kernel serves'
has 'linear_fwd by portable: opencl gpu-shape (quarantined: CLBlast TRANS_A=0 TRANS_B=1 SIZE=0: wrong'
large='D=16 SIDE=16 EACH=8' small='D=16 SIDE=8 EACH=4' # the tiles; where registers are few, others
if grep -q REGISTERS=128 out; then large='D=16 SIDE=16 EACH=4 REGISTERS=128' small='D=16 SIDE=8 EACH=4 REGISTERS=128'; fi
has "attention_fwd by opencl gpu-shape $large"
begin 'wrong library, next process' 0 3 SSACL_SHAPE=gpu SSACL_CLBLAST_LIBRARY="$wrong_clblast"
has 'in an earlier run; our own GEMM kernel serves'
begin 'failing library' 0 3 SSACL_SHAPE=gpu SSACL_CLBLAST_LIBRARY="$failing_clblast"
has 'CLBlastSgemm(70, 67, 53) fails with -2048'
has 'our own GEMM kernel serves'
fresh_kernels
break_kernel attention_fwd_gpu '#include "attention_gpu.h"
#undef LOG2E
#define LOG2E 0.7f'
break_kernel gemm_gpu '#define get_group_id(i) 0'
begin 'GPU shape, wrong kernels' 0 5 SSACL_SHAPE=gpu SSACL_CLBLAST_LIBRARY= SSACL_CL_DIR=kernels
has 'a smaller tile serves'
has "warning: attention_fwd_gpu $small: wrong"
has 'the plain kernel serves'
has "attention_fwd by portable: opencl plain kernels (quarantined: attention_fwd_gpu $large"
has 'linear_fwd by portable: opencl plain kernels (quarantined: gemm_gpu'
# Standard parameters of a device, where they are not the kernel's own, are no tuned ones to go back from.
begin 'few registers, wrong kernels' 0 5 SSACL_SHAPE=gpu128 SSACL_CLBLAST_LIBRARY= SSACL_CL_DIR=kernels
has 'attention_fwd by portable: opencl plain kernels (quarantined: attention_fwd_gpu D=16 SIDE=16 EACH=4 REGISTERS=128'

echo "$checks checks, $failures failures"
[ $failures = 0 ]
