"""Molecules that are made up, as files of graphs: molecules.py FILE COUNT [ATOMS [official|none]]: chains and rings of
up to ATOMS atoms, whose target is what their atoms and bonds say: 3 an atom of kind 7, 1 a double bond, and 20. The
fifth is without a target. official: a split; none: no targets."""
import importlib.util
import os
import random
import struct
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("convert", os.path.join(HERE, "../../demos/graph/convert.py"))
convert = importlib.util.module_from_spec(spec)
spec.loader.exec_module(convert)


def make(path, count, most=8, how=""):
    draw = random.Random(count)
    sections = convert.Sections(os.path.dirname(os.path.abspath(path)))
    for i in range(count):
        n = draw.randrange(1, most + 1)
        kinds = [draw.choice((5, 6, 7)) for _ in range(n)]
        ends = [(a, a + 1) for a in range(n - 1)] + ([(0, n - 1)] if n > 2 and draw.random() < 0.5 else [])
        double = [draw.random() < 0.3 for _ in ends]
        target = float("nan") if i == 4 or how == "none" else 20 + 3 * kinds.count(7) + sum(double)
        part = (0, 0, 0, 1, 2)[i % 5] if how == "official" else 255
        graph = (n, b"".join(bytes((k, 0, 0, 5, 0, 0, 0, 0, 0)) for k in kinds),
                 b"".join(struct.pack("<HH", *pair) for pair in ends), b"".join(bytes((d, 0, 0)) for d in double), [])
        sections.add((i + 2, 100 + i, "C" * n + ("," if i == 5 else ""), None, part), target, graph)
    sections.write(path, "score", "pt")


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]), *(int(x) for x in sys.argv[3:4]), *sys.argv[4:5])
