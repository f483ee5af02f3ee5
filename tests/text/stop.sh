#!/bin/sh
# How runs of ssacl-text end, and go on: signals, broken pipes, evaluations that are stopped, losses that are not finite,
# Ctrl-Z. On the host backend. Usage: stop.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
ulimit -c 0
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
tiny="--device cpu --layers 1 --width 8 --heads 1 --length 8 --batch 1 --eval-windows 2 --log-every 5"

has() { grep -q -- "$2" "$1"; }
lacks() { ! grep -q -- "$2" "$1"; }
# A shell starts what is in the background with Ctrl-C ignored, and ignored it stays.
# shellcheck disable=SC2086 # a list of options
train() { exec env --default-signal "$program" train --data text $tiny "$@"; }
lines() { [ -f "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ]; }
wait_for() { # COMMAND...: until it holds, while $child runs
    until "$@" || ! kill -0 $child 2>/dev/null; do
        sleep 0.05
    done
}
uncaught() { grep -q '^SigCgt:.*[0189]$' /proc/$child/status; } # neither SIGINT nor SIGQUIT, by bits 1 and 2
ends() { # STATUS: that of $child
    wait $child 2>/dev/null
    got=$?
    check [ $got -eq "$1" ]
}
proverb 20000 >text

# ---- signals: each ends the run in order ----

for signal in INT TERM QUIT HUP XCPU USR1 USR2; do
    (train --steps 10000000 -c $signal.st -l $signal.jsonl 2>err) &
    child=$!
    wait_for lines $signal.jsonl 3
    kill -s $signal $child
    ends 130
    check [ -s $signal.st ]
    check has err "continue with --resume $signal.st"
    check has $signal.jsonl '"status":"interrupted"'
done

# While it starts, here for ever, as nobody reads its log: it ends at once, and no lock stays.
mkfifo starts.jsonl
for signal in INT TERM; do
    (train --steps 9 -c starts.st -l starts.jsonl 2>err) &
    child=$!
    wait_for [ -s starts.st.lock ]
    kill -s $signal $child
    ends $([ $signal = INT ] && echo 130 || echo 143)
    check [ ! -e starts.st.lock ]
done

# What is ignored stays ignored, as under nohup.
(trap '' HUP; exec "$program" train --data text $tiny --steps 10000000 -c ignored.st -l ignored.jsonl 2>err) &
child=$!
wait_for lines ignored.jsonl 3
kill -s HUP $child
wait_for lines ignored.jsonl $(($(wc -l <ignored.jsonl) + 20))
check kill -s TERM $child
ends 130

# The second ends it at once, in the middle of a step that takes long. Whichever comes second.
for second in QUIT INT; do
    rm -f twice.jsonl
    (exec env --default-signal "$program" train --device cpu --data text --layers 4 --width 256 --heads 4 --length 256 \
        --batch 8 --accumulate 512 --steps 2 -c twice.st -l twice.jsonl 2>err) &
    child=$!
    wait_for lines twice.jsonl 1
    kill -s QUIT $child
    wait_for uncaught # the first has been handled
    kill -s $second $child
    ends $([ $second = QUIT ] && echo 131 || echo 130)
    check [ ! -e twice.st ]
    check lacks twice.jsonl '"event":"end"'
done

# ---- a pipe that nobody reads ----

{ (train --steps 300 --eval-every 5 -c pipe.st -l pipe.jsonl --json); echo $? >code; } 2>&1 | head -n 1 >/dev/null
check [ -s pipe.st ]
check has pipe.jsonl '"status":"finished","step":300'
check has code '^[01]$'
{ (train --steps 300 --eval-every 5 -c pipe2.st -l pipe2.jsonl 2>&1 >&3); echo $? >code; } 3>&2 | head -n 1 >/dev/null
check has code '^0$'
check has pipe2.jsonl '"status":"finished","step":300'

# ---- an evaluation that is stopped ----

yes 'Not all those who wander are lost; the old that is strong does not wither.' | head -c 20000000 >long
(exec env --default-signal "$program" train --data long $tiny --eval-windows 10000000 --steps 10 -c done.st -l done.jsonl 2>err) &
child=$!
wait_for [ -s done.st ] # written before the evaluation
kill -s INT $child
ends 130
check lacks err 'continue with'
check has err 'done after step 10'
check has err 'ssacl-text eval --checkpoint done.st'
check has done.jsonl '"status":"finished"'
(exec env --default-signal "$program" train --data long $tiny --eval-windows 10000000 --stages 'dense:steps=5 dense:steps=10' \
    --keep-stages -c stages.st 2>err) &
child=$!
wait_for [ -s stages.st.stage1 ]
kill -s INT $child
ends 130
check has err 'stopped after step 5'
check [ -s stages.st.stage1 ]
rm long

# So is a profile.
(train --layers 2 --width 64 --heads 4 --length 64 --batch 8 --steps 2 --profile 1000 --json -c timed.st -l timed.jsonl >out 2>err) &
child=$!
wait_for [ -s timed.jsonl ]
wait_for has timed.jsonl '"event":"end"'
kill -s INT $child
ends 130
check has out '"status": "finished"'

# ---- not finite ----

wild="--device cpu --layers 3 --width 32 --heads 2 --length 64 --lr 99 --lr-end 99 --clip 0 --warm-up 0 --eval-every 0 --log-every 1 --quiet"
# shellcheck disable=SC2086
wild() { "$program" train --data text $wild "$@" >out 2>err; }
wild --steps 60 --every 1 -c wild.st -l wild.jsonl
check [ $? -eq 1 ]
check has err 'of step [0-9]* is not finite, so that it was not taken; lower the learning rate (now '
check [ "$(wc -l <err)" -eq 1 ]
bad=$(sed -n 's/.* of step \([0-9]*\) is not finite.*/\1/p' err)
check [ "$bad" -gt 1 ]
"$program" train --data text --device cpu --resume wild.st --quiet 2>err
check has err "step $bad is not finite" # it is whole, and of the step before
# The same as the last step; and where there was no file, the last good step is kept.
wild --steps "$bad" -c last.st -l last.jsonl
check [ $? -eq 1 ]
check has err "step $bad is not finite"
check has last.jsonl '"event":"step"'
check has last.jsonl '"event":"end","status":"not finite"'
tail -c 500000 wild.st >one # past the headers, which tell of other runs
tail -c 500000 last.st >other
check cmp -s one other
rm one other

# ---- Ctrl-Z ----

(train --layers 2 --width 64 --heads 4 --length 64 --batch 8 --accumulate 8 --steps 10000000 --log-every 3 --deadline 0.2 \
    -c stopped.st -l stopped.jsonl 2>err) &
child=$!
wait_for lines stopped.jsonl 4
kill -s STOP $child
sleep 3
kill -s CONT $child
wait_for lines stopped.jsonl $(($(wc -l <stopped.jsonl) + 3))
kill -s TERM $child
ends 130
check lacks err lost

finish 'ssacl-text, ends'
