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
[ -n "$cxx" ] || echo "no C++ compiler: only C was tried" >&2
exit $failed
