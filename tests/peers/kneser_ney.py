"""Modified, interpolated Kneser-Ney (Chen and Goodman 1998) over words: the perplexity that a model has to beat.

    python3 tests/peers/kneser_ney.py FOLDER            # of wiki.{train,valid,test}.tokens
    python3 tests/peers/kneser_ney.py FOLDER --order 3 --least 3 --most 50000

The words and their ids are ssacl-text's (words.py), and so is what is counted: every word of a part and every end of
line, <unk> too. What comes before a word is the row of all words, across ends of lines, as a model sees it.

    p_n(w | h) = (c(h w) - D(c(h w))) / c(h) + (D1 N1(h) + D2 N2(h) + D3 N3(h)) / c(h)  p_{n-1}(w | h')

c is a count in training for the highest order, below it the number of different words that stand before h w; D(c) is
D1, D2 or D3 for a c of 1, 2, 3 and more, and N1(h), N2(h), N3(h) are how many words have such counts behind h; h' is h
without its first word. Below a single word all that can come, which are words, the end and <unk>, are as likely. Where
h was never seen, the lower order's is taken whole.
"""
import argparse
import json
import math

import numpy as np

import words

NONE = -1


def discounts(counts):
    """D1, D2, D3 by how many counts are 1, 2, 3, 4; where there are too few to tell, what is usual."""
    n = [int((counts == i).sum()) for i in range(1, 5)]
    y = n[0] / max(1, n[0] + 2 * n[1])
    d = [i + 1 - (i + 2) * y * n[i + 1] / max(1, n[i]) for i in range(3)]
    return np.array([0, *d] if min(n) and min(d) > 0 else [0, 0.6, 0.9, 1.2])


class Order:
    """What is known of all different rows of n words."""

    def __init__(self, keys, context, counts, contexts):
        self.keys = keys
        used = counts > 0  # a row that nothing stands before has no count below the highest order
        d = discounts(counts[used])
        kind = np.minimum(counts, 3)
        self.value = counts - d[kind]
        self.total = np.bincount(context, counts, contexts)
        self.rest = np.bincount(context, np.where(used, d[kind], 0), contexts)


class KneserNey:
    def __init__(self, row, vocabulary, order=5):
        """`row`: ids of training. Ids that can come: all but <s> and padding."""
        row = np.asarray(row, np.int64)
        self.vocabulary, self.orders, self.possible = vocabulary, [], vocabulary - 2
        rows = [np.zeros(len(row), np.int64)]  # of no word there is one
        keys, first, inside = [], [], []
        for n in range(1, order + 1):
            key = np.full(len(row), NONE, np.int64)
            key[n - 1:] = self.key(np.concatenate([[0], rows[-1][:-1]])[n - 1:], row[n - 1:])
            unique, at, back = np.unique(key[n - 1:], return_index=True, return_inverse=True)
            number = np.full(len(row), NONE, np.int64)
            number[n - 1:] = back.reshape(-1)
            keys.append(unique)
            first.append(at + n - 1)
            inside.append(rows[-1])  # rows of one word less
            rows.append(number)
        sizes = [1] + [len(k) for k in keys]
        for n in range(1, order + 1):
            at = first[n - 1]
            if n == order:
                counts = np.bincount(rows[n][n - 1:], minlength=sizes[n])
            else:  # of each different row of one word more, what is behind its first
                counts = np.bincount(rows[n][first[n]], minlength=sizes[n])
            context = inside[n - 1][at - 1] if n > 1 else np.zeros(sizes[n], np.int64)
            self.orders.append(Order(keys[n - 1], context, counts, sizes[n - 1]))

    def key(self, context, word):
        return context * self.vocabulary + word

    def find(self, n, context, word):
        """Numbers of rows of n words, of which all but the last are `context`; NONE: never seen."""
        keys = self.orders[n - 1].keys
        at = np.minimum(np.searchsorted(keys, self.key(context, word)), len(keys) - 1)
        return np.where((context != NONE) & (keys[at] == self.key(context, word)), at, NONE)

    def logs(self, row):
        """log p of all words of a row but its first."""
        row = np.asarray(row, np.int64)
        p, before = np.full(len(row), 1.0 / self.possible), np.zeros(len(row), np.int64)
        for n, order in enumerate(self.orders, 1):
            context = before if n == 1 else np.concatenate([[NONE], before[:-1]])
            here = self.find(n, context, row)
            p = self.mix(order, context, here, p)
            before = here
        return np.log(p[1:])

    @staticmethod
    def mix(order, context, here, lower):
        total = np.where(context == NONE, 0, order.total[context])
        value = np.where(here == NONE, 0, order.value[here])
        share = np.divide(order.rest[context], total, out=np.ones(len(lower)), where=total > 0)
        return np.divide(value, total, out=np.zeros(len(lower)), where=total > 0) + share * lower

    def next(self, before):
        """p of every id after these."""
        word = np.arange(self.vocabulary)
        p, context = np.where((word == 0) | (word == 1), 0, 1.0 / self.possible), 0
        for n, order in enumerate(self.orders, 1):
            if n > 1:
                context = self.number(before[len(before) - n + 1:]) if n <= len(before) + 1 else NONE
            of = np.full(self.vocabulary, context)
            p = self.mix(order, of, self.find(n, of, word), p)
        return p

    def number(self, row):
        """Of a row of words; NONE: never seen."""
        at = np.zeros(1, np.int64)
        for n, word in enumerate(row, 1):
            at = self.find(n, at, np.array([word]))
        return int(at[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--least", type=int, default=1)
    parser.add_argument("--most", type=int)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    vocabulary, parts = words.load(a.folder, a.least, a.most)
    model, told = KneserNey(parts[0], len(vocabulary), a.order), {"order": a.order, "words": len(vocabulary)}
    for name, row in zip(words.PARTS[1:], parts[1:]):
        loss = float(-model.logs(row).mean())
        told[name] = {"tokens": len(row) - 1, "loss": loss, "perplexity": math.exp(loss)}
        if not a.json:
            print("%s: %d words, %.4f nats per word, perplexity %.2f" % (name, len(row) - 1, loss, math.exp(loss)))
    if a.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
