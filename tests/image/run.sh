#!/bin/sh
# ssacl-image from end to end, on pictures that Python draws: what is trained learns, goes on bit for bit, is kept where
# it is best; what eval says of classes, and of pixels; every bad input refused in one sentence. On the host backend.
# Usage: run.sh PATH/ssacl-image
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
small="--layers 2 --width 32 --heads 2 --patch 2 --batch 8 --lr 3e-3"

image() { "$program" "$@" 2>err; }
# shellcheck disable=SC2086 # a list of options
train() { image train --device cpu --data set --quiet --force $small "$@"; }
evaluate() { image eval --device cpu --data set "$@"; }
pictures set 1000 60

# ---- a classifier, dense and sampled ----

check train --epochs 10 --fine-tune-epochs 0.5 --attention unbiased --keys 8 --per-example --valid-images 40 -c c \
    -l log.jsonl --keep-stages --eval-images 20
check python3 - <<'END'
import json
x = [json.loads(line) for line in open("log.jsonl")]
of = lambda event: [r for r in x if r["event"] == event]
start, end, looks = of("start")[0], of("end")[0], of("evaluation")
assert start["train_images"] == 960 and start["data"] == {"kind": start["data"]["kind"], "classes": 4, "train": 960,
                                                          "valid": 40, "test": 60}, start
assert "ratio=0.470588,keep-first=1,per-example,steps=1200,lr=0.003,warm-up=60" in start["stages"][0], start["stages"]
assert start["stages"][1].startswith("dense:steps=60,"), start["stages"]
assert start["unit"] == "nats per image" and start["model"]["rows"] == 8 and start["model"]["channels"] == 1
assert end["step"] == 1260 and 0 <= end["waited_for_images"] <= 1 and end["unreadable_images"] == 0
assert looks[-1]["dense"] < 1 and looks[-1]["dense_top1"] > 0.5 and 0 <= looks[0]["sampled_top1"] <= 1, looks
END
check evaluate -c c --passes 5 --json --confusion -l log.jsonl >eval.json
json eval.json 'x["part"] == "test" and x["same_images"] and x["dense"]["images"] == 60 and x["length"] == 17'
json eval.json 'x["dense"]["top1"] > 0.5 and x["dense"]["top5"] == 1 and x["dense"]["loss"] < 1'
json eval.json 'len(x["ensemble"]["top1_of_first"]) == 5 == x["ensemble"]["passes"]'
json eval.json 'x["ensemble"]["top1_of_first"][4] == x["ensemble"]["top1"] and x["ensemble"]["single_top1_spread"] >= 0'
json eval.json 'all(sum(map(sum, x[k]["confusion"])) == 60 for k in ("dense", "ensemble"))'
json eval.json 'all(abs(sum(x[k]["confusion"][i][i] for i in range(4)) / 60 - x[k]["top1"]) < 1e-6
    for k in ("dense", "ensemble"))'
json eval.json 'x["ensemble"]["loss"] <= x["ensemble"]["single_loss"] and "top1" in x["ensemble"]'
# several models together: itself is one; two say the same in either order, and better than they do alone in the mean
check evaluate -c c --mode dense --with c --with c --json >same.json
json same.json 'x["models"]["count"] == 3 and x["models"]["top1"] == x["dense"]["top1"]'
json same.json 'abs(x["models"]["loss"] - x["dense"]["loss"]) < 1e-6'
check evaluate -c c --passes 2 --with c.stage1 --json >two.json
check evaluate -c c.stage1 --mode dense --with c --json >other.json
check python3 - <<'END'
import json
two, other, alone = (json.load(open(name + ".json")) for name in ("two", "other", "eval"))
models = two["models"]
assert abs(models["loss"] - other["models"]["loss"]) < 1e-6, (models, other)
assert abs(models["single_loss"] - (two["dense"]["loss"] + other["dense"]["loss"]) / 2) < 1e-6, (models, other)
assert models["loss"] < models["single_loss"] and two["dense"]["loss"] == alone["dense"]["loss"]
assert two["ensemble"]["loss_of_first"] == alone["ensemble"]["loss_of_first"][:2]
END
check evaluate -c c --passes 9 --tolerance 8 --json --confusion >early.json # settled as soon as it can be
json early.json 'x["ensemble"]["passes"] == 4 and sum(map(sum, x["ensemble"]["confusion"])) == 60'
json early.json 'abs(sum(x["ensemble"]["confusion"][i][i] for i in range(4)) / 60 - x["ensemble"]["top1"]) < 1e-6'
check evaluate -c c --passes 1 --json >one.json
json one.json '0 < x["ensemble"]["top1"] <= 1 and "single_top1" not in x["ensemble"]'
check evaluate -c c --part valid --mode dense --json >valid.json
json valid.json 'x["dense"]["images"] == 40 and x["same_images"] and "ensemble" not in x'
check evaluate -c c --passes 3 --confusion --pattern unbiased:keys=4 >out
check grep -q '^  self-ensemble of 3 * [0-9.]*%  100.00%  * [0-9.]* $' out
check test "$(grep -c '  class  *answered' out)" -eq 2
check image report log.jsonl --json >report.json
json report.json 'x["runs"][0]["images"] == 10080 and x["runs"][0]["test_ensemble_top1"] > 0.5'
check sh -c '"$0" report log.jsonl | grep -q "^images trained on"' "$program"

# ---- whatever takes part of it: goes on bit for bit, with all of the augmentation ----

run='unbiased:ratio=0.25,no-own-key,steps=9 dense:steps=6'
moved="--augment light --mix 0.5 --mixup 0.8 --cutmix 1 --randaugment 1 --erase 0.3 --mean-pool \
    --drop-path 0.1 --drop-keys 0.2 --ema 0.9"
# shellcheck disable=SC2086
check train --stages "$run" $moved --smoothing 0.1 -c whole --keep-stages --threads 0
check image train --device cpu --data set --quiet --resume whole.stage1 -c again --threads 3
check cmp whole again
# shellcheck disable=SC2086
check train --stages "$run" $moved --smoothing 0.1 -c other --augment none
check sh -c '! cmp -s whole other'
refuses 2 'does not go with --resume' "$program" train --data set --resume whole.stage1 -c d --flip 0.1
refuses 1 'other images' "$program" train --data set --resume whole.stage1 -c d --train-images 50
check image train --device cpu --data set --quiet --resume whole --steps 20 -c longer
check sh -c '"$0" eval -c longer --data set --device cpu --json 2>err | grep -q "\"step\": *20\b"' "$program"

# ---- a swin: the same, of windows ----

swin="--family swin --patch 2 --window 2 --layers 2,1,1 --width 16 --batch 10 --lr 5e-3 --drop-path 0.1 --ema 0.9"
sampled='unbiased:keys=2,per-example,no-own-key,last-dense=1,epochs=1 dense:steps=40'
# shellcheck disable=SC2086 # a list of options
check image train --device cpu --data set --quiet $swin --stages "$sampled" --augment light --flip 0 --erase 0.1 \
    --valid-images 40 --threads 0 --profile 1 --keep-stages -c swin -l swin.jsonl
check image train --device cpu --data set --quiet --resume swin.stage1 -c swin2 --threads 3
check cmp swin swin2
check python3 - <<'END'
import json
x = [json.loads(line) for line in open("swin.jsonl")]
start, profile = (next(r for r in x if r["event"] == event) for event in ("start", "profile"))
model = start["model"]
assert model["layers"] == [2, 1, 1] and model["heads"] == [2, 4, 8] and model["window"] == 2, model
assert start["stages"][0].startswith("unbiased:ratio=0.5,last-dense=1,per-example,no-own-key,steps=96,"), start
# pairs of an image: 4 windows of 4 queries and 2 keys; in shifted ones half of the queries' own too; one window; 1
sampled, dense = (profile["stages"][i]["score_bytes"] * 4 / 4 / 10 for i in (0, 1))
assert round(sampled, 3) == 4 * 8 * 2 + 4 * 10 * 2 + 8 * 4 + 1 * 8, profile
assert round(dense, 3) == 4 * 16 * 2 * 2 + 16 * 4 + 1 * 8, profile
END
check evaluate -c swin --passes 2 --json >swin.json
json swin.json 'x["length"] == 16 and x["dense"]["top1"] > 0.5 and x["ensemble"]["passes"] == 2 and x["averaged"]'
json swin.json 'x["ensemble"]["pattern"] == "unbiased:ratio=0.5,last-dense=1,per-example,no-own-key"'
check sh -c '"$0" report swin.jsonl | grep -q "^images trained on"' "$program"
check image train --device cpu --data set --quiet --from swin --steps 2 -c swin3 --batch 10
# Keys of a layer are of its own windows: 4, 4, 4 and 1.
layers='unbiased:keys=2,per-example,no-own-key,steps=2/2:keys=1/last:keys=1/0:dense dense:steps=1/1:unbiased'
# shellcheck disable=SC2086
check image train --device cpu --data set --quiet $swin --stages "$layers" --valid-images 4 --eval-images 4 \
    --keep-stages -c swin4 -l swin4.jsonl
check image train --device cpu --data set --quiet --resume swin4.stage1 -c swin5
check cmp swin4 swin5
# shellcheck disable=SC2086
check image train --device cpu --data set --quiet $swin --stages 'unbiased:ratio=0.1,per-example,source-dropout,steps=3,dense-every=2
    dense:steps=1' --valid-images 4 --eval-images 4 --keep-stages -c swin6
check image train --device cpu --data set --quiet --resume swin6.stage1 -c swin7
check cmp swin6 swin7
check grep -q '"unbiased:ratio=0.5,per-example,no-own-key,steps=2,[^/]*/0:dense/2:ratio=0.25/3:ratio=1"' swin4.jsonl

# ---- the best is kept, and a run ends where nothing gets better ----

check train --epochs 200 --lr 0.1 --best best --patience 2 --eval-every 0 -c c2 -l best.jsonl --train-images 24
check grep -q '"status":"no better"' best.jsonl
best=$(grep '"event":"watch"' best.jsonl | tail -1 | sed 's/.*"best_step":\([0-9]*\).*/\1/')
check sh -c '"$0" eval --device cpu --data set -c best --json 2>err | grep -q "\"step\": *$1\b"' "$program" "$best"
check test $((best % 3)) -eq 0 # of 24 in steps of 8

# ---- what is looked for before options are read may be cut short too ----

check image train --device cpu --data set --quiet --fam swin --layers 1,1 --width 16 --heads 2 --patch 1 --window 4 \
    --aug=swin --batch 4 --steps 1 --valid-images 4 --eval-images 4 -c short -l short.jsonl
check grep -q '"randaugment":2,' short.jsonl

# ---- pixels ----

tiny="--family pixels --layers 1 --width 16 --heads 2 --batch 4 --eval-images 4"
# shellcheck disable=SC2086
check image train --device cpu --data set --quiet --force $tiny --lr 1e-2 --attention local --look-back --ratio 0.25 \
    --steps 60 --valid-images 8 --classes 4 -c p -l p.jsonl
check evaluate -c p --images 8 --passes 2 --json >pixels.json
json pixels.json 'x["unit"] == "bits per dimension" and 4 < x["dense"]["bits"] < 7.9 and x["length"] == 64'
json pixels.json 'x["dense"]["dimensions"] == 8 * 64 and len(x["ensemble"]["bits_of_first"]) == 2'
check sh -c '"$0" eval --device cpu -c p --data set --images 2 --mode dense 2>err | grep -q "bits per dimension"' \
    "$program"
check grep -q '"unit":"bits per dimension"' p.jsonl
check grep -q '"activation":"quick-gelu"' p.jsonl
check sh -c '"$0" report p.jsonl | grep -q "bits per dimension"' "$program"

# ---- a folder a class, of pictures of several sizes, some of which cannot be read ----

python3 - "$tests" <<'END'
import os, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from pictures import rgb_png
for part, count in ("train", 12), ("val", 4), ("test", 4):
    for name in "cat", "dog":
        os.makedirs("folders/%s/%s" % (part, name))
        for i in range(count):
            data = rgb_png(9 + i % 3, 10 + i % 2, i)
            with open("folders/%s/%s/%d.png" % (part, name, i), "wb") as file:
                file.write(data[:60] if i == 1 else data)
END
if image plan --device cpu --measure 0 --data folders --size 8 --patch 4 2>/dev/null >out; then
    for family in vit pixels; do
        check image train --device cpu --data folders --family $family --size 8 --layers 1 --width 16 --heads 2 --batch 4 \
            --epochs 2 --augment light -c "$family.st"
        check grep -q '2 of them could not be read, and others took their place; the first: ' err
        check image eval --device cpu --data folders -c $family.st --json >folders.json
        json folders.json 'x["dense"].get("images", 0) == 6 or x["dense"]["dimensions"] == 6 * 8 * 8 * 3'
        check image eval --device cpu --data folders -c $family.st >out
        check grep -q '2 pictures could not be read, and were left out; the first: .*png' err
        check grep -q 'on the test part (8 images)$' out
        check image eval --device cpu --data folders -c $family.st --images 3 --mode dense >out
        check grep -q 'on the test part (3 of 8 images)$' out
    done
    mkdir loose
    cp folders/train/cat/*.png loose/
    check image train --device cpu --data loose --family pixels --size 4 --layers 1 --width 16 --heads 2 --batch 2 --steps 2 \
        --valid-images 4 --test-images 4 --quiet --force -c loose.st
    check image eval --device cpu --data loose -c loose.st --json --part train >folders.json
    json folders.json 'x["dense"]["dimensions"] in (3 * 48, 4 * 48)'
    refuses 1 'its pictures have no classes' "$program" train --data loose --size 8
else
    echo 'no PNG: folders are left out'
fi

# ---- what is wrong is said ----

mkdir empty plain
pictures five 100 8 5
: >plain/file.txt
bad() { status=$1 words=$2; shift 2; refuses "$status" "$words" "$program" "$@"; }
bad 2 'give --data' train
bad 1 'nothing-there' train --data nothing-there
bad 1 'empty' train --data empty
bad 1 'plain' train --data plain
bad 2 'one of vit|pixels|swin' train --family egt --data set
bad 1 '--family vit: swin is of family swin' train --family vit --from swin --data set
bad 1 'windows of 3 do not divide the grid of stage 0, 8 x 8; of 2 do' train --family swin --patch 1 --window 3 \
    --data set
bad 1 'stage 1 halves a grid of 1 x 1' train --family swin --patch 8 --data set
bad 1 'patch 3 does not divide images of 8 x 8' train --family swin --patch 3 --attention unbiased --keys 4 --data set
bad 1 'layers[2] is 1, but stage 1 has none' train --family swin --layers 1,0,1 --data set
bad 1 '60 keys of a sequence that has 16' train --family swin --patch 1 --window 4 --attention unbiased --keys 60 \
    --data set
bad 2 "'2;2' is not up to 4 whole numbers from 1 to 512 with commas between" train --data set --family swin \
    --layers '2;2'
bad 2 "'2,' is not up to 4" train --family swin --layers 2, --data set
bad 2 "'1,1,1,1,1' is not up to 4" train --family swin --layers 1,1,1,1,1 --data set
bad 2 'is not one of default|gelu|gelu-tanh|silu|quick-gelu' train --family pixels --activation 4 --data set
bad 1 'the preset is of family vit' train --family pixels --preset fashion --data set
bad 2 'there is none of the name' train --preset enwik8 --data set
bad 1 'patch' train --data set --patch 3
bad 1 'heads' train --data set --heads 5
bad 2 'from 0 to 1' train --data set --flip 2
bad 2 'one of none|light|swin' train --data set --augment much
bad 1 'pixels are learned as they are' train --data set --family pixels --mix 1
bad 1 'keys' train --data set --attention unbiased --keys 40
bad 2 'give one of them' train --data set --keys 4 --ratio 0.5
bad 2 'leave out --steps' train --data set --epochs 3 --steps 4
bad 1 '--channels is 3, and the pictures of set have 1' train --data set --channels 3
bad 1 '--classes is 5, and the pictures of set have 4' train --data set --classes=5
bad 1 '--classes is 5, and the pictures of set have 4: leave it out, or give that' train --data set --family pixels \
    --cla 5
bad 1 '--split-seed 3: these pictures come in parts' train --data set --valid-last --valid-images 9 --split-seed 3
check image plan --data set --split-seed 3 --device cpu --measure 0 --json >plan.json
bad 1 "cannot be set aside" train --data set --train-images 1 --valid-images 1000
bad 2 'give --checkpoint' eval --data set
bad 1 'give --data' eval --checkpoint c
bad 1 'knows 4 classes, and the data have 5' eval --checkpoint c --data five --device cpu
bad 1 'without sampling' eval --checkpoint c2 --data set --mode ensemble --device cpu
bad 2 'does not go with --from' train --from c --data set --width 32
bad 1 '--family pixels: c is of family vit' train --from c --data set --family pixels
check sh -c '"$0" eval --device cpu -c c2 --data five --part valid --mode dense 2>&1 | grep -q "5"' "$program"

finish 'ssacl-image'
