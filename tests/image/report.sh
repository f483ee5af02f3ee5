#!/bin/sh
# What ssacl-image report makes of the tests in logs: every number of its table, of one seed and of several, and what is
# compared with what. Usage: report.sh PATH/ssacl-image
. "$(dirname "$0")/begin.sh"

report() { "$program" report "$@" 2>err; }
python3 - <<'END'
import json, os
def log(path, seed, stages, tests, valid, best=None, profile=None, unit="nats per image", looks=3):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        def put(**record): file.write(json.dumps(record) + "\n")
        put(event="start", seed=seed, stages=stages, batch=50, tokens_per_step=2500., unit=unit)
        for n in range(10, 101, 10):
            put(event="step", step=n, tokens=2500. * n, seconds=n / 2, loss=1., bits=1.)
            if n in valid:
                put(event="evaluation", step=n, tokens=2500. * n, seconds=n / 2, dense=valid[n])
        for i in range(looks if best else 0):
            put(event="watch", step=10 * i, best_step=best)
        put(event="end", status="finished", step=100)
        if profile:
            put(event="profile", stages=[{"steps": s, "attention_seconds": t} for s, t in profile])
        for name, step, *scores in tests:
            put(event="test", checkpoint=name, step=step, part="test", **dict(zip(("dense", "ensemble"), scores)))
def dense(loss, top1): return {"loss": loss, "top1": top1}
def together(single, top1, losses, tops):
    return {"single_loss": single, "single_top1": top1, "loss_of_first": losses, "top1_of_first": tops}
sampled = ["unbiased:ratio=0.25,steps=80,lr=1", "dense:steps=20,lr=1"]
ten = [.7, .65, .64, .63, .62, .615, .614, .613, .612, .61]
for seed, moved in (1, 0), (2, .01), (3, .05):
    log("%d/dense.jsonl" % seed, seed, ["dense:steps=100,lr=1"], [("d", 40, dense(.64 + moved, .78))],
        {40: .60 + moved, 100: 1.}, 40, [(100, .02)])
    log("%d/often.jsonl" % seed, seed, ["dense:steps=100,lr=1"], [("o", 100, dense(.60, .79))], {100: .7}, None)
    log("%d/luck.jsonl" % seed, seed, sampled, [("l", 100, dense(.64 + moved - (.03, -.01, .01)[seed - 1], .79))], {})
    log("%d/ssa.jsonl" % seed, seed, sampled,
        [("s1", 80, dense(.58, .80), together(.72, .75, ten, [.76] * 4 + [.77] * 5 + [.80])),
         ("s2", 100, dense(.99, .1)), ("s2", 100, dense(.56 - moved, .81))], {80: .5, 100: .5}, None,
        [(80, .005), (20, .02)])
log("other/bits.jsonl", 1, sampled, [("x", 100, {"bits": 1.})], {}, unit="bits per dimension")
log("other/none.jsonl", 1, sampled, [], {})
log("other/twin.jsonl", 1, sampled, [("s2", 100, dense(.5, .5))], {})
os.mkdir("twin")
os.link("1/dense.jsonl", "twin/dense.jsonl")
END

check report 1/dense.jsonl 1/ssa.jsonl --tests --json >one.json
check report 1/dense.jsonl 1/ssa.jsonl --tests >one.txt
check report ?/dense.jsonl ?/often.jsonl ?/ssa.jsonl --seeds --json >all.json
check report ?/dense.jsonl ?/often.jsonl ?/ssa.jsonl --seeds >all.txt
check python3 - <<'END'
import json, math
def near(a, b): return abs(a - b) < 1e-9
one, every = (json.load(open(name + ".json")) for name in ("one", "all"))
d, first, last = one["rows"]
assert [r["name"] for r in one["rows"]] == ["dense, at its best (step 40)", "ssa, end of stage 1 (unbiased)",
                                            "ssa, end of stage 2 (dense)"], one["rows"]
assert [r["dense_trained"] for r in one["rows"]] == [True, False, False] and one["against"] == d["name"]
assert [r["step"] for r in one["rows"]] == [40, 80, 100] and [r["seconds"] for r in one["rows"]] == [20, 40, 50]
for row, seconds, of_step in (d, .8, .02), (first, .4, .005), (last, .8, .02):
    assert near(row["attention_seconds"], seconds) and near(row["attention_seconds_of_step"], of_step), row
assert d["valid"] == .6 and d["dense"] == {"loss": .64, "top1": .78} and d["ensemble_2"]["loss"] is None
assert first["single"] == {"loss": .72, "top1": .75} and first["ensemble_2"] == {"loss": .65, "top1": .76}
assert first["ensemble_5"] == {"loss": .62, "top1": .77} and first["ensemble_10"] == {"loss": .61, "top1": .8}
assert last["dense"] == {"loss": .56, "top1": .81} and "ensemble_25" not in last  # what was measured last counts
gains = {(g["name"], g["of"]): g for g in one["differences"]}
assert len(gains) == 6 and all(g["seeds"] == 1 and g["error"] is None for g in gains.values())
assert near(gains[last["name"], "dense"]["less_loss"], .08) and near(gains[last["name"], "dense"]["more_top1"], .03)
assert near(gains[first["name"], "ensemble_10"]["less_loss"], .03) and near(gains[first["name"], "single"]["more_top1"],
                                                                            -.03)
text = open("one.txt").read()
for line in ("Against the dense pass of dense, at its best (step 40):",
             "  dense pass: better by 0.0800 nats/image, right 78.00 -> 81.00%",
             "  ensemble of 10: better by 0.0300 nats/image, right 78.00 -> 80.00%"):
    assert line + "\n" in text, text
assert max(map(len, text.split("\n"))) <= 80, text
d, often, first, last = every["rows"]
assert d["name"] == "dense, at its best" and every["against"] == d["name"] and d["seeds"] == 3
assert near(d["dense"]["loss"], .66) and near(last["dense"]["loss"], .54)
gains = {(g["name"], g["of"]): g for g in every["differences"]}
gain = gains[last["name"], "dense"]  # .08, .10, .18
assert gain["seeds"] == 3 and near(gain["less_loss"], .12) and near(gain["error"], math.sqrt(.0028 / 3)), gain
assert near(gains[first["name"], "ensemble_10"]["less_loss"], .05) and gain["top1_error"] < 1e-9
text = open("all.txt").read()
assert "  dense pass: better by 0.1200 +- 0.0306 nats/image, right +3.00 +- 0.00%\n" in text, text
assert "  dense pass: better by 0.0800 +- 0.0153 nats/image, right +2.00 +- 0.00%\n" in text, text
assert text.count("chance") == 0 and max(map(len, text.split("\n"))) <= 80, text
END
check sh -c '"$0" report 1/often.jsonl 1/ssa.jsonl 1/dense.jsonl --tests | grep -q "Against the dense pass of dense"' \
    "$program"
check report 1/ssa.jsonl --tests >/dev/null
check report ?/dense.jsonl ?/luck.jsonl --seeds >luck.txt
check grep -q 'better by 0.0100 +- 0.0115 nats/image, right +1.00 +- 0.00% (chance?)$' luck.txt
check report 3/dense.jsonl 3/often.jsonl 1/dense.jsonl 1/often.jsonl 2/often.jsonl --seeds >two.txt
check grep -q 'dense pass: better by 0.0650 +- 0.0250 nats/image' two.txt
refuses 1 'in another unit' "$program" report 1/dense.jsonl other/bits.jsonl --tests
refuses 1 'holds no test' "$program" report 1/dense.jsonl other/none.jsonl --tests
refuses 1 'of the same seed' "$program" report 1/dense.jsonl twin/dense.jsonl --seeds

finish 'the tests of ssacl-image report'
