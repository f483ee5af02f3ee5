#!/bin/sh
# The paper's claims, measured: installs what is missing, builds, fetches the data of the tasks that are asked for, and
# runs the table of experiments.json where it stopped the last time. Every run that is done is a file in
# demos/repro/results, and the pages there say what came out of all of them.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/demos/common/setup.sh"

usage() {
    cat <<EOF
usage: sh demos/repro/run.sh [options]

  --list          say what there is and what of it has run
  --only NAMES    runs of these alone: TASK or TASK/ARM, with * for any letters, commas between
  --seeds N       at most so many seeds of each arm
  --hours H       end after so long; the next call goes on [0: when all has run]
  --time N        measure how long steps take instead, N rounds; nothing else may run meanwhile
  --again         what failed, or stands there with other settings, anew
  --pages         write the pages anew, run nothing
  --device NAMES  auto, cpu, all, or names with commas between [auto]
  --launch WORDS  what training is started by: 'mpirun -n 2'
  --results DIR   [demos/repro/results]
  --work DIR      checkpoints of runs at work [build-quickstart/repro]
  --no-install    never call apt; say what is missing instead
  --help          this text
  --version       say which version this is

Data: Fashion-MNIST (MIT), scikit-learn's digits (BSD-3), QM9 (licence not known), chemml's organic molecules (BSD-3),
Wikipedia's text (CC BY-SA 3.0 and GFDL, its authors). Each is fetched once and kept in \$XDG_CACHE_HOME/ssacl.
EOF
}

only='' seeds=0 hours=0 time=0 launch='' results=$root/demos/repro/results work='' list=no again=no pages=no
read_options "data device only seeds hours time launch results work" "list again pages" "$@"
[ -z "$data" ] || fail "unknown option --data (see --help)"
whole_number --seeds "$seeds" 0
whole_number --time "$time" 0
[ "$hours" = 0 ] || number --hours "$hours"

table=$root/demos/repro/experiments.json
work=${work:-$build/repro}
repro=$build/demos/repro/ssacl-repro

# ---- all of it -------------------------------------------------------------------------------------------------

need_tools zlib1g-dev libpng-dev libjpeg-dev python3-venv python3-pip ca-certificates
build_in "$build"
set -- --table "$table" --results "$results" --work "$work" --programs "$build/demos" --seeds "$seeds"
[ -z "$only" ] || set -- "$@" --only "$only"
[ "$again" = no ] || set -- "$@" --again
if [ $list = yes ]; then exec "$repro" "$@" --list; fi
if [ $pages = yes ]; then exec "$repro" "$@" --pages; fi

# shellcheck disable=SC2046 # a list of names
sh "$root/demos/common/data.sh" "$build" "$install" $("$repro" "$@" --data-names)
[ "$device" = auto ] || set -- "$@" --device "$device"
[ -z "$launch" ] || set -- "$@" --launch "$launch"
[ "$time" = 0 ] || set -- "$@" --time "$time"
"$repro" "$@" --data "$cache" --hours "$hours"
say_done "the pages: $results/README.md, $results/index.html"
