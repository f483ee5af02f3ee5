"""Sums up runs of `meson test`: summary.py LOG.json... prints what failed, what was tested on, and as the last line
"N passed, N failed", counting every check of the Check programs, and other tests as one each. A log that is not there
is a run that failed. With --table first, a table of tests by logs besides: seconds, or how many failed."""
import json
import os
import re
import sys

CHECKS = re.compile(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)")


def count(test):
    """(passed, failed) of one test."""
    if test["result"] == "SKIP":
        return 0, 0
    bad = test["result"] not in ("OK", "EXPECTEDFAIL")
    runs = [tuple(map(int, m)) for m in CHECKS.findall(test.get("stdout", ""))]
    if test["result"] == "EXPECTEDFAIL" or not runs:
        return int(not bad), int(bad)
    failed = sum(f + e for _, f, e in runs)
    passed = sum(n for n, _, _ in runs) - failed
    return passed, max(failed, int(bad))


def cell(test):
    passed, failed = count(test)
    return "%d FAILED" % failed if failed else "%.1f" % test["duration"] if passed else "-"


def table(logs):
    columns = {re.sub("^vendors-(\\w+).*", r"\1", os.path.basename(log)[:-5]):
               {test["name"].split(" / ")[-1]: cell(test) for test in map(json.loads, open(log, encoding="utf-8"))}
               for log in logs if os.path.exists(log)}
    rows = sorted({name for column in columns.values() for name in column})
    width = max(map(len, rows), default=0)
    print(" " * width + "".join("%12s" % name for name in columns))
    for row in rows:
        print(row.ljust(width) + "".join("%12s" % column.get(row, "") for column in columns.values()))


def main(logs):
    passed = failed = 0
    devices = []
    for log in logs:
        if not os.path.exists(log):
            print("---- no tests ran: %s is missing" % log)
            failed += 1
            continue
        for line in open(log, encoding="utf-8"):
            test = json.loads(line)
            p, f = count(test)
            passed, failed = passed + p, failed + f
            output = test.get("stdout", "") + test.get("stderr", "")
            devices += [d for d in re.findall(r"^on \S+: (.*)", output, re.M) if d not in devices]
            if f:
                print("---- %s: %s in %s\n%s" % (test["result"], test["name"], log, output[-3000:]))
            elif test["result"] == "SKIP":
                print("skipped: %s in %s" % (test["name"], log))
    print("tested on: " + "; ".join(devices))
    print("%d passed, %d failed" % (passed, failed))
    return failed > 0 or not passed


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--table"]:
        table(arguments[1:])
    sys.exit(main([a for a in arguments if a != "--table"]))
