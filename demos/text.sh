#!/bin/sh
# One command from a fresh Debian 12 to trained language models: installs what is missing, builds, trains the same small
# model of long sequences three times for the same seconds (dense, in fixed windows, and with Stochastically Subsampled
# self-Attention), compares, draws. About ten minutes on two cores without a GPU. What it prints is what it measured.
set -eu

usage() {
    cat <<EOF
usage: sh demos/text.sh [options]

  --data FILE     train on this text; without it, on 6 MB of Wikipedia (text: CC BY-SA 3.0 and GFDL, its authors),
                  taken once from the test data of the Python wheel gensim 4.4.0 and kept in \$XDG_CACHE_HOME/ssacl
  --device NAME   auto, cpu, opencl, opencl:0:0, or a part of a device's name [auto]
  --seconds N     of training, of each run: as many steps as take so long [$seconds]
  --out DIR       where checkpoints, logs and pictures go [build-quickstart/text]
  --no-install    never call apt; say what is missing instead
  --help          this text
  --version       say which version this is
EOF
}

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/demos/common/setup.sh"

# ---- the experiment --------------------------------------------------------------------------------------------

# Where attention is most of a dense step: a query sees an eighth of the keys, those near it and some farther ones.
seconds=120
model="--layers 4 --width 128 --heads 4 --length 4096 --batch 1 --lr 2e-3"
windows_pattern="local:ratio=0.125,look-back,fixed-windows"
ssa_pattern="local:ratio=0.125,look-back,sigma=0.25"
tune_share=10 rate=5e-4 # per cent of the seconds that are dense at the end, and at what rate
passes=10
windows=24

read_options "data device seconds out" '' "$@"
whole_number --seconds "$seconds" 2

out=${out:-$build/text}
text=$build/demos/text/ssacl-text

# ---- what must be there ----------------------------------------------------------------------------------------

packages=
[ -n "$data" ] || [ -f "$cache/enwiki6.xml" ] || packages="python3-pip ca-certificates"
# shellcheck disable=SC2086 # a list of names
need_tools $packages
need_data enwiki6.xml

# ---- building --------------------------------------------------------------------------------------------------

mkdir -p "$out"
build_in "$build"
show_devices "$text"

# ---- equal seconds ---------------------------------------------------------------------------------------------

# Seconds of a step of that attention, the least of three: others' work only adds to them.
seconds_of() { # PATTERN
    for _ in 1 2 3; do
        # shellcheck disable=SC2086 # a list of options
        "$text" plan --device "$device" $model --stages "$1" --json |
            sed -n 's/^ *"seconds_per_step": *\([0-9.e-]*\).*/\1/p'
    done | sort -g | head -n 1
}

steps_in() { awk -v s="$1" -v step="$2" 'BEGIN { n = int(s / step); print n < 1 ? 1 : n }'; } # SECONDS OF-A-STEP

say "how long a step takes"
step_dense=$(seconds_of dense:steps=2)
step_windows=$(seconds_of "$windows_pattern,steps=2")
step_ssa=$(seconds_of "$ssa_pattern,steps=2")
echo "dense $step_dense s, fixed windows $step_windows s, SSA $step_ssa s"
end=$(awk -v s="$seconds" -v share=$tune_share 'BEGIN { print s * share / 100 }')
first=$(awk -v s="$seconds" -v e="$end" 'BEGIN { print s - e }')
tune="dense:steps=$(steps_in "$end" "$step_dense"),lr=$rate"

# ---- training --------------------------------------------------------------------------------------------------

train() { # NAME STAGES [OPTION]
    name=$1 stages=$2
    shift 2
    # shellcheck disable=SC2086 # a list of options
    "$text" train --device "$device" --data "$data" $model --stages "$stages" --eval-every 50 --eval-windows 4 \
        --log-every 5 --profile 3 --force --keep-stages --checkpoint "$out/$name.safetensors" \
        --log "$out/$name.jsonl" "$@"
}

say "two steps, so that the device's kernels are built before anything is timed"
train warm-up "$ssa_pattern,steps=1 dense:steps=1" --quiet
rm -f "$out"/warm-up.*

say "training dense, $seconds seconds"
train dense "dense:steps=$(steps_in "$seconds" "$step_dense")"

say "training in fixed windows, $seconds seconds, of which the last $end dense"
train windows "$windows_pattern,steps=$(steps_in "$first" "$step_windows") $tune"

say "training with SSA, $seconds seconds, of which the last $end dense"
train ssa "$ssa_pattern,steps=$(steps_in "$first" "$step_ssa") $tune"

# ---- comparing -------------------------------------------------------------------------------------------------

evaluate() { # NAME CHECKPOINT OPTION...
    of=$1 weights=$2
    shift 2
    "$text" eval --device "$device" --data "$data" --windows $windows --checkpoint "$out/$weights" \
        --log "$out/$of.jsonl" "$@" >/dev/null
}

say "measuring, on text that none has seen"
evaluate dense dense.safetensors --mode dense
for stage in .stage1 ''; do
    evaluate windows "windows.safetensors$stage" --passes 1 # no two differ
    evaluate ssa "ssa.safetensors$stage" --passes $passes
done
(cd "$out" && "$text" report dense.jsonl windows.jsonl ssa.jsonl --tests)
cat <<EOF

Each run has the same $seconds seconds, steps x seconds a step; so SSA and windows have read
more. windows: a query sees its own slice of 256 positions and the one before;
ssa: so many keys, shuffled over a quarter of a slice. One seed: demos/repro/run.sh has
more of them, and more arms, with their errors.
EOF

say "the runs"
"$text" report "$out/dense.jsonl" "$out/windows.jsonl" "$out/ssa.jsonl" --out "$out/curves" \
    --title "Dense, fixed windows and SSA, the same seconds"

say "what the SSA model writes after 'The '"
"$text" sample --device "$device" --checkpoint "$out/ssa.safetensors" --count 300 --seed 1

say_done "everything lies in $out"
