#!/bin/sh
# tests/isa.sh [--install] [--check] [--loops] [--log FILE] [--targets NAME,...] [FILE...]
# Compiles every kernel that a GPU may run, in every variant, with the compilers of AMD's, NVIDIA's and Intel's GPUs and
# to SPIR-V; no GPU is needed. Writes the table of registers, spills, local memory and occupancy, tests/isa/table.md;
# --check compares with it instead. Fails on what does not compile without a warning, on a spill, on private arrays that
# reach memory, on work-groups of another size than the source requires, and where the code has fewer exponentials,
# divisions, roots or multiply-adds than the source asks for (tests/isa/source.py). Each of these is tried on what is
# wrong on purpose (tests/isa/mistakes.py, tests/test_isa.py). Registers and spills are checked where the compilers are
# those of the table; where they are others, that is skipped, and said so.
# --loops shows what the inner loops are made of. --log writes what `meson test` would, for tests/summary.py: a check is
# a file in a variant on a target. A target without its compiler is skipped, and said so, unless $SSACL_ISA_ALL is set.
# Results are kept in $BUILD/isa by content, so that a second run compiles what changed.
#
# --install gets what is missing: from Debian clang-19 (AMD, NVIDIA), libclc-15, clang-15, llvm-spirv-15 and spirv-tools
# (SPIR-V); into ${XDG_CACHE_HOME:-~/.cache}/ssacl/vendors, because there is no need for them elsewhere, NVIDIA's
# assembler and disassembler from their Python packages, and Intel's compiler, unpacked: the package has a driver too,
# which no program under AddressSanitizer can load.
set -eu
case ${1-} in --help|-h) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
cd "$(dirname "$0")/.."
folder=${XDG_CACHE_HOME:-$HOME/.cache}/ssacl/vendors
export SSACL_ISA_TOOLS="$folder"

as_root()
{
    root=""
    [ "$(id -u)" = 0 ] || root=sudo
    $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 "$@"
}

install_debian()
{
    all=0
    for package in clang-19 libclc-15 clang-15 llvm-spirv-15 spirv-tools; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            as_root install -y -qq --no-install-recommends "$package" || all=1
    done
    return $all
}

install_intel()
{
    ! command -v ocloc && [ ! -d "$folder/ocloc" ] || return 0
    new=$folder/ocloc.new
    packages=$(apt-get install -s --no-install-recommends intel-opencl-icd | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    # shellcheck disable=SC2086
    rm -rf "$new" && mkdir -p "$new/packages" && (cd "$new/packages" && apt-get download -qq $packages) &&
        for package in "$new"/packages/*.deb; do
            dpkg -x "$package" "$new" || return
        done && rm -r "$new/packages" && mv "$new" "$folder/ocloc"
}

# install_python FOLDER PACKAGE: a Python package's programs, in an environment of their own
install_python()
{
    rm -rf "$folder/$1.new" && python3 -m venv "$folder/$1.new" &&
        "$folder/$1.new/bin/python" -m pip install -q "$2" && mv "$folder/$1.new" "$folder/$1"
}

install_nvidia()
{
    command -v ptxas || [ -d "$folder/nvidia" ] || install_python nvidia nvidia-cuda-nvcc-cu12==12.9.86 || return
    command -v nvdisasm || [ -d "$folder/nvdisasm" ] || install_python nvdisasm nvidia-cuda-nvdisasm==13.5.37
}

if [ "${1:-}" = --install ]; then
    shift
    mkdir -p "$folder"
    as_root update -qq >"$folder/isa.log" 2>&1 || true
    for tool in debian intel nvidia; do
        (install_$tool) >>"$folder/isa.log" 2>&1 || {
            echo "tests/isa.sh: not all that is missing could be installed ($tool)" && tail -3 "$folder/isa.log"
        }
    done
fi
exec python3 tests/isa/isa.py "$@"
