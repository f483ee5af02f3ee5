#!/bin/sh
# run.sh MODULE PROBE SSACL-TEXT SSACL-GRAPH [LAYER]: ranks under a real launcher. Exit status 77, with the reason, where
# there is none.
set -u
module=$1 probe=$(realpath "$2") text=$(realpath "$3") graph=$(realpath "$4") layer=${5:+$(realpath "$5")}
tests=$(realpath "$(dirname "$0")/..")
[ -n "$module" ] || { echo "skipped: built without MPI (Debian: libopenmpi-dev)"; exit 77; }
command -v mpirun >/dev/null || { echo "skipped: no mpirun (Debian: openmpi-bin)"; exit 77; }
# Open MPI refuses to run as root, and on fewer cores than ranks, unless told.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export ASAN_OPTIONS=detect_leaks=0 # MPI's own
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-mpi.XXXXXX")
hosts= # network namespaces
clean() {
    for host in $hosts; do ip netns del "$host"; done
    rm -rf "$work"
}
trap clean EXIT
cd "$work" || exit 1
checks=0 failures=0

wrong() { failures=$((failures + 1)); printf 'WRONG: %s\n' "$*"; }

# says WORDS COMMAND...: succeeds, and says the words.
says() {
    words=$1
    shift
    checks=$((checks + 1))
    timeout 900 "$@" >out 2>err || wrong "exit status $?: $*: $(cat out err)"
    cat out err | grep -q -e "$words" || wrong "no word of '$words': $*: $(cat out err)"
}

# refuses WORDS COMMAND...: fails, soon, and says the words on stderr.
refuses() {
    words=$1
    shift
    checks=$((checks + 1))
    timeout 900 "$@" >out 2>err
    status=$?
    [ $status -ne 0 ] && [ $status -ne 124 ] || wrong "exit status $status: $*: $(cat out err)"
    grep -q -e "$words" err || wrong "no word of '$words': $*: $(cat out err)"
}

# ---- the engine ----

for ranks in 1 2 3 4 7; do
    says "fine: $ranks ranks" mpirun -n $ranks "$probe"
done
says 'fine: 2 ranks' mpirun -n 2 --mca btl self,tcp "$probe"
refuses 'started 3 processes, MPI knows of 1' env OMPI_COMM_WORLD_SIZE=3 OMPI_COMM_WORLD_RANK=0 "$probe"
refuses 'no module' mpirun -n 2 env SSACL_MPI_LIBRARY= "$probe"

# ---- ssacl-text ----

python3 - <<'EOF_TEXT'
import random
random.seed(1)
words = "the a of and to in is on that by with as for was were from history river city first".split()
open("text", "w").write(" ".join(random.choice(words) for _ in range(12000)))
EOF_TEXT
cp text other && printf x >>other

# Started by a rank of another program's job, which is none of the launcher's: a run of one process, by itself.
cat >outer.py <<'EOF_OUTER'
import ctypes, os, subprocess, sys
mpi = ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
mpi.MPI_Init(None, None)
status = 0
if os.environ["OMPI_COMM_WORLD_RANK"] == "0":
    status = subprocess.call(sys.argv[2:])
mpi.MPI_Finalize()
sys.exit(status)
EOF_OUTER
says 'done after step 2' mpirun -n 2 python3 outer.py "$module" "$text" train --device cpu --data text --layers 1 --width 8 \
    --heads 1 --length 8 --batch 1 --steps 2 -c inner.st

# Runs COMMAND in every rank, in rank 1 with the words of $odd behind it; leaves process ids in pid.RANK.
cat >rank.sh <<'EOF_RANK'
rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}
echo $$ >pid.$rank
# shellcheck disable=SC2086
if [ "$rank" = 1 ]; then exec "$@" $odd; else exec "$@"; fi
EOF_RANK
odd=
export odd
small="--layers 2 --width 32 --heads 2 --length 64 --batch 2 --accumulate 4 --eval-windows 4 --dropout 0.1
    --attention local --look-back --device cpu"
cat >ranks <<EOF_RANKS # ranks N OPTIONS...
count=\$1
shift
exec mpirun -n \$count sh rank.sh $text train $(echo $small) "\$@"
EOF_RANKS
same() {
    checks=$((checks + 1))
    cmp "$1" "$2" || wrong "$1 and $2 differ"
}
# wait_for FILE WORDS: until the file has the words
wait_for() {
    for _ in $(seq 6000); do
        grep -q -e "$2" "$1" 2>/dev/null && return
        sleep 0.1
    done
    wrong "no '$2' in $1"
}

for steps in 100 1600; do # the longer one for ranks that are stopped on the way
    # shellcheck disable=SC2086
    "$text" train $small --data text --steps $steps -c one$steps.st -q || wrong "one rank failed"
done
for count in 2 4; do
    says 'done after step 100' sh ranks $count --data text --steps 100 -c $count.st -l $count.jsonl
    same one100.st $count.st
    [ "$(grep -c 'done after step 100' err)" = 1 ] || wrong "not rank 0 alone speaks: $(cat err)"
    [ "$(grep -c '"event":"end"' $count.jsonl)" = 1 ] || wrong "not rank 0 alone writes the log"
done

# A text without a rule, of which nothing learnt is right elsewhere: all end, and no rank takes it for a failure.
python3 -c 'import random; random.seed(3); print("".join(random.choices("0123456789", k=3000)), end="")' >digits
says 'no better for 2 looks' sh ranks 2 --data digits --lr 0.02 --steps 2000 --eval-every 10 --patience 2 -c calm.st -l calm.jsonl
grep -q '"status":"no better"' calm.jsonl || wrong "it did not end for that: $(tail -n 1 calm.jsonl)"

refuses 'each needs one' sh ranks 5 --data text -c no.st
odd='--seed 7' refuses 'the ranks do not agree, rank 1: training.seed is "7", rank 0 has "0"' sh ranks 3 --data text -c no.st
odd='--lr 0.5' refuses 'rank 1: training.stages\[0\].lr is 0.5, rank 0 has 0.002' sh ranks 2 --data text -c no.st
odd='--data other' refuses 'rank 1: data.tokens is' sh ranks 2 --data text -c no.st
odd='--data nowhere' refuses 'train, rank 1: nowhere: cannot be opened' sh ranks 2 --data text -c no.st
refuses 'nowhere: cannot be opened' sh ranks 4 --data nowhere -c no.st
[ "$(grep -c nowhere: err)" = 1 ] || wrong "said more than once: $(cat err)"
refuses 'one100.st: exists' sh ranks 2 --data text -c one100.st
[ ! -e no.st ] || wrong "a refused run left a checkpoint"

# ---- stopped, killed, resumed by others ----

# Ctrl-C goes to the launcher, which takes a second to pass it on; a batch system signals ranks, of which one will do. All
# end after the same step. Nice, so that on a busy machine they are not done before the log is looked at.
for signal in INT USR1; do
    nice sh ranks 2 --data text --steps 1600 -c stopped.st -l stopped.jsonl --log-every 1 2>err &
    launcher=$!
    wait_for stopped.jsonl '"event":"step"'
    [ $signal = INT ] && kill -INT $launcher || kill -USR1 "$(cat pid.1)"
    wait $launcher
    checks=$((checks + 1))
    grep -q 'continue with --resume stopped.st' err || wrong "SIG$signal did not stop it in order: $(cat err)"
    # shellcheck disable=SC2086
    says 'done after step 1600' mpirun -n 4 "$text" train --device cpu --data text --resume stopped.st
    same one1600.st stopped.st
    rm -f stopped.*
done

sh ranks 2 --data text --steps 1000000 --every 20 -c killed.st 2>err &
launcher=$!
while [ ! -e killed.st ] && kill -0 $launcher; do
    sleep 0.1
done
kill -KILL "$(cat pid.1)"
wait $launcher && wrong "a killed rank is no error"
checks=$((checks + 1))
"$text" eval --checkpoint killed.st --data text --device cpu --windows 2 >out 2>err || wrong "killed: $(cat err)"

# ---- words, and graphs: over ranks as on one, resumed by others too ----

# over_ranks NAME PROGRAM OPTIONS...
over_ranks() {
    name=$1
    shift
    says 'done after step 12' "$@" -c "$name" --keep-stages --device cpu
    says 'done after step 12' mpirun -n 2 "$@" -c "$name.ranks" --keep-stages --device cpu
    same "$name" "$name.ranks"
    same "$name.stage1" "$name.ranks.stage1"
    says 'done after step 12' mpirun -n 4 "$1" train --data "$4" --resume "$name.ranks.stage1" -c "$name.again" --device cpu
    same "$name" "$name.again"
}
PYTHONDONTWRITEBYTECODE=1 python3 "$tests/graph/molecules.py" set 90
stages='unbiased:ratio=0.5,per-example,steps=7 dense:steps=5'
over_ranks graph "$graph" train --data set --layers 2 --width 32 --edge-width 8 --heads 4 --virtual-nodes 2 --batch 4 \
    --accumulate 4 --edge-mode sampled --attention-dropout 0.2 --drop-path 0.1 --ema 0.9 --stages "$stages"
over_ranks words "$text" train --data text --tokens words --family words --cutoffs 8,16 --layers 2 --width 32 --heads 2 \
    --length 32 --batch 2 --accumulate 4 --dropout 0.1 --eval-windows 2 --stages 'local:ratio=0.5,look-back,steps=7 dense:steps=5'

# ---- devices ----

# Two devices are dealt out to two ranks; as they do not compute alike, rank 0's parameters are everybody's.
if [ "$("$text" --devices | grep -c '^opencl:0:0 ')" = 1 ]; then
    says 'done after step 40' sh ranks 2 --data text --steps 40 --device cpu,opencl:0:0 -c unlike.st -l unlike.jsonl
    says 'done after step 40' sh ranks 2 --data text --steps 40 -c alike.st -l alike.jsonl
    checks=$((checks + 1))
    python3 - <<'EOF_NEAR' || wrong "other losses on unlike devices"
import json, sys
loss = lambda name: [r["loss"] for r in map(json.loads, open(name)) if r["event"] == "step"]
a, b = loss("unlike.jsonl"), loss("alike.jsonl")
sys.exit(not (len(a) == len(b) == 4 and all(abs(x - y) < 1e-4 for x, y in zip(a, b))))
EOF_NEAR
fi

# A device that fails for good: all end, and rank 0 writes the checkpoint of the step before, or its copy of the run.
if [ -n "$layer" ] && [ "$("$text" --devices | grep -c '^opencl:0:0 ')" = 1 ]; then
    for rank in 1 0; do
        cat >fault.sh <<EOF_FAULT
[ "\${OMPI_COMM_WORLD_RANK:-\${PMI_RANK:-0}}" = $rank ] && export SSA_FAULTS=fail=clEnqueueNDRangeKernel,nth=1500,onwards OPENCL_LAYERS=$layer
exec "\$@"
EOF_FAULT
        # shellcheck disable=SC2086
        refuses "rank $rank failed: .*CL_OUT_OF_RESOURCES" mpirun -n 2 sh fault.sh "$text" train ${small%--device cpu} \
            --device opencl:0:0 --data text --steps 100 --copy-every 3 -c fault$rank.st
        [ "$(grep -c "rank $rank failed" err)" = 1 ] || wrong "said more than once: $(cat err)"
        grep -q 'stopped after step [1-9]' err || wrong "no checkpoint: $(cat err)"
        says 'done after step 100' "$text" train --device cpu --data text --resume fault$rank.st
    done
fi

# ---- between machines: two network namespaces with names of their own ----

new_host() { # new_host NAME ADDRESS INTERFACE
    ip -n "$1" addr add "$2/24" dev "$3" && ip -n "$1" link set "$3" up && ip -n "$1" link set lo up
}
a=ssacl-a-$$ b=ssacl-b-$$
if ip netns add $a 2>err && hosts=$a && ip netns add $b 2>>err && hosts="$a $b" &&
    ip link add veth0 netns $a type veth peer name veth1 netns $b 2>>err &&
    new_host $a 10.77.0.1 veth0 2>>err && new_host $b 10.77.0.2 veth1 2>>err; then
    # What ssh is between machines.
    cat >host.sh <<EOF_HOST
#!/bin/sh
host=$b
[ "\$1" = 10.77.0.1 ] && host=$a
shift
exec ip netns exec \$host unshare --uts sh -c "hostname \$host; cd $work; \$*"
EOF_HOST
    chmod +x host.sh
    on_hosts="mpirun --hostfile hosts --mca plm_rsh_agent $work/host.sh"
    printf '10.77.0.1 slots=1\n10.77.0.2 slots=1\n' >hosts
    says 'fine: 2 ranks, 1 on this machine' ./host.sh 10.77.0.1 "$on_hosts -n 2 $probe"
    says 'done after step 100' ./host.sh 10.77.0.1 "$on_hosts -n 2 $text train $(echo $small) --data text --steps 100 -c hosts.st"
    same one100.st hosts.st
    printf '10.77.0.1 slots=2\n10.77.0.2 slots=2\n' >hosts
    says 'fine: 4 ranks, 2 on this machine' ./host.sh 10.77.0.1 "$on_hosts -n 4 $probe"
else
    echo "not tested between machines: no network namespaces here ($(cat err))"
fi

echo "$checks checks, $failures failures"
[ $failures -eq 0 ]
