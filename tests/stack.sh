#!/bin/sh
# The programs on the host backend with stacks of 128 KiB (`ulimit -s 128`; musl's threads get no more), the main
# thread's too. Usage: stack.sh SSACL-TEXT SSACL-IMAGE SSACL-GRAPH SSACL-BENCH SSACL-DOCTOR
set -u
text=$(realpath "$1") image=$(realpath "$2") graph=$(realpath "$3") bench=$(realpath "$4") doctor=$(realpath "$5")
graphs=$(realpath "$(dirname "$0")/golden/egt.graphs")
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-stack.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=2
failures=0
run() {
    if ! (ulimit -s 128 && exec "$@") >out 2>err; then
        failures=$((failures + 1))
        printf 'WRONG: %s\n' "$*"
        cat err
    fi
}
i=0
while [ $i -lt 3000 ]; do echo "$i ten or twenty words of a text that is easy to learn"; i=$((i + 1)); done >data
run "$text" train --device cpu --data data --layers 1 --width 64 --heads 1 --length 64 --batch 2 -c run.st \
    -l run.jsonl --eval-windows 2 --stages 'local:ratio=0.25,look-back,steps=4;dense:steps=2'
run "$text" eval --device cpu --data data -c run.st --windows 2
run "$text" sample --device cpu -c run.st --count 8
run "$text" report run.jsonl
python3 - <<'END'
import struct
for part, n in (("train", 40), ("t10k", 10)):
    with open(part + "-images-idx3-ubyte", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n, 8, 8) + bytes(i % 251 for i in range(64 * n)))
    with open(part + "-labels-idx1-ubyte", "wb") as f:
        f.write(struct.pack(">II", 0x801, n) + bytes(i % 3 for i in range(n)))
END
run "$image" train --device cpu --data . --layers 1 --width 16 --heads 1 --patch 4 --batch 4 -c image.st -l image.jsonl \
    --stages 'unbiased:ratio=0.4,per-example,steps=4;dense:steps=2'
run "$image" eval --device cpu --data . -c image.st
run "$image" train --device cpu --data . --family pixels --layers 1 --width 16 --heads 1 --batch 4 --steps 4 \
    -c pixels.st
run "$image" draw --device cpu -c pixels.st --count 2 -o page.png
run "$graph" train --device cpu --data "$graphs" --split seeded --layers 1 --width 16 --edge-width 4 --heads 1 --batch 2 \
    --valid-molecules 2 --test-molecules 2 -c graph.st --stages 'unbiased:ratio=0.5,per-example,steps=4;dense:steps=2'
run "$graph" eval --device cpu --data "$graphs" -c graph.st
run "$graph" predict --device cpu --data "$graphs" -c graph.st
run "$doctor" --device cpu
run "$bench" step --device cpu --quick --seconds 0.1 --reps 1
run "$bench" pool --help
[ $failures = 0 ]
