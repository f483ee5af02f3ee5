#!/bin/sh
# Runs of ssacl-text that are over and made longer, and runs of one process in what is left of a launcher's environment.
# On the host backend. Usage: longer.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
unset OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK PMI_SIZE PMI_RANK PMI_FD SLURM_STEP_NUM_TASKS SLURM_PROCID
tiny="--layers 1 --width 8 --heads 1 --length 8 --batch 1 --dropout 0.1"

train() { "$program" train --data text --device cpu --quiet --log-every 1 --eval-windows 2 "$@" 2>err; }
# shellcheck disable=SC2086 # a list of options
start() { train $tiny "$@"; }
refuses() { # WORDS OPTIONS...: and leaves the checkpoint as it is
    words=$1
    shift
    cp a.st before
    train "$@"
    check [ $? -ne 0 ]
    check grep -q -e "$words" err
    check cmp -s before a.st
}
proverb 20000 >text

# ---- longer ----

check start --steps 20 --lr 1e-2 --lr-end 2e-3 -c a.st -l a.jsonl
refuses 'has done all of its 20 steps; make it longer with --steps' --resume a.st
refuses 'has 20; --steps makes it longer' --resume a.st --steps 19
refuses 'has done all' --resume a.st --steps 20
refuses '--lr does not go with --resume' --resume a.st --steps 30 --lr 1e-3
refuses 'leave out --steps' --resume a.st --steps 30 --stages 'dense:steps=3'
check train --resume a.st --steps 26 -l a.jsonl
check train --resume a.st --steps 30 -l a.jsonl # the same as at once
check start --stages 'dense:steps=20,lr=1e-2,lr-end=2e-3 dense:steps=10,lr=2e-3,lr-end=2e-3,warm-up=0' -c whole.st
check cmp -s a.st whole.st
check [ "$(grep -c '"lr":0.00200000009,' a.jsonl)" -ge 10 ]
check train --resume a.st --stages 'unbiased:ratio=0.5,steps=5,lr=1e-3 dense:steps=5' -l a.jsonl
check start --stages 'dense:steps=20,lr=1e-2,lr-end=2e-3 dense:steps=10,lr=2e-3,lr-end=2e-3,warm-up=0
    unbiased:ratio=0.5,steps=5,lr=1e-3 dense:steps=5' -c whole.st --force
check cmp -s a.st whole.st
# One that is not over yet.
check start --stages 'dense:steps=12 dense:steps=8' -c c.st --keep-stages
check train --resume c.st.stage1 -c d.st --steps 25
check train --resume c.st --steps 25
check cmp -s c.st d.st

# ---- dense now and then ----

even=lr=1e-3,lr-end=1e-3,warm-up=0
losses() { sed -n 's/.*"event":"step","step":\([0-9]*\),.*"loss":\([^,]*\),.*/\1 \2/p' "$1"; }
check start --stages "unbiased:ratio=0.5,steps=7,dense-every=3,$even" -c every.st -l every.jsonl
check start --stages "unbiased:ratio=0.5,steps=2,$even dense:steps=1,$even unbiased:ratio=0.5,steps=2,$even
    dense:steps=1,$even unbiased:ratio=0.5,steps=1,$even" -c hand.st -l hand.jsonl
check [ "$(losses every.jsonl | wc -l)" -eq 7 ]
check [ "$(losses every.jsonl)" = "$(losses hand.jsonl)" ]
check grep -q '"unbiased:ratio=0.5,steps=7,lr=0.001,lr-end=0.001,dense-every=3"' every.jsonl
check train --resume every.st --steps 9 -l every.jsonl # goes on with it: as one stage of 9
check start --stages "unbiased:ratio=0.5,steps=9,dense-every=3,$even" -c nine.st
check cmp every.st nine.st
check start --stages "unbiased:ratio=0.5,steps=9,dense-every=3,lr=1e-3" -c cosine.st
check train --resume cosine.st --steps 15 -l cosine.jsonl
check grep -q '"unbiased:ratio=0.5,steps=6,lr=0.0001[^"]*,dense-every=3"' cosine.jsonl
refuses "'dense-every' must be a whole number from 2" --resume a.st --stages dense:steps=1,dense-every=1

# ---- alone ----

export SSACL_MPI_LIBRARY= # so that whoever looks for others fails
for names in OMPI_COMM_WORLD_SIZE:OMPI_COMM_WORLD_RANK PMI_SIZE:PMI_RANK SLURM_STEP_NUM_TASKS:SLURM_PROCID; do
    size=${names%:*} rank=${names#*:}
    check env "$size=2" "$program" train --data text --device cpu --quiet $tiny --steps 1 -c one.st --force
    env "$size=2" "$rank=0" "$program" train --data text --device cpu --quiet $tiny --steps 1 -c one.st --force 2>err
    check [ $? -eq 1 ]
    check grep -q 'give --alone' err
    check env "$size=2" "$rank=0" "$program" train --data text --device cpu --quiet $tiny --steps 1 -c one.st --force --alone
done
check env PMI_SIZE=2 PMI_RANK=0 PMI_FD=77 "$program" train --data text --device cpu --quiet $tiny --steps 1 -c one.st --force

finish 'ssacl-text, longer'
