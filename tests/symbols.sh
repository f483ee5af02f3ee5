#!/bin/sh
# symbols.sh LIBRARY HEADER...: what the library exports starts with ssa_ and is declared in a header.
set -eu
library=$1
shift
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
exit $failed
