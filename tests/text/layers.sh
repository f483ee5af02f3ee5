#!/bin/sh
# Layers that have patterns of their own, by --stages and --pattern: what is printed of them, runs that go on bit for bit
# as what they are, and what is refused. On the host backend. Usage: layers.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1

text() { "$program" "$@" 2>err; }
plan() { text plan --device cpu --measure 0 --layers 4 --width 16 --heads 2 --length 64 --batch 2 "$@"; }
says() { # STAGE: as it is written, its rates apart, but for the layers (WANTED)
    plan --stages "$1" --json >plan.json
    json plan.json "x['stages'][0]['stage'].replace(',lr=0.002', '') == '$2'"
}
train() { text train --data text --device cpu --quiet --log-every 1 --eval-windows 2 "$@"; }
tiny="--batch 2 --layers 3 --width 16 --heads 2 --length 32 --dropout 0.1"
proverb 20000 >text

# ---- what is said is said again ----

says 'local:ratio=0.125,look-back,steps=9/0:fixed-windows/1-2:sigma=0.25/3:dense' \
    'local:ratio=0.125,look-back,steps=9/0:fixed-windows/1-2:sigma=0.25/3:dense'
says 'local:ratio=0.25,steps=9/0:sigma=2/1:sigma=2/last:sigma=2' 'local:ratio=0.25,steps=9/0-1:sigma=2/3:sigma=2'
says 'unbiased:ratio=0.25,steps=9/0-last:keys=32' 'unbiased:ratio=0.25,steps=9/0-3:ratio=0.5'
says 'unbiased:ratio=0.25,steps=9/1-3:ratio=0.5/2-2:ratio=0.25' 'unbiased:ratio=0.25,steps=9/1:ratio=0.5/3:ratio=0.5'
says 'dense:steps=9/1:local:ratio=0.5,grid/1:no-grid/2:unbiased,ratio=0.25,no-own-key' \
    'dense:steps=9/1:local:ratio=0.5/2:unbiased:ratio=0.25,no-own-key'
says 'local:look_back,per-example,no-own-key,steps=9/1:no-look-back,no_per-example,own-key/2:unbiased' \
    'local:ratio=0.25,look-back,per-example,no-own-key,steps=9/1:no-look-back,no-per-example,own-key/2:unbiased'
says 'unbiased:ratio=0.25,ratio-last=1,first-dense=1,steps=9/1:keep-first=1' \
    'unbiased:ratio=0.25,steps=9/0:dense/1:keep-first=1/2:ratio=0.625/3:ratio=1'
says 'unbiased:ratio=0.3,source-dropout,steps=9/1:ratio=0.123/2:no-source-dropout,ratio=0.25/3:local:ratio=0.5' \
    'unbiased:ratio=0.3,source-dropout,steps=9/1:ratio=0.123/2:ratio=0.25,no-source-dropout/3:local:ratio=0.5'
says 'unbiased:keys=16,source-dropout,steps=9' 'unbiased:ratio=0.25,source-dropout,steps=9'
says 'unbiased:ratio=0.3,ratio-last=0.6,source-dropout,steps=9/0:dense' \
    'unbiased:ratio=0.3,source-dropout,steps=9/0:dense/1:ratio=0.4/2:ratio=0.5/3:ratio=0.6'
plan --attention unbiased --ratio 0.3 --source-dropout --json >plan.json
json plan.json 'x["stages"][0]["stage"].startswith("unbiased:ratio=0.3,source-dropout,steps=1000")'
says 'local:ratio=0.3,steps=9/0-last:ratio=0.25' 'local:ratio=0.3,steps=9/0-3:ratio=0.25'
plan --look-back --stages 'local:steps=9,no-look-back' --json >plan.json # of what options say
json plan.json 'x["stages"][0]["stage"] == "local:ratio=0.25,steps=9,lr=0.002"'
# The same of 1000 layers, one of which differs from the next in each: what finds no room is left out.
many=$(python3 -c 'print("".join(f"/{i}:sigma=0.{i + 1}" for i in range(1000)))')
plan --layers 1000 --stages "local:steps=9$many" --json >plan.json
json plan.json 'len(x["stages"][0]["stage"]) == 8191 and x["stages"][0]["stage"].endswith("...")'
"$program" train --help >help
check grep -q 'look-back,steps=900/0:fixed-windows/1-2:sigma=0.25/last:dense' help

# ---- the work, by hand: pairs of a dense layer, of a quarter, of a half ----

plan --stages 'dense:steps=9 unbiased:ratio=0.25,no-own-key,per-example,steps=9 dense:steps=1/1:unbiased:ratio=0.25,no-own-key,per-example' \
    --json >plan.json
json plan.json '(lambda dense, all, one: abs(one - (3 * dense + all) / 4) < 0.02 * dense)(
    *(s["flop_attention"] for s in x["stages"]))'
grows='unbiased:ratio=0.25,ratio-last=1,first-dense=1,steps=1'
for more in '' ,source-dropout ,last-dense=1; do # what a stage says of its layers, these have on their own
    plan --stages "$grows$more $grows$more/1:keep-first=0" --json >plan.json
    json plan.json 'x["stages"][0]["flop_attention"] == x["stages"][1]["flop_attention"]'
done
plan --measure 0.01 --stages 'local:steps=2/0:dense local:steps=3/0:dense' --json >plan.json
json plan.json 'x["stages"][0]["seconds_per_step"] == x["stages"][1]["seconds_per_step"] > 0' # measured once

# ---- runs ----

mine='local:ratio=0.25,look-back,sigma=0.5,steps=2/0:fixed-windows/1:unbiased:ratio=0.5,per-example/last:dense'
# shellcheck disable=SC2086 # a list of options
check train $tiny --stages "$mine $mine dense:steps=1" -c whole -l log.jsonl --keep-stages --profile 1
as='local:ratio=0.25,look-back,sigma=0.5,steps=2,lr=0.002/0:fixed-windows/1:unbiased:ratio=0.5,per-example/2:dense'
check grep -qF "\"$as\"" log.jsonl
check_quietly text report log.jsonl
check train --resume whole.stage1 -c again
check cmp whole again
# shellcheck disable=SC2086
check train $tiny --stages "$mine" -c longer
check train --resume longer --stages "$mine dense:steps=1"
check cmp whole longer
# shellcheck disable=SC2086
check train $tiny --stages 'local:ratio=0.25,look-back,sigma=0.5,steps=2 dense:steps=1' -c other
check sh -c '! cmp -s whole other'
plan_of() { text plan --device cpu --measure 0 --resume whole --json; }
plan_of >plan.json
json plan.json "x['stages'][1]['stage'].replace(',lr-end=0.0002', '') == '$as'"
check train --resume longer --steps 7 -l longer.jsonl --force # dense goes on as it was
# Keys that stay or not on their own.
mine='unbiased:ratio=0.3,source-dropout,steps=3,no-own-key/last:per-example,ratio=0.01'
# shellcheck disable=SC2086
check train $tiny --stages "$mine $mine" -c sources --keep-stages --profile 1 --json >sources.json
check train --resume sources.stage1 -c sources2
check cmp sources sources2
check text eval -c sources --data text --device cpu --part valid --windows 2 --passes 2 --json >eval.json
json eval.json 'x["ensemble"]["pattern"] == "unbiased:ratio=0.3,no-own-key,source-dropout/2:ratio=0.01,per-example"'
# A pass samples as the last stage that has a layer that does, or as is said.
check text eval -c whole --data text --device cpu --part valid --windows 2 --passes 2 --json >eval.json
json eval.json 'x["ensemble"]["pattern"] == "local:ratio=0.25,look-back,sigma=0.5/0:fixed-windows/1:unbiased:ratio=0.5,per-example/2:dense"'
check text eval -c whole --data text --device cpu --part valid --windows 2 --passes 2 --json \
    --pattern 'dense/1:unbiased:ratio=0.5' >eval.json
json eval.json 'x["ensemble"]["pattern"] == "dense/1:unbiased:ratio=0.5" and x["ensemble"]["single_spread"] > 0'
# shellcheck disable=SC2086
check train $tiny --stages 'dense:steps=2/1:unbiased:ratio=0.5' -c inner -l inner.jsonl
check text eval -c inner --data text --device cpu --part valid --windows 2 --passes 2 --json >eval.json
json eval.json 'x["ensemble"]["pattern"] == "dense/1:unbiased:ratio=0.5"'
check grep -q '"event":"evaluation".*"sampled":' inner.jsonl

# ---- what is wrong ----

bad() { refuses "$1" "$2" "$program" train --data text --device cpu --layers 4 --length 64 --width 16 --heads 2 -c no.st --stages "$3"; }
for key in steps=3 epochs=1 lr=1e-3 lr-end=1e-3 warm-up=1 first-dense=1 last-dense=1 ratio-last=0.5; do
    bad 2 "'${key%=*}' is of a whole stage, not of single layers" "local:steps=3/1:$key"
done
bad 1 "'/4:dense': the model's layers are 0 to 3" 'local:steps=3/4:dense'
bad 1 "the model's layers are 0 to 3" 'local:steps=3/0-4:dense'
bad 1 "the model's layers are 0 to 3" 'local:steps=3/9-last:dense'
for part in /1 /1: /:dense // /a:dense /-1:dense /1-:dense /2-1:dense /last-2:dense /1.5:dense /99999999999:dense; do
    bad 2 'begins with no layers' "local:steps=3$part"
done
bad 2 "'lokal' is neither a kind of attention nor a setting of a layer's pattern" 'local:steps=3/1:lokal'
bad 2 'neither' 'local:steps=3/1:dense:'
bad 2 'neither' 'local:steps=3/1:sigma=1,'
bad 2 'neither' 'local:steps=3/1:sigma=1,dense'
bad 2 'must be over 0' 'local:steps=3/1:ratio=0'
bad 2 'takes no value' 'local:steps=3/1:no-look-back=1'
bad 1 '65 keys of a sequence that has 64' 'local:steps=3/1:keys=65'
bad 1 'ratio 0.3 of length 64' 'local:steps=3/1:ratio=0.3'
bad 1 'positions are no rows and columns' 'local:steps=3/1:grid'
bad 2 "dense attention has no 'sigma'" 'local:steps=3/1:dense,sigma=0.5'
bad 2 "unbiased attention has no 'grid'" 'local:steps=3/1:unbiased,grid'
bad 1 "layer 0: dense attention has no 'sigma'" 'local:first-dense=1,steps=3/0:sigma=0.5'
bad 2 'has no steps=N' 'local/1:dense'
refuses 1 "the model's layers are 0 to 2" "$program" eval -c whole --data text --device cpu --pattern local/3:dense
# what is read, and then refused by the model, is let go of once
refuses 1 'its slices must divide' "$program" eval -c whole --data text --device cpu --windows 2 --mode ensemble --json \
    --pattern 'local:ratio=0.37/0:dense'
refuses 1 'is not one stage of sampling' "$program" eval -c whole --data text --device cpu --pattern local/0-2:dense

finish 'ssacl-text, layers'
