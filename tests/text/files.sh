#!/bin/sh
# What ssacl-text reads and writes: no output is an input, no run takes another's files, half a line costs a line, links
# are followed, a disk that is full on the way does not end a run. On the host backend. Usage:
# files.sh PATH/ssacl-text PATH/room.so
room=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
small="--layers 1 --width 16 --heads 2 --length 16 --batch 2 --eval-windows 2"
export SSACL_OPENCL_LIBRARY= # none: devices are not what this is about

check() { check_quietly "$@"; }
text() { "$program" "$@"; }
again() { text train --device cpu --data text -q "$@"; }
# shellcheck disable=SC2086 # a list of options
train() { again $small --steps 4 "$@"; }
# shellcheck disable=SC2086
staged() { again $small --stages 'dense:steps=2;dense:steps=2' --keep-stages "$@"; }
# shellcheck disable=SC2086 # without end, in the background: $! is the program
endless() { exec "$program" train --device cpu --data text -q $small --steps 100000000 "$@"; }

# refuses WORDS COMMAND...: fails in one sentence with these words, and every file stays as it is.
refuses() {
    words=$1
    shift
    checks=$((checks + 1))
    before=$(ls -A && cat -- * 2>/dev/null | cksum)
    err=$("$@" 2>&1 >/dev/null) && wrong "was not refused: $*"
    case $err in *"$words"*) ;; *) wrong "no word of '$words': $*: $err" ;; esac
    [ "$(printf '%s\n' "$err" | wc -l)" -eq 1 ] || wrong "more than one line: $*: $err"
    [ "$(ls -A && cat -- * 2>/dev/null | cksum)" = "$before" ] || wrong "files were changed: $*"
}

# records LOG EVENT: how many the log has that are whole
records() { grep -a -c "^{.*\"event\":\"$2\".*}\$" "$1"; }
count() { [ "$(records "$1" "$2")" -eq "$3" ] || wrong "$1 has $(records "$1" "$2") records of $2, not $3"; checks=$((checks + 1)); }
wait_for() { until [ -e "$1" ]; do sleep 0.05; kill -0 "$2" 2>/dev/null || break; done; }

words 3000 >text
check train -c a.st -l a.jsonl
mkdir folder
ln -s text text.link
ln -s folder folder.link
ln text text.hard
ln -s nowhere.st dangling

# ---- an output that is an input, or another output ----

for same in text ./text "$work/text" text.link text.hard folder/../text; do
    refuses 'is the same file as --data' train -c b.st -l "$same"
    refuses 'is the same file as --data' train -c "$same" --force
done
refuses 'is the same file as --from' again --steps 4 --from a.st -c b.st -l ./a.st --force
refuses 'is the same file as --resume' again --resume a.st -c b.st -l a.st --force
refuses 'is the same file as --checkpoint' train -c e.st -l ./e.st
refuses 'is the same file as --checkpoint' train -c folder/e.st -l folder.link/e.st
refuses 'is the same file as' train -c dangling -l nowhere.st
refuses 'is the same file as' staged -c c.st -l c.st.stage1
refuses 'is the same file as' sh -c 'exec "$0" sample -c a.st --device cpu >>a.st' "$program"
refuses 'is the same file as' text eval --device cpu -c a.st --data text -l a.st
refuses 'is the same file as' text eval --device cpu -c a.st --data text -l text
cp a.jsonl curves.svg
refuses 'is the same file as' text report a.jsonl curves.svg --out curves

# ---- files of other runs ----

refuses 'a.jsonl: exists' train -c b.st -l a.jsonl
refuses 'a.st: exists' train -c a.st -l b.jsonl
touch b.st.stage1
refuses 'b.st.stage1: exists' staged -c b.st
check staged -c b.st --force -l b.jsonl --every 3
check [ -s b.st.stage1 ]
: >empty.jsonl
check train -c c.st -l empty.jsonl --seed 7
count empty.jsonl start 1
cp b.st.stage1 b1.st
refuses 'log of another run' again --resume b1.st -l empty.jsonl
refuses 'no record of a training log' again --resume b1.st -l text.hard2 -l a.st
check again --resume b1.st -l b.jsonl
count b.jsonl start 2
count b.jsonl resume 1
cp b.st.stage1 ./b1.st
check again --resume ./b1.st -c b1.st # the same file, written in another way

# ---- half a line ----

cp b.st.stage1 b1.st
cp b.jsonl torn.jsonl
printf '{"event":"step","st' >>torn.jsonl
check again --resume b1.st -l torn.jsonl
count torn.jsonl resume 2
count torn.jsonl end 3
head -c 300 /dev/zero >>torn.jsonl
printf '\nnot a record\n[1]\n\n{"step":3}\n{"event":"test","dense":{"bits":1.5}}\n{"event":"ste' >>torn.jsonl
check text report torn.jsonl
check sh -c '"$0" report torn.jsonl | grep -q "test, dense.*1.5"' "$program"
refuses 'no record of a training log' text report text
echo notes >notes
refuses 'no record of a training log' text eval --device cpu -c c.st --data text -l notes
measured() { text eval --device cpu --data text --windows 1 --passes 1 "$@"; }
check measured -c b1.st -l torn.jsonl
count torn.jsonl test 2

# ---- a result in the log of another run ----

refuses 'its "seed" is another' measured -c c.st -l b.jsonl
refuses 'or add to it with --force' measured -c c.st -l b.jsonl
check measured -c c.st -l torn.jsonl --force
count torn.jsonl test 3
check measured -c b.st.stage1 -l torn.jsonl # of the same run
count torn.jsonl test 4
check train -c drop.st -l drop.jsonl --dropout 0.1 # which is 0.100000001 in the log
check measured -c drop.st -l drop.jsonl
count drop.jsonl test 1
check again --resume drop.st --steps 6 -l drop.jsonl # made longer
check measured -c drop.st -l drop.jsonl
count drop.jsonl test 2
refuses 'its "model" is another' measured -c a.st -l drop.jsonl
sed 's/"rope_base":[0-9.]*,//; s/"bias":true,//' drop.jsonl >older.jsonl # from before a model had these
check [ "$(cmp -s drop.jsonl older.jsonl; echo $?)" -eq 1 ]
check again --resume drop.st --steps 8 -l older.jsonl
sed 's/"model":{/&"newer":1,/' drop.jsonl >newer.jsonl
check again --resume drop.st --steps 9 -l newer.jsonl
sed 's/"bias":true/"bias":false/' drop.jsonl >biased.jsonl
refuses 'its "model" is another' again --resume drop.st --steps 10 -l biased.jsonl
check train -c batch.st --batch 1
refuses 'its "batch" is another' measured -c batch.st -l a.jsonl
check train -c wide.st --width 32
refuses 'its "parameters" is another' measured -c wide.st -l a.jsonl
printf '{"event":"test"}\n' >startless.jsonl
check measured -c a.st -l startless.jsonl

# ---- what is called as a lock would be, and is none ----

cp text k.st.lock
refuses 'the lock ./k.st.lock: is the same file as --data' text train --device cpu --data k.st.lock -c ./k.st
cp a.st q.st.lock
refuses 'is the same file as --from' again --steps 4 --from q.st.lock -c q.st
refuses 'is the same file as --resume' again --resume q.st.lock -c q.st
refuses 'is the same file as' train -c n.st -l n.st.lock
echo mine >m.st.lock
refuses 'm.st.lock: is where the lock of m.st goes' train -c m.st
refuses 'm.st.lock: is where the lock of m.st goes' train -c m.st --force
for thing in 'mkdir' 'mkfifo' 'ln -s notes' 'ln -s nowhere' 'ln -s m.st.lock'; do
    rm -f m.st.lock
    $thing m.st.lock
    checks=$((checks + 1))
    err=$(train -c m.st 2>&1) && wrong "went on over $thing"
    case $err in *'m.st.lock: is where the lock of m.st goes'*) ;; *) wrong "$thing m.st.lock: $err" ;; esac
    check sh -c '[ -L m.st.lock ] || [ -e m.st.lock ]'
    rmdir m.st.lock 2>/dev/null
done
rm -f m.st.lock
check [ ! -e m.st ]
# One of a run that was killed is used, also before it wrote into it; one that somebody has put in its place stays.
: >m.st.lock
check train -c m.st
check [ ! -e m.st.lock ]
rm m.st
endless -c m.st -l m.jsonl &
first=$!
wait_for m.jsonl $first
kill -KILL $first
wait $first 2>/dev/null
check [ -s m.st.lock ]
check train -c m.st
check [ ! -e m.st.lock ]
endless -c m.st --force -l m2.jsonl &
first=$!
wait_for m2.jsonl $first
rm m.st.lock
echo mine >m.st.lock
kill $first
wait $first
check grep -q mine m.st.lock
rm m.st.lock

# ---- two runs in one folder ----

endless -c two.st -l two.jsonl --every 1 &
first=$!
wait_for two.st $first
# what the first is writing meanwhile changes: only the words are looked at
second() { words=$1; shift; checks=$((checks + 1)); out=$("$@" 2>&1) && wrong "went on: $*"
    case $out in *"$words"*) ;; *) wrong "no word of '$words': $*: $out" ;; esac; }
second 'another run is writing' train -c two.st --force
ln -s two.st two.link
second 'another run is writing' train -c two.link --force
second 'another run' train -c other.st -l two.jsonl --force
check [ ! -e other.st ]
check kill -0 $first
kill $first
wait $first
check [ $? -eq 130 ]
check [ ! -e two.st.lock ]
check [ "$(echo two.st.part-*)" = 'two.st.part-*' ]
check again --resume two.st --help

# Where locks are not seen: what another program put there meanwhile stays.
endless -c own.st -l own.jsonl --log-every 1 &
first=$!
until grep -q '"step"' own.jsonl 2>/dev/null || ! kill -0 $first; do sleep 0.05; done
cp a.st own.st
kill $first
wait $first
check [ $? -ne 0 ]
check cmp a.st own.st
check text eval --device cpu -c own.st.2 --data text --windows 1 --passes 1

# So it does at the name of a copy. Nice, so that on a busy machine the stage is not over before its log is looked at.
(exec nice "$program" train --device cpu --data text -q $small --stages 'dense:steps=4000;dense:steps=1' --keep-stages -c kept.st -l kept.jsonl --log-every 1) &
first=$!
until grep -q '"step"' kept.jsonl 2>/dev/null || ! kill -0 $first; do sleep 0.02; done
kill -STOP $first
cp a.st kept.st.stage1
kill -CONT $first
wait $first
check [ $? -ne 0 ]
check cmp a.st kept.st.stage1
check [ -s kept.st.stage1.2 ]

# One that was only touched is this run's still; one that was changed in place, of the same length, is not.
changed() { # NAME COMMAND...: a run over a.st at NAME.st, and what the command does there meanwhile; its exit status
    name=$1
    shift
    cp a.st "$name.st"
    endless -c "$name.st" --force -l "$name.jsonl" --log-every 1 2>"$name.err" &
    first=$!
    until grep -q '"step"' "$name.jsonl" 2>/dev/null || ! kill -0 $first; do sleep 0.05; done
    "$@" "$name.st"
    cp "$name.st" "$name.then"
    kill $first
    wait $first
}
set_byte() { # OFFSET FILE: to one that is not there
    printf '\377' | dd of="$2" bs=1 seek="$1" conv=notrunc 2>/dev/null
}
changed touched touch -d 2001-01-01
check [ $? -eq 130 ]
check [ ! -e touched.st.2 ]
check [ ! -s touched.err ]
check sh -c '! cmp -s touched.st touched.then'
check measured -c touched.st
check train -c seed1.st --seed 1
check [ "$(stat -c %s seed1.st)" -eq "$(stat -c %s a.st)" ]
changed whole cp seed1.st
changed weight set_byte $(($(stat -c %s a.st) - 3)) # the last
for name in whole weight; do
    check grep -q 'another program has written it' $name.err
    check cmp $name.st $name.then
    check measured -c $name.st.2
done

# Also when it was written by this run.
endless -c own2.st -l own2.jsonl --every 1 &
first=$!
wait_for own2.st $first
for i in 1 2 3; do
    kill -STOP $first
    touch -d "2001-01-0$i" own2.st
    kill -CONT $first
done
kill $first
wait $first
check [ $? -eq 130 ]
check [ ! -e own2.st.2 ]
check measured -c own2.st

# ---- links, places, disks ----

ln -s folder/real.st out.st
check train -c out.st
check [ -L out.st ]
check [ -f folder/real.st ]
check again --resume out.st --help
chmod 600 folder/real.st
check train -c out.st --force
check [ "$(stat -c %a folder/real.st)" = 600 ]
for place in new/ folder . "$(printf '%0300d' 1)" text/x; do
    refuses "$(printf '%.40s' "$place")" train -c "$place" --force
done
mkfifo folder/fifo
refuses 'not a regular file' train -c folder/fifo --force
rm folder/fifo
check sh -c '"$0" "$@" -l /dev/stdout | grep -q "\"event\":\"end\""' "$program" train --device cpu --data text -q $small --steps 4 -c f.st
check sh -c '"$0" "$@" -l /dev/fd/3 3>third && grep -q "\"event\":\"end\"" third' "$program" train --device cpu --data text -q $small --steps 4 -c g.st
check train -c h.st -l /dev/null
check again --resume b.st.stage1 -c i.st -l /dev/null
check [ -c /dev/null ]

# ---- room that is missing from the start ----

# in_room BYTES WORDS COMMAND...: a run for space/a.st, a folder with so many bytes free, goes well and says this.
in_room() {
    echo "$1" >space/room
    words=$2
    shift 2
    checks=$((checks + 1))
    err=$(export LD_PRELOAD="$room" ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"; "$@" 2>&1) ||
        wrong "fails: $*: $err"
    case $err in *"$words"*) ;; *) wrong "no word of '$words': $*: $err" ;; esac
    [ -n "$words" ] || [ -z "$err" ] || wrong "not needed: $*: $err"
    [ "$(printf '%s\n' "$err" | wc -l)" -eq 1 ] || wrong "more than one line: $*: $err"
}
mkdir space
size=$(stat -c %s a.st)
in_room $((size / 2)) "and $((size / 2)) are free there; make room" train -c space/a.st
check [ -s space/a.st ]
in_room $((size / 2)) 'are free there' train -c space/a.st --force
in_room $((3 * size / 2)) '' train -c space/a.st --force
in_room $((3 * size / 2)) '' train -c space/a.st --force --every 1 # the old one is there already
rm space/a.st
in_room $((3 * size / 2)) 'are free there' train -c space/a.st --every 1
rm space/a.st
in_room $((3 * size / 2)) 'are free there' staged -c space/a.st # a copy besides
rm space/a.st
in_room $((3 * size / 2)) '' staged -c space/a.st --force # in the place of another
in_room $((3 * size / 2)) '' again --resume space/a.st.stage1 -c space/b.st --keep-stages # the copy is of a stage before
ln -s space/c.st room.link
in_room $((size / 2)) 'are free there' train -c room.link
rm room.link space/*.st* space/room
in_room 1 'writes about' train -c space/a.st --width 64 --layers 8
said=$(printf '%s\n' "$err" | sed 's/.*about \([0-9]*\) bytes.*/\1/')
written=$(stat -c %s space/a.st)
check [ "$said" -gt $((written * 98 / 100)) ]
check [ "$said" -lt $((written * 102 / 100)) ]
# Where it is not known nothing is said.
rm space/*
check sh -c '[ -z "$(LD_PRELOAD=$0 ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 "$@" 2>&1)" ]' "$room" "$program" train --device cpu --data text -q $small --steps 4 -c space/a.st

# A limit on the size of files is to a run what a full disk is. It is lifted after the first saves.
checkpoint=$(stat -c %s a.st)
{ ulimit -S -f $((checkpoint / 1024)) && endless --every 1 -c full.st; } 2>full.err &
run=$!
until grep -q . full.err 2>/dev/null || ! kill -0 $run 2>/dev/null; do sleep 0.05; done
check kill -0 $run
prlimit --pid $run --fsize=unlimited 2>/dev/null || wrong 'no prlimit'
wait_for full.st $run
kill $run
wait $run
check [ $? -eq 130 ]
check grep -q 'tries again at the next --every' full.err
check text eval --device cpu -c full.st --data text --windows 1 --passes 1

# Of a log that does not fit, where the checkpoint does.
roomy() { ulimit -S -f $((checkpoint / 256)) && endless -c logless.st -l logless.jsonl --log-every 1; }
out=$( (roomy) 2>&1 ) && wrong 'a run whose log cannot be written succeeds'
checks=$((checks + 1))
case $out in *'kept in logless.st: continue with --resume'*) ;; *) wrong "of a log that cannot be written: $out" ;; esac
check again --resume logless.st --help

limited() { ulimit -S -f $((checkpoint / 1024)) && staged "$@"; }
out=$( (limited -c limited.st) 2>&1 ) && wrong 'a run whose checkpoint cannot be written succeeds'
checks=$((checks + 1))
case $out in *'goes on without this copy'*'make room'*) ;; *) wrong "of a copy that cannot be written: $out" ;; esac
check [ "$(echo limited.st*)" = 'limited.st*' ]

finish 'ssacl-text, files'
