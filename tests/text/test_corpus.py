"""Text by words, in C and in Python: test_corpus.py PROBE. The same words, ids, parts and bytes of texts of all kinds."""
import collections
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
import words  # noqa: E402

PROBE = os.path.abspath(sys.argv[1])
MARK = 16  # files are cut at multiples of so many words


def run(*files, least=1, most=2**31 - 9, named=-1, stdin=None):
    return subprocess.run([PROBE, str(least), str(most), str(named), *map(str, files)], input=stdin,
                          capture_output=True, timeout=600)


def probe(*files, **how):
    done = run(*files, **how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(said, *files, **how):
    done = run(*files, **how)
    assert done.returncode == 1 and said in done.stderr.decode() and done.stderr.count(b"\n") == 1, done


def put(name, data):
    open(name, "wb").write(data)
    return name


def cut(text):
    """The three parts of the words of a file that is cut."""
    all_words = list(words.split(text))
    first, second = ((len(all_words) - held * (len(all_words) // 20)) // MARK * MARK for held in (2, 1))
    return all_words[:first], all_words[first:second], all_words[second:]


def check(got, parts, least=1, most=None, size=None):
    """`parts`: words of each; `size`: bytes of all."""
    vocabulary = words.order(collections.Counter(parts[0]), least, most)
    ids = {w: i for i, w in enumerate(vocabulary)}
    assert [bytes.fromhex(w) for w in got["words"]] == [w.encode("utf-8", "surrogateescape") for w in vocabulary]
    assert got["comes_back"] and got["size"] % 8 == 0 and 0 <= got["size"] - len(vocabulary) < 8
    for have, want in zip(got["parts"], parts):
        numbers = [ids.get(w, words.UNKNOWN) for w in want]
        assert have["ids"] == [words.END] + numbers, (have["ids"][:50], numbers[:50])
        assert have["unknown"] == numbers.count(words.UNKNOWN)
    if size is not None:
        assert sum(p["bytes"] for p in got["parts"]) == size


def texts():
    """Name, bytes."""
    rng = random.Random(1)
    some = [rng.choice(["the", "of", "<unk>", "Änderung", "日本語", "a@-@b", "<s>", "</s>", "x" * 40]) for _ in range(3000)]
    yield "one line", " ".join(some).encode()
    yield "lines", "".join(w + rng.choice(" \n \n\n\t") for w in some).encode()
    yield "carriage returns", "\r\n".join(some).encode() + b"\r\n"
    yield "no end", "\n".join(some).encode()
    yield "blanks at the end", "\n".join(some).encode() + b"\n \t "
    blanks = [chr(c) for c in range(0x110000) if chr(c).isspace() and not 0xd800 <= c < 0xe000]
    yield "all blanks", "".join(w + rng.choice(blanks) for w in some).encode()
    wide = "\u1681\u2027\u200b\u202a\u2060\u3001\u0084\u00a1\ufeff"
    yield "nearly blanks", "".join(w + rng.choice(wide) + rng.choice(["", " "]) for w in some).encode()
    yield "any bytes", bytes(rng.randrange(256) for _ in range(20000))
    yield "zeros", b"".join(rng.choice([b"\0", b"\0a", b"b\0", b" ", b"\n"]) for _ in range(4000))
    yield "not UTF-8", b" ".join(rng.choice([b"\xe2", b"\xe2\x80", b"\xc2", b"\xff\xfe", b"a\xe3\x80b", b"\xe1\x9a",
                                             b"\xf0\xe2\x80\xa8\xe2\xc2\xa0"]) for _ in range(2000))


def test_cut():
    for name, text in texts():
        got = probe(put("text", text))
        check(got, cut(text), size=len(text))
        assert not got["named"], name
        check(probe("-", stdin=text), cut(text), size=len(text))
    a, b = (t for n, t in texts() if n in ("lines", "any bytes"))
    got = probe(put("a", a), put("b", b))
    check(got, [x + y for x, y in zip(cut(a), cut(b))], size=len(a) + len(b))


def test_long():
    """Words and blanks across what is read at once, and a word of megabytes."""
    for shift in range(8):
        text = b"y" * shift + "　abc　".encode() * 80000 + b"\n" + b"z" * 3000000 + b" end " * 100
        check(probe(put("long", text)), cut(text), size=len(text))


def test_named():
    os.makedirs("wiki")
    text = dict(zip(words.PARTS, (b" = A = \n \n b c b\nb <unk> \n", b"c c d\n", b"\n\nb e <unk>")))
    for part in words.PARTS:
        put("wiki/wiki.%s.tokens" % part, text[part])
    parts = [list(words.split(text[part])) for part in words.PARTS]
    for files in ["wiki"], ["wiki/wiki.%s.tokens" % p for p in ("test", "train", "valid")]:
        got = probe(*files)
        check(got, parts)
        assert got["named"] and [p["bytes"] for p in got["parts"]] == [len(text[p]) for p in words.PARTS]
        assert got["parts"][1]["bytes_a_word"] == 6 / 4
    vocabulary, ids = words.load("wiki")
    assert got["parts"][2]["ids"] == ids[2].tolist() and got["size"] == words.size(vocabulary)
    check(probe("wiki", least=2), parts, least=2)
    check(probe("wiki", most=6), parts, most=6)
    check(probe("wiki", most=1000), parts)
    check(probe("wiki", most=4), parts, most=4)
    put("wiki/wiki.train.raw", b"other")  # of two, .tokens counts
    check(probe("wiki"), parts)
    put("wiki/a.train.tokens", b"other")
    refused("has two files for train", "wiki")
    os.remove("wiki/a.train.tokens")
    os.rename("wiki/wiki.valid.tokens", "wiki/wiki.v.tokens")
    refused("has no file whose name says 'valid'", "wiki")
    refused("there is none for valid", "wiki/wiki.train.tokens", "wiki/wiki.test.tokens")
    one = probe("wiki/wiki.train.tokens")
    assert not one["named"]


def test_given():
    text = b"one two three\nfour two\n"
    put("dict.txt", b"two 17\nfour 3\nodd\xff 1\nmadeupword0000 0\n")
    got = probe("=dict.txt", put("wiki.test.tokens", text), named=1)
    assert [bytes.fromhex(w) for w in got["words"]] == [b"<s>", b"<pad>", b"</s>", b"<unk>", b"two", b"four", b"odd\xff"]
    assert [p["ids"] for p in got["parts"]] == [[], [], [2, 3, 4, 3, 2, 5, 4, 2]] and got["parts"][2]["unknown"] == 2
    refused("line 2 has a word that was there before", "=" + put("bad", b"two 1\ntwo 2\n"), "wiki.test.tokens")
    refused("line 1 has a word that was there before", "=" + put("bad", b"<unk> 1\n"), "wiki.test.tokens")
    refused("line 2 has no word", "=" + put("bad", b"two 1\n\n"), "wiki.test.tokens")
    assert not probe("=dict.txt", "dict.txt", named=1)["named"]


def test_bad():
    refused("is empty", put("empty", b""))
    refused("cannot be opened", "nothing-there")
    refused("has no file whose name says 'train'", ".")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, test in list(globals().items()):
            if name.startswith("test_"):
                test()
    print("text by words: all as in Python")
