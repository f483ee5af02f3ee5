#!/bin/sh
# The least of the experiments, digits of 8 x 8 pixels, dense and sampled, as it stands in the table: both learn, and
# the page says so. Skipped where the digits cannot be fetched. Usage: digits.sh PATH/ssacl-repro
. "$(dirname "$0")/../begin.sh"
export SSACL_OPENCL_LIBRARY=
demos=$(dirname "$(dirname "$program")") repro=$tests/../../demos/repro
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ssacl
if ! sh "$repro/../common/data.sh" "$(dirname "$demos")" no digits.npz; then
    echo 'digits: skipped, they could not be fetched'
    exit 77
fi
check "$program" --table "$repro/experiments.json" --only digits/dense,digits/ssa-4 --seeds 1 --results results \
    --work work --programs "$demos" --data "$cache" --device cpu
check python3 - <<'END'
import json
for arm, tests in (("dense", 2), ("ssa-4", 3)):
    lines = [json.loads(line) for line in open(f"results/digits/seed-1/{arm}.jsonl")]
    found = [l for l in lines if l["event"] == "test"]
    assert len(found) == tests, found
    assert all(t["dense"]["images"] == 1197 and t["dense"]["top1"] > 0.6 for t in found), found
    for t in found[1:]:
        assert arm == "dense" or t["ensemble"]["loss_of_first"][9] < t["ensemble"]["single_loss"], t
page = open("results/README.md").read()
assert "| digits | ssa-4 | dense | 1 |" in page and "2 of " in page
END
finish digits
