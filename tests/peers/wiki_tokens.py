"""Text in WikiText's form, wiki.{train,valid,test}.tokens in FOLDER, of what packages have (their text is not ours to
ship). Needs mwparserfromhell (of wiki) and sacremoses.

    pip download --no-deps gensim==4.4.0        # Wikipedia, 103 articles: a quarter of WikiText-2 (CC BY-SA, GFDL)
    unzip -p gensim-4.4.0-*.whl 'gensim/test/test_data/enwiki-latest-pages-articles1*' | bzcat >enwiki.xml
    python3 tests/peers/wiki_tokens.py wiki enwiki.xml FOLDER
    apt-get download dict-gcide && dpkg -x dict-gcide_*.deb . && zcat usr/share/dictd/gcide.dict.dz >gcide.txt
    python3 tests/peers/wiki_tokens.py gcide gcide.txt FOLDER   # a dictionary, 10 million words (GPL)

Moses' tokens, " @-@ ", " @,@ " and " @.@ " inside of words and numbers, a blank at both ends of a line, and <unk> for
words that training has fewer than three times. Articles (entries) are shuffled: a twentieth each for valid and test.
"""
import collections
import os
import random
import re
import sys
import xml.etree.ElementTree as ET

from sacremoses import MosesTokenizer

MOSES = MosesTokenizer(lang="en")
SPACE = "{http://www.mediawiki.org/xml/export-0.10/}"
MARKUP = [re.compile(form) for form in (
    r"(?is)<ref[^>/]*/>|<ref.*?</ref>|<gallery.*?</gallery>|<!--.*?-->|<math.*?</math>|"
    r"<(code|source|pre|syntaxhighlight).*?</\1>", r"(?s)\{\|.*?\n\|\}",
    r"(?i)\[\[(file|image):(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]", r"\[\[Category:[^\]]*\]\]")]
NO_SECTIONS = ("see also", "references", "external links", "further reading", "notes", "bibliography", "footnotes",
               "citations", "sources")
NO_PROSE = ("*", "|", "!", "{", "}", "#", ":", ";", "thumb")


def tokens(text):
    text = re.sub(r"(?<=\d)([.,])(?=\d)", r" @\1@ ", text)
    text = re.sub(r"(?<=\w)-(?=\w)", " @-@ ", text)
    return MOSES.tokenize(text, escape=False, protected_patterns=[r"@[-.,]@"])


def article(title, markup):
    """Its lines, each a list of words; None: there is too little of it."""
    import mwparserfromhell
    for form in MARKUP:
        markup = form.sub("", markup)
    body = []
    for section in mwparserfromhell.parse(markup).get_sections(flat=True, include_lead=True):
        headings, text = section.filter_headings(), section.strip_code(normalize=True, collapse=True)
        heading = str(headings[0].title.strip_code()).strip() if headings else None
        if heading is not None:
            text = text.split("\n", 1)[1] if "\n" in text else ""
        if heading and heading.lower() in NO_SECTIONS:
            continue
        prose = [p for p in (line.strip() for line in text.split("\n")) if len(p) > 40 and not p.startswith(NO_PROSE)]
        if not prose:
            continue
        if heading:
            signs = ["="] * headings[0].level
            body += [[*signs, *tokens(heading), *signs], []]
        body += [tokens(p) for p in prose] + [[]]
    return [["=", *tokens(title), "="], [], *body] if len(body) > 6 else None


def wiki(path):
    for _, page in ET.iterparse(path):
        if page.tag != SPACE + "page":
            continue
        text = page.find(SPACE + "revision").findtext(SPACE + "text") or ""
        if page.find(SPACE + "redirect") is None and page.findtext(SPACE + "ns") == "0":
            lines = article(page.findtext(SPACE + "title"), text)
            if lines:
                yield lines
        page.clear()


def gcide(path):
    entry, blank = [], False
    for line in open(path, encoding="utf-8", errors="replace"):
        line = line.rstrip("\n")
        if blank and line and not line[0].isspace():
            yield entry
            entry = []
        entry.append(tokens(line.strip()) if line.strip() else [])
        blank = not line.strip()
    yield entry


def write(folder, articles):
    random.Random(1).shuffle(articles)
    held = max(1, len(articles) // 20)
    parts = {"valid": articles[:held], "test": articles[held:2 * held], "train": articles[2 * held:]}
    count = collections.Counter(w for a in parts["train"] for line in a for w in line)
    os.makedirs(folder, exist_ok=True)
    for name, part in parts.items():
        lines = [[w if count[w] >= 3 else "<unk>" for w in line] for a in part for line in a]
        with open(os.path.join(folder, "wiki.%s.tokens" % name), "w", encoding="utf-8") as f:
            f.writelines(" %s \n" % " ".join(line) if line else " \n" for line in lines)
        print("%s: %d words" % (name, sum(len(line) + 1 for line in lines)))


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("wiki", "gcide"):
        sys.exit(__doc__)
    write(sys.argv[3], list({"wiki": wiki, "gcide": gcide}[sys.argv[1]](sys.argv[2])))
