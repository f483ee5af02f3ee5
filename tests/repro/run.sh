#!/bin/sh
# ssacl-repro on a table of its own: runs that are done, stopped and gone on with, killed, failed, of other settings;
# what the pages say of them, held against numbers made of the results again. On the host backend.
# Usage: run.sh PATH/ssacl-repro
. "$(dirname "$0")/../image/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
demos=$(dirname "$(dirname "$program")")

tests=$tests/../image
pictures data/set 200 60
table() { # STEPS [LOOK-EVERY]
    cat <<END
{"tasks": [
 {"name": "set", "title": "Noise", "like": "ImageNet", "program": "ssacl-image", "data": "set", "seeds": 2,
  "options": "--train-images 64 --valid-images 32 --layers 1 --width 16 --heads 2 --patch 2 --batch 16 --lr 2e-3",
  "looks": "--eval-every ${2:-10} --eval-images 32 --log-every 10 --every 20", "eval": "--images 40",
  "arms": [
   {"name": "dense", "kind": "dense", "about": "a | and *stars*", "stages": "dense:steps=$1"},
   {"name": "two", "kind": "control", "of": "dense", "seeds": 1},
   {"name": "away", "kind": "control", "options": "--decay 1", "seeds": 1,
    "stages": "dense:steps=60,lr=99,lr-end=99,warm-up=0"},
   {"name": "ssa", "kind": "ssa", "stages": "unbiased:keys=4,per-example,steps=20 dense:steps=10,lr=2e-4"},
   {"name": "timed", "kind": "ssa", "stages": "unbiased:keys=4,per-example,seconds=0.1 dense:steps=10", "seeds": 1,
    "turn": 2}
  ]}
]}
END
}
table 30 >table.json
repro() {
    "$program" --table table.json --results results --work work --programs "$demos" --data data --device cpu "$@" 2>err
}
states() { repro --list --json "$@" >list.json; }

refuses_words() { # WORDS COMMAND...: exit status 1, and these words in err
    checks=$((checks + 1))
    words=$1
    shift
    "$@" >out 2>err2 && wrong "was taken: $*"
    cat err2 >>err
    grep -q "$words" err || wrong "no word of '$words': $*"
}

# ---- before anything has run ----

check states
json list.json 'len(x["runs"]) == 7 and all(r["state"] == "open" for r in x["runs"])'
json list.json '[r["run"][9:] for r in x["runs"]][:5] == ["1/dense", "1/two", "1/away", "1/ssa", "2/dense"]'
json list.json 'x["runs"][-1]["run"] == "set/seed-1/timed"'
check states --only 'set/s*' --seeds 1
json list.json '[r["run"] for r in x["runs"]] == ["set/seed-1/ssa"]'
check [ "$(repro --data-names)" = set ]
refuses_words "there is no such run" repro --list --only nothing
check [ ! -e results ]

# ---- all of it ----

# What takes seconds needs to know how long a step takes; the others have run before.
repro >out
check [ $? -eq 1 ]
check grep -q 'timed lasts so many seconds' err
check grep -q '^pages: results/README.md' out
check states
json list.json '[r["state"] for r in x["runs"]] == ["done", "done", "failed", "done", "done", "done", "open"]'
check repro --time 2 >out
check repro >out
check python3 - <<'END'
import json
times = json.load(open("results/set/times.json"))
arms = times["arms"]
assert times["rounds"] == 2 and set(arms) == {"dense", "two", "away", "ssa", "timed"} and not arms["two"]
lines = [json.loads(l) for l in open("results/set/seed-1/timed.jsonl")]
start = next(l for l in lines if l["event"] == "start")
steps = int(start["stages"][0].split("steps=")[1].split(",")[0])
assert steps == int(0.1 // arms["timed"][0]["median"]), steps
assert lines[0]["event"] == "run" and lines[0]["run"] == "set/seed-1/timed"
assert f"steps={steps} " in lines[0]["settings"]
assert all(k in lines[0] for k in ("commit", "machine", "date"))
tests = [l for l in lines if l["event"] == "test"]
assert [t["checkpoint"] for t in tests] == ["timed.best", "timed.st.stage1", "timed.st"], tests
assert "ensemble" not in tests[0] and tests[1]["ensemble"]["passes"] == 10
END
check states
json list.json '[r["state"] for r in x["runs"]].count("done") == 6'
cp -r results before
check repro >out
check grep -q 'nothing to run' err
check diff -r results before

# ---- what the pages say ----

check python3 - <<'END'
import json, math, re
from html.parser import HTMLParser

def tests(name):
    lines = [json.loads(l) for l in open("results/set/" + name + ".jsonl")]
    return {t["checkpoint"].split(".", 1)[1]: t for t in lines if t["event"] == "test"}

def differences(ours, theirs):
    d = [theirs(s) - ours(s) for s in (1, 2)]
    mean = sum(d) / 2
    return mean, math.sqrt(sum((x - mean) ** 2 for x in d)) / math.sqrt(2)

def dense(arm):
    return lambda s: tests(f"seed-{s}/{arm}")["best"]["dense"]["loss"]

def ten(place):
    return lambda s: tests(f"seed-{s}/ssa")[place]["ensemble"]["loss_of_first"][9]

text = open("results/README.md").read()
rows = [[c.strip() for c in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
def row(*cells):
    found = [r for r in rows if tuple(r[:len(cells)]) == cells]
    assert found, (cells, rows)
    return found[0]
def number(cell):
    return [float(x) for x in re.findall(r"[-+]?[0-9.]+", cell)]

models = tests("seed-1/two")["best"]["models"]
assert models["count"] == 2 and models["with"] == ["dense.best"], models
got = row("set", "two", "its two models alone", "1")
assert abs(number(got[6])[0] - (models["single_loss"] - models["loss"])) < 1.01e-4 and got[9] == "one seed", got
for arm, ours in (("ssa", dense("ssa")),):
    mean, error = differences(ours, dense("dense"))
    got = row("set", arm, "dense", "2")
    assert number(got[6]) == [round(mean, 4), round(error, 4)] or \
        all(abs(a - b) < 1.01e-4 for a, b in zip(number(got[6]), (mean, error))), (got, mean, error)
    verdict = "within two standard errors" if abs(mean) <= 2 * error else "better" if mean > 0 else "worse"
    assert got[9] == verdict, got
for place, word in (("st.stage1", "before"), ("st", "after")):
    got = row("set", "ssa, " + word)
    same = differences(ten(place), lambda s: tests(f"seed-{s}/ssa")[place]["dense"]["loss"])
    other = differences(ten(place), dense("dense"))
    for cell, want in ((got[6], same), (got[8], other)):
        assert all(abs(a - b) < 1.01e-4 for a, b in zip(number(cell), want)), (cell, want)
assert "away, seed 1 failed:" in text and "not finite" in text
assert r"a \| and \*stars\*" in text
assert "| 2 of 2 |" not in text and "Nothing: the whole table has." in text
for name in re.findall(r"\((figures/[^)]*)\)", text):
    assert open("results/" + name).read().startswith("<svg"), name
assert len(re.findall(r"\(figures/", text)) == 4

class Page(HTMLParser):
    open_tags, cells = [], 0
    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "line", "rect", "circle", "polygon", "path"):
            self.open_tags.append(tag)
        self.cells += tag == "td"
    def handle_startendtag(self, tag, attributes):
        pass
    def handle_endtag(self, tag):
        if tag in self.open_tags:
            while self.open_tags.pop() != tag:
                pass
page = Page()
page.feed(open("results/index.html").read())
assert not page.open_tags and page.cells == sum(len(r) for r in rows if r[0] not in ("task", "arm"))
END

# ---- other settings ----

table 40 >table.json
check states
json list.json '[r["state"] for r in x["runs"]][:2] == ["of other settings"] * 2'
check repro >out
check diff results/set/seed-1/dense.jsonl before/set/seed-1/dense.jsonl
check grep -q '| dense | 2 of 2, results there are of other settings |' results/README.md
# what is cut short, or of another run, is open again, and done again
table 30 >table.json
head -n 3 before/set/seed-1/ssa.jsonl >results/set/seed-1/ssa.jsonl
cp before/set/seed-1/dense.jsonl results/set/seed-2/dense.jsonl
check states
json list.json '[r["run"][9:] for r in x["runs"] if r["state"] == "open"] == ["1/ssa", "2/dense"]'
check repro >out
check states
json list.json '[r["state"] for r in x["runs"]].count("done") == 6'
for run in seed-1/ssa seed-2/dense; do # the same again
    check cmp results/set/$run.jsonl before/set/$run.jsonl
done

# ---- stopped, killed ----

# A long run that is stopped, and whose program is killed, ends as one that was not.
table 1600 100 >table.json
check repro --only set/dense --seeds 1 --again --results whole --work whole-work >out
rm -rf results/set/seed-1/dense.jsonl work/set/seed-1
after() { # SIGNAL PATTERN: once there is a checkpoint to go on from, and a process to send it to
    for _ in $(seq 400); do
        if [ -s work/set/seed-1/dense.st ] && pkill "-$1" -f "$2"; then return; fi
        sleep 0.05
    done
}
after INT "^$program.*--table table.json.*--only set/dense" &
repro --only set/dense --seeds 1 >out
check [ $? -eq 130 ]
wait
check [ ! -e results/set/seed-1/dense.jsonl ]
after KILL "^$demos/image/ssacl-image train.*--log work/set/seed-1" &
repro --only set/dense --seeds 1 >out
check [ $? -eq 1 ]
wait
check grep -q 'exit status 137' err
check [ ! -e results/set/seed-1/dense.jsonl ]
check repro --only set/dense --seeds 1 --hours 0.0001 >out
check grep -q 'the time is over' err
check repro --only set/dense --seeds 1 >out
check python3 - <<'END'
import json
def record(folder):
    lines = [json.loads(l) for l in open(folder + "/set/seed-1/dense.jsonl")]
    last = {l["step"]: (l["loss"], l["lr"]) for l in lines if l["event"] == "step"}
    return last[1600], [t["dense"]["loss"] for t in lines if t["event"] == "test"], [l["event"] for l in lines]
(one, tests, events), (two, others, more) = record("results"), record("whole")
assert one == two and tests == others and len(tests) == 2, (one, two, tests, others)
assert "resume" in events and "resume" not in more
END

# ---- what is wrong ----

refuses 1 'give the folder of the data' "$program" --table table.json --results none
refuses 1 'No such file' "$program" --table nowhere.json --list
refuses 2 'is not an option' "$program" --nothing
wrong_table() { # WORDS SED-EXPRESSION
    sed "$2" table.json >wrong.json
    : >err
    refuses_words "$1" "$program" --table wrong.json --list
}
wrong_table "kind 'sparse' is not" 's/"kind": "ssa"/"kind": "sparse"/'
wrong_table "'Set' is no name" 's/"name": "set"/"name": "Set"/'
wrong_table 'has two arms dense' 's/"name": "ssa"/"name": "dense"/'
wrong_table "'seeds' must be a whole number" 's/"seeds": 2/"seeds": "two"/'
wrong_table 'is no arm before it' 's/"of": "dense"/"of": "ssa"/'
wrong_table "'stages' must be a text, and is missing" 's/, "stages": "dense:steps=1600"//'
wrong_table "an arm has a 'option', which nobody knows" 's/"options": "--decay/"option": "--decay/'
wrong_table 'is of another arm' 's/"of": "dense"/"of": "dense", "options": "--lr 1"/'
sed 's/seconds=0.1/seconds=soon/' table.json >wrong.json
refuses_words 'is no number of seconds' "$program" --table wrong.json --results w --work ww --programs "$demos" \
    --data data --only set/timed
wrong_table 'line 3' 's/"seeds": 2,/"seeds": 2/'
sed 's/--width 16/--width 17/' table.json >wrong.json # what is wrong with it the program says that trains
check [ "$("$program" --table wrong.json --results w --work ww --programs "$demos" --data data --only set/ssa \
    --seeds 1 2>&1 | grep -c 'training failed.*heads')" -eq 1 ]
check [ ! -e w/set ]
finish repro
