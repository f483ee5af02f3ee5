#!/bin/sh
# One command from a fresh Debian 12 to classifiers of Fashion-MNIST: installs what is missing, builds, trains a small
# ViT on 2,000 of its pictures twice (dense, and with Stochastically Subsampled self-Attention), measures both on the
# test's pictures, draws. Within ten minutes on two cores without a GPU. What it prints is what it measured.
set -eu

usage() {
    cat <<EOF
usage: sh demos/images.sh [options]

  --data PATH     train on these pictures; without it on Fashion-MNIST (MIT, Zalando SE), taken once from the Debian
                  package dataset-fashion-mnist (which is not installed) and kept in \$XDG_CACHE_HOME/ssacl
  --device NAME   auto, cpu, opencl, opencl:0:0, or a part of a device's name [auto]
  --images N      pictures to train on [$images]
  --epochs N      of each run, the last 15% of SSA's dense [$epochs]
  --seed N        of weights, order, samples and dropout [$seed]
  --out DIR       where checkpoints, logs and pictures go [build-quickstart/images]
  --no-install    never call apt to install; say what is missing instead
  --help          this text
  --version       say which version this is
EOF
}

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/demos/common/setup.sh"

# ---- the experiment --------------------------------------------------------------------------------------------

images=2000 epochs=60 seed=1 passes=10 valid=1000
model="--layers 4 --width 96 --heads 6 --patch 4 --lr 1e-3 --decay 0.05 --batch 50"
sampling="--attention unbiased --keys 12 --per-example" # of 49 patches, and the class token

data='' device=auto out='' install=yes
while [ $# -gt 0 ]; do
    case $1 in
    --help|-h) usage; exit 0 ;;
    --version) print_version; exit 0 ;;
    --no-install) install=no; shift; continue ;;
    --data|--device|--images|--epochs|--seed|--out) [ $# -gt 1 ] || fail "$1 needs a value (see --help)" ;;
    *) fail "unknown option $1 (see --help)" ;;
    esac
    case $1 in
    --data) data=$2 ;;
    --device) device=$2 ;;
    --images) images=$2 ;;
    --epochs) epochs=$2 ;;
    --seed) seed=$2 ;;
    --out) out=$2 ;;
    esac
    shift 2
done
whole_number --images "$images" 50
whole_number --epochs "$epochs" 2
whole_number --seed "$seed" 0
[ -z "$data" ] || [ -r "$data" ] || fail "--data: $data cannot be read"

began=$(date +%s)
build=$root/build-quickstart
out=${out:-$build/images}
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ssacl
image=$build/demos/image/ssacl-image

need_tools zlib1g-dev

# ---- the pictures ----------------------------------------------------------------------------------------------

fetch_pictures() {
    is_debian || fail "this is not Debian: give the folder of Fashion-MNIST's four files with --data PATH"
    say "fetching Fashion-MNIST: 31 MB, once (Zalando SE, MIT)"
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    chmod 755 "$part"
    download() { (cd "$part" && apt-get -qq download dataset-fashion-mnist); }
    download 2>/dev/null || { [ $install = yes ] && as_root apt-get -qq update && download; } ||
        fail "the package dataset-fashion-mnist could not be fetched; give the folder of its files with --data PATH"
    dpkg -x "$part"/dataset-fashion-mnist_*.deb "$part/all"
    mv "$part/all/usr/share/datasets/fashion-mnist" "$cache/fashion-mnist"
    rm -rf "$part"
    trap - EXIT
}

if [ -z "$data" ]; then
    data=$cache/fashion-mnist
    [ -d "$data" ] || fetch_pictures
fi

# ---- building --------------------------------------------------------------------------------------------------

mkdir -p "$out"
build_in "$build"
show_devices "$image"

# ---- training --------------------------------------------------------------------------------------------------

tune=$((epochs * 15 / 100))
[ $tune -gt 0 ] || tune=1

# shellcheck disable=SC2086 # a list of options
train() { # NAME OPTIONS...
    name=$1
    shift
    "$image" train --device "$device" --data "$data" --train-images "$images" --valid-images $valid $model \
        --seed "$seed" --eval-every $((images * epochs / 600)) --force --keep-stages \
        --checkpoint "$out/$name.safetensors" --log "$out/$name.jsonl" "$@"
}

say "two steps, so that the device's kernels are built before anything is timed"
# shellcheck disable=SC2086
train warm-up $sampling --steps 1 --fine-tune 1 --quiet
rm -f "$out"/warm-up.*

say "training dense, $epochs epochs of $images pictures"
train dense --epochs "$epochs" --dropout 0.1

say "training with SSA, $((epochs - tune)) epochs, then $tune dense ones at a tenth of the rate"
# shellcheck disable=SC2086
train ssa $sampling --epochs $((epochs - tune)) --fine-tune-epochs $tune --fine-tune-lr 1e-4

# ---- comparing -------------------------------------------------------------------------------------------------

evaluate() { "$image" eval --device "$device" --data "$data" --passes $passes "$@"; }

say "on the test's pictures"
evaluate --checkpoint "$out/dense.safetensors" --mode dense --log "$out/dense.jsonl"
echo "SSA before the fine-tune:"
evaluate --checkpoint "$out/ssa.safetensors.stage1"
echo "SSA after it:"
evaluate --checkpoint "$out/ssa.safetensors" --log "$out/ssa.jsonl"

say "the two runs"
"$image" report "$out/dense.jsonl" "$out/ssa.jsonl" --out "$out/curves" --title "Dense and SSA on the same pictures"

seconds=$(($(date +%s) - began))
say "done in $((seconds / 60)) min $((seconds % 60)) s; everything lies in $out"
