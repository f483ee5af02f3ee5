#!/bin/sh
# ssacl-graph import and export of the authors' EGT, and their weights where a checkpoint is taken: answers are those of
# their formulas, and what was imported is written again as it was, tensor for tensor. On the host backend.
# Usage: weights.sh PATH/ssacl-graph FOLDER_OF_GOLDEN_FILES
golden=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
. "$tests/../weights.sh"

graph() { "$program" "$@" 2>err; }
# Answers as csv, to 1e-5 of what the formulas give: FILE MODEL batch|alone
right() {
    check python3 -c 'import csv, json, sys
golden, path, model, how = sys.argv[1:]
theirs = json.load(open(golden + "/egt.json"))[model][how]
ours = [float(r["prediction"]) for r in csv.DictReader(open(path))]
assert len(ours) == len(theirs)
worst = max(abs(a - b) / max(abs(b), 0.1) for a, b in zip(ours, theirs))
assert worst < 1e-5, (worst, ours, theirs)' "$golden" "$@"
}

for model in egt egt_simple; do
    file=$golden/$model.safetensors
    check graph import "$file" -c $model.st --json >import.json
    json import.json 'x["checkpoint"].endswith(".st") and x["model"]["width"] == 12 and x["model"]["hops"] == 17'
    check python3 -c 'import json, sys
x, g = json.load(open("import.json")), json.load(open(sys.argv[1] + "/egt.json"))[sys.argv[2]]
assert x["parameters"] == g["parameters"] and x["model"]["layers"] == g["config"]["layers"]
assert x["model"]["virtual_nodes"] == g["config"]["virtual"]
assert x["model"]["edge_mode"] == ("fixed" if g["config"]["simple"] else "all")' "$golden" $model
    check graph export -c $model.st --to back.safetensors --force >out
    check grep -q '^EGT_MOL(model_height=' out
    same "$file" back.safetensors

    # as their code: padding is seen; one batch, so that it is padded as there
    check graph predict --device cpu -c $model.st --data "$golden/egt.graphs" --dense --batch 32 --out a.csv -f
    right a.csv $model batch
    check graph predict --device cpu -c "$file" --data "$golden/egt.graphs" --dense --batch 32 --out b.csv -f
    check cmp a.csv b.csv
    # without: as alone, in whatever batch
    check graph import "$file" -c masked.st --mask-padding --force >out
    check graph predict --device cpu -c masked.st --data "$golden/egt.graphs" --dense --batch 5 --out a.csv -f
    right a.csv $model alone
done
check sh -c '[ -z "$(ls tmp)" ]'

# ---- training from them; their weights are written again ----

molecules set 200
run="--device cpu --data set --force --quiet --batch 8 --eval-molecules 8"
# shellcheck disable=SC2086 # a list of options
check graph train $run --from "$golden/egt.safetensors" -c t.st \
    --stages 'unbiased:ratio=0.5,per-example,steps=3,lr=1e-9'
check graph export -c t.st --to t.safetensors --json >export.json
json export.json 'x["model"]["nodes"] == 8 and not x["model"]["virtual_see_padding"]'
json export.json '"scale_degree=True" in x["settings"]'
check python3 -c 'import struct, sys; from tensors import tensors
a, b = tensors(sys.argv[1]), tensors("t.safetensors")
floats = lambda t: struct.unpack("<%df" % (len(t[2]) // 4), t[2])
worst = max(abs(p - q) for n in a for p, q in zip(floats(a[n]), floats(b[n])))
assert a.keys() == b.keys() and worst < 1e-7, worst' "$golden/egt.safetensors"
check graph eval --device cpu --data set -c "$golden/egt_simple.safetensors" --mode dense --json >eval.json
json eval.json '0 < x["dense"]["loss"] < 100'

# ---- what is no such model ----

change() { edit "$golden/egt.safetensors" edited.safetensors "$1"; }
nothing='struct.pack("<f", float("nan"))'
change "t['extra'] = ['F32', [1], bytes(4)]"
bad 1 'has extra, which no egt of ours has' import edited.safetensors -c no.st
change "t['EGT_layers.1.lin_F.weight'] = t.pop('EGT_layers.1.lin_G.weight')"
bad 1 'has no EGT_layers.1.lin_G.weight' import edited.safetensors -c no.st
change "del t['mlp_layers.2.weight']"
bad 1 'not of three linear layers' import edited.safetensors -c no.st
change "t['final_ln_h.weight'][2] = $nothing + t['final_ln_h.weight'][2][4:]"
bad 1 'final_ln_h.weight is not finite' import edited.safetensors -c no.st
change "t['featm_embed.weight'][2] = struct.pack('<f', 1) + t['featm_embed.weight'][2][4:]"
bad 1 'row 0 of featm_embed.weight' import edited.safetensors -c no.st
change "t['final_ln_h.bias'][1] = [6, 2]"
bad 1 'final_ln_h.bias has not the shape of [12]' import edited.safetensors -c no.st
change "t['final_ln_h.bias'][0] = 'I32'"
bad 1 'is of type I32, not F32' import edited.safetensors -c no.st
change "t['nodef_embed.weight'] = ['F32', [1152, 12], t['nodef_embed.weight'][2][:1152 * 48]]"
bad 1 'not of 128 and 8 values a feature' import edited.safetensors -c no.st
head -c 40000 "$golden/egt.safetensors" >cut.safetensors
bad 1 'cut short' import cut.safetensors -c no.st
for command in predict eval; do
    bad 1 'virtual nodes of this model see padding' $command --device cpu --data "$golden/egt.graphs" -c egt.st \
        --pattern unbiased
done
bad 1 'egt.st: exists' import "$golden/egt.safetensors" -c egt.st
bad 2 'give one file to import from' import -c no.st
# shellcheck disable=SC2086
check graph train $run --layers 1 --width 8 --heads 2 --edge-width 4 --steps 1 --activation gelu -c gelu.st
bad 1 'another activation than ELU' export -c gelu.st --to no.safetensors
finish 'weights of egt'
