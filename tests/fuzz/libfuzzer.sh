#!/bin/sh
# libfuzzer.sh PROGRAM TARGET [CORPUS]: libFuzzer on a target for $SSA_FUZZ_SECONDS (15), from a corpus and the target's
# own seeds. An input that fails stays in the current folder, and is named.
found=$(mktemp -d) && trap 'rm -rf "$found"' EXIT
SSA_FUZZ=$2 SSA_FUZZ_SEEDS=$found "$1" -seed=1 -max_total_time="${SSA_FUZZ_SECONDS:-15}" -timeout=60 \
    -rss_limit_mb=1500 -print_final_stats=1 -verbosity=0 -artifact_prefix="$PWD/libfuzzer-$2-" "$found" ${3:+"$3"}
