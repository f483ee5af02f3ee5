#!/bin/sh
# One command from a fresh Debian 12 to what Stochastically Subsampled self-Attention is for: installs what is missing,
# builds, trains a small ViT on 2,000 pictures of Fashion-MNIST twice, dense and with SSA, measures both on the test's
# 10,000, and shows their answers. Within ten minutes on two cores without a GPU. What it prints is what it measured.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/demos/common/setup.sh"

# ---- the experiment --------------------------------------------------------------------------------------------

images=2000 valid=1000 epochs=60 seed=1
model="--layers 4 --width 96 --heads 6 --patch 4 --batch 50 --lr 1e-3 --decay 0.05"
dropout="--dropout 0.1 --attention-dropout 0.5"    # of dense: with which it validates best, by --grid; SSA has none
sampling="unbiased:keys=12,per-example,no-own-key" # of 49 patches, and the class token, for each picture and layer
fine_tune=15 rate=1e-4                             # per cent of the epochs that are dense, and at what rate
look_every=3                                       # epochs: validation, and where dense may be at its best
passes=10                                          # of the largest ensemble
dropouts="0,0 0.1,0 0.2,0 0.3,0 0,0.5 0.1,0.5"     # dense with these, by --grid: dropout,attention-dropout

# ---- options ---------------------------------------------------------------------------------------------------

usage() {
    cat <<EOF
usage: sh demos/quickstart.sh [options]

  --data PATH     $PICTURES_HELP
  --device NAME   auto, cpu, opencl, opencl:0:0, or a part of a device's name [auto]
  --images N      pictures to train on; of few, those that are not among the third to validate with [$images]
  --epochs N      of each run, the last $fine_tune% of SSA's dense [$epochs]
  --test N        measure on at most so many of the test's pictures; 0: on all [0]
  --seed N        of weights, order, samples and dropout [$seed]
  --seeds N       so many seeds from that one on, each as long as the quick start: means, differences seed by seed and
                  their standard errors. What was done with the same options is not done again
  --grid          dense with several dropouts too; the one that validates best is what SSA is compared with
  --out DIR       where checkpoints, logs and pictures go [build-quickstart/run]
  --no-install    never call apt to install; say what is missing instead
  --help          this text
  --version       say which version this is
EOF
}

seeds=1 test=0 arms=dense grid=no
read_options "data device images epochs test seed seeds out" grid "$@"
[ "$grid" = no ] || arms=$dropouts
whole_number --images "$images" 50
whole_number --epochs "$epochs" 2
whole_number --test "$test" 0
whole_number --seed "$seed" 0
whole_number --seeds "$seeds" 1

out=${out:-$build/run}
image=$build/demos/image/ssacl-image
tune=$((epochs * fine_tune / 100))
[ $tune -gt 0 ] || tune=1

need_tools zlib1g-dev libpng-dev libjpeg-dev
need_data fashion-mnist
mkdir -p "$out"
build_in "$build"
show_devices "$image"

# ---- the pictures ----------------------------------------------------------------------------------------------

# How many there are to train on, of at most so many, with so many set aside; nothing where there are too few for that.
to_train() { # MOST SET-ASIDE
    # shellcheck disable=SC2086 # a list of options
    "$image" plan --device cpu --data "$data" --measure 0 --json $model --train-images "$1" --valid-images "$2" |
        sed -n 's/^ *"train_images": *\([0-9]*\).*/\1/p'
}

# As many as are wanted, or a third of those that there are for validation.
share_pictures() {
    [ "$(to_train "$images" $valid 2>/dev/null)" != "$images" ] || return 0
    all=$(to_train 0 1)
    [ -n "$all" ] || fail "$data: these pictures cannot be trained on; what is wrong stands above"
    all=$((all + 1))
    [ $((all / 3)) -ge $valid ] || valid=$((all / 3))
    images=$((all - valid))
    [ $images -ge 50 ] || fail "$data: has $all pictures to train on and to validate with; give at least 75"
    say "there are $all pictures besides the test's: trains on $images, and validates with $valid others"
}
share_pictures

# ---- training, measuring ---------------------------------------------------------------------------------------

# shellcheck disable=SC2086 # a list of options
train() { # FOLDER/NAME OPTIONS...
    at=$1
    shift
    "$image" train --device "$device" --data "$data" --train-images "$images" --valid-images $valid $model \
        --eval-every $((look_every * (images / 50))) --force --log "$at.jsonl" "$@"
}

evaluate() { # FOLDER/NAME CHECKPOINT OPTIONS...
    at=$1 of=$2
    shift 2
    "$image" eval --device "$device" --data "$data" --images "$test" --checkpoint "$of" --log "$at.jsonl" \
        "$@" >/dev/null
}

# Dense, of which the weights are kept that validate best: trained on, it only learns its pictures by heart.
dense() { # FOLDER/NAME SEED OPTIONS...
    at=$1 with=$2
    shift 2
    say "training dense, $epochs epochs of $images pictures, seed $with${*:+, $*}"
    train "$at" --seed "$with" --epochs "$epochs" --profile 10 --checkpoint "$at-last.safetensors" \
        --best "$at.safetensors" "$@"
    evaluate "$at" "$at.safetensors" --mode dense
}

ssa() { # FOLDER/NAME SEED
    at=$1
    say "training with SSA, $((epochs - tune)) epochs, then $tune dense ones, seed $2"
    train "$at" --seed "$2" --stages "$sampling,epochs=$((epochs - tune)) dense:epochs=$tune,lr=$rate" --profile 10 \
        --keep-stages --checkpoint "$at.safetensors"
    say "measuring: 1 dense pass, $passes sampled ones, before and after the fine-tune"
    evaluate "$at" "$at.safetensors.stage1" --passes $passes
    evaluate "$at" "$at.safetensors" --passes $passes
}

settings="$data $model $dropout $sampling $fine_tune $rate $images $epochs $test"
say "two steps, so that the device's kernels are built before anything is timed"
train "$out/warm-up" --stages "$sampling,steps=1 dense:steps=1" --checkpoint "$out/warm-up.safetensors" --quiet
rm -f "$out"/warm-up.*

logs=
for number in $(seq "$seed" $((seed + seeds - 1))); do
    inner=
    [ "$seeds" -eq 1 ] || inner=seed-$number/
    mkdir -p "$out/$inner"
    for arm in $arms; do
        name=$arm with=$dropout
        [ "$arm" = dense ] || { name=dense-$arm with="--dropout ${arm%,*} --attention-dropout ${arm#*,}"; }
        # shellcheck disable=SC2086 # a list of options
        once "$out/$inner$name" dense "$number" $with
        logs="$logs $inner$name.jsonl"
    done
    once "$out/${inner}ssa" ssa "$number"
    logs="$logs ${inner}ssa.jsonl"
done

# ---- what came out ---------------------------------------------------------------------------------------------

say "on the test's pictures: log loss, and how many are right"
[ "$seeds" -eq 1 ] && table=--tests || table=--seeds
# shellcheck disable=SC2086 # a list of files
(cd "$out" && "$image" report $logs $table)
[ "$arms" = dense ] || dropout="dropout,attention-dropout as its name says"
cat <<EOF

dense: with ${dropout:-no dropout}; the weights of its best look, every
$look_every epochs, at $valid other pictures. ssa: no dropout, $sampling
a query; the last weights of each stage, whatever they are: only dense has a
choice. passes: the mean of the probabilities of the first of $passes sampled passes.
training, attention: seconds until there, of which in attention; ms: of a step of
that stage in attention.
EOF

if [ "$seeds" -eq 1 ] && [ "$arms" = dense ]; then
    say "the two runs, and some of their answers"
    "$image" report "$out/dense.jsonl" "$out/ssa.jsonl" --out "$out/curves" \
        --title "Dense and SSA on the same pictures" | tail -n 1
    "$image" answers "$out/dense.safetensors" "$out/ssa.safetensors" --device "$device" --data "$data" \
        --out "$out/answers.png" --images "$test"
fi

say_done "everything lies in $out"
