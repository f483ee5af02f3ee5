#!/bin/sh
# corpus.sh PROGRAM: makes corpus/ again with `libfuzzer`: the smallest inputs for what it reaches from a target's own
# seeds in so many changes, at most so many bytes of them.
set -eu
program=$(realpath "$1")
cd "$(dirname "$0")"

# make TARGET CHANGES BYTES
make()
{
    found=$(mktemp -d)
    export SSA_FUZZ="$1"
    SSA_FUZZ_SEEDS=$found "$program" -seed=1 -runs="$2" -verbosity=0 "$found"
    rm -rf "corpus/$1" && mkdir -p "corpus/$1"
    "$program" -seed=1 -merge=1 -verbosity=0 "corpus/$1" "$found"
    rm -rf "$found"
    find "corpus/$1" -type f -printf '%s %p\n' | sort -n | awk -v most="$3" '(sum += $1) > most { print $2 }' |
        xargs rm -f
}

make checkpoint 100000 90000
make tuning 400000 30000
make cache 200000 5000
make log 300000 50000
du -sb corpus/*
