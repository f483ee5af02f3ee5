#!/bin/sh
# The command line of ssacl-text: every bad input refused in one sentence with nothing half-written, Ctrl-C and
# resume, machine-readable outputs. On the host backend; runs that are stopped also on the first OpenCL device
# (SSA_TEST_DEVICES=cpu: not). Usage: run.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
device=cpu
small="--layers 2 --width 32 --heads 2 --length 64 --batch 4 --eval-windows 4"

check() { check_quietly "$@"; }
text() { "$program" "$@"; }
# shellcheck disable=SC2086 # a list of options
train() { text train --device $device --data text $small "$@"; }

words 12000 >text

# ---- help ----

for command in '' train plan eval sample report; do
    # shellcheck disable=SC2086
    check sh -c '"$0" $1 --help | grep -q "^usage: ssacl-text"' "$program" "$command"
done
refuses 2 'give a command' text
refuses 2 'no command' text trian
refuses 2 'unknown option' text train -Z
refuses 2 'needs a value' text train --data
refuses 2 'not an option' text train --no-such-thing
refuses 2 'not expected' text train --data text extra

# ---- text ----

: >empty
head -c 100 text >short
refuses 2 'give --data' text train
refuses 1 'nothing-there: cannot be opened' text train --data nothing-there
refuses 1 'is empty' text train --data empty
refuses 1 'too short' text train --data short
refuses 1 'Is a directory' text train --data .
refuses 1 'cannot be read' text train --data /proc/self/mem
if [ "$(id -u)" != 0 ]; then
    cp text locked && chmod 000 locked
    refuses 1 'Permission denied' text train --data locked
fi

# ---- settings ----

refuses 2 'over 0 and at most 1' train --attention local --ratio 0
refuses 2 'not a number from 0 to 1' train --attention local --ratio 1.5
refuses 2 'not a number from 0 to 1' train --attention local --ratio nan
refuses 2 'not a number from 0 to 1' train --attention unbiased --ratio 0.5x
refuses 1 'ratio' train --attention local --ratio 0.3
refuses 1 'ratio' train --attention unbiased --ratio 0.001
refuses 1 'heads' train --heads 3
refuses 1 'heads' train --kv-heads 3 --heads 2
refuses 1 'width' train --width 36
refuses 2 'not a whole number' train --steps 0
refuses 2 'not a whole number' train --steps 1e3
refuses 2 'not one of' train --attention sparse
refuses 1 'cpu is listed twice' text train --data text --device cpu,cpu
refuses 1 'cpu is listed twice' text train --data text --device cpu --device cpu
refuses 1 'an empty name' text train --data text --device cpu,
refuses 2 'one of host|stop' text train --data text --last-device wait
refuses 2 'not a number' text train --data text --deadline soon
refuses 2 "'-1'" text train --data text --deadline -1
refuses 2 "'-1'" text train --data text --copy-every -1
refuses 1 'no device "teapot"' env ASAN_OPTIONS=detect_leaks=0 "$program" train --data text --device teapot # drivers leak
refuses 2 'no kind of attention' train --stages 'lokal:steps=5'
refuses 2 'no steps' train --stages 'dense:lr=1e-3'
refuses 2 "dense attention has no 'sigma'" train --stages 'dense:sigma=0.5,steps=5'
refuses 2 "dense attention has no 'first-dense'" train --stages 'dense:first-dense=1,steps=5'
refuses 2 "unbiased attention has no 'look-back'" train --stages 'unbiased:look-back,steps=5'
refuses 2 "local attention has no 'source-dropout'" train --stages 'local:source-dropout,steps=5'
refuses 2 'must be over 0' train --stages 'local:ratio=0,steps=5'
refuses 2 'must be over 0' train --stages 'local:ratio=1.01,steps=5'
refuses 2 'no setting' train --stages 'dense:steps=5,rate=2'
refuses 2 'whole number' train --stages 'dense:steps=many'
refuses 2 'takes no value' train --stages 'local:look-back=1,steps=5'
refuses 2 'there is none' train --stages ' '
refuses 2 'leave out --steps' train --stages 'dense:steps=5' --steps 5
refuses 2 'give one of them' train --resume a --from b

# ---- outputs ----

refuses 1 'cannot be used' train --checkpoint no/such/folder/c
refuses 1 'not a regular file' train --checkpoint /dev/full --force
refuses 1 'not a regular file' train --checkpoint . --force
refuses 1 'No space left' train --log /dev/full --steps 3 --quiet
refuses 1 'No such file' train --log no/such/folder/log --steps 3 --quiet

# ---- a run ----

stages='local:ratio=0.25,look_back,steps=30,lr=2e-3 dense:steps=10,lr=5e-4'
train --stages "$stages" --checkpoint c --log log.jsonl --profile 1 --keep-stages --json >train.json 2>train.err
check [ $? -eq 0 ]
check [ ! -s train.err ]
check [ -s c ] && check [ -s c.stage1 ]
json train.json 'x["status"] == "finished" and x["step"] == 40 and x["tokens"] == 40 * 4 * 64'
json train.json '0 < x["train_bits"] < 9 and 0 < x["valid_bits"] < 9 and len(x["profile"]["stages"]) == 2'
json train.json 'x["stages"][0].startswith("local:ratio=0.25,look-back,steps=30")'
check python3 -c 'import json; [json.loads(l) for l in open("log.jsonl")]'
cp c c.before
refuses 1 'exists' train --checkpoint c
check cmp c c.before
train --steps 3 --checkpoint c2 --force --quiet 2>quiet.err
check [ ! -s quiet.err ]

# ---- eval, sample, report ----

text eval --device $device --data text --checkpoint c --passes 3 --windows 4 --json --log log.jsonl >eval.json
json eval.json 'len(x["ensemble"]["bits_of_first"]) == 3 and x["ensemble"]["single_spread"] >= 0'
json eval.json 'abs(x["ensemble"]["bits_of_first"][2] - x["ensemble"]["bits"]) < 1e-6 and x["dense"]["bits"] > 0'
json eval.json 'x["ensemble"]["bits"] <= x["ensemble"]["single_bits"] and x["part"] == "test"'
check text eval --device $device --data text --checkpoint c2 --part valid --mode dense --windows 2
check text eval --device $device --data text --checkpoint c2 --mode dense --windows 2 --stride 16
refuses 1 'at most the model' text eval --device $device --data text --checkpoint c2 --mode dense --stride 65
refuses 2 'from 1 to 1000' text eval --data text --checkpoint c --passes 1001
refuses 2 'from 0 to 8' text eval --data text --checkpoint c --tolerance -1
refuses 2 'from 0 to 8' text eval --data text --checkpoint c --tolerance nan
refuses 1 'cpu is listed twice' text eval --data text --checkpoint c --device cpu,cpu
refuses 1 'an empty name' text sample --checkpoint c --device cpu,
tolerant() { text eval --device $device --data text --checkpoint c --windows 4 --mode ensemble --json "$@"; }
tolerant --passes 40 --tolerance 5 >eval.json
json eval.json '(lambda e: e["passes"] == 4 == len(e["bits_of_first"]) and 0 < e["unsettled"] <= 5)(x["ensemble"])'
tolerant --passes 5 --tolerance 1e-9 >eval.json
json eval.json 'x["ensemble"]["passes"] == 5 and x["ensemble"]["unsettled"] > 1e-9 and len(x["devices"]) == 1'
check sh -c '"$0" eval --device cpu --data text --checkpoint c --windows 4 --passes 40 --tolerance 5 |
    grep -q "4 of 40 passes, settled: infinitely many would give that +- 0"' "$program"
refuses 2 'give --checkpoint' text eval --data text
refuses 1 'without sampling' text eval --device $device --data text --checkpoint c2 --mode ensemble
refuses 2 'must be over 0' text eval --device $device --data text --checkpoint c2 --pattern unbiased:ratio=3
refuses 1 'cannot be opened' text eval --device $device --data nothing-there --checkpoint c
refuses 1 'names the log of the run' text eval --data text --checkpoint c --log no-log.jsonl
text sample --device $device --checkpoint c --count 20 --seed 3 --json >sample.json
json sample.json 'len(x["bytes"]) == 20 and x["prompt"] == "The "'
text sample --device $device --checkpoint c --count 20 --seed 3 --json >sample2.json
check cmp sample.json sample2.json
sample() { text sample --device $device --checkpoint c --count 20 --seed 3 "$@"; }
speed='^20 tokens, [1-9][0-9.]* tokens/s$'
sample -v 2>sample.err >sample.out
check grep -q "$speed" sample.err
sample 2>sample.err >sample2.out # no terminal
check cmp sample.out sample2.out
check [ ! -s sample.err ]
sample --json -v 2>sample.err >sample2.json
check cmp sample.json sample2.json
check sh -c '! grep -q tokens/s sample.err'
check sh -c 'script -qec "\"$0\" sample --device cpu -c c --count 20" /dev/null </dev/null | tr -d "\r" | grep -q "$1"' \
    "$program" "$speed"
check sh -c 'printf "the river" | "$0" sample --device cpu --checkpoint c --count 5 --temperature 0 --prompt - |
    grep -aq "^the river"' "$program"
refuses 1 'stdin: is empty' sh -c '"$0" sample --checkpoint c --prompt - </dev/null' "$program"
checks=$((checks + 1))
text report log.jsonl >/dev/full 2>/dev/null && wrong "a full stdout is not seen"
text report log.jsonl --json >report.json
json report.json 'x["runs"][0]["run"] == "log" and x["runs"][0]["test_ensemble_bits"] > 0'
json report.json 'x["runs"][0]["tokens"] == 10240 and x["runs"][0]["attention_seconds"] > 0'
text report log.jsonl --tests --json >report.json
json report.json '[r["name"] for r in x["rows"]] == ["log, end of stage 2 (dense)"] and x["against"] is None'
json report.json '(lambda r: r["dense"]["bits"] > 0 and abs(r["ensemble_2"]["bits"] - r["single"]["bits"]) < 1)(x["rows"][0])'
cat log.jsonl log.jsonl >two.jsonl
text report two.jsonl --json >report.json
json report.json 'x["runs"][0]["tokens"] == 2 * 10240'
refuses 1 'gnuplot-nox' env PATH=/nowhere "$program" report log.jsonl --out curves
if command -v gnuplot >/dev/null; then
    check text report log.jsonl log.jsonl --out curves
    check grep -q '<svg' curves.svg
    check sh -c 'head -c 4 curves.png | grep -aq PNG'
    check [ "$(echo curves.svg.part-*)" = 'curves.svg.part-*' ]
fi
python3 - <<'END' >pool.jsonl
import json
def put(**record): print(json.dumps(record))
def step(n, *shares): put(event="step", step=n, tokens=64. * n, seconds=n / 8, bits=5 - n / 100, shares=shares, rates=[1.])
put(event="start", devices=[{"id": "gpu:0"}, {"id": "gpu:1"}], batch=16, micro_batch=2, parameters=100, stages=["dense"])
step(10, 4, 4)
put(event="device", change="share", member=0, id="gpu:0", step=15, before=4, after=6, reason="faster")
put(event="device", change="share", member=1, id="gpu:1", step=15, before=4, after=2, reason="slower")
step(20, 6, 2)
put(event="device", change="lost", member=1, id="gpu:1", step=25, before=2, after=0, reason="it failed")
put(event="device", change="lost", member=0, id="gpu:0", step=28, before=8, after=0, reason="it failed")
put(event="device", change="joined", member=2, id="cpu", step=28, before=0, after=0, reason="no other is left")
put(event="device", change="rollback", member=2, id="cpu", step=20, before=0, after=8, reason="from the copy")
step(30, 0, 0, 8)
END
text report pool.jsonl --json >report.json
json report.json '[x["runs"][0][k] for k in ("devices", "devices_lost", "share_changes", "tokens")] == [3, 2, 2, 1920]'
json report.json '"pictures" not in x'
if command -v gnuplot >/dev/null; then
    text report log.jsonl pool.jsonl --out curves --json >report.json
    json report.json 'x["pictures"] == ["curves" + e for e in (".svg", ".png", "-shares.svg", "-shares.png")]'
    check grep -q 'gpu:1' curves-shares.svg
    check grep -q 'steps of pool' curves-shares.svg
    check sh -c '! grep -q "steps of log" curves-shares.svg'
fi
refuses 1 'cannot be used' text report log.jsonl --out no/such/folder/curves
refuses 1 'no record of a training log' text report text
refuses 1 'is empty' text report empty
refuses 2 'give one to' text report

# ---- checkpoints that are none ----

size=$(wc -c <c)
head -c $((size / 2)) c >cut-off
head -c 5 c >stub
python3 - <<'EOF'
import json, struct
whole = open("c", "rb").read()
header = 8 + struct.unpack("<Q", whole[:8])[0]
def put(name, data): open(name, "wb").write(data)
def flip(at): return whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:]
put("flip-data", flip(header + (len(whole) - header) // 2))
put("flip-end", flip(len(whole) - 1))
put("flip-header", flip(8 + whole[8:].index(b'"')))
put("long-header", struct.pack("<Q", 2**63) + whole[8:])
put("foreign", struct.pack("<Q", 64) + json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})
    .ljust(64).encode() + bytes(8))
EOF
for bad in cut-off stub empty flip-data flip-end flip-header long-header foreign text; do
    refuses 1 "$bad" text eval --device $device --data text --checkpoint $bad
    refuses 1 "$bad" text train --device $device --data text --resume $bad --quiet
    refuses 1 "$bad" text sample --device $device --checkpoint $bad
done
refuses 1 'nothing-there' text sample --device $device --checkpoint nothing-there
cp text other && printf 'x' >>other
refuses 1 'other text' text train --device $device --data other --resume c --quiet
refuses 1 'has done all' text train --device $device --data text --resume c --quiet
refuses 2 'does not go with --resume' text train --device $device --data text --resume c --layers 2
refuses 2 'does not go with --from' text train --device $device --data text --from c --width 32
check text train --device $device --data text --from c --batch 4 --steps 2 --checkpoint from --eval-windows 2

# ---- no space ----

cp c c.before
full() { (ulimit -f 16; exec "$program" "$@"); } # the unit is 512 bytes or a kilobyte; c is larger than both
refuses 1 'c: ' full train --device $device --data text --from c --batch 4 --steps 2 --checkpoint c --force --quiet
check cmp c c.before

# ---- Ctrl-C, kill, resume ----

# The same run three times: in one go, stopped by a signal and resumed, killed and resumed. $SSA_TEST_STEPS is for where
# steps are slow: under sanitizers.
# Nice, so that on a busy machine it is not over before its log is looked at.
# shellcheck disable=SC2086 # a list of options; exec, so that a signal to a run in the background meets the program
run() { # a shell starts what is in the background with Ctrl-C ignored, and ignored it stays
    long="local:ratio=0.25,look-back,steps=$((steps * 4 / 5)) dense:steps=$((steps / 5))"
    exec nice env --default-signal=INT "$program" train --device "$device" --data text $small --dropout 0.1 --stages "$long" --eval-every 0 \
        --log-every $((steps / 100)) --quiet "$@"
}

has_lines() { [ -f "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ]; }
wait_for_lines() { # FILE COUNT: while $child runs
    while ! has_lines "$1" "$2" && kill -0 $child; do
        sleep 0.1
    done
}

interrupt() { # SIGNAL NAME LINES OPTIONS...: starts a run, signals it once its log has so many lines; its exit status
    signal=$1 name=$2 lines=$3
    shift 3
    run --checkpoint "$name" --log "$name.jsonl" "$@" &
    child=$!
    wait_for_lines "$name.jsonl" "$lines"
    kill -s "$signal" $child
    wait $child 2>/dev/null
}

resume() { text train --device "$device" --data text --resume "$1" --log "$1.jsonl" --quiet --eval-every 0; }

opencl=
[ "${SSA_TEST_DEVICES-}" = cpu ] || opencl=$(text --devices | sed -n 's/^\(opencl:[0-9:]*\).*/\1/p' | head -n 1)
for device in cpu $opencl; do
    steps=${SSA_TEST_STEPS:-500}
    [ $device = cpu ] || steps=${SSA_TEST_STEPS:-200} # each is longer there
    rm -f whole stopped killed ./*.jsonl
    (run --checkpoint whole --log whole.jsonl)
    check [ $? -eq 0 ]
    for signal in INT TERM; do
        rm -f stopped stopped.jsonl
        interrupt $signal stopped 20
        check [ $? -eq 130 ]
        check [ -s stopped ]
        check resume stopped
        check cmp whole stopped
    done
    interrupt KILL killed 30 --every $((steps / 10))
    check [ $? -eq 137 ]
    check resume killed
    check cmp whole killed
    check [ "$(echo stopped.part-*)" = 'stopped.part-*' ]
    text report stopped.jsonl killed.jsonl whole.jsonl --json >report.json
    json report.json 'len({r["tokens"] for r in x["runs"]}) == 1'
done

finish 'ssacl-text'
