#!/bin/sh
# symbols.sh LIBRARY ARCHIVE HEADER...: what the shared library exports starts with ssa_, and is what the headers declare;
# and it reads the environment by no way that a set-user-id program would have to fear. In the archive, of the same
# objects, all that is not of one file alone has the prefix too: a static library hides nothing from its callers.
set -eu
library=$1 archive=$2
shift 2
strangers=$(nm -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^ssa_/ {print $3}' | sort -u)
if [ -n "$strangers" ]; then
    echo "in the static library without the prefix ssa_: $strangers" >&2
    exit 1
fi
case $library in *.a) exit ;; esac # a static build has no other
exported=$(nm -D --defined-only "$library" | awk '{print $NF}' | sort)
strangers=$(printf '%s\n' "$exported" | grep -v '^ssa_' || true)
if [ -n "$strangers" ]; then
    echo "exported without the prefix ssa_: $strangers" >&2
    exit 1
fi
failed=0
for name in $exported; do
    # Operators are declared through the list SSA_OPS(X).
    grep -Eqw "$name|X\(${name#ssa_}\)" "$@" || { echo "exported but in no header: $name" >&2; failed=1; }
done
for name in $(grep -ho 'SSA_API [^;]*' "$@" | grep -o 'ssa_[a-z_0-9]*(' | tr -d '('); do
    printf '%s\n' "$exported" | grep -qx "$name" || { echo "declared but not exported: $name" >&2; failed=1; }
done
if nm -D --undefined-only "$library" | grep -Eqw 'getenv|environ'; then
    echo "the library calls getenv(): ssa_environment() is there for that" >&2
    failed=1
fi
exit $failed
