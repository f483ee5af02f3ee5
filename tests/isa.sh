#!/bin/sh
# tests/isa.sh [--check] [--loops] [--targets NAME,...] [FILE...]
# Compiles every kernel that a GPU may run, in every variant, with the compilers of AMD's, NVIDIA's and Intel's GPUs and
# to SPIR-V; no GPU is needed. Writes the table of registers, spills, local memory and occupancy, tests/isa/table.md;
# --check compares with it instead. Fails on a spill, on private arrays that reach memory, and on what does not compile.
# --loops shows what the inner loops are made of. A target without its compiler is skipped, and said so, unless
# $SSACL_ISA_ALL is set. Debian: clang-19 (AMD, NVIDIA), libclc-15, clang-15 llvm-spirv-15 spirv-tools (SPIR-V),
# intel-opencl-icd (Intel); for NVIDIA ptxas and libdevice of a CUDA toolkit besides. Results are kept in
# $BUILD/isa by content, so that a second run compiles what changed.
exec python3 "$(dirname "$0")/isa/isa.py" "$@"
