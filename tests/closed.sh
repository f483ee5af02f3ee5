#!/bin/sh
# Programs whose stdin, stdout or stderr is closed, or cannot be written: no file gets what is said or printed, and a
# result that nobody gets is a failure. On the host backend.
# Usage: closed.sh SSACL-TEXT SSACL-BENCH SSACL-SCALE SSACL-DOCTOR
set -u
text=$(realpath "$1") bench=$(realpath "$2") scale=$(realpath "$3") doctor=$(realpath "$4")
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-closed.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0
export SSACL_OPENCL_LIBRARY='' SSACL_THREADS=1

wrong() { failures=$((failures + 1)); printf 'WRONG: %s\n' "$*"; }
check() { checks=$((checks + 1)); "$@" >/dev/null 2>&1 || wrong "$*"; }
closed() { "$@" <&- >&- 2>&-; }
begins() { # FILE WORDS
    checks=$((checks + 1))
    case $(head -c 200 "$1") in "$2"*) ;; *) wrong "$1 begins: $(head -c 80 "$1")" ;; esac
}
lost() { # COMMAND...: prints a result, which fails into a closed stdout as into a full disk
    checks=$((checks + 2))
    "$@" >&- 2>err
    [ $? -eq 1 ] || wrong "succeeds with stdout closed: $*"
    grep -q 'the output could not be written' err || wrong "$*: $(cat err)"
    "$@" >/dev/full 2>err
    [ $? -eq 1 ] || wrong "succeeds with stdout full: $*"
    closed "$@"
    [ $? -eq 1 ] || wrong "succeeds with all closed: $*"
}
measure() { "$bench" gemm --quick --device cpu --filter 'in 64 out 64 fwd' "$@"; }
train() {
    "$text" train --data text --device cpu --layers 1 --width 8 --heads 1 --length 8 --batch 1 --steps 2 \
        --eval-windows 2 --log-every 1 -c a.st --force "$@"
}
yes 'All that is gold does not glitter, not all those who wander are lost.' | head -c 3000 >text

# ---- files ----

closed train -l a.jsonl || wrong 'train'
begins a.jsonl '{"event":"start"'
check "$text" eval --device cpu -c a.st --data text --windows 1 --passes 1
closed measure -o a.json --html a.html || wrong 'bench'
begins a.html '<!doctype html>'
check python3 -c 'import json; [json.loads(line) for line in open("a.json")]'
closed measure -o b.json --charts k || wrong 'bench --charts'
for chart in k*.svg; do begins "$chart" '<'; done
if command -v gnuplot >/dev/null; then
    "$scale" --gflops 100 --memory 20 --chart s.svg <&- 2>&- >/dev/null || wrong 'scale --chart'
    closed "$scale" --gflops 100 --memory 20 --chart t.svg && wrong 'scale succeeds with all closed'
    "$text" report a.jsonl --out curves <&- 2>&- >/dev/null || wrong 'report'
    for picture in s.svg t.svg curves.svg; do
        begins "$picture" '<?xml'
        check python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$picture"
    done
fi

# ---- results ----

lost train --json
lost "$text" eval --device cpu -c a.st --data text --windows 1 --passes 1
lost "$text" sample --device cpu -c a.st --count 2
lost "$text" report a.jsonl
lost "$text" --devices
lost "$bench" gemm --list --device cpu
lost "$bench" pool --list --device cpu
lost "$bench" show a.json
lost "$bench" compare a.json a.json
lost "$scale" --gflops 100 --memory 20
lost "$doctor" --no-tests
lost "$doctor" --no-tests --json
lost "$text" train --help

# ---- stdin ----

"$text" sample --device cpu -c a.st --count 2 --prompt - <&- >/dev/null 2>err && wrong 'reads a closed stdin'
check grep -q 'stdin' err
"$text" sample --device cpu -c a.st --prompt '' 2>err >out
check [ $? -eq 2 ]
check grep -q -e '--prompt must not be empty: give TEXT' err

# ---- lines passed over ----

echo torn >>a.jsonl
"$text" report a.jsonl 2>err >/dev/null
check grep -q '1 of its [0-9]* lines is not a record and was passed over' err
echo torn >>a.jsonl
"$text" report a.jsonl 2>err >/dev/null
check grep -q '2 of its [0-9]* lines are not records and were passed over' err

echo "$checks checks, $failures wrong"
[ $failures -eq 0 ]
