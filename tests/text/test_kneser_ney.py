"""The Kneser-Ney baseline (tests/peers/kneser_ney.py) against its formula, one count at a time; probabilities of all
words after any others add up to 1. Skipped without NumPy."""
import collections
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
try:
    import numpy as np
    import kneser_ney
except ImportError:
    sys.exit(77)

V = 12


class Plain:
    """By dictionaries, as the formula is written."""

    def __init__(self, row, order):
        self.order, self.counts = order, [None]
        grams = [None] + [[tuple(row[i:i + n]) for i in range(len(row) - n + 1)] for n in range(1, order + 1)]
        for n in range(1, order):
            self.counts.append(collections.Counter(g[1:] for g in set(grams[n + 1])))
        self.counts.append(collections.Counter(grams[order]))
        self.d = [None] + [kneser_ney.discounts(np.array(list(c.values()))) for c in self.counts[1:]]

    def p(self, word, before, n=None):
        n = self.order if n is None else n
        if n == 0:
            return 1 / (V - 2) if word > 1 else 0.0
        lower = self.p(word, before, n - 1)
        if n > 1 and len(before) < n - 1:
            return lower
        h = tuple(before[len(before) - n + 1:])
        behind = [c for g, c in self.counts[n].items() if g[:-1] == h]
        if not behind:
            return lower
        c, d = self.counts[n][h + (word,)], self.d[n]
        return ((c - d[min(c, 3)]) + sum(d[min(b, 3)] for b in behind) * lower) / sum(behind)


def row_of(rng, count):
    row = [2]
    while len(row) < count:  # the same again and again, and now and then another
        row.append(2 + (row[-1] * 3 + len(row) // 7) % (V - 3) if rng.random() < 0.8 else rng.randrange(2, V))
    return row


def check(order, count):
    rng = random.Random(order)
    row, test = row_of(rng, count), row_of(rng, 60)
    model, plain = kneser_ney.KneserNey(row, V, order), Plain(row, order)
    logs = model.logs(test)
    for i in range(1, len(test)):
        want = plain.p(test[i], test[:i])
        assert abs(np.exp(logs[i - 1]) / want - 1) < 1e-12, (order, i, np.exp(logs[i - 1]), want)
    for length in range(8):
        for before in (test[5:5 + length], row[9:9 + length], row[:length], [rng.randrange(V) for _ in range(length)]):
            p = model.next(before)
            assert abs(p.sum() - 1) < 1e-12 and p.min() >= 0 and p[:2].max() == 0, (order, before, p.sum())
            assert all(abs(p[w] - plain.p(w, before)) < 1e-14 for w in range(V)), before


if __name__ == "__main__":
    for n, size in (1, 50), (2, 400), (3, 400), (5, 700), (5, 20):
        check(n, size)
    print("Kneser-Ney: as its formula, and adds up to 1")
