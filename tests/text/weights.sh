#!/bin/sh
# ssacl-text import and export, and weights of fairseq's where a checkpoint is taken: what was imported costs what it
# does in PyTorch, and is written again as it was, tensor for tensor. On the host backend.
# Usage: weights.sh PATH/ssacl-text FOLDER_OF_GOLDEN_FILES
golden=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
. "$tests/../weights.sh"

text() { "$program" "$@"; }
change() { # FILE STATEMENT: the golden file with its tensors t changed
    edit "$fairseq" "$1" "D, E = 'decoder.', 'decoder.embed_tokens.embeddings.'; $2"
}

fairseq=$golden/fairseq.safetensors
python3 -c 'import json, struct, sys
x = json.load(open(sys.argv[1]))
open("ids", "wb").write(struct.pack("<%dH" % len(x["ids"]), *x["ids"]))
open("loss", "w").write(repr(sum(x["losses"]) / len(x["losses"])))' "$golden/fairseq.json"
costs() { # FILE: what PyTorch says
    json "$1" "abs(x['dense']['loss'] - $(cat loss)) < 1e-5 and x['dense']['tokens'] == 31"
}

# ---- there and back ----

check text import "$fairseq" --heads 2 --length 16 -c words.st --json >import.json
json import.json 'x["family"] == "words" and x["model"]["heads"] == 2 and x["model"]["cutoffs"] == [20, 32]'
json import.json 'x["model"]["vocabulary"] == 48 and x["model"]["length"] == 16 and x["model"]["dropout"] > 0.29'
check text eval --device cpu -c words.st --data ids --tokens 16 --mode dense --json >eval.json
costs eval.json
check text export -c words.st --to back.safetensors >out
check grep -q -e '--adaptive-input-cutoff 20,32 --adaptive-input-factor 4' out
check python3 -c 'import sys; from tensors import tensors
a, b = (tensors(path) for path in sys.argv[1:])
assert all(a[n] == b[n] for n in b) and all(n.endswith(("_float_tensor", "version")) for n in a.keys() - b.keys())' \
    "$fairseq" back.safetensors
check text import back.safetensors --heads 2 --length 16 --dropout 0 -c again.st
check text eval --device cpu -c again.st --data ids --tokens 16 --mode dense --json >eval.json
costs eval.json
bad 1 '--tokens 8: again.st was trained on words' eval --device cpu -c again.st --data ids --tokens 8
# Without what is there twice.
change once "t = {n: x for n, x in t.items() if 'softmax.tail' not in n and 'word_proj' not in n}"
check text import once --heads 2 --length 16 -c once.st
check cmp once.st words.st

# ---- with its words, and as it is where a checkpoint is taken ----

seq -f 'w%.0f 5' 44 >dict.txt
seq 100 | sed 's/.*/w1 w2 w3 w4 nothing/' >some.text
check text import "$fairseq" --heads 2 --length 16 --dictionary dict.txt -c known.st
check text sample --device cpu -c known.st --prompt 'w1 w7' -n 3 >out
check grep -q '^w1 w7' out
check text eval --device cpu -c known.st --data some.text --mode dense --json >eval.json
json eval.json 'x["unit"] == "nats per word" and x["dense"]["words"] > 20'
head -n 30 dict.txt >few.txt
bad 1 'is of a vocabulary of 48, and few.txt makes one of 40' import "$fairseq" --heads 2 --dictionary few.txt -c x.st
# Of a width of 128, whose heads need not be said.
python3 -c 'import struct
from tensors import save
def f(*shape):
    count = 1
    for n in shape: count *= n
    values = [(i * 2654435761 % 1009 - 504) / 9000 for i in range(count)]
    return "F32", list(shape), struct.pack("<%df" % count, *values)
t, D = {}, "decoder."
for b, (rows, width) in enumerate([(16, 128), (16, 32)]):
    t[D + "embed_tokens.embeddings.%d.0.weight" % b] = f(rows, width)
    t[D + "embed_tokens.embeddings.%d.1.weight" % b] = f(128, width)
t[D + "adaptive_softmax.head.class_proj.weight"] = f(1, 128)
for part in "q", "k", "v", "out":
    t[D + "layers.0.self_attn.%s_proj.weight" % part] = f(128, 128)
    t[D + "layers.0.self_attn.%s_proj.bias" % part] = f(128)
for part in "self_attn_layer_norm", "final_layer_norm":
    t[D + "layers.0.%s.weight" % part], t[D + "layers.0.%s.bias" % part] = f(128), f(128)
t[D + "layers.0.fc1.weight"], t[D + "layers.0.fc1.bias"] = f(8, 128), f(8)
t[D + "layers.0.fc2.weight"], t[D + "layers.0.fc2.bias"] = f(128, 8), f(128)
save("wide", t)'
seq 800 | sed "s/.*/$(seq -f 'w%.0f' -s ' ' 25)/" >long.text
check text train --device cpu --from wide --data long.text --batch 1 --steps 1 --eval-windows 1 -c from.st \
    --json >from.json
json from.json 'x["model"]["length"] == 3072 and x["model"]["heads"] == 1 and x["words"]["known"] == 25'
check text eval --device cpu -c wide --data long.text --mode dense --json >eval.json
check [ -z "$(ls tmp)" ]

# ---- what is wrong ----

bad 1 'is of width 16, which has no heads of 128' import "$fairseq" -c x.st
bad 1 'heads' import "$fairseq" --heads 3 -c x.st
bad 1 'exists; replace it with --force' import "$fairseq" --heads 2 -c words.st
bad 1 'cannot be opened' import nothing-there -c x.st
bad 1 'is no safetensors file' import some.text -c x.st
bad 2 'give one file' import -c x.st
change wrong "t[E + '0.0.weight'][2] = b'\\0' * 4 + t[E + '0.0.weight'][2][4:]"
bad 1 'it is not tied' import wrong --heads 2 -c x.st
for part in layer_norm.weight embed_positions.weight layers.0.self_attn.in_proj_weight; do
    change wrong "t[D + '$part'] = 'F32', [1], b'\\0' * 4"
    bad 1 "has decoder.$part, of a model with" import wrong --heads 2 -c x.st
done
change wrong "t['other'] = 'F32', [1], b'\\0' * 4"
bad 1 'has other, which no model of words' import wrong --heads 2 -c x.st
change wrong "del t[D + 'layers.1.fc2.bias']"
bad 1 'has no decoder.layers.1.fc2.bias' import wrong --heads 2 -c x.st
change wrong "t[D + 'layers.1.fc2.bias'][2] = b'\\xff' * 64"
bad 1 'is not finite' import wrong --heads 2 -c x.st
change wrong "n = D + 'layers.1.fc2.bias'; t[n] = 'F16', [16], t[n][2][:32]"
bad 1 'is of type F16' import wrong --heads 2 -c x.st
change wrong "n = D + 'adaptive_softmax.head.class_proj.weight'; t[n] = 'F32', [1, 32], t[n][2]"
bad 1 'has not the shape of [2, 16]' import wrong --heads 2 -c x.st
change wrong "t = {n: x for n, x in t.items() if '.embeddings.1.' not in n and '.embeddings.2.' not in n}"
bad 1 'has one band of words' import wrong --heads 2 -c x.st
tiny="--family words --device cpu --width 16 --heads 2 --layers 1 --length 16 --batch 1 --steps 1 --data some.text -q"
# shellcheck disable=SC2086 # a list of options
check text train $tiny -c full.st
bad 1 'no model of words with an adaptive softmax' export -c full.st --to x.st
# shellcheck disable=SC2086
check text train $tiny --cutoffs 5 --activation elu -c elu.st
bad 1 'an activation that fairseq has not' export -c elu.st --to x.st
check [ ! -e x.st ]

finish 'ssacl-text, weights'
