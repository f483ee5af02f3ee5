# What tests of a program by the shell begin with: each sources this with PATH/PROGRAM as its first argument, and is in
# an empty folder from then on, which goes when it ends. $tests is the folder of the test.
set -u
program=$(realpath "$1") tests=$(realpath "$(dirname "$0")")
work=$(mktemp -d "${TMPDIR:-/tmp}/$(basename "$program").XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0

wrong() { failures=$((failures + 1)); printf 'WRONG: %s: %s\n' "$*" "$(cat err 2>/dev/null)"; }
check() { checks=$((checks + 1)); "$@" || wrong "$*"; }
check_quietly() { checks=$((checks + 1)); "$@" >/dev/null 2>&1 || wrong "$*"; }
json() { # FILE EXPRESSION: the file is one JSON object x for which it holds
    check python3 -c "import json, sys; x = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), x" "$1" "$2"
}
# two_pocl: what follows has two devices of PoCL; without it the test is skipped.
two_pocl() {
    export OCL_ICD_VENDORS=libpocl.so.2 POCL_DEVICES='pthread pthread'
    [ "$("$program" --devices | grep -c '^opencl:0:[01] ')" -eq 2 ] && return
    printf '%s on a pool: skipped, PoCL is not there\n' "$(basename "$program")"
    exit 77
}
# same_answers ONE TWO: what eval --json says on one device and on two, but for the time it takes.
same_answers() {
    check python3 - "$1" "$2" <<'END'
import json, sys
one, two = (json.load(open(name)) for name in sys.argv[1:])
assert len(one["devices"]) == 1 and len(two["devices"]) == 2
for kind in ("dense", "ensemble"):
    one[kind].pop("seconds"), two[kind].pop("seconds")
    assert one[kind] == two[kind], (one[kind], two[kind])
END
}
finish() { # NAME: the last command
    printf '%s: %d checks, %d wrong\n' "$1" $checks $failures
    [ $failures -eq 0 ]
}

# refuses STATUS WORDS COMMAND...: this exit status, one line on stderr with these words, nothing on stdout, no new
# file.
refuses() {
    status=$1 words=$2
    shift 2
    checks=$((checks + 1))
    before=$(ls -A)
    "$@" >"$work.out" 2>"$work.err"
    got=$?
    out=$(cat "$work.out") err=$(cat "$work.err")
    rm -f "$work.out" "$work.err"
    errors=$(printf '%s\n' "$err" | grep -c "^$(basename "$program")")
    [ $got -eq "$status" ] || wrong "exit status $got, not $status: $*: $err"
    [ "$errors" -eq 1 ] || wrong "$errors lines of error, not one: $*: $err"
    case $err in *"$words"*) ;; *) wrong "no word of '$words': $*: $err" ;; esac
    [ -z "$out" ] || wrong "something on stdout: $*: $out"
    [ "$(ls -A)" = "$before" ] || wrong "files were left: $*: $(ls -A)"
}
