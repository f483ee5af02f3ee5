#!/bin/sh
# Outputs of ssacl-bench and ssacl-scale: none is an input or another output, links are followed, descriptors and pipes
# are written as they come. Usage: outputs.sh PATH/ssacl-bench PATH/ssacl-scale
set -u
bench=$(realpath "$1") scale=$(realpath "$2")
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-outputs.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0
export SSACL_OPENCL_LIBRARY= # none

wrong() { failures=$((failures + 1)); printf 'WRONG: %s\n' "$*"; }
check() { checks=$((checks + 1)); "$@" >/dev/null 2>&1 || wrong "$*"; }
refuses() { # COMMAND...: one file is told to be another, and every file stays as it is
    checks=$((checks + 1))
    before=$(ls -A && cat -- *.json* *.svg* 2>/dev/null | cksum)
    err=$("$@" 2>&1 >/dev/null) && wrong "was not refused: $*"
    case $err in *'is the same file as'*) ;; *) wrong "$*: $err" ;; esac
    [ "$(ls -A && cat -- *.json* *.svg* 2>/dev/null | cksum)" = "$before" ] || wrong "files were changed: $*"
}
measure() { "$bench" gemm --quick --device cpu --filter 'in 64 out 64 fwd' "$@"; }

measure -o a.json 2>err || wrong "$(cat err)"
cp a.json b.json
cp a.json 'c.json@cpu'
cp a.json k-speed.svg
ln -s a.json link.json
mkdir folder

refuses "$bench" compare a.json b.json -o a.json
refuses "$bench" compare a.json b.json -o link.json
refuses "$bench" compare a.json@cpu b.json -o ./a.json
refuses "$bench" compare a.json 'c.json@cpu' -o 'c.json@cpu'
refuses "$bench" --compare a.json b.json -o b.json
refuses "$bench" show a.json b.json --html b.json
refuses "$bench" show k-speed.svg --charts k
refuses "$bench" show a.json --charts k --html k-speed.svg
refuses "$bench" show a.json -o new.md --html folder/../new.md
refuses sh -c 'exec "$0" show a.json >>a.json' "$bench"
refuses "$scale" --bench a.json --chart a.json

check "$bench" compare a.json b.json -o link.csv --csv
check sh -c '"$0" compare a.json b.json -o /dev/stdout | grep -q "geometric mean"' "$bench"
check sh -c '"$0" show a.json --csv -o /dev/stdout >>kept && "$0" show a.json --csv -o /dev/stdout >>kept && [ "$(wc -l <kept)" -gt 3 ]' "$bench"
check sh -c 'mkfifo pipe && cat pipe >through & until [ -p pipe ]; do :; done; "$0" show a.json -o pipe && wait && [ -p pipe ] && [ -s through ]' "$bench"
check "$bench" show a.json -o /dev/null
check [ -c /dev/null ]
ln -s folder/far.md near.md
check "$bench" show a.json --markdown -o near.md
check [ -L near.md ]
check [ -s folder/far.md ]
ln -s precious near.html.partial
echo precious >precious
check "$bench" show a.json --html near.html
check [ "$(cat precious)" = precious ]
check [ "$(ls -A | grep -c part-)" = 0 ]

echo "$checks checks, $failures failures"
[ $failures -eq 0 ]
