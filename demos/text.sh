#!/bin/sh
# One command from a fresh Debian 12 to a trained language model: installs what is missing, builds, trains the same
# small model twice on the same bytes (dense, and with Stochastically Subsampled self-Attention), compares, draws.
# Within ten minutes on two cores without a GPU. What it prints is what it measured.
set -eu

usage() {
    cat <<EOF
usage: sh demos/text.sh [options]

  --data FILE     train on this text; without it, on 6 MB of Wikipedia (text: CC BY-SA 3.0 and GFDL, its authors),
                  taken once from the test data of the Python wheel gensim 4.4.0 and kept in \$XDG_CACHE_HOME/ssacl
  --device NAME   auto, cpu, opencl, opencl:0:0, or a part of a device's name [auto]
  --steps N       training steps of each run [$steps]
  --out DIR       where checkpoints, logs and pictures go [build-quickstart/text]
  --no-install    never call apt; say what is missing instead
  --help          this text
  --version       say which version this is
EOF
}

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/demos/common/setup.sh"

# ---- the experiment --------------------------------------------------------------------------------------------

steps=1700
model="--layers 4 --width 128 --heads 4 --length 1024 --batch 2 --lr 2e-3"
sampling="--attention local --look-back --ratio 0.25"
tune_share=15 # per cent of the steps: the dense fine-tune
passes=10
windows=80

read_options "data device steps out" '' "$@"
whole_number --steps "$steps" 20

out=${out:-$build/text}
text=$build/demos/text/ssacl-text

# ---- what must be there ----------------------------------------------------------------------------------------

packages=
[ -n "$data" ] || [ -f "$cache/enwiki6.xml" ] || packages="python3-pip ca-certificates"
# shellcheck disable=SC2086 # a list of names
need_tools $packages

# ---- the text --------------------------------------------------------------------------------------------------

sha256=34c1c63050c87cc8477b9ae36b1cb0edf372612c92938b742e579a7109c20fa4
is_right() { [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = $sha256 ]; }

fetch_text() {
    say "fetching the text: 28 MB, once (Wikipedia's authors, CC BY-SA 3.0 and GFDL)"
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    python3 -m pip download --quiet --no-deps --disable-pip-version-check -d "$part" gensim==4.4.0 ||
        fail "the wheel gensim 4.4.0 could not be fetched; give a text of your own with --data FILE"
    python3 - "$part" <<'EOF'
import bz2, glob, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/gensim-4.4.0*")[0])
name = [n for n in wheel.namelist() if "enwiki-latest-pages-articles1" in n][0]
open(sys.argv[1] + "/text", "wb").write(bz2.decompress(wheel.read(name)))
EOF
    is_right "$part/text" || fail "the text in the wheel is not the expected one (sha256 differs)"
    mv "$part/text" "$cache/enwiki6.xml"
    rm -rf "$part"
    trap - EXIT
}

if [ -z "$data" ]; then
    data=$cache/enwiki6.xml
    { [ -f "$data" ] && is_right "$data"; } || fetch_text
fi

# ---- building --------------------------------------------------------------------------------------------------

mkdir -p "$out"
build_in "$build"
show_devices "$text"

# ---- training --------------------------------------------------------------------------------------------------

tune=$((steps * tune_share / 100))
rate=5e-4

# shellcheck disable=SC2086 # a list of options
train() {
    name=$1
    shift
    "$text" train --device "$device" --data "$data" $model "$@" --eval-every $((steps / 12 + 1)) --eval-windows 16 \
        --log-every 5 --profile 3 --force --keep-stages --checkpoint "$out/$name.safetensors" --log "$out/$name.jsonl"
}

say "two steps, so that the device's kernels are built before anything is timed"
# shellcheck disable=SC2086
train warm-up $sampling --steps 1 --fine-tune 1 --quiet
rm -f "$out"/warm-up.*

say "training dense, $steps steps"
train dense --steps "$steps"

say "training with SSA, $((steps - tune)) steps, then $tune dense ones"
# shellcheck disable=SC2086 # a list of options
train ssa $sampling --steps $((steps - tune)) --fine-tune $tune --fine-tune-lr $rate

# ---- comparing -------------------------------------------------------------------------------------------------

evaluate() { "$text" eval --device "$device" --data "$data" --windows $windows --passes $passes "$@"; }

say "on text that neither has seen"
evaluate --checkpoint "$out/dense.safetensors" --log "$out/dense.jsonl"
echo "SSA before the fine-tune:"
evaluate --checkpoint "$out/ssa.safetensors.stage1"
echo "SSA after it:"
evaluate --checkpoint "$out/ssa.safetensors" --log "$out/ssa.jsonl"

say "the two runs"
"$text" report "$out/dense.jsonl" "$out/ssa.jsonl" --out "$out/curves" --title "Dense and SSA on the same bytes"

say "what the SSA model writes after 'The '"
"$text" sample --device "$device" --checkpoint "$out/ssa.safetensors" --count 300 --seed 1

say_done "everything lies in $out"
