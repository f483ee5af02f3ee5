#!/bin/sh
# ssacl-image on several devices: the same run whoever computes it, also where one is lost, and the same answers. On two
# PoCL devices. Usage: pool.sh PATH/ssacl-image PATH/ssacl_faults.so
layer=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
export OCL_ICD_VENDORS=libpocl.so.2 POCL_DEVICES='pthread pthread'
if [ "$("$program" --devices | grep -c '^opencl:0:[01] ')" -ne 2 ]; then
    echo 'ssacl-image on a pool: skipped, PoCL is not there'
    exit 77
fi

pictures set 90 40
run() { # NAME RULES OPTIONS...
    checks=$((checks + 1))
    name=$1 rules=$2
    shift 2
    SSA_FAULTS=$rules OPENCL_LAYERS=$layer "$program" train --data set --layers 2 --width 32 --heads 2 --patch 2 \
        --batch 4 --accumulate 4 --augment light --mix 0.5 --dropout 0.1 \
        --stages 'unbiased:keys=4,steps=10 dense:steps=5' --checkpoint "$name" --log "$name.jsonl" "$@" >out 2>err || wrong "$name: $?"
}
run one '' --device opencl:0:0
run two '' --device all --threads 2
check cmp one two
run lost 'fail=clEnqueueNDRangeKernel,device=0:1,nth=400,onwards' --device all
check cmp one lost
check grep -q 'opencl:0:1 lost: .*CL_OUT_OF_RESOURCES' err
swin='--family swin --layers 2,1 --window 2'
sampled='unbiased:keys=2,per-example,steps=4 dense:steps=2'
# shellcheck disable=SC2086 # a list of options
{
    run swin1 '' --device opencl:0:0 $swin --stages "$sampled"
    run swin2 '' --device all $swin --stages "$sampled"
}
check cmp swin1 swin2

evaluate() { "$program" eval --data set --checkpoint one --batch 3 --passes 5 --confusion --json "$@" 2>err; }
check evaluate --device opencl:0:1 >one.json
check evaluate --device all >two.json
check python3 -c 'import json
one, two = (json.load(open(n + ".json")) for n in ("one", "two"))
assert len(one["devices"]) == 1 and len(two["devices"]) == 2
for kind in ("dense", "ensemble"):
    one[kind].pop("seconds"), two[kind].pop("seconds")
    assert one[kind] == two[kind], (one[kind], two[kind])
assert len(one["ensemble"]["confusion"]) == 4'

finish 'ssacl-image on a pool'
