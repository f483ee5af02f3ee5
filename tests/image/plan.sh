#!/bin/sh
# What ssacl-image plan says: parameters and operations by hand, memory as the run itself, with no data too. On the host
# backend. Usage: plan.sh PATH/ssacl-image
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1

image() { "$program" "$@" 2>err; }
plan() { image plan --device cpu --measure 0 --json "$@" >plan.json; }

flop() { json plan.json "abs(x['stages'][0]['flop_$1'] / ($2) - 1) < 1e-6"; } # of the first stage

# ---- what others trained ----

check plan --preset deit-tiny
json plan.json 'x["parameters"] == 5717416 and x["batch"] == 1024 and x["micro_batch"] == 64'
json plan.json '[s["steps"] for s in x["stages"]] == [356540, 18768] and abs(x["model"]["drop_path"] - 0.1) < 1e-6'
json plan.json 'x["stages"][0]["stage"].startswith("unbiased:ratio=0.248731,keep-first=1,per-example,steps=356540")'
json plan.json 'x["memory"]["host"] == 2 * 3 * 4 * 5717416' # two copies of the run
check plan --preset deit-tiny --attention dense --batch 1 --accumulate 1 --fine-tune 0
flop 'linear' '6 * (12 * 197 * 12 * 192**2 + 196 * 192 * 768 + 192 * 1000)'
flop 'attention' '12 * 12 * 197**2 * 192'
check plan --preset cifar10-59m
json plan.json 'x["parameters"] == 59196928 and x["batch"] == 16 and x["tokens_per_step"] == 16 * 3072'
json plan.json 'abs(x["ema"] - 0.999) < 1e-6 and x["model"]["classes"] == 0'
json plan.json 'x["memory"]["host"] == 2 * 4 * 4 * 59196928'
check plan --preset cifar10-59m --copy-every 0
json plan.json 'x["memory"]["host"] == 4 * 4 * 59196928'
check plan --preset cifar10-59m --attention dense --accumulate 1 --fine-tune 0
flop 'linear' '6 * 3072 * (128 * (256 * (128 + 128 + 256) + 256**2 + 2 * 256 * 512) + 256 * 256)'
flop 'attention' '6 * 128 * (3072 * 3073 / 2) * (128 + 256)'
check plan --preset fashion
json plan.json 'x["parameters"] == 455050 and x["stages"][0]["stage"].startswith("unbiased:ratio=0.24,keep-first=1")'
check plan --size 32 --channels 3 --classes 100 --attention unbiased --keys 16 --mean-pool
json plan.json '[x["model"][k] for k in ("rows", "columns", "channels", "classes")] == [32, 32, 3, 100]'
json plan.json 'x["stages"][0]["stage"].startswith("unbiased:ratio=0.25,steps=1000")'
json plan.json 'x["tokens_per_step"] == 50 * 64'
check plan --family pixels --size 8 --channels 1 --preset cifar10-59m --layers 2
json plan.json 'x["tokens_per_step"] == 16 * 64 and x["model"]["layers"] == 2'
image plan --preset help >out
check test "$(wc -l <out)" -eq 5

# ---- Swin-T: 4.490 GMAC an image, of which 0.140 in attention, and 768 000 of the head; in windows of 14 4.888, and of
# those with 49 keys the same as in windows of 7, but for the own keys that shifted windows see besides ----

gmac='[round((s["flop_linear"] + s["flop_attention"]) / 6e9 - 768e-6, 3) for s in x["stages"]]'
check plan --preset swin-t --batch 1 --accumulate 1
json plan.json 'x["parameters"] == 28288354 and x["tokens_per_step"] == 3136 and '"$gmac"' == [4.49]'
json plan.json '[x["model"][k] for k in ("layers", "heads", "window")] == [[2, 2, 6, 2], [3, 6, 12, 24], 7]'
flop 'linear' '6 * (3136 * 96 * 48 + 12 * 96**2 * 3136 * (2 + 2 + 6 + 2) + 8 * 96**2 * 784 * 3 + 768 * 1000)'
flop 'attention' '12 * 49 * 96 * 3136 * (2 + 2 / 2 + 6 / 4 + 2 / 8)'
check plan --preset swin-t-w14-ssa --batch 1 --accumulate 1
json plan.json 'x["parameters"] == 28338754 and '"$gmac"' == [4.49, 4.888]'
flop 'attention' '12 * 96 * 3136 * (49 * (2 + 2 / 2 + 6 / 4 + 2 / 8) + 147 / 196 * (1 + 1 / 2))'
check plan --preset swin-t
json plan.json 'x["batch"] == 1024 and [s["stage"] for s in x["stages"]] == [
    "dense:steps=375300,lr=0.001,lr-end=1e-05,warm-up=25020"]'
check plan --preset swin-t-w14-ssa
json plan.json '[s["stage"] for s in x["stages"]] == [
    "unbiased:ratio=0.25,last-dense=2,per-example,no-own-key,steps=356535,lr=0.001,lr-end=1e-05,warm-up=25020",
    "dense:steps=18765,lr=0.0001,warm-up=938"]'
check plan --preset swin-t --attention unbiased --window 14 --layers 1,1
json plan.json 'x["stages"][0]["stage"].startswith("unbiased:ratio=0.25,") and x["model"]["layers"] == [1, 1]'
json plan.json 'x["model"]["heads"] == [3, 6]'
image plan --device cpu --family swin --size 32 --channels 1 --classes 4 --layers 6,6 --window 4 --measure 1e-4 >out
check grep -q '^model    6,6 layers, width 32, 2,4 heads, MLP 4 times as wide, .* windows of 4, 4 classes: ' out
check grep -q 'extrapolated from 2 and 5 of 12 layers)' out

# ---- of data; memory as the run takes; seconds of noise ----

pictures set 80 20
small="--layers 2 --width 32 --heads 2 --patch 2 --batch 4 --accumulate 2"
swin="--family swin --layers 2,1 --patch 1 --window 4 --drop-path 0.1"
for more in "$swin" "$swin --attention unbiased --keys 4 --per-example" "--attention unbiased --keys 8 --per-example" \
    "--mix 1 --crop pad" "--mean-pool --drop-path 0.1"; do
    # shellcheck disable=SC2086 # a list of options
    check image plan --device cpu --measure 0.01 --json $small --data set --epochs 0.25 --threads 0 $more >plan.json
    # shellcheck disable=SC2086
    check image train --device cpu --data set --json --force $small --epochs 0.25 --threads 0 $more -c c >train.json
    check python3 -c 'import json
p, t = (json.load(open(f)) for f in ("plan.json", "train.json"))
assert p["fits"] and p["parameters"] == t["parameters"] and p["model"] == t["model"] and p["train_images"] == 76
assert abs(p["memory"]["total"] / t["peak_bytes"] - 1) < 0.08, (p["memory"], t["peak_bytes"])
assert [s["stage"] for s in p["stages"]] == t["stages"] and p["stages"][0]["steps"] == 3, p["stages"]
assert p["seconds"] > 0'
done
check sh -c '"$0" plan --device cpu --data set --measure 0.01 2>err | grep -q " images/s, "' "$program"
check sh -c '"$0" plan --device cpu --family pixels --data set --measure 0.01 2>err | grep -q "length 64, 8 x 8 x 1"' \
    "$program"
refuses 1 'nobody knows what the pictures are: give --size N, --channels N and --classes N' "$program" plan
refuses 1 'take nobody knows without data' "$program" plan --size 8 --channels 1 --classes 4 --epochs 3
check [ ! -e ssacl-image.safetensors ]

finish 'ssacl-image, plan'
