"""Text by words as ssacl-text has it (and fairseq): WikiText's three files, a vocabulary by falling count of training's
words, ties by code point, one end for each line.

    vocabulary, parts = words.load("wikitext-103")    # array.array of ids by part, each behind an end that is not in it
"""
import array
import collections
import os

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
END, UNKNOWN = 2, 3
PARTS = ["train", "valid", "test"]


def split(text):
    """Words of bytes, and an end for each line: also the last, and those that are empty."""
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    if not lines[-1]:
        lines.pop()
    for line in lines:
        yield from line.split()
        yield SPECIAL[END]


def order(count, least=1, most=None):
    """The words by id."""
    known = [w for w, n in count.items() if n >= least and w not in SPECIAL]
    known.sort(key=lambda w: (-count[w], w.encode("utf-8", "surrogateescape")))
    return SPECIAL + (known if most is None else known[:max(0, most - len(SPECIAL))])


def ids_of(text, ids):
    """Behind an end that is not in it."""
    return array.array("i", [END]) + array.array("i", (ids.get(w, UNKNOWN) for w in split(text)))


def load(folder, least=1, most=None):
    texts = [open(os.path.join(folder, "wiki.%s.tokens" % part), "rb").read() for part in PARTS]
    vocabulary = order(collections.Counter(split(texts[0])), least, most)
    ids = {w: i for i, w in enumerate(vocabulary)}
    return vocabulary, [ids_of(text, ids) for text in texts]


def size(vocabulary):
    """A model's: a multiple of 8."""
    return (len(vocabulary) + 7) // 8 * 8
