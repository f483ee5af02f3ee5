#!/bin/sh
# One command from a fresh Debian 12 to two models of pictures: installs what is missing, builds, trains a classifier on
# all of Fashion-MNIST and a small generator, for minutes each with Stochastically Subsampled self-Attention; then what
# the one takes pictures of the test for, and what the other draws. Within ten minutes on two cores without a GPU.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/demos/common/setup.sh"

# ---- the models ------------------------------------------------------------------------------------------------

minutes=6 share=50 # of training, and how many per cent of it are the classifier's
fine_tune=15       # per cent of the epochs that are dense
classifier="--layers 4 --width 96 --heads 6 --patch 4 --batch 50 --lr 1e-3 --flip 0.5"
seen_patches="unbiased:keys=12,per-example" # of 49
generator="--family pixels --size 14 --classes 10 --layers 4 --width 128 --heads 4 --batch 8 --lr 2e-3"
seen_pixels="local:keys=56,look-back" # of 196 and less
drawn=40 completed=8

# ---- options ---------------------------------------------------------------------------------------------------

usage() {
    cat <<EOF
usage: sh demos/images.sh [options]

  --data PATH     $PICTURES_HELP
                  (others: of one size, in MNIST's form or .npz)
  --device NAME   auto, cpu, opencl, opencl:0:0, or a part of a device's name [auto]
  --minutes X     of training, of both models together: their epochs are chosen by the measured speed [$minutes]
  --seed N        of weights, order, samples and what is drawn [1]
  --out DIR       where checkpoints, logs and pictures go [build-quickstart/images]
  --no-install    never call apt to install; say what is missing instead
  --help          this text
  --version       say which version this is
EOF
}

seed=1
read_options "data device minutes seed out" '' "$@"
number --minutes "$minutes"
whole_number --seed "$seed" 0

out=${out:-$build/images}
image=$build/demos/image/ssacl-image

need_tools zlib1g-dev libpng-dev libjpeg-dev
need_data fashion-mnist
mkdir -p "$out"
build_in "$build"
show_devices "$image"

# ---- training --------------------------------------------------------------------------------------------------

# How many epochs the per cent of the minutes are enough for, by a look at how long one would take.
epochs_of() { # PER-CENT STAGES OPTIONS...
    part=$1 of_one=$2
    shift 2
    "$image" plan --device "$device" --data "$data" --measure 3 --json "$@" --stages "$of_one" >"$out/plan.json" ||
        fail "the run cannot be planned"
    python3 -c 'import json, sys
one = json.load(open(sys.argv[1]))["seconds"]
print("%.4f" % max(0.6 * float(sys.argv[2]) * float(sys.argv[3]) / one, 1e-2))' "$out/plan.json" "$minutes" "$part"
}

stages() { # EPOCHS HOW RATE: sampled ones, then dense ones
    awk -v e="$1" -v how="$2" -v lr="$3" -v t=$fine_tune \
        'BEGIN { printf "%s,epochs=%g dense:epochs=%g,lr=%s", how, e * (1 - t / 100), e * t / 100, lr }'
}

# shellcheck disable=SC2086 # lists of options
train() { # NAME PER-CENT HOW RATE OPTIONS...
    name=$1 part=$2 how=$3 rate=$4
    shift 4
    epochs=$(epochs_of "$part" "$(stages 1 "$how" "$rate")" "$@")
    say "training a $name, $epochs epochs"
    "$image" train --device "$device" --data "$data" --seed "$seed" --force --checkpoint "$out/$name.safetensors" \
        --log "$out/$name.jsonl" --stages "$(stages "$epochs" "$how" "$rate")" "$@"
}

# shellcheck disable=SC2086
train classifier $share "$seen_patches" 1e-4 $classifier
say "on the test's pictures"
"$image" eval --device "$device" --data "$data" --checkpoint "$out/classifier.safetensors" --mode dense --confusion
"$image" answers "$out/classifier.safetensors" --device "$device" --data "$data" --out "$out/answers.png"

# shellcheck disable=SC2086
train generator $((100 - share)) "$seen_pixels" 5e-4 $generator --eval-images 200
say "what it draws, a column for each class, and how it completes pictures of the test whose upper half it is given"
"$image" draw --device "$device" --checkpoint "$out/generator.safetensors" --count $drawn --columns 10 --scale 6 \
    --temperature 0.9 --seed "$seed" --out "$out/drawn.png"
"$image" draw --device "$device" --checkpoint "$out/generator.safetensors" --complete "$data" --count $completed \
    --columns 2 --scale 6 --temperature 0.9 --seed "$seed" --out "$out/completed.png"

say_done "answers.png, drawn.png, completed.png, models: $out"
