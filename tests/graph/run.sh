#!/bin/sh
# ssacl-graph from end to end, on molecules that Python makes up: what is trained learns, goes on bit for bit, and is
# told in the target's unit; what eval and predict say of each molecule; every bad input counted, or refused in one
# sentence. On the host backend. Usage: run.sh PATH/ssacl-graph
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
small="--layers 2 --width 32 --edge-width 8 --heads 4 --virtual-nodes 2 --batch 16 --lr 3e-3"

graph() { "$program" "$@" 2>err; }
# shellcheck disable=SC2086 # a list of options
train() { graph train --device cpu --data set --quiet --force $small "$@"; }
evaluate() { graph eval --device cpu --data set "$@"; }
bad() { status=$1 words=$2; shift 2; refuses "$status" "$words" "$program" "$@"; }
molecules set 400

# ---- dense and sampled ----

check train --stages 'unbiased:ratio=0.5,per-example,epochs=12 dense:epochs=4,lr=1e-3' --valid-molecules 40 \
    --test-molecules 60 -c c -l log.jsonl --keep-stages
check python3 - <<'END2'
import json
x = [json.loads(line) for line in open("log.jsonl")]
of = lambda event: [r for r in x if r["event"] == event]
start, end, looks = of("start")[0], of("end")[0], of("evaluation")
assert start["train_molecules"] == 299 and start["unit"] == "mean absolute error", start
of_data = {"target": "score", "unit": "pt", "official": False, "train": 299, "valid": 40, "test": 60}
assert start["data"] == of_data, start
r = start["recipe"]
assert 22 < r["mean"] < 28 and 2 < r["deviation"] < 6 and r["together"] == 32 and not r["raw_targets"], r
assert start["model"]["nodes"] == 8 and start["model"]["node_values"] == 128 and start["model"]["layers"] == 2
assert start["stages"][0].startswith("unbiased:ratio=0.5,per-example,steps=225,"), start["stages"]
assert start["stages"][1].startswith("dense:steps=75,lr=0.001"), start["stages"]
assert end["step"] == 300 and end["status"] == "finished", end
assert looks[-1]["dense"] < 1 and looks[-1]["dense_rmse"] < 1.5, looks  # of a deviation of about 4
first = of("step")[0]
assert 1 < first["loss"] < 10, first  # in the target's unit, not in deviations
END2
check evaluate -c c --passes 5 --json --csv dense.csv -l log.jsonl >eval.json
json eval.json 'x["part"] == "test" and x["same_molecules"] and x["dense"]["molecules"] == 60'
# two models together: the mean of what each says of a molecule
check evaluate -c c.stage1 --mode dense --json --csv stage.csv >stage.json
check evaluate -c c --mode dense --json --with c.stage1 >both.json
check python3 - <<'END2'
import csv, json
a, b = (list(csv.DictReader(open(n + ".csv"))) for n in ("dense", "stage"))
both, single = json.load(open("both.json")), [json.load(open(n + ".json"))["dense"] for n in ("eval", "stage")]
want = sum(abs((float(x["dense"]) + float(y["dense"])) / 2 - float(x["target"])) for x, y in zip(a, b)) / len(a)
models = both["models"]
assert models["count"] == 2 and abs(models["loss"] - want) < 1e-5 * want, (models, want)
assert abs(models["single_loss"] - (single[0]["loss"] + single[1]["loss"]) / 2) < 1e-6, (models, single)
assert both["dense"]["loss"] == single[0]["loss"] and models["loss"] <= models["single_loss"] + 1e-9
END2
check train --steps 4 --ema 0.9 --valid-molecules 40 --test-molecules 60 -c ema
check evaluate -c ema --mode dense --json >ema.json
for order in '-c ema --with c.stage1' '-c c.stage1 --with ema'; do # of each the weights that it is measured with alone
    # shellcheck disable=SC2086 # a list of options
    check evaluate $order --mode dense --json >both.json
    json both.json 'abs(x["models"]["single_loss"] - (json.load(open("ema.json"))["dense"]["loss"] +
        json.load(open("stage.json"))["dense"]["loss"]) / 2) < 1e-5 and len(x["models"]["with"]) == 1'
done
train --steps 1 --layers 1 --valid-molecules 40 --test-molecules 60 -c other
bad 1 'is of another model' eval --device cpu --data set -c c --with other
bad 1 'nowhere: cannot open it' eval --device cpu --data set -c c --mode dense --with nowhere --json
bad 1 'dense.csv: exists; replace it with --force' eval --device cpu --data set -c c --csv dense.csv
bad 1 'the same file as' eval --device cpu --data set -c c --csv c --force
bad 1 'virtual nodes see padding' train --data set --device cpu --steps 2 --virtual-see-padding -a unbiased -c x
bad 1 'the same file as' eval --device cpu --data set -c c --csv set --force
check train --stages unbiased:ratio=0.5,per-example,steps=2 --score-clip 3 --clip 0.5 --profile 1 -c p -l p.jsonl
head -1 p.jsonl >start.json
json start.json 'x["model"]["clip"] == 3'
json eval.json 'x["dense"]["loss"] < 1 and x["dense"]["rmse"] >= x["dense"]["loss"] and "spread" not in x["dense"]'
json eval.json 'len(x["ensemble"]["loss_of_first"]) == 5 == x["ensemble"]["passes"] and x["ensemble"]["spread"] > 0'
json eval.json 'x["ensemble"]["loss"] <= x["ensemble"]["single_loss"]'
json eval.json 'x["ensemble"]["rmse"] <= x["ensemble"]["single_rmse"]'
check python3 - <<'END2'
import csv, json, math
x, rows = json.load(open("eval.json")), list(csv.DictReader(open("dense.csv")))
assert len(rows) == 60 and list(rows[0]) == ["number", "line", "smiles", "target", "dense", "ensemble", "spread"]
mean = lambda key: sum(abs(float(r[key]) - float(r["target"])) for r in rows) / 60
root = lambda key: math.sqrt(sum((float(r[key]) - float(r["target"])) ** 2 for r in rows) / 60)
for kind in "dense", "ensemble":
    assert abs(mean(kind) - x[kind]["loss"]) < 1e-4 * mean(kind), (mean(kind), x[kind])
    assert abs(root(kind) - x[kind]["rmse"]) < 1e-4 * root(kind)
assert abs(sum(float(r["spread"]) for r in rows) / 60 - x["ensemble"]["spread"]) < 1e-4
assert all(int(r["number"]) + 2 == int(r["line"]) + 100 and set(r["smiles"]) <= set("C,") for r in rows)
assert all(20 <= float(r["target"]) <= 60 for r in rows)
END2
check evaluate -c c --passes 3 >out
check grep -q '^  self-ensemble of 3 * [0-9.]* * [0-9.]* * [0-9.]* $' out
check grep -q '^  dense * [0-9.]* * [0-9.]* mean absolute error$' out
check evaluate -c c --part valid --mode dense --molecules 7 --json >valid.json
json valid.json 'x["dense"]["molecules"] == 7 and "ensemble" not in x'
check evaluate -c c --mode ensemble --passes 9 --tolerance 8 --json >early.json
json early.json 'x["ensemble"]["passes"] == 4'
check graph report log.jsonl --json >report.json
json report.json 'x["runs"][0]["molecules"] == 4800 and x["runs"][0]["test_ensemble_rmse"] > 0'
sed 's/"program":"ssacl-graph"/"program":"ssacl-other"/' log.jsonl >theirs.jsonl
sed 's/"program":"ssacl-graph",//; s/"train_molecules"/"train_bytes"/' log.jsonl >old.jsonl
bad 1 'theirs.jsonl: was written by ssacl-other' report log.jsonl theirs.jsonl
bad 1 'old.jsonl: is not of ssacl-graph: it has "train_bytes"' report old.jsonl
check graph report log.jsonl --tests --json >tests.json
json tests.json 'x["rows"][0]["dense"]["loss"] < 1 and x["rows"][0]["ensemble_5"]["loss"] > 0'

# ---- molecules of a batch do not matter to each other, nor do threads ----

for batch in 1 7; do
    check evaluate -c c --mode dense --batch $batch --csv batch$batch.csv --json >batch.json
done
check python3 - <<'END2'
import csv
a, b = (list(csv.DictReader(open(f"batch{n}.csv"))) for n in (1, 7))
assert [r["number"] for r in a] == [r["number"] for r in b] and len(a) == 60
assert all(abs(float(p["dense"]) - float(q["dense"])) < 1e-4 for p, q in zip(a, b))
END2

# ---- goes on bit for bit ----

run='unbiased:ratio=0.5,per-example,steps=9 dense:steps=6'
check train --stages "$run" --attention-dropout 0.3 --drop-path 0.1 --ema 0.9 -c whole --keep-stages
check graph train --device cpu --data set --quiet --resume whole.stage1 -c again
check cmp whole again
check train --stages "$run" --attention-dropout 0.3 --drop-path 0.1 --ema 0.9 -c other --fixed-signs
layers='unbiased:ratio=0.5,per-example,steps=9/0:dense/last:ratio=0.25,no-per-example dense:steps=6/1:unbiased'
check train --stages "$layers" --attention-dropout 0.3 --drop-path 0.1 --ema 0.9 -c layers -l layers.jsonl --keep-stages
check grep -q 'steps=9,lr=[^/]*/0:dense/1:ratio=0.25,no-per-example"' layers.jsonl
check graph train --device cpu --data set --quiet --resume layers.stage1 -c again --force
check cmp layers again
sources='unbiased:ratio=0.4,per-example,source-dropout,steps=9,dense-every=4/0:ratio=0.1 dense:steps=3'
for mode in all sampled; do
    check train --stages "$sources" --edge-mode $mode -c sources --keep-stages --profile 1
    check graph train --device cpu --data set --quiet --resume sources.stage1 -c again --force
    check cmp sources again
done
check evaluate -c sources --passes 3 --json >sources.json
json sources.json 'x["ensemble"]["pattern"] == "unbiased:ratio=0.4,per-example,source-dropout/0:ratio=0.1"'
bad 1 "in no order; sample it by 'unbiased'" train --data set -c d --layers 2 --stages 'dense:steps=9/1:local'
bad 1 'give a share of it, ratio=R' train --data set -c d --layers 2 --stages 'dense:steps=9/1:unbiased:keys=3'
check sh -c '! cmp -s whole other'
bad 2 'does not go with --resume' train --data set --resume whole.stage1 -c d --raw-targets
bad 1 'other molecules' train --data set --resume whole.stage1 -c d --train-molecules 50
check graph train --device cpu --data set --quiet --resume whole --steps 20 -c longer
check sh -c '"$0" eval -c longer --data set --device cpu --json 2>err | grep -q "\"step\": *20\b"' "$program"

# ---- targets as they are, squared errors, other edges ----

check train --steps 40 --raw-targets --loss l2 -c raw -l raw.jsonl
check grep -q '"unit":"mean squared error"' raw.jsonl
check grep -q '"mean":0.0,"deviation":1.0' raw.jsonl
check evaluate -c raw --mode dense --json >raw.json
json raw.json 'abs(x["dense"]["rmse"] ** 2 - x["dense"]["loss"]) < 1e-3 * x["dense"]["loss"]'
for mode in sampled fixed; do
    check train --steps 4 --edge-mode $mode --attention unbiased --ratio 0.5 --per-example -c $mode
done

bad 1 'give a share of it, ratio=R' train --data set -c d --attention unbiased --keys 3
bad 1 'give a share of it, ratio=R' eval --device cpu --data set -c c --pattern unbiased:keys=3
bad 1 "in no order; sample it by 'unbiased'" train --data set -c d --attention local
bad 1 "in no order; sample it by 'unbiased'" eval --device cpu --data set -c c --pattern local
bad 1 'keep_first is 64, must be in' eval --device cpu --data set -c c --pattern unbiased:keep-first=64
SSACL_PYTHON=/nowhere bad 1 "in no order; sample it by 'unbiased'" predict --data x.csv -c c --pattern local

# ---- a split of the file's own; molecules that are too large ----

molecules official 100 8 official
# shellcheck disable=SC2086 # a list of options
check graph train --device cpu --data official --force $small --steps 3 -c o -l o.jsonl --nodes 6
check grep -q '"official":true' o.jsonl
check grep -q 'left out, of more than the 6 atoms that the model takes (--nodes); the first is of line' err
check graph eval --device cpu --data official -c o --json >official.json
json official.json '0 < x["dense"]["molecules"] < 20 and x["same_molecules"]'
bad 1 'has no split of its own' train --data set --split official -c d
bad 1 '--split-seed 3: official has a split of its own' train --data official --split-seed 3 --train-molecules 60 -c d
for parts in '--train-molecules 30' '--split seeded'; do
    # shellcheck disable=SC2086 # a list of options
    check graph plan --data official --split-seed 3 $parts --device cpu --measure 0 --json >plan.json
done

# ---- predictions ----

molecules new 30 12 none
check graph predict --device cpu --data new -c c --out p.csv --passes 4
check grep -q 'left out, of more than the 8 atoms that the model takes; the first is of line' err
check python3 - <<'END2'
import csv
rows = list(csv.DictReader(open("p.csv")))
assert list(rows[0]) == ["number", "line", "smiles", "target", "prediction", "spread"], rows[0]
assert 10 < len(rows) < 30 and all(r["target"] == "" and 15 < float(r["prediction"]) < 50 for r in rows)
lines = [int(r["line"]) for r in rows]
assert all(float(r["spread"]) >= 0 for r in rows) and lines == sorted(lines)
END2
check graph predict --device cpu --data new -c c --dense >dense.out
check sh -c 'head -1 dense.out | grep -q "^number,line,smiles,target,prediction,spread$"'
check sh -c 'tail -1 dense.out | grep -q ",$"'
check graph predict --device cpu --data set -c c --out p2.csv --json >p.json
json p.json 'x == {"out": "p2.csv", "checkpoint": "c", "precision": "float32", "molecules": 400, "left_out": 0, "passes": 10}'
check grep -q '"C*,"' p2.csv
bad 2 '--dense is one pass, and --passes are of sampling' predict --data new -c c --dense --passes 10
bad 1 'p.csv: exists' predict --data new -c c --out p.csv
bad 2 'give one --data FILE' predict -c c
SSACL_PYTHON=/nowhere/python bad 1 '/nowhere/python cannot be run' predict --data x.csv -c c

printf '#!/bin/sh\nexit 3\n' >nordkit && chmod +x nordkit
SSACL_PYTHON=./nordkit bad 1 'RDKit is missing' predict --data x.csv -c c

# Of a table what cannot become a graph is counted, too; how the converter ends is how this does.
cat >converts <<'END2'
#!/bin/sh
while [ $# -gt 1 ]; do
    case $1 in
    --out) cp new "$2" ;;
    --left-out) echo 7 >"$2" ;;
    esac
    shift
done
END2
printf '#!/bin/sh\necho "ssacl-graph: no" >&2\nexit 2\n' >usage
chmod +x converts usage
left=$(($(graph predict --device cpu --data new -c c --dense | wc -l) - 1))
SSACL_PYTHON=./converts check graph predict --device cpu --data x.csv -c c --out p3.csv --json >p.json
json p.json "x['molecules'] == $left and x['left_out'] == 30 - $left + 7"
SSACL_PYTHON=./converts check graph predict --device cpu --data x.csv -c c --out p3.csv --force
check grep -q "p3.csv: $left molecules, 10 passes, $((30 - left + 7)) left out" err
SSACL_PYTHON=./usage bad 2 '' predict --data x.csv -c c
SSACL_PYTHON=./usage bad 2 '' convert --no-such-thing
cat >waits <<'END2'
#!/bin/sh
trap 'sleep 0.3; touch ended; exit 130' INT
touch up
while :; do sleep 0.05; done
END2
chmod +x waits
check python3 - "$program" <<'END2'
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, as in the background
run = subprocess.Popen([sys.argv[1], "convert", "x.csv"], env={**os.environ, "SSACL_PYTHON": "./waits"})
while not os.path.exists("up"):
    time.sleep(0.01)
run.send_signal(signal.SIGINT)
assert run.wait() == 130 and os.path.exists("ended"), run.returncode
END2

# ---- plans ----

check graph plan --data set --device cpu --batch 8 --steps 10 --json >plan.json
json plan.json 'x["fits"] and x["train_molecules"] == 361 and x["model"]["nodes"] == 8'
check graph plan --preset egt-90m-ssa --measure 0 --device cpu --json >plan.json
json plan.json 'x["parameters"] == 89322369 and x["batch"] == 512'
check graph plan --preset egt-47m --measure 0 --device cpu --json >plan.json
json plan.json 'x["parameters"] == 47414273'
check graph plan --nodes 9 --measure 0 --device cpu --json >plan.json
json plan.json 'x["parameters"] == 200929'
bad 1 'stage 1 has 10 steps, fewer than the 200000 of its warm-up: give a shorter --warm-up' \
    plan --preset egt-47m --steps 10 --measure 0
check graph plan --preset egt-47m --steps 10 --warm-up 10 --measure 0 --device cpu --json >plan.json
bad 1 'give --nodes N' plan --measure 0
bad 1 'must be even' plan --measure 0 --nodes 9 --encodings 3

# ---- what is wrong ----

head -c 1000 set >cut
printf 'smiles,y\nCC,1\n' >table.csv
: >empty
bad 1 'cut short or damaged' train --data cut -c d
bad 1 'is no file of graphs' train --data empty -c d
bad 1 'ssacl-graph convert' train --data table.csv -c d
bad 1 'cannot be opened' train --data nowhere -c d
bad 1 'give one file of graphs' train --data set --data official -c d
bad 1 'cannot be set aside' train --data set -c d --valid-molecules 300 --test-molecules 200
python3 - "$tests" <<'END2'
import struct, sys
b = bytearray(open("set", "rb").read())
b[60:64] = struct.pack("<I", 64)
open("other", "wb").write(b)
END2
bad 1 'convert the molecules as those were' train --data other --from c -c d
bad 1 'convert the molecules as those were' eval --data other -c c
bad 1 'convert the molecules as those were' predict --data other -c c
molecules nothing 30 8 none
bad 1 'cannot be set aside' train --data nothing -c d
finish ssacl-graph
