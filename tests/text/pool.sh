#!/bin/sh
# ssacl-text on several devices: the same run whoever computes it, devices that fail, what log and report tell of it. On
# two PoCL devices. Usage: pool.sh PATH/ssacl-text PATH/ssacl_faults.so
layer=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
two_pocl
check() { check_quietly "$@"; }

words 12000 >text

# run STATUS NAME RULES OPTIONS...: a run under these rules of the fault layer, NAME.jsonl its log.
run() {
    checks=$((checks + 1))
    status=$1 name=$2 rules=$3
    shift 3
    SSA_FAULTS=$rules OPENCL_LAYERS=$layer "$program" train --data text --layers 2 --width 32 --heads 2 --length 64 \
        --batch 2 --accumulate 8 --dropout 0.1 --stages 'unbiased:ratio=0.5,steps=20 dense:steps=10' --eval-windows 4 \
        --log-every 1 --checkpoint "$name" --log "$name.jsonl" "$@" >out 2>err
    got=$?
    [ $got -eq "$status" ] || wrong "$name: exit status $got, not $status"
}

# log NAME EXPRESSION: it holds for the records `x` of a log; changes(...) are those of devices
log() {
    checks=$((checks + 1))
    python3 - "$1.jsonl" "$2" <<'END' || wrong "$1: $2 does not hold"
import json, sys
x = [json.loads(line) for line in open(sys.argv[1])]
of = lambda event: [r for r in x if r["event"] == event]
changes = lambda *kinds: [r for r in of("device") if r["change"] in kinds]
sys.exit(not eval(sys.argv[2]))
END
}

run 0 one '' --device opencl:0:0
log one 'len(of("start")[0]["devices"]) == 1 and all("shares" not in r for r in of("step"))'
run 0 two '' --device all
check cmp one two
log two '[d["id"] for d in of("start")[0]["devices"]] == ["opencl:0:0", "opencl:0:1"]'
log two 'all(sum(r["shares"]) == 8 and len(r["rates"]) == 2 for r in of("step")) and of("step")[0]["shares"] == [4, 4]'
log two 'all(r["reason"] and r["before"] != r["after"] for r in changes("share")) and len(changes("share")) >= 2'
log two 'not changes("lost", "joined", "rollback", "left out")'
run 0 listed '' --device opencl:0:1,opencl:0:0
check cmp one listed

# One lost in the middle.
run 0 lost 'fail=clEnqueueNDRangeKernel,device=0:1,nth=900,onwards' --device all
check cmp one lost
check grep -q 'opencl:0:1 lost: .*CL_OUT_OF_RESOURCES' err
log lost '[r["id"] for r in changes("lost")] == ["opencl:0:1"] and of("step")[-1]["shares"] == [8, 0]'
log lost '0 < changes("lost")[0]["step"] < 30 and "clEnqueueNDRangeKernel" in changes("lost")[0]["reason"]'
run 0 nan 'wrong=nan,device=0:0,kernel=*,nth=400,onwards' --device all
check cmp one nan
log nan '[r["id"] for r in changes("lost")] == ["opencl:0:0"] and "not a number" in changes("lost")[0]["reason"]'

# All of them lost: the host backend goes on, or the checkpoint is written and the run stops, and can go on elsewhere.
run 0 host 'fail=clEnqueueNDRangeKernel,nth=3000,onwards' --device all --copy-every 3
log host 'len(changes("lost")) == 2 and [r["id"] for r in changes("joined")] == ["cpu"]'
log host 'len(changes("rollback")) == 1 and of("step")[-1]["shares"] == [0, 0, 8] and of("end")[0]["step"] == 30'
log host 'abs(of("step")[-1]["loss"] - json.loads(open("one.jsonl").readlines()[-3])["loss"]) < 1e-3'
run 1 stop 'fail=clEnqueueNDRangeKernel,nth=3000,onwards' --device all --copy-every 3 --last-device stop
check [ "$(grep -c '^ssacl-text train: train:' err)" -eq 1 ]
log stop 'of("end")[0]["status"] == "no device" and 0 < of("end")[0]["step"] < 30'
check "$program" train --device all --data text --resume stop --log stop.jsonl --eval-windows 4
check cmp one stop
run 1 nocopy 'fail=clEnqueueNDRangeKernel,nth=3000,onwards' --device all --copy-every 0 --last-device stop
check grep -q 'there is no copy of the run' err

# The only one lost over the last checkpoint: that is of the copy before, and no run's end.
run 0 reads 'report=calls' --device opencl:0:0 --copy-every 4
reads=$(sed -n 's/^ *\([0-9]*\) clEnqueueReadBuffer on opencl:0:0$/\1/p' calls)
run 1 late "fail=clEnqueueReadBuffer,nth=$((reads - 3)),onwards" --device opencl:0:0 --copy-every 4 --last-device stop
log late '[r["step"] for r in changes("lost")] == [30]'
log late 'of("end")[0]["status"] == "no device" and of("end")[0]["step"] == 28'
check grep -q 'stopped after step 28; checkpoint: late' err
check "$program" train --device all --data text --resume late --log late.jsonl --eval-windows 4
check cmp one late
# Over the very last read, which is of the evaluation after it: the run is over, and whole.
run 1 over "fail=clEnqueueReadBuffer,nth=$reads,onwards" --device opencl:0:0 --copy-every 4 --last-device stop
log over 'of("end")[0]["status"] == "finished" and of("end")[0]["step"] == 30'
check grep -q 'done after step 30; checkpoint: over' err
check cmp one over

# What does not fit, and what leaves devices idle.
run 0 small 'memory=100000,device=0:1' --device all
check cmp one small
check grep -q 'opencl:0:1 left out: .*needs' err
log small '[r["id"] for r in changes("left out")] == ["opencl:0:1"]'
run 1 none 'memory=100000' --device all
check grep -q 'needs .* MiB' err
check [ ! -e none ]
run 0 idle '' --device all --batch 16 --accumulate 1
check grep -q 'keep 1 of 2 devices busy' err

# One that computes wrongly is found by the spot check; what it spoilt until then stays.
run 0 flip 'wrong=flip,device=0:1,kernel=*,nth=400,onwards' --device all --check-every 1
log flip '[r["id"] for r in changes("lost")] == ["opencl:0:1"]'
log flip '"spot check" in changes("lost")[0]["reason"]'

# Evaluation, whoever does it.
evaluate() { "$program" eval --data text --checkpoint one --batch 2 --passes 6 --windows 9 --json "$@"; }
evaluate --device opencl:0:1 >one.json 2>err || wrong "eval on one device"
evaluate --device all >two.json 2>err || wrong "eval on two devices"
evaluate --device all --tolerance 0.5 --passes 40 >settled.json 2>err || wrong "eval with a tolerance"
same_answers one.json two.json
check python3 -c 'import json
two, settled = (json.load(open(n + ".json")) for n in ("two", "settled"))
e = settled["ensemble"]
assert 4 <= e["passes"] < 40 and 0 < e["unsettled"] <= 0.5 and len(e["bits_of_first"]) == e["passes"], e
assert abs(e["bits_of_first"][3] - two["ensemble"]["bits_of_first"][3]) < 1e-6'

check sh -c '"$0" report one.jsonl lost.jsonl host.jsonl --json >report.json' "$program"
check python3 -c 'import json
r = json.load(open("report.json"))["runs"]
assert [x["devices"] for x in r] == [None, 2, 3] and [x["devices_lost"] for x in r] == [None, 1, 2]
assert r[0]["tokens"] == r[1]["tokens"] == r[2]["tokens"]'

finish 'ssacl-text on a pool'
