"""What ssacl-scale says of 1, 2 and 4 ranks, beside runs of them: scale_runs.py BUILD [OPTION...] (see --help).

Each rank has one thread of the host backend. The rate of one rank and the link between ranks, measured, are all that
the simulation is told. Where there are fewer processors than ranks, ranks share them; since a core that computes also
sums and copies, nothing hides (--alone). On a machine that does other work besides the figures say nothing.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("build", help="the build folder")
parser.add_argument("--ranks", default="1,2,4")
parser.add_argument("--layers", type=int, default=6)
parser.add_argument("--width", type=int, default=256)
parser.add_argument("--heads", type=int, default=8)
parser.add_argument("--length", type=int, default=512)
parser.add_argument("--batch", type=int, default=1, help="sequences in a pass")
parser.add_argument("--accumulate", type=int, default=4, help="passes of a rank in a step")
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--check", type=float, help="fail where a prediction is off by more than this share")
o = parser.parse_args()
WORK = tempfile.TemporaryDirectory()
TEXT, SCALE = (os.path.join(o.build, "demos", name) for name in ("text/ssacl-text", "scale/ssacl-scale"))
ENVIRONMENT = dict(os.environ, SSACL_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def run(*words, ranks=1):
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*launcher, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=ENVIRONMENT, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit("%s: %d\n%s" % (words, done.returncode, done.stderr))
    return done.stdout


def write_text(path):
    random.seed(1)
    words = "the a of and to in is on that by with as for was were from history river city first".split()
    with open(path, "w", encoding="utf-8") as file:
        file.write(" ".join(random.choice(words) for _ in range(40000)))


def rate(ranks):
    """Tokens a second of all ranks: the median over the steps, but for the first two."""
    log = os.path.join(WORK.name, "%d.jsonl" % ranks)
    run(TEXT, "train", "--device", "cpu", "--data", os.path.join(WORK.name, "text"), "--layers", o.layers, "--width",
        o.width, "--heads", o.heads, "--length", o.length, "--batch", o.batch, "--accumulate", o.accumulate * ranks,
        "--steps", o.steps, "--log", log, "--log-every", 1, "--eval-windows", 1, "--quiet", "--force", "--checkpoint",
        os.path.join(WORK.name, "checkpoint"), ranks=ranks)
    with open(log, encoding="utf-8") as file:
        steps = [r for r in map(json.loads, file) if r["event"] == "step"]
    return statistics.median(r["tokens_per_second"] for r in steps[2:])


def link(ranks):
    return json.loads(run(SCALE, "--measure", "--json", ranks=ranks)) if ranks > 1 else {"latency_us": 0, "gbit": 1000}


def predict(ranks, alone, of):
    out = run(SCALE, "--json", "--layers", o.layers, "--width", o.width, "--length", o.length, "--batch", o.batch,
              "--accumulate", o.accumulate, "--tokens-per-second", alone, "--ranks", ranks, "--gbit", of["gbit"],
              "--latency", of["latency_us"], "--sum", 0, "--processors", len(os.sched_getaffinity(0)), "--alone")
    return json.loads(out)["models"][0]["rows"][0]["steps"][0]


write_text(os.path.join(WORK.name, "text"))
counts = [int(word) for word in o.ranks.split(",")]
one = rate(1)
worst = 0
print("L%d C%d N%d, %d sequences a rank and step; %d processors; one rank: %.0f tokens/s" % (
    o.layers, o.width, o.length, o.batch * o.accumulate, len(os.sched_getaffinity(0)), one))
print("%5s %12s %12s %7s %24s" % ("ranks", "tokens/s", "predicted", "off by", "link"))
for count in counts:
    between = link(count)
    predicted = count * one * predict(count, one, between)["efficiency"]
    measured = one if count == 1 else rate(count)
    worst = max(worst, abs(predicted / measured - 1))
    print("%5d %12.0f %12.0f %6.1f%% %9.1f us %5.1f Gbit/s" % (
        count, measured, predicted, 100 * (predicted / measured - 1), between["latency_us"], between["gbit"]))
sys.exit(o.check is not None and worst > o.check)
