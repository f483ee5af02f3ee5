#!/bin/sh
# lint.sh CLANG DIRECTORY 'KERNEL...' 'GPU_KERNEL...': every kernel file in both shapes (GPU kernels in theirs) through
# clang, as OpenCL C 1.2 for a strict target.
set -u
clang=$1 cl=$2 failed=0
lint()
{
    "$clang" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header --target=spir64 -fsyntax-only \
        -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -I"$cl" -DSSA_GPU="$2" "$cl/$1.cl" ||
        { echo "cl/$1.cl, SSA_GPU=$2: see above" >&2; failed=1; }
}
for kernel in $3; do
    lint "$kernel" 0
    lint "$kernel" 1
done
for kernel in $4; do
    lint "$kernel" 1
done
exit $failed
