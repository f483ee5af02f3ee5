#!/bin/sh
# ssacl-text in precisions fast and bf16: near float32, said in log and checkpoint, taken up by what goes on; without a
# matrix engine. On the emulated one, which every machine has. Usage: precision.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1 SSACL_MATRIX=emulate
model="--layers 2 --width 32 --heads 1 --length 64 --batch 1 --lr 3e-3"

train() { "$program" train --data text --device cpu --quiet --log-every 1 --eval-windows 2 "$@" 2>err; }
proverb 20000 >text

# shellcheck disable=SC2086 # a list of options
{
    check train $model --stages 'unbiased:ratio=0.25,steps=30 dense:steps=10' -c exact.st -l exact.jsonl
    check train $model --stages 'unbiased:ratio=0.25,steps=30 dense:steps=10' --precision fast -c fast.st -l fast.jsonl
    check train $model --stages 'unbiased:ratio=0.25,steps=30 dense:steps=10' --precision fast -c again.st
    check train $model --stages 'unbiased:ratio=0.25,steps=30 dense:steps=10' --precision bf16 -c bf16.st -l bf16.jsonl
}
check cmp fast.st again.st
check python3 - <<'END'
import json
def read(name):
    lines = [json.loads(l) for l in open(name)]
    return next(l["precision"] for l in lines if l["event"] == "start"), [l["loss"] for l in lines if l["event"] == "step"]
(a, exact), (b, fast) = read("exact.jsonl"), read("fast.jsonl")
assert (a, b) == ("float32", "fast") and len(exact) == len(fast) == 40
assert exact != fast and all(abs(x / y - 1) < 1e-4 for x, y in zip(exact, fast)), (exact, fast)
c, rounded = read("bf16.jsonl")
assert c == "bf16" and rounded != fast and all(abs(x / y - 1) < 1e-2 for x, y in zip(exact, rounded)), (exact, rounded)
END
check grep -q 'precision\\": \\"fast' fast.st
check [ "$(grep -c 'precision' exact.st)" -eq 0 ]

# ---- going on ----

cp fast.st other.st
check train --resume fast.st --steps 45 -l fast.jsonl
check [ ! -s err ]
check [ "$(grep -c '"precision":"fast"' fast.jsonl)" -ge 1 ]
check grep -q 'precision\\": \\"fast' fast.st
check "$program" train --data text --device cpu --resume other.st --steps 45 --precision float32 2>err
check grep -q 'other.st was trained in precision fast; it goes on in float32' err
check [ "$(grep -c 'precision' other.st)" -eq 0 ]
"$program" plan --data text --device cpu --resume fast.st --steps 50 --json --measure 0 >plan.json 2>err
json plan.json 'x["precision"] == "fast"'
check "$program" eval --data text --device cpu -c fast.st -w 2 --precision fast --json >eval.json 2>err
json eval.json 'x["precision"] == "fast"'

# ---- where there is no engine ----

# shellcheck disable=SC2086
SSACL_MATRIX=0 check "$program" train --data text --device cpu $model --steps 40 --precision fast -c none.st 2>err
check [ "$(grep -c 'no matrix engine (turned off by $SSACL_MATRIX): float32 serves' err)" -eq 1 ]
check grep -q 'precision\\": \\"bf16' bf16.st
check python3 - <<'END'
import re, zlib # a checkpoint of a later version: its crc32 is of the file with zeros in its place
data = open("bf16.st", "rb").read().replace(b'precision\\": \\"bf16', b'precision\\": \\"bf17')
at = re.search(rb'"crc32":"', data).end()
zeros = data[:at] + b"00000000" + data[at + 8:]
open("later.st", "wb").write(data[:at] + b"%08x" % zlib.crc32(zeros) + data[at + 8:])
END
refuses 1 'later.st: was trained in a precision that this version does not know; say in which to go on: --precision float32|fast|bf16' \
    "$program" train --data text --device cpu --resume later.st --steps 45
check "$program" train --data text --device cpu --resume later.st --steps 45 --precision bf16 2>err
check "$program" train --data text --device cpu --resume bf16.st --steps 45 --precision fast 2>err
check grep -q 'bf16.st was trained in precision bf16; it goes on in fast' err
refuses 2 'one of float32|fast|bf16' "$program" train --data text --precision half
finish 'ssacl-text, precision'
