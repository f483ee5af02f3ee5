#!/bin/sh
# run.sh MODULE PROBE SSACL-TEXT: ranks under a real launcher. Exit status 77, with the reason, where there is none.
set -u
module=$1 probe=$(realpath "$2")
[ -n "$module" ] || { echo "skipped: built without MPI (Debian: libopenmpi-dev)"; exit 77; }
command -v mpirun >/dev/null || { echo "skipped: no mpirun (Debian: openmpi-bin)"; exit 77; }
# Open MPI refuses to run as root, and on fewer cores than ranks, unless told.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export ASAN_OPTIONS=detect_leaks=0 # MPI's own
work=$(mktemp -d "${TMPDIR:-/tmp}/ssacl-mpi.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0

wrong() { failures=$((failures + 1)); printf 'WRONG: %s\n' "$*"; }

# says WORDS COMMAND...: succeeds and prints the words.
says() {
    words=$1
    shift
    checks=$((checks + 1))
    timeout 120 "$@" >out 2>err || wrong "exit status $?: $*: $(cat out err)"
    grep -q -e "$words" out || wrong "no word of '$words': $*: $(cat out err)"
}

# refuses WORDS COMMAND...: fails, soon, and says the words on stderr.
refuses() {
    words=$1
    shift
    checks=$((checks + 1))
    timeout 60 "$@" >out 2>err
    status=$?
    [ $status -ne 0 ] && [ $status -ne 124 ] || wrong "exit status $status: $*: $(cat out err)"
    grep -q -e "$words" err || wrong "no word of '$words': $*: $(cat out err)"
}

# ---- the engine ----

for ranks in 1 2 3 4 7; do
    says "fine: $ranks ranks" mpirun -n $ranks "$probe"
done
says 'fine: 2 ranks' mpirun -n 2 --mca btl self,tcp "$probe"
refuses 'started 3 processes, MPI knows of 1' env OMPI_COMM_WORLD_SIZE=3 "$probe"
refuses 'no module' mpirun -n 2 env SSACL_MPI_LIBRARY= "$probe"

echo "$checks checks, $failures failures"
[ $failures -eq 0 ]
