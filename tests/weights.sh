# What tests of weights, of import and export of a program, begin with, and with begin.sh: on the host backend, with a
# folder for temporary files. tensors.py is theirs.
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR="$work/tmp" PYTHONPATH="$tests/.."
mkdir tmp

bad() { status=$1 words=$2; shift 2; refuses "$status" "$words" "$program" "$@"; }
same() { # A B [BEGINNING]: files of the same tensors, but for those whose name begins so, which differ
    check python3 -c 'import sys; from tensors import tensors
a, b = (tensors(path) for path in sys.argv[1:3])
wrong = [n for n in {*a, *b} if n not in a or n not in b or (a[n] == b[n]) == n.startswith(tuple(sys.argv[3:4]))]
assert not wrong, wrong' "$@"
}
edit() { # FROM TO CODE: the file with its tensors t changed
    python3 -c 'import struct, sys; from tensors import tensors, save
t = tensors(sys.argv[1])
exec(sys.argv[3])
save(sys.argv[2], t)' "$@"
}
