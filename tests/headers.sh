#!/bin/sh
# headers.sh INCLUDE 'CC...' 'CXX...' HEADER...: every public header compiles alone, as C11 and as C++17.
set -u
include=$1 cc=$2 cxx=$3
shift 3
failed=0
for header; do
    $cc -x c -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$include" - <<EOF || failed=1
#include <ssacl/$header>
#include <ssacl/$header>
EOF
    [ -z "$cxx" ] && continue
    $cxx -x c++ -std=c++17 -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$include" - <<EOF || failed=1
#include <ssacl/$header>
#include <ssacl/$header>
EOF
done
# What is deprecated says what to use.
$cc -x c -std=c11 -Wall -Werror -fsyntax-only -I"$include" - <<EOF 2>&1 | grep -q 'use ssa_new()' || failed=1
#include <ssacl/base.h>
SSA_DEPRECATED("use ssa_new()") void ssa_old(void);
int main(void) { ssa_old(); }
EOF
[ -n "$cxx" ] || echo "no C++ compiler: only C was tried" >&2
exit $failed
