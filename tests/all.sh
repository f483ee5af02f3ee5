#!/bin/bash
# Everything, hours of it: what .ci/run has no time for, after .ci/run itself has passed.
#
#   bash tests/all.sh [PART...]   all of them unless named:
#
#   link       a program outside the tree with the library, shared and static, by three compilers
#   static     a build of static libraries
#   cross      arm64 (under qemu-user) and i386
#   no-opencl  a build without OpenCL and libraries of pictures, every test
#   clang      a build with clang, every test
#   vendors    every OpenCL stack; isa: the compilers of every GPU
#   sanitize   addresses and undefined behaviour, every test; threads: data races
#   faults     every OpenCL call fails; fuzz: mutants; libfuzzer: the same guided by what they reach
#   gpu        the bundle for a GPU's machine; abi: the last release's
#
# Installs what it needs (as root or through sudo). A line for each thing tried, with its seconds; what it said is in
# $BUILD-all ("build-all"). The last line is "N passed, N failed", and 1 is the exit status if any failed.
set -u
cd "$(dirname "$0")/.." || exit 1
root=${BUILD:-build}
logs=$root-all
passed=0 failed=0

# try NAME COMMAND...
try()
{
    local name=$1 begin=$SECONDS verdict=ok
    shift
    if "$@" >"$logs/$name.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) verdict="FAILED: $logs/$name.log"
    fi
    printf '%-28s %6d s  %s\n' "$name" $((SECONDS - begin)) "$verdict"
}

# build FOLDER COMPILER MESON_OPTION...
build()
{
    local folder=$1 compiler=$2
    shift 2
    [ -f "$folder/build.ninja" ] || CC=$compiler meson setup "$folder" "$@" || return
    ninja -C "$folder"
}

install()
{
    local asroot=()
    [ "$(id -u)" = 0 ] || asroot=(sudo)
    "${asroot[@]}" apt-get update -qq
    "${asroot[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq \
        --no-install-recommends "$@"
}

# A program outside the tree with the library alone.
client()
{
    local compiler=$1 library=$2 folder=$root-client-$1-$2
    build "$folder" "$compiler" -Dwerror=true -Ddefault_library="$library" -Dtests=false -Ddemos=false -Dmpi=disabled &&
        sh tests/link/run.sh meson "$folder" "$PWD/tests/link/program.c" "$compiler"
}

link()
{
    for library in shared static; do
        for compiler in gcc gcc-11 clang; do
            try "link-$compiler-$library" client "$compiler" "$library"
        done
    done
}

cross()
{
    for arch in arm64 i386; do
        try "link-$arch-shared" sh tests/cross.sh --install --client "$arch"
        try "link-$arch-static" sh tests/cross.sh --install --client --static "$arch"
        try "operators-$arch" sh tests/cross.sh --install "$arch"
    done
}

clang_tests()
{
    build "$root-clang" clang -Dwerror=true && meson test -C "$root-clang" --no-rebuild
}

no_opencl()
{
    build "$root-no-opencl-all" gcc -Dopencl=disabled -Disas='' -Djpeg=disabled -Dpng=disabled \
        -Dzlib=disabled && meson test -C "$root-no-opencl-all" --no-rebuild --no-suite bench
}

static_tests()
{
    build "$root-static" gcc -Dwerror=true -Ddefault_library=static &&
        meson test -C "$root-static" --no-rebuild --suite package
}

# As long as 100000 mutants of each kind of input take, with sanitizers; and another seed every day.
fuzz()
{
    build "$root-fuzz" gcc -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized &&
        UBSAN_OPTIONS=halt_on_error=1 "$root-fuzz/tests/fuzz/fuzz" all "$(date +%Y%m%d)" 100000
}

# Every target, from its corpus if it has one, for a minute each.
libfuzzer()
{
    local target corpus status=0 program=$root-clang/tests/fuzz/libfuzzer
    build "$root-clang" clang -Dwerror=true && ninja -C "$root-clang" tests/fuzz/libfuzzer || return
    for target in checkpoint tuning cache stages log egt graphs images timm fairseq words; do
        echo "==== $target"
        corpus=tests/fuzz/corpus/$target
        [ -d "$corpus" ] || corpus=
        SSA_FUZZ_SECONDS=${SSA_FUZZ_SECONDS:-60} sh tests/fuzz/libfuzzer.sh "$program" "$target" "$corpus" || status=1
    done
    return $status
}

# As in .ci/run, with what it leaves out.
sanitize()
{
    build "$root-sanitize-all" gcc -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized || return
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=0 \
        meson test -C "$root-sanitize-all" --no-rebuild --no-suite package --no-suite bench
}

# Without OpenCL, whose drivers are not instrumented. `images` has the threads of ssacl-image that prepare pictures.
threads()
{
    build "$root-threads-all" gcc -Db_sanitize=thread -Db_lundef=false -Dbuildtype=debugoptimized -Dmpi=disabled &&
        TSAN_OPTIONS=halt_on_error=1 SSACL_OPENCL_LIBRARY='' SSA_TEST_DEVICES=cpu \
            meson test -C "$root-threads-all" --no-rebuild add linear store units pool train ensemble team lost \
            stopped finite ranks evaluate data average watch mixed adaptive generate images
}

# Every call that can fail, of which the suite has a choice.
faults()
{
    build "$root" "${CC:-cc}" && SSA_TEST_FAULTS=all meson test -C "$root" --no-rebuild fault fault_pool fault_training
}

# The bundle for a GPU's machine, with what OpenCL there is here.
gpu()
{
    build "$root" "${CC:-cc}" && BUILD=$root sh tests/gpu.sh --pack "$root-gpu" &&
        POCL_AFFINITY=1 SSA_TEST_MOST=300000 sh "$root-gpu/gpu.sh" --slow 6 "$logs/gpu"
}

soname()
{
    readelf -d "$1" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p'
}

# abi RELEASE: what the library exports against that of a tag. Under one soname it may grow by functions, and no struct
# may change; under another this only says what did.
abi()
{
    local release=$1 source=$PWD/$logs/$1 status=0
    local before=$root-abi-$release/lib/libssacl.so after=$root-abi/lib/libssacl.so
    mkdir -p "$source" && git archive "$release" | tar -x -C "$source" &&
        build "$root-abi-$release" gcc "$source" -Dbuildtype=debugoptimized -Dtests=false -Ddemos=false -Dmpi=disabled &&
        build "$root-abi" gcc -Dbuildtype=debugoptimized -Dtests=false -Ddemos=false -Dmpi=disabled || return
    abidiff --no-added-syms "$before" "$after" || status=$?
    [ $((status & 3)) = 0 ] || return # abidiff itself failed
    [ "$(soname "$before")" != "$(soname "$after")" ] || [ "$status" = 0 ]
}

mkdir -p "$logs"
[ $# -gt 0 ] || set -- link static cross no-opencl clang vendors isa sanitize threads faults fuzz libfuzzer gpu abi
for part; do
    case $part in
    link)
        { command -v gcc-11 && command -v clang; } >/dev/null || try install-compilers install gcc-11 clang
        link
        ;;
    static) try static static_tests ;;
    cross) cross ;;
    clang | libfuzzer)
        command -v clang >/dev/null || try install-clang install clang
        if [ "$part" = clang ]; then try clang clang_tests; else try libfuzzer libfuzzer; fi
        ;;
    no-opencl) try no-opencl no_opencl ;;
    vendors) try vendors sh tests/vendors.sh --install ;;
    isa) try isa sh tests/isa.sh --install --check ;;
    faults) try faults faults ;;
    fuzz) try fuzz fuzz ;;
    sanitize) try sanitize sanitize ;;
    threads) try threads threads ;;
    gpu) try gpu gpu ;;
    abi)
        release=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null)
        if [ -z "$release" ]; then
            echo "abi: skipped, no release is tagged here (v0.2.0, ...)"
        elif ! command -v abidiff >/dev/null; then
            echo "abi: skipped, no abidiff here (apt-get install abigail-tools)"
        else
            try "abi-$release" abi "$release"
        fi
        ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
