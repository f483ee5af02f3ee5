# What the tests of ssacl-text begin with.
. "$(dirname "$0")/../begin.sh"

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
