#!/bin/sh
# ssacl-image on several devices: the same run whoever computes it, also where one is lost, and the same answers. On two
# PoCL devices. Usage: pool.sh PATH/ssacl-image PATH/ssacl_faults.so
layer=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
two_pocl

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
same_answers one.json two.json
json one.json 'len(x["ensemble"]["confusion"]) == 4'

finish 'ssacl-image on a pool'
