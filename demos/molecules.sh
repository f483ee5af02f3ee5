#!/bin/sh
# One command from a fresh Debian 12 to molecules: installs what is missing, builds, fetches QM9 and makes graphs of it
# by RDKit, trains a small EGT on 2,000 molecules to say the gap between HOMO and LUMO, twice, dense and with
# Stochastically Subsampled self-Attention, measures both on 10,000 others, and draws what they say against what is
# right. Within ten minutes on two cores without a GPU. What it prints is what it measured.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/demos/common/setup.sh"

# ---- the experiment --------------------------------------------------------------------------------------------

molecules=2000 valid=2000 test=10000 epochs=100 seed=1
model="--layers 4 --width 64 --edge-width 16 --heads 8 --virtual-nodes 4 --batch 64 --lr 5e-4"
dropout=""                                 # of dense, with which it validates best; SSA has none
ratio=0.5                                  # of a molecule's atoms a query sees, and its virtual nodes
fine_tune=15 rate=1e-4                     # per cent of the epochs that are dense, and at what rate
look_every=5                               # epochs: validation, and where dense may be at its best
passes=10                                  # of the largest ensemble

# ---- options ---------------------------------------------------------------------------------------------------

usage() {
    cat <<END
usage: sh demos/molecules.sh [options]

  --data FILE     train on these graphs, which ssacl-graph convert made; without it on QM9, fetched once by pip
                  (104 MB), converted by RDKit, and kept in \$XDG_CACHE_HOME/ssacl
  --device NAME   auto, cpu, opencl, opencl:0:0, or a part of a device's name [auto]
  --molecules N   molecules to train on [$molecules]
  --test N        molecules to measure on [$test]
  --epochs N      of each run, the last $fine_tune% of SSA's dense [$epochs]
  --ratio X       share of the atoms that is sampled, over 0 to 1 [$ratio]
  --seed N        of weights, order, samples and dropout [$seed]
  --seeds N       so many seeds from that one on, each as long as one: means, differences seed by seed and their
                  standard errors. What was done with the same options is not done again
  --out DIR       where checkpoints, logs and pictures go [build-quickstart/molecules]
  --no-install    never call apt to install; say what is missing instead
  --help          this text
  --version       say which version this is
END
}

seeds=1
read_options "data device molecules test epochs ratio seed seeds out" '' "$@"
whole_number --molecules "$molecules" 64
whole_number --test "$test" 1
whole_number --epochs "$epochs" 2
number --ratio "$ratio"
awk -v x="$ratio" 'BEGIN { exit x > 1 }' || fail "--ratio: give at most 1"
whole_number --seed "$seed" 0
whole_number --seeds "$seeds" 1

out=${out:-$build/molecules}
graph=$build/demos/graph/ssacl-graph
sampling="unbiased:ratio=$ratio,per-example"
tune=$((epochs * fine_tune / 100))
[ $tune -gt 0 ] || tune=1

packages=
[ -n "$data" ] || [ -f "$cache/qm9-gap.graphs" ] || packages="python3-venv python3-pip ca-certificates"
# shellcheck disable=SC2086 # a list of names
need_tools $packages
mkdir -p "$out"
build_in "$build"
show_devices "$graph"

# ---- the molecules ---------------------------------------------------------------------------------------------

[ -z "$data" ] && what='gap between HOMO and LUMO, eV' || what='the target'
need_data qm9-gap.graphs

# ---- training, measuring ---------------------------------------------------------------------------------------

# Of --data without so many, all that there are.
parts="--train-molecules $molecules --valid-molecules $valid --test-molecules $test"

# shellcheck disable=SC2086 # lists of options
train() { # FOLDER/NAME OPTIONS...
    at=$1
    shift
    "$graph" train --device "$device" --data "$data" --split seeded $parts $model \
        --eval-every $((look_every * ((molecules + 63) / 64))) --force --log "$at.jsonl" "$@"
}

evaluate() { # FOLDER/NAME CHECKPOINT OPTIONS...
    at=$1 of=$2
    shift 2
    "$graph" eval --device "$device" --data "$data" --checkpoint "$of" --batch 256 --log "$at.jsonl" "$@" >/dev/null
}

# Dense, of which the weights are kept that validate best: trained on, it only learns its molecules by heart.
dense() { # FOLDER/NAME SEED
    at=$1
    say "training dense, $epochs epochs of $molecules molecules, seed $2${dropout:+, $dropout}"
    # shellcheck disable=SC2086 # a list of options
    train "$at" --seed "$2" --epochs "$epochs" $dropout --checkpoint "$at-last.safetensors" --best "$at.safetensors"
    evaluate "$at" "$at.safetensors" --mode dense --force --csv "$at.csv"
}

ssa() { # FOLDER/NAME SEED
    at=$1
    say "training with SSA, $((epochs - tune)) epochs, then $tune dense ones, seed $2"
    train "$at" --seed "$2" --stages "$sampling,epochs=$((epochs - tune)) dense:epochs=$tune,lr=$rate" --keep-stages \
        --checkpoint "$at.safetensors"
    say "measuring: 1 dense pass, $passes sampled ones, before and after the fine-tune"
    evaluate "$at" "$at.safetensors.stage1" --passes $passes
    evaluate "$at" "$at.safetensors" --passes $passes --force --csv "$at.csv"
}

settings="$data $model $dropout $sampling $fine_tune $rate $molecules $epochs $test $passes"
say "two steps, so that the device's kernels are built before anything is timed"
train "$out/warm-up" --stages "$sampling,steps=1 dense:steps=1" --checkpoint "$out/warm-up.safetensors" \
    --eval-molecules 64 --quiet
rm -f "$out"/warm-up.*

logs=
for number in $(seq "$seed" $((seed + seeds - 1))); do
    inner=
    [ "$seeds" -eq 1 ] || inner=seed-$number/
    mkdir -p "$out/$inner"
    for kind in dense ssa; do
        once "$out/$inner$kind" $kind "$number"
        logs="$logs $inner$kind.jsonl"
    done
done

# ---- what came out ---------------------------------------------------------------------------------------------

say "on $test molecules that neither has seen: mean absolute error"
[ "$seeds" -eq 1 ] && table=--tests || table=--seeds
# shellcheck disable=SC2086 # a list of files
(cd "$out" && "$graph" report $logs $table)
cat <<END

dense: with ${dropout:-no dropout}; the weights of its best look, every
$look_every epochs, at $valid other molecules. ssa: no dropout, $sampling;
the last weights of each stage, whatever they are: only dense has a choice.
passes: the mean of the answers of the first of $passes sampled passes.
training: seconds until there.
END

# Each molecule's answer against what is right, by every tenth: of dense one pass, of SSA the ensemble and its spread.
draw() { # TERMINAL FILE
    gnuplot --default-settings - >"$2" <<END
set terminal $1
set encoding utf8
set datafile separator ','
set border 3 lc rgb '#606060'
set tics nomirror textcolor rgb '#303030'
set grid lc rgb '#e2e2e2' lw 1 dt 1
set multiplot layout 1,2 title 'What they say of molecules they have not seen'
stats '$out/dense.csv' every ::1 using 4 nooutput
set xrange [STATS_min:STATS_max]
set yrange [STATS_min:STATS_max]
set xlabel '$what'
set key top left Left reverse opaque samplen 2
set ylabel 'what dense says'
plot '$out/dense.csv' every 10::1 using 4:5 with points pt 7 ps 0.4 lc rgb '#0072b2' title 'one dense pass', \
    x with lines lw 1 lc rgb '#606060' notitle
set ylabel 'what SSA says'
plot '$out/ssa.csv' every 10::1 using 4:6:7 with yerrorbars pt 7 ps 0.4 lw 0.6 lc rgb '#d55e00' \
    title 'self-ensemble of $passes, and its spread', x with lines lw 1 lc rgb '#606060' notitle
unset multiplot
END
}

if [ "$seeds" -eq 1 ]; then
    say "the two runs, and their answers"
    "$graph" report "$out/dense.jsonl" "$out/ssa.jsonl" --out "$out/curves" \
        --title "Dense and SSA on the same molecules" | tail -n 1
    draw "svg size 1120,560 noenhanced font 'Helvetica,13' background '#ffffff'" "$out/answers.svg"
    draw "pngcairo size 2240,1120 noenhanced font 'Helvetica,19' fontscale 1 background '#ffffff'" "$out/answers.png"
    echo "answers: $out/answers.svg, $out/answers.png"
fi

say_done "everything lies in $out"
