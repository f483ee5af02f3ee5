#!/bin/sh
# ssacl-graph on several devices: the same run whoever computes it, also where one is lost or the run is resumed
# elsewhere, and the same answers; beside a device that rounds otherwise the same within that. On two PoCL devices and the
# host backend. Usage: pool.sh PATH/ssacl-graph PATH/ssacl_faults.so
layer=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
two_pocl

molecules set 120
run() { # NAME RULES OPTIONS...
    checks=$((checks + 1))
    name=$1 rules=$2
    shift 2
    SSA_FAULTS=$rules OPENCL_LAYERS=$layer "$program" train --data set --layers 2 --width 32 --edge-width 8 --heads 4 \
        --virtual-nodes 2 --batch 4 --accumulate 4 --lr 3e-3 --attention-dropout 0.2 --edge-dropout 0.1 --drop-path 0.1 \
        --stages 'unbiased:ratio=0.5,per-example,steps=10 dense:steps=5' --log-every 1 --keep-stages \
        --checkpoint "$name" --log "$name.jsonl" "$@" >out 2>err || wrong "$name: $?"
}
resume() { # NAME FROM DEVICES
    check "$program" train --data set --resume "$2" --device "$3" --quiet -c "$1"
}
run one '' --device opencl:0:0
run two '' --device all
check cmp one two
run lost 'fail=clEnqueueNDRangeKernel,device=0:1,nth=700,onwards' --device opencl:0:0,opencl:0:1
check cmp one lost
check grep -q 'opencl:0:1 lost: .*CL_OUT_OF_RESOURCES' err
resume again one.stage1 opencl:0:0,opencl:0:1
check cmp one again
resume alone two.stage1 opencl:0:1
check cmp one alone

for edges in sampled fixed; do
    run $edges '' --device opencl:0:0 --edge-mode $edges
    run ${edges}2 '' --device opencl:0:0,opencl:0:1 --edge-mode $edges
    check cmp $edges ${edges}2
done

# ---- beside the host backend ----

near() { # NAME: its losses and those of one device
    check python3 - one.jsonl "$1.jsonl" <<'END'
import json, sys
one, other = ([r["loss"] for r in map(json.loads, open(name)) if r["event"] == "step"] for name in sys.argv[1:])
assert len(one) == len(other) == 15 and all(abs(a - b) <= 1e-3 * a for a, b in zip(one, other)), (one, other)
END
}
run host '' --device cpu
near host
run unlike '' --device cpu,opencl:0:0
near unlike
check grep -q '"id":"opencl:0:0"' unlike.jsonl
resume elsewhere unlike.stage1 cpu

# ---- answers ----

evaluate() { "$program" eval --data set --checkpoint "$1" --batch 3 --passes 5 --json --device "$2" 2>err; }
check evaluate one opencl:0:1 >one.json
check evaluate one opencl:0:0,opencl:0:1 >two.json
same_answers one.json two.json
for name in unlike elsewhere; do
    check evaluate $name cpu,opencl:0:1 >$name.json
    check python3 - one.json $name.json <<'END'
import json, sys
one, other = (json.load(open(name)) for name in sys.argv[1:])
for kind in "dense", "ensemble":
    assert abs(one[kind]["loss"] - other[kind]["loss"]) <= 2e-3 * one[kind]["loss"], (one, other)
END
done
check "$program" predict --data set -c one --device opencl:0:0 --passes 3 --out one.csv
check "$program" predict --data set -c one --device opencl:0:0,opencl:0:1 --passes 3 --out two.csv
check cmp one.csv two.csv
finish 'ssacl-graph on a pool'
