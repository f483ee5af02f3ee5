#!/bin/sh
# Runs the tests on one OpenCL stack after the other, each alone in its processes, and prints a table and, as the last
# line, "N passed, N failed". What each stack is for, and the faults known: tests/vendors.md.
#
#   sh tests/vendors.sh [--install] [--stacks "intel oclgrind"] [--suite NAME] [--without NAME]
#                         [--tests "norm linear"] [--timeout MULTIPLIER]
#
#   pocl      PoCL, both kernel shapes                     intel     Intel's CPU runtime, both shapes
#   rusticl   rusticl on llvmpipe, the GPU shape           pair      two PoCL devices in one process
#   oclgrind  an interpreter that reports races, accesses out of bounds and misuse of the API: small shapes, both ways
#
# --install gets what is missing: Debian packages (as root or through sudo), and Intel's runtime into a Python
# environment under ${XDG_CACHE_HOME:-~/.cache}/ssacl/vendors. Intel's licence does not let us ship it, only install it.
# Without, a stack that is not there is said to be skipped. $BUILD is the build folder ("build").
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
folder=${XDG_CACHE_HOME:-$HOME/.cache}/ssacl/vendors
stacks="pocl intel rusticl pair oclgrind" tests="" suite="" without="" install="" timeout=""
intel_version=2026.2.0

while [ $# -gt 0 ]; do
    case $1 in
    --install) install=yes ;;
    --stacks) stacks=${2:?--stacks needs a list} && shift ;;
    --suite) suite=${2:?--suite needs a name} && shift ;;
    --without) without="--no-suite ${2:?--without needs a suite}" && shift ;;
    --tests) tests=${2:?--tests needs a list} && shift ;;
    --timeout) timeout=${2:?--timeout needs a number} && shift ;;
    --help|-h) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) echo "tests/vendors.sh: unknown option $1 (see --help)" >&2 && exit 2 ;;
    esac
    shift
done

find_library()
{
    for directory in /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib /usr/lib/oclgrind; do
        for file in "$directory/$1" "$directory/$1".*; do
            [ ! -f "$file" ] || { echo "$file" && return; }
        done
    done
}

library()
{
    case $1 in
    pocl | pair) find_library libpocl.so ;;
    intel) [ ! -f "$folder/intel/lib/libintelocl.so" ] || echo "$folder/intel/lib/libintelocl.so" ;;
    rusticl) find_library libRusticlOpenCL.so ;;
    oclgrind) find_library liboclgrind-rt-icd.so ;;
    *) echo "tests/vendors.sh: no stack \"$1\"; there are: pocl intel rusticl pair oclgrind" >&2 && exit 2 ;;
    esac
}

install_package()
{
    root=""
    [ "$(id -u)" = 0 ] || root=sudo
    $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 \
        install -y -qq --no-install-recommends "$1"
}

install_stack()
{
    case $1 in
    pocl | pair) install_package pocl-opencl-icd ;;
    rusticl) install_package mesa-opencl-icd ;;
    oclgrind) install_package oclgrind ;;
    intel) # the second holds libraries that the first needs and does not name
        python3 -m venv "$folder/intel" && "$folder/intel/bin/pip" install -q \
            intel-opencl-rt==$intel_version intel-cmplr-lib-rt==$intel_version ;;
    esac
}

# run STACK VARIABLE=VALUE...: the tests named, else those in the suites $select
run()
{
    stack=$1
    shift
    echo "==== $stack"
    rm -f "$build/meson-logs/vendors-$stack"*.json
    # shellcheck disable=SC2086
    env OCL_ICD_VENDORS="$folder/$stack.icd" SSA_TEST_DEVICES=opencl:0:0 "$@" meson test -C "$build" --no-rebuild \
        --logbase "vendors-$stack" --setup "$setup" ${timeout:+--timeout-multiplier "$timeout"} $wrapper \
        ${tests:-$select} || true
    log=$(ls "$build/meson-logs/vendors-$stack"*.json) # a wrapper's name comes after
    logs="$logs ${log:-$build/meson-logs/vendors-$stack.json}"
}

mkdir -p "$folder"
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" >/dev/null || { echo "tests/vendors.sh: $build does not build" >&2 && exit 1; }
logs="" skipped=""
for stack in $stacks; do
    path=$(library "$stack")
    if [ -z "$path" ] && [ -n "$install" ]; then
        install_stack "$stack" >"$folder/install.log" 2>&1 || cat "$folder/install.log"
        path=$(library "$stack")
    fi
    [ -n "$path" ] || { skipped="$skipped $stack" && continue; }
    echo "$path" >"$folder/$stack.icd"
    select="${suite:+--suite $suite} $without --no-suite package --no-suite bench" wrapper="" setup=default
    case $stack in
    pocl) # with its optimiser in every test
        setup=optimised
        run "$stack" ;;
    intel) run "$stack" CL_CONFIG_CPU_FORCE_LOCAL_MEM_SIZE=32KB ;; # what OpenCL promises; it refuses more
    rusticl) # its own shape is the GPU's
        select="$select --no-suite gpu_shape"
        run "$stack" RUSTICL_ENABLE=llvmpipe ;;
    pair)
        select="${suite:+--suite $suite} $without --no-suite package --no-suite bench --no-suite gpu_shape"
        run "$stack" POCL_DEVICES="pthread pthread" SSA_TEST_DEVICES=opencl:0:0,opencl:0:1 ;;
    oclgrind) # by itself it takes the GPU shape; without CLBlast: its kernels are not ours
        # to check, and own_gemm is the same once more
        select="--suite ${suite:-operator} $without --no-suite small_groups --no-suite own_gemm"
        wrapper="--wrap $PWD/tests/oclgrind.sh"
        run "$stack" SSA_TEST_WORK="${SSA_TEST_WORK:-150000}" SSACL_SHAPE=cpu SSACL_CLBLAST_LIBRARY= ;;
    esac
done
for stack in $skipped; do
    echo "skipped: $stack is not installed (--install)"
done
# shellcheck disable=SC2086
[ -z "$logs" ] || python3 tests/summary.py --table $logs
