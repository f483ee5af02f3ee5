#!/bin/sh
# run.sh MESON BUILD PROGRAM.c 'CC...': installs into a folder of its own, links a program through pkg-config, runs it.
# All say the same version: header, library, ssacl.pc, and the soname, which has its minor number until 1.0.
# For another processor: $CFLAGS and $LDFLAGS of its compiler, and $SSA_RUN, what runs its programs.
set -eu
meson=$1 build=$2 program=$3 cc=$4
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
DESTDIR=$root $meson install -C "$build" --no-rebuild --quiet
pc=$(find "$root" -name ssacl.pc)
[ -n "$pc" ] || { echo "ssacl.pc was not installed" >&2; exit 1; }
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$root"
lib=$(pkg-config --variable=libdir ssacl)
cd "$root" # nothing of the source tree is near
# shellcheck disable=SC2046,SC2086
$cc -std=c11 -Wall -Wextra -Werror ${CFLAGS:-} -o program "$program" $(pkg-config --cflags --libs ssacl) ${LDFLAGS:-}
case $lib in "$root"*) ;; *) lib=$root$lib ;; esac
# shellcheck disable=SC2086
ran=$(SSACL_CACHE_DIR=$root/cache LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} ${SSA_RUN:-} ./program)
version=$(pkg-config --modversion ssacl)
[ "$ran" = "$version" ] || { echo "the library is $ran, ssacl.pc is of $version" >&2; exit 1; }
[ -e "$lib/libssacl.so" ] || exit 0
case $version in 0.*) soname=libssacl.so.${version%.*} ;; *) soname=libssacl.so.${version%%.*} ;; esac
readelf -d program | grep -q "NEEDED.*\[$soname\]" || { echo "the program does not ask for $soname" >&2; exit 1; }
