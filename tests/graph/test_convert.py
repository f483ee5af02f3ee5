#!/usr/bin/env python3
"""demos/graph/convert.py: what it writes is what C reads. Which columns, numbers, targets and parts it takes of a csv
is tested with molecules that are made here; that its features are OGB's with RDKit, where $SSA_PYTHON, or this Python,
has it: without, that is said, and the test counts as skipped. Usage: test_convert.py CONVERT PROBE"""
import array
import collections
import gzip
import importlib.util
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import zipfile

CONVERT, PROBE = sys.argv[1:3]
SKIPPED = 77
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("convert", CONVERT)
convert = importlib.util.module_from_spec(spec)
spec.loader.exec_module(convert)


def made(smiles, most_atoms):
    """A molecule of as many atoms as letters, in a chain; X: none."""
    if "X" in smiles:
        return "refused"
    n = len(smiles)
    if not 0 < n <= most_atoms:
        return "large" if n else "empty"
    ends = array.array("H", (x for i in range(n - 1) for x in (i, i + 1)))
    return n, bytes(range(9)) * n, convert.swapped(ends).tobytes(), bytes((1, 2, 1)) * (n - 1), \
        ["one atom"] if n == 1 else []


def read(path):
    return json.loads(subprocess.run([PROBE, path], stdout=subprocess.PIPE, check=True).stdout)


class Csv(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name, value in (("graph_of", made), ("quiet", lambda: None)):
            patch = unittest.mock.patch.object(convert, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return self.path(name)

    def run_it(self, *arguments, out="out.graphs"):
        """What is said, and what was written, over what a test wrote before."""
        with unittest.mock.patch("sys.stderr", io.StringIO()) as said:
            convert.run(convert.parse(list(arguments) + ["--out", self.path(out), "--jobs", "1", "--force"]))
        return said.getvalue(), read(self.path(out))

    def refuses(self, words, *arguments):
        with self.assertRaises(convert.Problem) as caught:
            self.run_it(*arguments)
        self.assertIn(words, str(caught.exception))
        self.assertFalse(os.path.exists(self.path("out.graphs")))
        self.assertFalse([n for n in os.listdir(self.folder) if n.startswith("tmp")])

    def test_all_of_it(self):
        said, g = self.run_it(self.write("a.csv", "idx,smiles,homolumogap\n4,CCO,1.5\n5,CX,2\n6,C,nan\n9,,7\n8,\"a,b\","
                                                  "-1e50\n10,CC,\n11,CCCCCC,6\n7,CN,x\n"), "--most-atoms", "5")
        self.assertEqual([x["text"] for x in g["graphs"]], ["CCO", "C", "a,b", "CC", "CN"])
        self.assertEqual([x["number"] for x in g["graphs"]], [4, 6, 8, 10, 7])
        self.assertEqual([x["line"] for x in g["graphs"]], [2, 4, 6, 7, 9])
        self.assertEqual([x["target"] for x in g["graphs"]], [1.5, None, None, None, None])
        self.assertEqual({x["part"] for x in g["graphs"]}, {255})
        self.assertEqual(g["graphs"][0]["ends"], [[0, 1], [1, 2]])
        self.assertEqual(g["graphs"][0]["bonds"], [[1, 2, 1]] * 2)
        self.assertEqual(g["graphs"][0]["atoms"], [list(range(9))] * 3)
        self.assertEqual((g["target"], g["unit"], g["most_atoms"], g["most_bonds"]), ("homolumogap", "eV", 3, 2))
        for words in ("1 left out, refused by RDKit, line 3\n", "1 left out, without an atom, line 5\n",
                      "1 left out, of more than 5 atoms (--most-atoms), line 8\n", "1 kept, of one atom, line 4\n",
                      "3 kept without a target, since it is no finite number, lines 4, 6, 9\n",
                      "1 kept without a target, since there is none, line 7\n"):
            self.assertIn(words, said)

    def test_columns(self):
        text = "name,Smiles,mass,logP\r\nx,CC,1,2\r\ny,CCC,3,4\r\n"
        path = self.write("a.csv", "\ufeff" + text)
        self.refuses("which column is the target? --target NAME, of name, mass, logP", path)
        self.refuses("has no column 'foo'", path, "--target", "foo")
        _, g = self.run_it(path, "--target", "logP", "--unit", "1")
        self.assertEqual([(x["target"], x["number"], x["line"]) for x in g["graphs"]], [(2, 0, 2), (4, 1, 3)])
        self.assertEqual((g["target"], g["unit"]), ("logP", "1"))
        _, g = self.run_it(path, "--no-target")
        self.assertEqual([x["target"] for x in g["graphs"]], [None, None])
        with gzip.open(self.path("a.csv.gz"), "wb") as file:
            file.write(text.encode())
        self.assertEqual(self.run_it(self.path("a.csv.gz"), "--target", "mass", "--smiles", "Smiles")[1]["graphs"][1]
                         ["target"], 3)
        self.assertEqual(self.run_it(self.write("b.csv", "SMILES\nCC\n"))[1]["graphs"][0]["target"], None)
        os.unlink(self.path("out.graphs"))
        self.refuses("which column has the SMILES?", self.write("c.csv", "a,b\n1,2\n"))
        self.refuses("is empty", self.write("d.csv", ""))
        self.refuses("no molecule is left", self.write("e.csv", "smiles\nX\n"))

    def test_what_is_there_stays(self):
        path = self.write("a.csv", "smiles\nC\n")
        out = self.write("out.graphs", "something")
        for words, arguments in (("exists; replace it with --force", ["--out", out]),
                                 ("is the table itself", ["--out", path, "--force"])):
            with self.assertRaises(convert.Problem) as caught:
                convert.run(convert.parse([path, *arguments]))
            self.assertIn(words, str(caught.exception))
        self.assertTrue(convert.parse([path, "--out", out, "--force"]).force)

    def test_usage(self):
        for words, arguments in (("give a csv or --qm9, and --out FILE", ["a.csv"]),
                                 ("--most-atoms must be from 1", ["a.csv", "--out", "b", "--most-atoms", "0"]),
                                 ("--target mass: of QM9 there are gap,", ["--qm9", "--out", "b", "--target", "mass"]),
                                 ("--target and --no-target", ["a.csv", "--out", "b", "--target", "y", "--no-target"]),
                                 ("unrecognized arguments: --what", ["a.csv", "--out", "b", "--what"])):
            with unittest.mock.patch("sys.stderr", io.StringIO()) as said, self.assertRaises(SystemExit) as caught:
                convert.parse(arguments)
            self.assertEqual((caught.exception.code, said.getvalue().count("\n")), (2, 1), arguments)
            self.assertIn(words, said.getvalue())

    def test_unreadable(self):
        def refuses(words, name, data, *arguments):
            with open(self.path(name), "wb") as file:
                file.write(data)
            self.refuses(words, self.path(name), *arguments)
        lines = b"smiles,y\n" + b"CC,1\n" * 3000
        whole = gzip.compress(lines)
        refuses("a.csv: is not UTF-8 behind line ", "a.csv", lines + b"\xff,1\n")
        refuses("b.csv: is not UTF-8 behind line 0", "b.csv", b"\xff\xfe")
        refuses("c.csv: is no csv behind line ", "c.csv", lines + b"C" * 200000)
        for data in lines, whole[:-20], whole[:9], whole[:40] + b"abc" + whole[43:]:
            refuses("d.csv.gz: is no gzip, or damaged, or cut short behind line ", "d.csv.gz", data)
        self.refuses("nowhere.csv: cannot be read: No such file or directory", self.path("nowhere.csv"))
        path = self.write("f.csv", "smiles,y\nCC,1\n")
        for name, data in (("g.json", b"\xff"), ("h.json", b'{"train": 3}'), ("i.pt", b"PK\3\4"), ("j.pt", b"\x80")):
            with open(self.path(name), "wb") as file:
                file.write(data)
            self.refuses(f"{name}: cannot be read as a split: is neither JSON of lists", path, "--split",
                         self.path(name))
        self.refuses("k.json: cannot be read: No such file", path, "--split", self.path("k.json"))
        with self.assertRaises(convert.Problem) as caught:
            self.run_it(path, out="no/where.graphs")
        self.assertEqual(str(caught.exception), f"{self.path('no/where.graphs')}: cannot be written: "
                                                "No such file or directory")
        with self.assertRaises(convert.Problem) as caught:
            self.run_it(path, "--left-out", self.path("no/where"))
        self.assertEqual(str(caught.exception), f"{path}: its graphs, in a folder of $TMPDIR, cannot be written: "
                                                "No such file or directory")

    def test_no_number_to_learn(self):
        path = self.write("a.csv", "smiles,y,split\nCC,1,train\n")
        self.refuses("--target smiles: is the column of SMILES, and no number", path, "--target", "smiles")
        self.refuses("--target split: is the column of parts, and no number", path, "--target", "split")

    def test_left_out(self):
        path = self.write("a.csv", "smiles,y\nCX,1\nCCC,2\n,3\nCCCCCCC,4\nCC,\n")
        self.run_it(path, "--most-atoms", "5", "--left-out", self.path("count"))
        with open(self.path("count"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "3")

    def test_progress(self):
        path = self.write("a.csv", "smiles\n" + "CC\n" * 20000)
        for kind, terminal, seconds in ("xterm", True, 3600), ("dumb", True, 3600), ("xterm", False, 3600), \
                ("xterm", True, 1):
            now = iter(x * seconds / 20000 for x in range(1 << 30))
            with unittest.mock.patch("sys.stderr", io.StringIO()) as said, \
                    unittest.mock.patch.dict(os.environ, TERM=kind), \
                    unittest.mock.patch("time.monotonic", lambda: next(now)):
                said.isatty = lambda: terminal
                convert.run(convert.parse([path, "--out", self.path("out.graphs"), "--jobs", "1", "--force"]))
            bars = said.getvalue().split("\r")[1:-1]
            self.assertEqual(len(bars) > 1000, (kind, terminal, seconds) == ("xterm", True, 3600), (kind, terminal))
            if bars:
                self.assertRegex(bars[len(bars) // 2], r"^converting \[#+\.+\] +\d\d%  \d\d min \d\d s left")
                self.assertIn("\033[Kconvert.py: ", said.getvalue())

    def test_ctrl_c(self):
        self.write("rdkit.py", "__version__ = '0'\n")
        slow = self.write("slow.py", "import importlib.util, os, signal, sys\n"
                          f"spec = importlib.util.spec_from_file_location('__main__', {os.path.abspath(CONVERT)!r})\n"
                          "source = open(spec.origin).read().replace('def work(job):', 'def work(job):\\n'"
                          " '    os.write(1, b\"begun\\\\n\")\\n    signal.pause()\\n    return job[0], \"empty\"\\n'"
                          " '\\n\\ndef other(job):')\n"
                          "source = source.replace('def quiet():', 'def quiet():\\n    return\\n\\n\\ndef loud():')\n"
                          "print('up', flush=True)\n"
                          "exec(compile(source, spec.origin, 'exec'))\n")
        path = self.write("a.csv", "smiles\n" + "CC\n" * 20000)
        for jobs in "1", "3":
            run = subprocess.Popen([sys.executable, slow, path, "--out", self.path("o"), "--jobs", jobs],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
                                   preexec_fn=lambda: (os.setsid(), signal.signal(signal.SIGINT,
                                                                                  signal.default_int_handler)))
            self.assertEqual([run.stdout.readline() for _ in range(2)], [b"up\n", b"begun\n"])
            os.killpg(run.pid, signal.SIGINT)
            os.killpg(run.pid, signal.SIGINT)
            _, errors = run.communicate(timeout=60)
            self.assertEqual((run.returncode, errors), (130, b""), jobs)
            self.assertFalse(os.path.exists(self.path("o")))

    def test_long_names_are_cut(self):
        name = "\u00e4" * 40
        _, g = self.run_it(self.write("a.csv", f"smiles,{name}\nCC,1\n"), "--unit", "m" * 40)
        self.assertEqual((g["target"], g["unit"]), ("\u00e4" * 15, "m" * 15))

    def test_split_column(self):
        _, g = self.run_it(self.write("a.csv", "smiles,y,split\nC,1,train\nC,2,valid\nC,3,TEST\nC,4,\n"))
        self.assertEqual([x["part"] for x in g["graphs"]], [0, 1, 2, 255])

    def test_split_files(self):
        path = self.write("a.csv", "idx,smiles,y\n" + "".join(f"{i},C,{i}\n" for i in range(5)))
        lists = {"train": [3, 1], "valid": [0], "test-dev": [2]}
        _, g = self.run_it(path, "--split", self.write("s.json", json.dumps(lists)))
        self.assertEqual([x["part"] for x in g["graphs"]], [1, 0, 2, 0, 255])
        with zipfile.ZipFile(self.path("new.pt"), "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps(lists, 2))
        with open(self.path("old.pt"), "wb") as file:
            for part in (0x1950a86a20f9469cfc6c, 1001, {}, lists, []):
                pickle.dump(part, file, 2)
        for name in "new.pt", "old.pt":
            _, g = self.run_it(path, "--split", self.path(name))
            self.assertEqual([x["part"] for x in g["graphs"]], [1, 0, 2, 0, 255])
        os.unlink(self.path("out.graphs"))
        self.refuses("has number 1 twice in its part 'train'", path, "--split",
                     self.write("t.json", '{"valid": [3], "train": [1, 0, 1]}'))
        self.refuses("has number 1 in two parts, 'test-dev' and 'test'", path, "--split",
                     self.write("t.json", '{"test-dev": [1], "test": [1]}'))
        self.refuses("in two parts", path, "--split", self.write("t.json", '{"train": [1], "test": [1]}'))
        self.refuses("has a part 'extra'", path, "--split", self.write("u.json", '{"extra": [1]}'))
        self.refuses("none of the numbers", path, "--split", self.write("v.json", '{"train": [77]}'))
        self.refuses("cannot be read", path, "--split", self.write("w.json", "{"))
        self.refuses("cannot be read", path, "--split", self.write("x.pt", "no pickle"))

    def test_pickles_run_nothing(self):
        with open(self.path("evil.pt"), "wb") as file:
            for part in (1, 2, {}, {"train": collections.Counter()}):
                pickle.dump(part, file, 2)
        self.refuses("collections.Counter in it, which is no array", self.write("a.csv", "smiles\nC\n"), "--split",
                     self.path("evil.pt"))

    def test_pcqm4mv2_folder(self):
        os.makedirs(self.path("p/raw"))
        self.write("p/raw/data.csv", "idx,smiles,homolumogap\n0,CC,3\n1,C,\n")
        with open(self.path("p/split_dict.pt"), "wb") as file:
            for part in (1, 2, {}, {"train": [0], "test-challenge": [1]}):
                pickle.dump(part, file, 2)
        _, g = self.run_it(self.path("p"))
        self.assertEqual([(x["part"], x["target"]) for x in g["graphs"]], [(0, 3), (2, None)])
        os.unlink(self.path("out.graphs"))
        self.refuses("is a folder without raw/data.csv.gz", self.folder)


def with_rdkit():
    """The exit status."""
    python = os.environ.get("SSA_PYTHON") or sys.executable
    status = subprocess.run([python, CONVERT, "--self-check"], env={**os.environ, "SSACL_GRAPH": "1"},
                            check=False).returncode
    if status == 3:
        print("SKIPPED: features against OGB's: RDKit is not there (SSA_PYTHON=ENVIRONMENT/bin/python with rdkit)")
        return SKIPPED
    return status


if __name__ == "__main__":
    result = unittest.main(argv=sys.argv[:1], exit=False, warnings="ignore").result
    sys.exit(with_rdkit() if result.wasSuccessful() else 1)
