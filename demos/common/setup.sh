# What the scripts that install, build and train share; they source it, and have $root and usage(). Sets $build.

began=$(date +%s)
build=$root/build-quickstart

say() { printf '\n== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; exit 1; }

print_version() {
    version=$(sed -n 's/^#define SSA_VERSION_[MP][A-Z]* //p' "$root/include/ssacl/base.h")
    echo "$(basename "$0" .sh) $(echo "$version" | paste -sd.)"
}

say_done() { # TEXT
    seconds=$(($(date +%s) - began))
    say "done in $((seconds / 60)) min $((seconds % 60)) s; $1"
}

# ---- options ----

# Sets a variable for each option: of --data PATH data=PATH, of a flag --grid grid=yes. The first ones and
# --no-install are of all scripts.
read_options() { # VALUES FLAGS ARGUMENT...
    values=$1 flags=$2 data='' device=auto out='' install=yes
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        --help|-h) usage; exit 0 ;;
        --version) print_version; exit 0 ;;
        --no-install) install=no; shift; continue ;;
        --*[!a-z]*|--) option=- ;;
        --*) option=${1#--} ;;
        *) option=- ;;
        esac
        case " $flags  :  $values " in
        *" $option "*" : "*) eval "$option=yes"; shift; continue ;;
        *" : "*" $option "*) [ $# -gt 1 ] || fail "$1 needs a value (see --help)" ;;
        *) fail "unknown option $1 (see --help)" ;;
        esac
        eval "$option=\$2"
        shift 2
    done
    [ -z "$data" ] || [ -r "$data" ] || fail "--data: $data cannot be read"
}

whole_number() { # OPTION VALUE LEAST
    case $2 in *[!0-9]*|'') fail "$1: '$2' is not a whole number" ;; esac
    [ "$2" -ge "$3" ] || fail "$1: give at least $3"
}

number() { # OPTION VALUE: over 0
    case $2 in
    *[!0-9.]*|''|.|*.*.*) fail "$1: '$2' is not a number" ;;
    *[1-9]*) ;;
    *) fail "$1: give more than 0" ;;
    esac
}

# ---- what must be there ----

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

has() { dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }
is_debian() { command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; }

updated=no
need() { # PACKAGE...: installs what is missing
    missing=
    for package; do has "$package" || missing="$missing $package"; done
    [ -n "$missing" ] || return 0
    { [ "$install" = yes ] && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }; } ||
        fail "packages are missing; as root, run: apt-get install$missing"
    say "installing$missing"
    [ $updated = yes ] || as_root apt-get -qq update
    updated=yes
    # shellcheck disable=SC2086 # a list of names
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq install -y \
        --no-install-recommends $missing >/dev/null
}

need_tools() {
    if is_debian; then
        need gcc libc6-dev meson ninja-build pkg-config python3 libjansson-dev opencl-c-headers ocl-icd-libopencl1 \
            libclblast-dev gnuplot-nox "$@"
        return
    fi
    for program in cc meson ninja pkg-config python3 gnuplot; do
        command -v $program >/dev/null || fail "$program is missing and this is not Debian: install it yourself"
    done
}

# ---- data ----

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ssacl

need_data() { # NAME: $data is that, of those that data.sh knows, unless --data said which
    [ -z "$data" ] || return 0
    data=$cache/$1
    [ -e "$data" ] || sh "$root/demos/common/data.sh" "$build" "$install" "$1" ||
        fail "give data of your own with --data"
}

PICTURES_HELP="train on these pictures; without it on Fashion-MNIST (MIT, Zalando SE), taken once from the Debian
                  package dataset-fashion-mnist (which is not installed) and kept in \$XDG_CACHE_HOME/ssacl"

# ---- building ----

build_in() { # FOLDER
    say "building in $1"
    log=$1/$(basename "$0" .sh)-build.log
    mkdir -p "$1"
    { { [ -f "$1/build.ninja" ] || meson setup "$1" "$root" -Dtests=false; } && ninja -C "$1"; } >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; fail "the build failed; all of its output: $log"; }
}

show_devices() { # PROGRAM; where there is no OpenCL device, PoCL is installed
    if ! "$1" --devices | grep -q '^opencl' && [ "$device" = auto ] && command -v apt-get >/dev/null; then
        echo "No OpenCL device here: PoCL makes one of the processor."
        need pocl-opencl-icd
    fi
    "$1" --devices
}

# ---- several seeds ----

# They take long: what was done with the same $settings and arguments is not done again.
once() { # FOLDER/NAME FUNCTION ARGUMENT...
    at=$1 kind=$2
    shift 2
    made="$settings $*"
    [ "$seeds" -eq 1 ] || [ ! -f "$at.done" ] || [ "$(cat "$at.done")" != "$made" ] || return 0
    $kind "$at" "$@"
    echo "$made" >"$at.done"
}
