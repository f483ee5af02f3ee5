#!/bin/sh
# Installs what is missing (Debian packages; the only step that needs root), builds, and runs every test on the host
# backend and on every OpenCL device; with Debian's PoCL and rusticl there are two without a GPU.
# The last line is "N passed, N failed". $BUILD is where to build ("build").
set -eu
case ${1-} in
'') ;;
--help|-h) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
*) echo "tests/run.sh: takes no options but --help" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/.."
build=${BUILD:-build}

needed="gcc g++ libc6-dev meson ninja-build pkg-config python3 check libjansson-dev ocl-icd-opencl-dev
    libopenmpi-dev openmpi-bin opencl-c-headers libclblast-dev pocl-opencl-icd mesa-opencl-icd gnuplot-nox
    libjpeg-dev libpng-dev zlib1g-dev"

missing()
{
    for package in $needed; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
    done
}

install()
{
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    if [ -n "$root" ] && ! command -v sudo >/dev/null; then
        echo "tests/run.sh: missing packages; as root: apt-get install $1" >&2
        exit 1
    fi
    echo "installing: $1"
    log=$(mktemp)
    # shellcheck disable=SC2086
    { $root apt-get update -qq &&
        $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq \
            --no-install-recommends $1; } >"$log" 2>&1 ||
        { cat "$log" >&2; rm -f "$log"; echo "tests/run.sh: could not install: $1" >&2; exit 1; }
    rm -f "$log"
}

if command -v dpkg-query >/dev/null; then
    packages=$(missing)
    [ -z "$packages" ] || install "$packages"
fi
log=$build/meson-logs/testlog.json
rm -f "$log"
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null || cat "$build/meson-logs/meson-log.txt" >&2
ninja -C "$build" && { meson test -C "$build" --no-rebuild || true; } # summary.py tells what failed
times >"$build/times"
# shellcheck disable=SC2046
printf 'processor time: %s of user, %s of system\n' $(tail -n 1 "$build/times")
python3 tests/summary.py "$log"
