#!/bin/sh
# The best model of a run kept, and runs that end where nothing gets better. On the host backend.
# Usage: best.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
tiny="--layers 1 --width 32 --heads 1 --length 16 --batch 4 --lr 0.05 --steps 400 --eval-every 10"

# shellcheck disable=SC2086 # a list of options
train() { "$program" train --data text --device cpu --quiet --eval-windows 2 $tiny "$@" 2>err; }
# Without a rule: what is learnt of one part is wrong of another.
i=1 seed=7
while [ $i -le 1200 ]; do
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    printf '%d' $((seed / 65536 % 10))
    i=$((i + 1))
done >text

# ---- ends by itself, and the best is kept ----
check train -c a.st --best best.st --patience 2 -l log.jsonl
check grep -q '"status":"no better"' log.jsonl
check test "$(grep -c '"event":"watch"' log.jsonl)" -lt 40
best=$(grep '"event":"watch"' log.jsonl | tail -1 | sed 's/.*"best_step":\([0-9]*\).*/\1/')
check sh -c "'$program' eval --device cpu --data text -c best.st --json 2>err | grep -q '\"step\": *$best\b'"
check "$program" report log.jsonl -o curves

# ---- goes on after it ----
check "$program" train --data text --device cpu --quiet --eval-windows 2 --eval-every 10 --resume a.st --patience 2 \
    --best best.st -l log.jsonl 2>err
check test "$(grep -c '"event":"resume"' log.jsonl)" -eq 1

# ---- once an epoch: 1080 bytes for training are 17 steps of 4 x 16 ----
check train --force -c a.st --best best.st --eval-every 0 --steps 40 -l epochs.jsonl
check test "$(grep '"event":"watch"' epochs.jsonl | sed 's/.*"step":\([0-9]*\),"bits.*/\1/' | tr '\n' ' ')" = "17 34 40 "

# ---- with an average of the weights: what was looked at is what `eval` measures ----
check train --force -c a.st --best best.st --steps 60 --ema 0.9 -l ema.jsonl
check grep -q '"ema":0.8999' ema.jsonl
evaluate() { "$program" eval --device cpu --data text -c "$@" --part valid --windows 2 --json 2>err; }
dense() { sed 's/.*"dense": *{[^}]*"bits": *\([0-9.]*\).*/\1/'; }
logged=$(grep '"event":"evaluation"' ema.jsonl | tail -1 | sed 's/.*"dense":\([0-9.]*\).*/\1/')
averaged=$(evaluate a.st | tr -d '\n' | dense)
check test "$(printf '%.4f' "$averaged")" = "$(printf '%.4f' "$logged")"
check test "$averaged" != "$(evaluate a.st --raw-weights | tr -d '\n' | dense)"
check sh -c "'$program' eval --device cpu --data text -c a.st --windows 2 2>err | grep -q 'the average of its weights'"
"$program" train --data text --device cpu --resume a.st --ema 0.5 2>err
check grep -q -e '--ema does not go with --resume' err

# ---- files are looked after ----
train -c b.st --best best.st
check grep -q 'best.st: exists; give another --best' err
train -c c.st --best c.st
check grep -q 'c.st' err
train -c c.st --best missing/best.st
check grep -q 'missing' err
check test ! -e c.st

finish 'ssacl-text, best'
