# What the tests of ssacl-text begin with: each sources this with PATH/ssacl-text as its first argument, and is in an
# empty folder from then on, which goes when it ends.
set -u
program=$(realpath "$1")
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-text.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0

wrong() { failures=$((failures + 1)); printf 'WRONG: %s: %s\n' "$*" "$(cat err 2>/dev/null)"; }
check() { checks=$((checks + 1)); "$@" || wrong "$*"; }
check_quietly() { checks=$((checks + 1)); "$@" >/dev/null 2>&1 || wrong "$*"; }
json() { # FILE EXPRESSION: the file is one JSON object x for which it holds
    check python3 -c "import json, sys; x = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), x" "$1" "$2"
}
finish() { # NAME: the last command
    printf '%s: %d checks, %d wrong\n' "$1" $checks $failures
    [ $failures -eq 0 ]
}

# Texts: one that is learnt at once, of BYTES, and COUNT words of twenty.
proverb() { yes 'All that is gold does not glitter, not all those who wander are lost.' | head -c "$1"; }
words() {
    python3 - "$1" <<'END'
import random, sys
random.seed(1)
words = "the a of and to in is on that by with as for was were from history river city first".split()
print(" ".join(random.choice(words) for _ in range(int(sys.argv[1]))), end="")
END
}
