#!/bin/sh
# Builds for another processor and runs the tests of the host backend there, under QEMU; i386 on x86-64 without it.
#
#   sh tests/cross.sh [--install] [--static] [--client] arm64|i386 [TEST...]
#
# --install gets Debian's cross compiler and QEMU (as root or through sudo); what the processor's programs are linked with
# (jansson, Check) is unpacked into a folder and not installed. --client builds the library alone and links and runs a
# program with it. The folder is $BUILD-ARCHITECTURE[-static][-client] ("build-arm64"). Not tried: OpenCL, MPI.
set -eu
cd "$(dirname "$0")/.."
install="" library=shared client=""
while [ $# -gt 0 ]; do
    case $1 in
    --install) install=yes ;;
    --static) library=static ;;
    --client) client=-client ;;
    *) break ;;
    esac
    shift
done
arch=${1:-}
case $arch in
arm64) triplet=aarch64-linux-gnu multiarch=aarch64-linux-gnu family=aarch64 run=qemu-aarch64 ;;
i386) triplet=i686-linux-gnu multiarch=i386-linux-gnu family=x86 run=qemu-i386 ;;
*) sed -n 's/^# \{0,1\}//p' "$0" | sed -n 2,8p >&2 && exit 2 ;;
esac
shift
# x86-64 runs i386 itself, by that one's loader. Under QEMU 7.2 pthread_create() may never return there.
[ "$arch $(uname -m)" != "i386 x86_64" ] || run=/usr/$triplet/lib/ld-linux.so.2
build=${BUILD:-build}-$arch
folder=$(mkdir -p "$build-packages" && cd "$build-packages" && pwd)
libraries=$folder/root/usr/lib/$multiarch
[ "$library" = shared ] || build=$build-static
build=$build$client

install_compiler()
{
    root=""
    [ "$(id -u)" = 0 ] || root=sudo
    $root apt-get update -qq
    $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq \
        --no-install-recommends "gcc-$triplet" "libc6-dev-$arch-cross" qemu-user pkg-config
}

# With lists and a status of its own, apt knows nothing but this architecture, and changes nothing of the machine's.
unpack_packages()
{
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    : >"$folder/status"
    set -- -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State::lists=$folder/lists" \
        -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root
    apt-get "$@" update -qq || true # sources besides Debian's may not have the architecture
    (cd "$folder" && apt-get "$@" download libjansson-dev libjansson4 check libsubunit-dev libsubunit0 \
        opencl-c-headers libclblast-dev && for package in *.deb; do dpkg -x "$package" root; done)
}

if ! command -v "$triplet-gcc" >/dev/null || ! command -v "$run" >/dev/null; then
    [ -n "$install" ] || { echo "tests/cross.sh: no $triplet-gcc or $run here (--install)" >&2; exit 1; }
    install_compiler
fi
[ -f "$libraries/libjansson.so" ] || unpack_packages >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
cat >"$folder/cross.ini" <<EOF
[binaries]
c = [$(command -v ccache >/dev/null && echo "'ccache', ")'$triplet-gcc']
ar = '$triplet-gcc-ar'
strip = '$triplet-strip'
pkgconfig = 'pkg-config'
exe_wrapper = '$run'
[built-in options]
c_args = ['-idirafter', '$folder/root/usr/include']
c_link_args = ['-L$libraries', '-Wl,-rpath-link,$libraries']
[properties]
pkg_config_libdir = '$libraries/pkgconfig'
sys_root = '$folder/root'
needs_exe_wrapper = true
[host_machine]
system = 'linux'
cpu_family = '$family'
cpu = '$family'
endian = 'little'
EOF

export QEMU_LD_PREFIX="/usr/$triplet" LD_LIBRARY_PATH="$libraries:/usr/$triplet/lib" SSACL_OPENCL_LIBRARY="" SSA_TEST_DEVICES=cpu
all=true
[ -z "$client" ] || all=false
[ -f "$build/build.ninja" ] || meson setup "$build" --cross-file "$folder/cross.ini" -Dmpi=disabled -Dwerror=true \
    -Ddefault_library=$library -Dtests=$all -Ddemos=$all >/dev/null
ninja -C "$build" >"$build/ninja.log" || { tail -20 "$build/ninja.log" >&2; exit 1; }
if [ -n "$client" ]; then
    CFLAGS="-idirafter $folder/root/usr/include" LDFLAGS="-L$libraries -Wl,-rpath-link,$libraries" SSA_RUN=$run \
        PKG_CONFIG_LIBDIR="$libraries/pkgconfig" sh tests/link/run.sh meson "$build" "$PWD/tests/link/program.c" "$triplet-gcc"
elif [ $# -gt 0 ]; then
    meson test -C "$build" --no-rebuild "$@"
else
    meson test -C "$build" --no-rebuild --suite operator --no-suite gpu_shape
fi
