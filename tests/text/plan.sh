#!/bin/sh
# What ssacl-text plan says of a run against the run itself: its memory, its operations by hand, its settings; where it
# does not fit, and with no data. Seconds are not judged. On the host backend. Usage: plan.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1

text() { "$program" "$@" 2>err; }
plan() { text plan --device cpu --measure 0.01 "$@"; }
refuses() { # STATUS WORDS OPTIONS...
    status=$1 words=$2
    shift 2
    plan "$@" >out
    check [ $? -eq "$status" ]
    check [ ! -s out ]
    check grep -q -e "$words" err
    check [ "$(grep -c '^ssacl-text' err)" -eq 1 ]
}
proverb 20000 >text

# ---- memory: of the plan, and the peak of the run ----

same() { # OPTIONS...: to within 5%
    plan "$@" --json >plan.json
    text train --device cpu --data text --force -c c --eval-windows 2 "$@" --json >train.json
    check python3 -c 'import json
p, t = (json.load(open(f)) for f in ("plan.json", "train.json"))
m = p["memory"]
assert p["fits"] and p["parameters"] == t["parameters"] and p["model"] == t["model"]
assert sum(m[k] for k in ("parameters", "gradients", "optimiser", "activations", "inputs", "scratch")) == m["total"], m
assert abs(m["total"] / t["peak_bytes"] - 1) < 0.05, (m, t["peak_bytes"])
assert p["seconds"] > 0 and all(s["seconds_per_step"] > 0 for s in p["stages"])
assert [s["stage"] for s in p["stages"]] == t["stages"]'
}
same --layers 2 --width 32 --heads 2 --length 64 --batch 4 --steps 3 --fine-tune 2 --attention local --look-back
same --layers 5 --width 64 --heads 4 --length 128 --batch 2 --accumulate 5 --steps 2 --attention unbiased --dropout 0.1
same --layers 2 --width 32 --heads 2 --length 64 --batch 4 --steps 2 --gated --norm rms
same --layers 2 --width 32 --heads 2 --length 64 --batch 4 --steps 2 --optimiser nag --momentum 0.9 --ema 0.9
cp plan.json nag.json
plan --layers 2 --width 32 --heads 2 --length 64 --batch 4 --steps 2 --ema 0.9 --json >adamw.json # has a moment more
check python3 -c 'import json
p, q = (json.load(open(f))["memory"] for f in ("nag.json", "adamw.json"))
assert q["optimiser"] - p["optimiser"] == p["parameters"], (p, q)'
same --layers 1 --width 16 --heads 2 --kv-heads 1 --length 32 --batch 1 --steps 2 --untied --no-bias --vocabulary 300

refuses 2 "momentum is of --optimiser nag" --momentum 0.5 --steps 2
refuses 2 "momentum" --optimiser nag --momentum 1 --steps 2
refuses 2 "adamw|nag" --optimiser sgd

# ---- operations, by hand ----

small="--layers 3 --width 64 --heads 4 --length 128 --batch 2 --accumulate 3"
# shellcheck disable=SC2086 # a list of options
plan $small --stages 'dense:steps=7 unbiased:ratio=0.25,steps=2,no-own-key,keep-first=1
    local:ratio=0.5,first-dense=2,steps=1' --json >flop.json
json flop.json 'x["stages"][0]["flop_linear"] == 6 * 768 * (3 * 12 * 64**2 + 256 * 64)'
json flop.json 'x["stages"][0]["flop_attention"] == 3 * 12 * 6 * 64 * 128 * 129 / 2'
json flop.json 'x["stages"][1]["flop_linear"] == 6 * (768 * (3 * 10 * 64**2 + 256 * 64) + 3 * 6 * 33 * 2 * 64**2)'
json flop.json '0.2 < x["stages"][1]["flop_attention"] / x["stages"][0]["flop_attention"] < 0.3'
json flop.json '0.75 < x["stages"][2]["flop_attention"] / x["stages"][0]["flop_attention"] < 0.95'
json flop.json 'x["stages"][2]["flop_linear"] == x["stages"][0]["flop_linear"]'
json flop.json 'x["tokens_per_step"] == 768 and x["batch"] == 6 and x["stages"][0]["steps"] == 7'
# Where each key is drawn on its own, in the mean of all draws: those at or before the query, and the first.
# shellcheck disable=SC2086
plan $small --stages 'unbiased:ratio=0.25,source-dropout,no-own-key,keep-first=1,steps=1
    unbiased:ratio=0.25,source-dropout,keep-first=1,steps=1 unbiased:ratio=0.25,source-dropout,no-own-key,per-example,steps=1' \
    --json >sources.json
json sources.json 'abs(x["stages"][0]["flop_attention"] / (3 * 6 * 6 * (128 + 0.25 * 127 * 128 / 2) * 128) - 1) < 1e-6'
json sources.json 'abs(x["stages"][1]["flop_attention"] / (3 * 6 * 6 * (128 + 0.25 * 127 * 128 / 2 + 0.75 * 127) * 128) - 1) < 1e-6'
json sources.json 'abs(x["stages"][0]["flop_linear"] / (6 * (768 * (3 * 10 * 64**2 + 256 * 64) + 3 * 6 * 32.75 * 2 * 64**2)) - 1) < 1e-6'
json sources.json 'x["stages"][2]["flop_linear"] == x["stages"][1]["flop_linear"] == 6 * 768 * (3 * 12 * 64**2 + 256 * 64)'
json sources.json 'x["stages"][0]["seconds_per_step"] > 0'
# shellcheck disable=SC2086
plan $small --stages 'dense:steps=1 unbiased:ratio=0.25,steps=1 unbiased:ratio=0.25,steps=7,dense-every=3 dense:steps=2' \
    --json >every.json
json every.json 'all(abs(x["stages"][2][k] - (2 * x["stages"][0][k] + 5 * x["stages"][1][k]) / 7) < 1e-6 * x["stages"][2][k]
    for k in ("flop_attention", "flop_linear", "seconds_per_step"))'
json every.json 'x["stages"][3]["seconds_per_step"] == x["stages"][0]["seconds_per_step"]' # measured once
# shellcheck disable=SC2086
plan $small --gated --kv-heads 2 --steps 1 --json >gated.json
json gated.json 'x["stages"][0]["flop_linear"] == 6 * 768 * (3 * 15 * 64**2 + 256 * 64)'
json flop.json 'abs(sum(s["seconds"] for s in x["stages"]) / x["seconds"] - 1) < 1e-6'

# ---- how seconds were measured, and words for people ----

# shellcheck disable=SC2086
plan $small --layers 9 --accumulate 60000 --json >far.json
json far.json 'x["stages"][0]["how"] == "extrapolated from 1 and 3 of 9 layers, 1 and 2 of 60000 passes"'
json far.json 'x["stages"][0]["extrapolated"] and "peak_bytes" not in x["stages"][0]'
# shellcheck disable=SC2086
plan $small --steps 5 --measure 1000 --json >near.json
json near.json 'x["stages"][0]["how"] == "measured"'
json near.json 'abs(x["stages"][0]["peak_bytes"] / x["memory"]["total"] - 1) < 0.05'
plan --measure 0 --json >none.json
json none.json 'x["seconds"] is None and x["stages"][0]["seconds"] is None and x["memory"]["scratch"] is None'
plan --steps 1000000000 --layers 1 >out
check grep -q '^model .* 231296 parameters' out
check grep -q '^in all .* days [0-9]* h of training' out
check [ ! -s err ]

# ---- presets ----

plan --preset enwik8 --measure 0 --json >enwik8.json
json enwik8.json 'x["parameters"] == 37960704 and x["batch"] == 22 and x["tokens_per_step"] == 22 * 512'
json enwik8.json '[x["model"][k] for k in ("layers", "width", "heads", "hidden", "length")] == [12, 512, 8, 2048, 512]'
json enwik8.json 'x["model"]["positions"] == "rotary" and x["model"]["tied"] and x["model"]["vocabulary"] == 256'
json enwik8.json '[s["steps"] for s in x["stages"]] == [380000, 20000]'
json enwik8.json 'x["stages"][0]["stage"].startswith("local:ratio=0.25,look-back,steps=380000,lr=0.00025")'
json enwik8.json 'x["stages"][1]["stage"].startswith("dense:steps=20000,lr=2.5e-05")'
plan --layers 6 --preset=enwik8 --batch 2 --accumulate 11 --steps 100 --fine-tune 0 --ratio 0.5 --lr 1e-3 --measure 0 \
    --json >over.json
json over.json 'x["model"]["layers"] == 6 and x["model"]["width"] == 512 and x["batch"] == 22 and x["micro_batch"] == 2'
json over.json '[s["stage"] for s in x["stages"]] == ["local:ratio=0.5,look-back,steps=100,lr=0.001,warm-up=5"]'
plan --preset enwik8 --attention dense --measure 0 --json >over.json
json over.json 'x["stages"][0]["stage"].startswith("dense:steps=380000")'
plan --optimiser nag --steps 100 --measure 0 --json >nag.json
json nag.json 'x["stages"][0]["stage"] == "dense:steps=100,lr=1,warm-up=5"'
plan --optimiser nag --steps 100 --lr 0.5 --measure 0 --json >nag.json
json nag.json 'x["stages"][0]["stage"] == "dense:steps=100,lr=0.5,warm-up=5"'
plan --preset enwik8 --tokens 16 --vocabulary 5000 --measure 0 --json >over.json
json over.json 'x["model"]["vocabulary"] == 5000'
plan --preset tiny --data text --data text --measure 0 --json >over.json # read twice, taken once
json over.json 'x["train_bytes"] == 2 * 18000 and x["parameters"] < 2e5'
check text train --device cpu --preset tiny --data text --steps 2 --fine-tune 1 -c tiny --eval-windows 2 --quiet
plan --resume tiny --measure 0 --json >over.json
json over.json '[s["steps"] for s in x["stages"]] == [2, 1] and x["batch"] == 8'
refuses 2 'does not go with --from' --from tiny --preset tiny
plan --preset help >out
check [ $? -eq 0 ]
check [ "$(wc -l <out)" -eq 3 ]
check grep -q '^  enwik8 ' out
refuses 2 "there is none of the name 'enwik9'" --preset enwik9
check grep -q '^  tiny ' err

# ---- what does not fit, or is wrong ----

plan --layers 1000 --width 8192 --heads 64 --fine-tune 5 --json >large.json
check [ $? -eq 0 ]
json large.json 'not x["fits"] and "needs" in x["advice"] and x["seconds"] is None and len(x["stages"]) == 2'
json large.json 'x["memory"]["parameters"] > 4e12 / 2 and x["stages"][0]["flop_linear"] > 6 * 8e11'
plan --layers 1000 --width 8192 --heads 64 >out
check grep -q 'does not fit: .*needs .* MiB' out
refuses 1 'ratio' --attention local --ratio 0.3
refuses 1 'heads' --heads 3
refuses 2 'over 0 and at most 1' --ratio 0
refuses 2 'from 0 to' --measure -1
check sh -c '! "$0" train --data text --measure 1 2>/dev/null' "$program"
refuses 1 'no device "teapot"' --device teapot

# ---- data, where there is some; checkpoints ----

refuses 1 'give --vocabulary N' --tokens 16
plan --tokens 16 --vocabulary 50257 --measure 0 --layers 1 --width 16 --heads 2 --json >tokens.json
json tokens.json 'x["model"]["vocabulary"] == 50257'
plan --data text --tokens 16 --layers 1 --width 16 --heads 2 --length 32 --measure 0 --json >tokens.json
json tokens.json 'x["model"]["vocabulary"] == 256 * ord("w") + ord(" ") + 1 and x["train_tokens"] == 9000'
refuses 1 'too short' --data text --length 4096
refuses 1 'cannot be opened' --data nothing-there
text train --device cpu --data text --layers 2 --width 16 --heads 2 --length 32 --batch 3 --steps 4 -c run \
    --eval-windows 2 --quiet
plan --resume run --steps 9 --json >resumed.json
json resumed.json 'x["model"]["layers"] == 2 and x["batch"] == 3 and sum(s["steps"] for s in x["stages"]) == 9'
plan --from run --batch 5 --json >from.json
json from.json 'x["model"]["layers"] == 2 and x["batch"] == 5'
refuses 2 'does not go with --resume' --resume run --layers 3
refuses 1 'cannot open' --resume nothing-there
check [ ! -e ssacl-text.safetensors ]

finish 'ssacl-text, plan'
