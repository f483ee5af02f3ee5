#!/bin/sh
# The pages of ssacl-image answers: which pictures are on them, what is said of them, and whether that is what eval
# counts; what is refused. On the host backend. Usage: answers.sh PATH/ssacl-image
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1

image() { "$program" "$@" 2>err; }
small="--layers 1 --width 16 --heads 2 --patch 4 --batch 8 --quiet --force --eval-every 0"
pictures set 200 60
# shellcheck disable=SC2086 # a list of options
train() { image train --device cpu --data set $small "$@"; }
check train --steps 12 --lr 3e-3 -c weak.safetensors
check train --steps 400 --lr 3e-3 -c strong.safetensors
answers() { image answers --device cpu --data set "$@"; }

check answers weak.safetensors strong.safetensors --count 20 --columns 5 -o page.ppm --json >page.json
for name in weak strong; do
    check image eval --device cpu --data set -c $name.safetensors --mode dense --json >$name.json
done
check python3 - <<'END'
import json
page, weak, strong = (json.load(open(name + ".json")) for name in ("page", "weak", "strong"))
assert page["looked_at"] == 60, page
assert page["out"] == "page.ppm"
assert [m["right"] for m in page["models"]] == [round(60 * e["dense"]["top1"]) for e in (weak, strong)], page["models"]
assert page["models"][0]["right"] < page["models"][1]["right"]
shown = page["pictures"]
plain, others = [p for p in shown if p["as_it_came"]], [p for p in shown if not p["as_it_came"]]
assert len(plain) == 10 == len(others) and page["differ"] >= 10
labels = open("set/t10k-labels-idx1-ubyte", "rb").read()[8:]
number = lambda p: int(p["picture"].split()[1]) - 200
assert [number(p) for p in plain] == list(range(10)), plain
assert [number(p) for p in others] == sorted({number(p) for p in others}) and number(others[0]) >= 10
assert all(p["class"] == str(labels[number(p)]) for p in shown)
assert all(p["answers"][0] != p["answers"][1] for p in others)
assert all(len(p["probabilities"]) == 2 and 0.25 <= min(p["probabilities"]) <= 1 for p in shown)
words, size, most, pixels = open("page.ppm", "rb").read().split(b"\n", 3)
columns, rows = map(int, size.split())
cell, scale = 10 * 15, 15  # 8 pixels and a frame of one, so that it is 150 wide
below = 3 * 11 + 2
assert (words, columns) == (b"P6", 5 * (cell + scale) - scale)
heads = [n * 11 + 2 for n in (4, 2)]
page_rows = sum(heads) + 2 * (2 * (cell + scale + below) - scale)
assert rows == page_rows, (rows, page_rows)
pixel = lambda r, c: tuple(pixels[3 * (r * columns + c):][:3])
for i, p in enumerate(plain):
    top, left = heads[0] + i // 5 * (cell + scale + below), i % 5 * (cell + scale)
    for side, answer in ((0, 0), (cell - 1, 1)):
        green = p["answers"][answer] == p["class"]
        assert (pixel(top + 40, left + side)[0] == 0) == green, (i, side)
    ink = {pixel(r, c) for r in range(top + cell, top + cell + below) for c in range(left, left + 60)}
    assert (0, 0, 0) in ink and (255, 255, 255) in ink, i  # its class
    assert len(ink) == 2 + len({a == p["class"] for a in p["answers"]}), (i, ink)
END

# one checkpoint: behind those that come first stand the ones that are wrong; names of classes; fewer than are asked for
check answers strong.safetensors --count 9 --images 30 -o one.pgm --json >one.json
json one.json 'x["looked_at"] == 30 and x["differ"] == 0 and sum(p["as_it_came"] for p in x["pictures"]) == 5'
json one.json 'all(p["answers"] != [p["class"]] for p in x["pictures"] if not p["as_it_came"])'
check answers strong.safetensors --count 9 --images 30 -o again.pgm >again.txt
check grep -q "^strong: [0-9]* of 30 right" again.txt
check cmp one.pgm again.pgm
mkdir fashion-like
pictures fashion-like 200 60 10
# shellcheck disable=SC2086
check image train --device cpu --data fashion-like $small --steps 1 -c ten.safetensors
check image answers --device cpu --data fashion-like ten.safetensors -o ten.ppm --json >ten.json
json ten.json '{p["class"] for p in x["pictures"]} <= {"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal",
    "shirt", "sneaker", "bag", "ankle boot"}'

# ---- what is wrong is said ----

bad() { status=$1 words=$2; shift 2; refuses "$status" "$words" "$program" answers "$@"; }
# shellcheck disable=SC2086
check image train --device cpu --data set $small --steps 1 --test-images 50 -c fewer.safetensors
# shellcheck disable=SC2086
check image train --device cpu --data set --family pixels --layers 1 --width 16 --heads 2 --batch 4 --steps 1 --quiet \
    --valid-images 8 -c pixels.safetensors --force
echo kept >kept.ppm
bad 2 'give one to 8 checkpoints' --data set -o kept.ppm
bad 2 'give --out' strong.safetensors --data set
bad 2 'give --data' strong.safetensors -o kept.ppm
bad 1 'has another test part' strong.safetensors fewer.safetensors --data set -o kept.ppm --device cpu
bad 1 'is no classifier' pixels.safetensors --data set -o kept.ppm --device cpu
bad 1 'nowhere' nowhere --data set -o kept.ppm --device cpu
bad 1 'no/folder' strong.safetensors --data set -o no/folder/page.ppm --device cpu
bad 1 'is the same file as' strong.safetensors --data set -o strong.safetensors --device cpu
check grep -q kept kept.ppm

finish 'the pages of ssacl-image answers'
