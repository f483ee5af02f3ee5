# What the tests of ssacl-graph begin with.
. "$(dirname "$0")/../begin.sh"
export PYTHONDONTWRITEBYTECODE=1

# A file of made-up molecules: FILE COUNT [ATOMS [official|none]].
molecules() { python3 "$tests/molecules.py" "$@"; }
