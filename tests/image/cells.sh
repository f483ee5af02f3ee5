#!/bin/sh
# Sampling that is local in rows and columns (--grid), and in windows of what was shuffled (--permute-queries), of
# classifiers and of pixels: what plan counts, what train writes and goes on with, what eval and draw take. On the host
# backend. Usage: cells.sh PATH/ssacl-image
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1

image() { "$program" "$@" 2>err; }
flop() { json plan.json "abs(x['stages'][0]['flop_attention'] / ($1) - 1) < 1e-6"; }
pictures set 100 8
of_set="--device cpu --data set"
small="--layers 2 --width 16 --heads 2 --patch 2 --batch 5"

# A class token and 4 x 4 patches, cells of 2 x 2: it sees all 17, a patch it and its cell.
cells='local:keys=4,sigma=0.5,grid,no-own-key,per-example,steps=4 dense:steps=4'
# shellcheck disable=SC2086 # lists of options
check image plan $of_set $small --measure 0 --json --batch 1 --stages "$cells" >plan.json
flop '2 * 12 * 16 * (17 + 16 * 5)'
# shellcheck disable=SC2086
check image train $of_set $small --quiet --stages "$cells" -c c -l log.jsonl --keep-stages
check grep -q '"local:ratio=0.235294,sigma=0.5,grid,keep-first=1,per-example,no-own-key,steps=4,' log.jsonl
# shellcheck disable=SC2086
check image train $of_set --quiet --resume c.stage1 -c again
check cmp c again
# shellcheck disable=SC2086
check image eval $of_set -c c --passes 2 --json >eval.json
json eval.json 'x["ensemble"]["pattern"] == "local:ratio=0.235294,sigma=0.5,grid,keep-first=1,per-example,no-own-key"'
# 8 x 8 pixels, cells of 2 x 4: all but the first two rows see two.
pixels="--family pixels --layers 1 --width 16 --heads 2 --batch 4"
pixels="$pixels --attention local --grid --look-back --keys 16 --sigma 0.5"
# shellcheck disable=SC2086
check image train $of_set $pixels --quiet --steps 4 --classes 4 -c p --valid-images 4
check image draw --device cpu -c p --count 1 --pattern local:keys=16,look-back,grid --out page.ppm
check [ -s page.ppm ]

# No class token, slices of 4 of the 16 patches, each of which is seen by its own.
permuted='local:keys=4,sigma=64,permute-queries,per-example,steps=4 dense:steps=4'
said='local:ratio=0.25,sigma=64,permute-queries,per-example'
# shellcheck disable=SC2086
check image plan $of_set $small --mean-pool --measure 0 --json --batch 1 --stages "$permuted" >plan.json
flop '2 * 12 * 16 * 16 * 4'
# shellcheck disable=SC2086
check image train $of_set $small --mean-pool --quiet --stages "$permuted" -c w -l windows.jsonl --keep-stages
check grep -q "\"$said,steps=4," windows.jsonl
# shellcheck disable=SC2086
check image train $of_set --quiet --resume w.stage1 -c again --force
check cmp w again
# shellcheck disable=SC2086
check image eval $of_set -c c --pattern local:keys=1,permute-queries,keep-first=0 --passes 2 --json >eval.json # with one
json eval.json 'x["ensemble"]["pattern"].startswith("local:ratio=0.0588235,permute-queries")'
# shellcheck disable=SC2086
check image eval $of_set -c w --passes 2 --json >eval.json
json eval.json "x['ensemble']['pattern'] == '$said'"
# 64 elements in slices of 16, of which each sees the earlier ones.
# shellcheck disable=SC2086
check image plan $of_set --family pixels --layers 1 --width 16 --heads 2 --classes 4 --attention local --permute-queries \
    --ratio 0.25 --steps 4 --batch 1 --measure 0 --json >plan.json
flop '12 * 16 * 4 * 16 * 17 / 2'
check image draw --device cpu -c p --count 1 --pattern local:keys=16,permute-queries --passes 2 --out windows.ppm
check [ -s windows.ppm ]

bad() { words=$1; shift; refuses 1 "$words" "$program" train --data set --attention local --grid "$@"; }
bad 'its cells must divide the grid, 4 x 4; 0.235294118 (4 keys) would do' --keys 5 --patch 2
bad '(two cells): its cells must divide the grid, 4 x 4' --keys 6 --patch 2 --look-back
refuses 1 'a class token is a position as any other: keep_first is 1, must be 0' "$program" train --data set --patch 2 \
    --attention local --keys 4 --permute-queries

finish 'cells'
