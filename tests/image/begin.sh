# What the tests of ssacl-image begin with.
. "$(dirname "$0")/../begin.sh"

# Data as MNIST's: pictures FOLDER COUNT TESTS [CLASSES]: noise of 8 x 8 pixels, of which one quarter is bright, by
# their class.
pictures() {
    mkdir -p "$1"
    python3 - "$tests" "$@" <<'END'
import random, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from pictures import idx1, idx3
folder, counts, classes = sys.argv[2], map(int, sys.argv[3:5]), int((sys.argv + ["4"])[5] if len(sys.argv) > 5 else 4)
random.seed(3)
for part, count in zip(("train", "t10k"), counts):
    labels = [random.randrange(classes) for _ in range(count)]
    bright = lambda i, c: i // 32 * 2 + i % 8 // 4 == c % 4
    pixels = bytes(random.randrange(90) + 110 * bright(i, c) for c in labels for i in range(64))
    open(folder + "/" + part + "-images-idx3-ubyte", "wb").write(idx3(pixels, 8, 8))
    open(folder + "/" + part + "-labels-idx1-ubyte", "wb").write(idx1(labels))
END
}
