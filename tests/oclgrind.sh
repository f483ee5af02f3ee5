#!/bin/sh
# oclgrind.sh PROGRAM...: runs it with oclgrind's checks on, and fails if they found anything: oclgrind itself answers 0.
# What it finds in kernels goes to a log, misuse of the API to the standard error.
found=$(mktemp) said=$(mktemp)
OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1 OCLGRIND_LOG=$found "$@" 2>"$said"
status=$?
cat "$said" "$found" >&2
if [ -s "$found" ] || grep -q 'runtime error detected' "$said"; then
    echo "oclgrind has findings" >&2
    status=1
fi
rm -f "$found" "$said"
exit $status
