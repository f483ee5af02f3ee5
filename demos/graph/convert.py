#!/usr/bin/env python3
"""Molecules as graphs for ssacl-graph: SMILES of a csv become one binary file, which graphs.h describes.

    convert.py --qm9 --out qm9.graphs                 QM9's gap in eV; fetched once from the Python package qm9pack
    convert.py pcqm4m-v2 --out pcqm4mv2.graphs        PCQM4Mv2's folder, as OGB unpacks it, with its official split
    convert.py mine.csv --smiles SMILES --target logP --out mine.graphs

Needs RDKit (pip install rdkit), and nothing else but for split_dict.pt, which needs numpy. Features are those of OGB
(ogb.utils.smiles2graph of Hu et al., Open Graph Benchmark, 2020): of an atom nine, of a bond three. What cannot become
a graph is left out, what is odd is kept; both are counted, and the first of each kind are named by their lines.
"""
import argparse
import array
import collections
import contextlib
import csv
import gzip
import hashlib
import io
import json
import math
import multiprocessing
import os
import pickle
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib

ATOM_VALUES, BOND_VALUES = 128, 8
PARTS = {"train": 0, "valid": 1, "test": 2, "test-dev": 2, "test-challenge": 2}
NO_PART = 255
HARTREE = 27.211386245988
QM9 = {"wheel": "qm9pack-1.0.3-py3-none-any.whl", "package": "qm9pack==1.0.3",
       "sha256": "1d88c2988007c6778e717ee3224cf511bd60e10732ebe3b7ed500ea5af05c9f0"}
QM9_COLUMNS = {"gap": ("HOMO_LUMO_gap_au", HARTREE, "eV"), "homo": ("HOMO_au", HARTREE, "eV"),
               "lumo": ("LUMO_au", HARTREE, "eV"), "dipole": ("Dipole_debye", 1, "D"),
               "polarizability": ("Polarizability_bohr3", 1, "bohr^3")}
QM9_ROWS = 130831
NAMED = 5  # lines of each kind that are named


class Problem(Exception):
    """What ends the conversion, in a sentence."""


@contextlib.contextmanager
def writing(o):
    """What cannot be written is told of --out, whichever file beside it it was; of what ssacl-graph reads once, of the
    table."""
    try:
        yield
    except OSError as e:
        name = f"{o.csv}: its graphs, in a folder of $TMPDIR," if o.left_out else f"{o.out}:"
        raise Problem(f"{name} cannot be written: {e.strerror}") from e


def why_unreadable(e, last):
    """In words of people; `last`: the last line that was read."""
    if isinstance(e, UnicodeDecodeError):
        return f"is not UTF-8 behind line {last}"
    if isinstance(e, csv.Error):
        return f"is no csv behind line {last}: {e}"
    if isinstance(e, OSError) and e.strerror:
        return f"cannot be read: {e.strerror}"
    return f"is no gzip, or damaged, or cut short behind line {last}"


# ---- features, as OGB numbers them ----

CHIRALITY = ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER")
HYBRIDISATION = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
BOND_TYPE = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
BOND_STEREO = ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY")


def place(value, values):
    """Where it stands; behind the last where it does not: OGB's "misc"."""
    return values.index(value) if value in values else len(values)


def atom_features(atom):
    return (place(atom.GetAtomicNum(), range(1, 119)), place(str(atom.GetChiralTag()), CHIRALITY),
            place(atom.GetTotalDegree(), range(11)), place(atom.GetFormalCharge(), range(-5, 6)),
            place(atom.GetTotalNumHs(), range(9)), place(atom.GetNumRadicalElectrons(), range(5)),
            place(str(atom.GetHybridization()), HYBRIDISATION), int(atom.GetIsAromatic()), int(atom.IsInRing()))


def bond_features(bond):
    return (place(str(bond.GetBondType()), BOND_TYPE), BOND_STEREO.index(str(bond.GetStereo())),
            int(bond.GetIsConjugated()))


# ---- a molecule ----

OF_LEFT_OUT = {"refused": "refused by RDKit", "empty": "without an atom", "large": "of too many atoms",
               "stereo": "with a bond's stereochemistry that OGB has no number for"}
OF_ODD = {"one atom": "of one atom", "disconnected": "of several parts", "element": "with an atom that is no element"}


def connected(atoms, ends):
    """Whether bonds lead from the first atom to all others."""
    near = [[] for _ in range(atoms)]
    for i, j in ends:
        near[i].append(j)
        near[j].append(i)
    seen, todo = {0}, [0]
    while todo:
        for j in near[todo.pop()]:
            if j not in seen:
                seen.add(j)
                todo.append(j)
    return len(seen) == atoms


def graph_of(smiles, most_atoms):
    """(atoms, features, ends, bond features, odd kinds), or the kind of why there is none."""
    from rdkit import Chem
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return "refused"
    count = molecule.GetNumAtoms()
    if count == 0:
        return "empty"
    if count > most_atoms:
        return "large"
    odd, features, ends, of_bonds = [], bytearray(), [], bytearray()
    for atom in molecule.GetAtoms():
        features += bytes(atom_features(atom))
        if atom.GetAtomicNum() == 0 and "element" not in odd:
            odd.append("element")
    try:
        for bond in molecule.GetBonds():
            ends.append((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
            of_bonds += bytes(bond_features(bond))
    except ValueError:
        return "stereo"
    if count == 1:
        odd.append("one atom")
    elif not connected(count, ends):
        odd.append("disconnected")
    flat = array.array("H", (x for pair in ends for x in pair))
    return count, bytes(features), swapped(flat).tobytes(), bytes(of_bonds), odd


def quiet():
    from rdkit import RDLogger
    RDLogger.DisableLog("rdApp.*")


def work(job):
    row, most_atoms = job
    return row, graph_of(row[2], most_atoms)


def swapped(values):
    """Little-endian, as the file is."""
    if sys.byteorder == "big":
        values = array.array(values.typecode, values)
        values.byteswap()
    return values


# ---- where molecules come from: rows (line, number, smiles, target, part) ----

def find_column(header, wanted, guesses, path):
    """Of a name, or of one of the guesses in letters of either case; None: there is no such guess."""
    if wanted is not None:
        if wanted not in header:
            raise Problem(f"{path}: has no column '{wanted}', but {', '.join(header)}")
        return header.index(wanted)
    for i, name in enumerate(header):
        if name.strip().lower() in guesses:
            return i
    return None


class Table:
    """A csv with a header."""

    def __init__(self, path, o):
        self.path, self.rows, self.target = path, None, None
        with self.reading():
            self.raw = open(path, "rb")
            info = os.fstat(self.raw.fileno())
            self.size = info.st_size if stat.S_ISREG(info.st_mode) else 0
            file = gzip.open(self.raw) if path.endswith(".gz") else self.raw
            self.rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
            header = next(self.rows, None)
        if not header:
            raise Problem(f"{path}: is empty")
        header[0] = header[0].lstrip("\ufeff")
        self.smiles = find_column(header, o.smiles, ("smiles", "smile", "canonical_smiles", "mol"), path)
        if self.smiles is None:
            raise Problem(f"{path}: which column has the SMILES? --smiles NAME, of {', '.join(header)}")
        self.number = find_column(header, None, ("idx", "index", "id"), path)
        self.part = find_column(header, o.split_column, ("split", "part"), path)
        self.target = self.find_target(header, o)
        if self.target is not None and self.target in (self.smiles, self.part):
            raise Problem(f"{path}: --target {o.target}: is the column of "
                          f"{'SMILES' if self.target == self.smiles else 'parts'}, and no number")
        self.name = header[self.target] if self.target is not None else ""

    @contextlib.contextmanager
    def reading(self):
        try:
            yield
        except (OSError, EOFError, csv.Error, zlib.error, UnicodeDecodeError) as e:
            raise Problem(f"{self.path}: {why_unreadable(e, self.rows.line_num if self.rows else 0)}") from e

    def share(self):
        """Of the file that was read."""
        return self.raw.tell() / self.size if self.size else 0

    def find_target(self, header, o):
        if o.no_target:
            return None
        if o.target is not None:
            return find_column(header, o.target, (), self.path)
        taken = {self.smiles, self.number, self.part}
        rest = [i for i in range(len(header)) if i not in taken]
        known = find_column(header, None, ("homolumogap",), self.path)
        if known is not None:
            return known
        if len(rest) > 1:
            raise Problem(f"{self.path}: which column is the target? --target NAME, of "
                          f"{', '.join(header[i] for i in rest)}; or --no-target")
        return rest[0] if rest else None

    def __iter__(self):
        count = -1
        while True:
            with self.reading():
                row = next(self.rows, None)
            if row is None:
                return
            count += 1
            if not row:
                continue
            cell = lambda i: row[i].strip() if i is not None and i < len(row) else ""
            number = cell(self.number)
            part = cell(self.part).lower()
            if part and part not in PARTS:
                raise Problem(f"{self.path}: line {self.rows.line_num}: '{part}' is no part; known are "
                              f"{', '.join(PARTS)}")
            known = number.isdecimal() and len(number) < 19
            yield (self.rows.line_num, int(number) if known else count, cell(self.smiles), cell(self.target),
                   PARTS.get(part, NO_PART))


class Qm9:
    """QM9's molecules with one property, from the wheel of qm9pack."""

    def __init__(self, wheel, name):
        self.column, self.factor, self.unit = QM9_COLUMNS[name]
        self.name, self.wheel, self.line = name, wheel, 0

    def share(self):
        return self.line / QM9_ROWS

    def __iter__(self):
        csv.field_size_limit(1 << 30)
        with zipfile.ZipFile(self.wheel) as files:
            for part in (1, 2, 3):
                with files.open(f"qm9pack/data/qm9_part{part}.csv") as raw:
                    for row in csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline="")):
                        self.line += 1
                        target = repr(float(row[self.column]) * self.factor)
                        yield (self.line, self.line - 1, row["SMILES"], target, NO_PART)


def fetch_qm9():
    """The wheel, from the cache or by pip."""
    folder = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ssacl")
    path = os.path.join(folder, QM9["wheel"])
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        say(f"fetching {QM9['package']} (104 MB, once; its text says MIT, the data's own licence is not known)")
        with tempfile.TemporaryDirectory(dir=folder) as made:
            status = subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", made,
                                     QM9["package"]], stdout=sys.stderr, check=False).returncode
            if status or not os.path.exists(os.path.join(made, QM9["wheel"])):
                raise Problem(f"{QM9['package']} could not be fetched by pip; give its wheel by --wheel FILE")
            os.replace(os.path.join(made, QM9["wheel"]), path)
    return path


def check_wheel(path):
    with open(path, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != QM9["sha256"]:
            raise Problem(f"{path}: is not {QM9['wheel']}: its sha256 is another")


# ---- official splits ----

class Arrays(pickle.Unpickler):
    """Of a pickle only dicts of numpy's arrays are made: nothing else in it is run."""

    def find_class(self, module, name):
        module = module.replace("numpy._core", "numpy.core")  # the same before numpy 2 and since
        known = {"_reconstruct": "numpy.core.multiarray", "ndarray": "numpy", "dtype": "numpy", "encode": "_codecs",
                 "scalar": "numpy.core.multiarray", "OrderedDict": "collections"}
        if known.get(name) != module:
            raise Problem(f"the split has {module}.{name} in it, which is no array")
        if module == "numpy.core.multiarray":
            import numpy
            module = "numpy._core.multiarray" if numpy.__version__ >= "2" else module
        return super().find_class(module, name)


def load_pickle(path):
    """What torch.save() wrote, in either of its forms: a zip with data.pkl, or pickles one after another."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as files:
            name = next(n for n in files.namelist() if n.endswith("data.pkl"))
            return Arrays(io.BytesIO(files.read(name))).load()
    with open(path, "rb") as file:
        loaded = [Arrays(file).load() for _ in range(4)]  # a magic number, a version, a system, then what was saved
    return loaded[3]


def load_split(path):
    """{number: part} of {"train": [numbers], ...}, in JSON or as OGB's split_dict.pt."""
    try:
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as file:
                lists = json.load(file)
        else:
            lists = load_pickle(path)
        parts = {}
        for name, numbers in lists.items():
            if name not in PARTS:
                raise Problem(f"{path}: has a part '{name}'; known are {', '.join(PARTS)}")
            for number in map(int, numbers):
                if number in parts:
                    raise Problem(f"{path}: has number {number} " + (f"twice in its part '{name}'"
                                  if parts[number] == name else f"in two parts, '{parts[number]}' and '{name}'"))
                parts[number] = name
        return {number: PARTS[name] for number, name in parts.items()}
    except OSError as e:
        raise Problem(f"{path}: cannot be read: {e.strerror}") from e
    except ImportError as e:
        raise Problem(f"{path}: cannot be read without numpy: install it beside RDKit") from e
    except (ValueError, AttributeError, StopIteration, EOFError, TypeError, IndexError, KeyError, RuntimeError,
            zipfile.BadZipFile, zlib.error, pickle.UnpicklingError) as e:
        raise Problem(f"{path}: cannot be read as a split: is neither JSON of lists of numbers (.json) nor OGB's "
                      "split_dict.pt, or cut short") from e


# ---- what is written ----

class Sections:
    """The file's sections, each in a file of its own until all are known."""

    NAMES = ("atom_start", "bond_start", "text_start", "number", "line", "target", "part", "atoms", "ends", "bonds",
             "text")

    def __init__(self, folder):
        self.files = {name: tempfile.TemporaryFile(dir=folder) for name in self.NAMES}
        self.graphs = self.atoms = self.bonds = self.text = self.most_atoms = self.most_bonds = 0
        self.starts()

    def starts(self):
        for name, at in (("atom_start", self.atoms), ("bond_start", self.bonds), ("text_start", self.text)):
            self.files[name].write(struct.pack("<Q", at))

    def add(self, row, target, graph):
        line, number, smiles, _, part = row
        count, atoms, ends, bonds, _ = graph
        text = smiles.encode("utf-8")
        for name, bytes_of in (("number", struct.pack("<Q", number)), ("line", struct.pack("<I", line)),
                               ("target", struct.pack("<f", target)), ("part", bytes((part,))), ("atoms", atoms),
                               ("ends", ends), ("bonds", bonds), ("text", text)):
            self.files[name].write(bytes_of)
        self.graphs += 1
        self.atoms += count
        self.bonds += len(bonds) // 3
        self.text += len(text)
        self.most_atoms = max(self.most_atoms, count)
        self.most_bonds = max(self.most_bonds, len(bonds) // 3)
        self.starts()

    def header(self, name, unit):
        cut = lambda s, size: s.encode("utf-8")[:size - 1].decode("utf-8", "ignore").encode("utf-8").ljust(size, b"\0")
        return struct.pack("<8sIIQQQQIIIIII32s16s", b"SSAGRAPH", 1, 0, self.graphs, self.atoms, self.bonds, self.text,
                           self.most_atoms, self.most_bonds, 9, ATOM_VALUES, 3, BOND_VALUES, cut(name, 32),
                           cut(unit, 16)).ljust(128, b"\0")

    def write(self, path, name, unit):
        """Whole or not at all."""
        made = tempfile.NamedTemporaryFile(dir=os.path.dirname(os.path.abspath(path)), delete=False)
        try:
            with made:
                made.write(self.header(name, unit))
                for section in self.NAMES:
                    self.files[section].seek(0)
                    shutil.copyfileobj(self.files[section], made, 1 << 20)
                    made.write(b"\0" * (-made.tell() % 8))
                made.flush()
                os.fsync(made.fileno())
            os.chmod(made.name, 0o666 & ~umask())
            os.replace(made.name, path)
        except BaseException:
            os.unlink(made.name)
            raise


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---- the conversion ----

def say(text):
    print(f"convert.py: {text}", file=sys.stderr)


class Counts:
    """How many there were of each kind, and the first lines of them."""

    def __init__(self):
        self.lines = {}
        self.counts = {}

    def add(self, kind, line):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        lines = self.lines.setdefault(kind, [])
        if len(lines) < NAMED:
            lines.append(line)

    def tell(self, kind, what, of):
        count, lines = self.counts.get(kind, 0), self.lines.get(kind, [])
        if count:
            more = ", ..." if count > len(lines) else ""
            say(f"{count} {what} {of}, line{'s' if count > 1 else ''} {', '.join(map(str, lines))}{more}")


def number_of(text, line, counts):
    """The target; NaN where there is none, or none that is a number."""
    if not text:
        counts.add("no target", line)
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= 3.0e38:
        counts.add("bad target", line)
        return math.nan
    return value


class Progress:
    """A bar with the time left, on stderr: only where that is a terminal, and of what takes more than two seconds."""

    def __init__(self, what):
        self.what, self.start, self.drawn = what, time.monotonic(), 0
        self.active = sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")

    def update(self, share):
        now = time.monotonic()
        elapsed = now - self.start
        if not self.active or share <= 0 or now - self.drawn < 0.1 or elapsed < 0.5 or elapsed / share < 2:
            return
        full, left = int(20 * share), int(elapsed / share - elapsed + 0.5)
        time_left = f"{left} s" if left < 60 else f"{left // 60} min {left % 60:02} s"
        sys.stderr.write(f"\r{self.what} [{'#' * full:.<20}] {100 * share:3.0f}%  {time_left} left\033[K")
        sys.stderr.flush()
        self.drawn = now

    def end(self):
        if self.drawn:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


@contextlib.contextmanager
def workers(count):
    """What works jobs off, in order. Ctrl-C is for this process, which ends the others."""
    if count == 1:
        quiet()
        yield map
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with multiprocessing.Pool(count, quiet) as pool:
        signal.signal(signal.SIGINT, handler)
        yield lambda do, jobs: pool.imap(do, jobs, 512)


def results(rows, o):
    """(row, graph) in the order of rows."""
    shares, bar = collections.deque(), Progress("converting")

    def jobs():  # which are read ahead of what is done
        for row in rows:
            shares.append(rows.share())
            yield row, o.most_atoms

    try:
        with workers(o.jobs) as work_off:
            for result in work_off(work, jobs()):
                bar.update(shares.popleft())
                yield result
    finally:
        bar.end()


def convert(rows, name, unit, split, o):
    folder = os.path.dirname(os.path.abspath(o.out))
    counts, seen = Counts(), set()
    with writing(o):
        sections = Sections(folder)
    for row, graph in results(rows, o):
        if isinstance(graph, str):
            counts.add(graph, row[0])
            continue
        for odd in graph[4]:
            counts.add(odd, row[0])
        if split is not None:
            row = row[:4] + (split.get(row[1], NO_PART),)
            seen.add(row[4])
        target = number_of(row[3], row[0], counts)
        with writing(o):
            sections.add(row, target, graph)
    if not sections.graphs:
        tell(counts, sections, o)
        raise Problem("no molecule is left, and nothing was written")
    if split is not None and seen == {NO_PART}:
        raise Problem(f"{o.split}: has none of the numbers of these molecules")
    with writing(o):
        sections.write(o.out, name, unit)
    if o.left_out:
        with writing(o), open(o.left_out, "w", encoding="utf-8") as file:
            file.write(str(sum(counts.counts.get(kind, 0) for kind in OF_LEFT_OUT)))
    tell(counts, sections, o)
    return counts, sections


def tell(counts, sections, o):
    for kind, what in OF_LEFT_OUT.items():
        counts.tell(kind, "left out,", what if kind != "large" else f"of more than {o.most_atoms} atoms (--most-atoms)")
    for kind, what in OF_ODD.items():
        counts.tell(kind, "kept,", what)
    counts.tell("bad target", "kept without a target,", "since it is no finite number")
    if not o.no_target:
        counts.tell("no target", "kept without a target,", "since there is none")
    if sections.graphs and not o.brief:
        say(f"{o.out}: {sections.graphs} molecules, {sections.atoms} atoms (at most {sections.most_atoms}), "
            f"{sections.bonds} bonds")


# ---- the command ----

def find_source(path):
    """Of PCQM4Mv2's folder its csv, and its split."""
    if not os.path.isdir(path):
        return path, None
    for name in ("raw/data.csv.gz", "raw/data.csv", "data.csv.gz", "data.csv"):
        found = os.path.join(path, name)
        if os.path.exists(found):
            split = os.path.join(path, "split_dict.pt")
            return found, split if os.path.exists(split) else None
    raise Problem(f"{path}: is a folder without raw/data.csv.gz, as PCQM4Mv2 has it")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        say(f"{message} (see --help)")
        sys.exit(2)


def parse(arguments):
    p = Parser(prog="convert.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("csv", nargs="?", help="a .csv or .csv.gz with a header, or PCQM4Mv2's folder")
    p.add_argument("--qm9", action="store_true", help="instead of a csv: QM9")
    p.add_argument("--wheel", metavar="FILE", help=f"qm9pack's wheel, where it is not to be fetched ({QM9['wheel']})")
    p.add_argument("--out", metavar="FILE", help="where the graphs are written")
    p.add_argument("--force", action="store_true", help="replace a file that is there")
    p.add_argument("--smiles", metavar="NAME", help="the column of SMILES; if not said, one of that name")
    p.add_argument("--target", metavar="NAME", help="the column of the number to learn; if not said, the only other "
                   f"one, or homolumogap. Of QM9 {', '.join(QM9_COLUMNS)}")
    p.add_argument("--no-target", action="store_true", help="there is none: molecules to predict")
    p.add_argument("--unit", metavar="TEXT", help="of the target, for people: eV")
    p.add_argument("--split", metavar="FILE", help="which molecule is in which part: OGB's split_dict.pt, or JSON, "
                   '{"train": [numbers], "valid": [...], "test": [...]}; numbers are those of the column idx')
    p.add_argument("--split-column", metavar="NAME", help="instead: a column of train, valid, test; if not said, one "
                   "that is called split")
    p.add_argument("--most-atoms", metavar="N", type=int, default=256, help="larger molecules are left out [256]")
    p.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count() or 1, help="processes")
    p.add_argument("--brief", action="store_true", help="say only what is left out, or odd")
    p.add_argument("--left-out", metavar="FILE", help=argparse.SUPPRESS)  # gets the number of those, for ssacl-graph
    p.add_argument("--self-check", action="store_true", help="see whether RDKit gives the features that OGB's text has")
    o = p.parse_args(arguments)
    if not o.self_check and (not o.out or bool(o.csv) == o.qm9):
        p.error("give a csv or --qm9, and --out FILE")
    if o.qm9 and o.target is not None and o.target not in QM9_COLUMNS:
        p.error(f"--target {o.target}: of QM9 there are {', '.join(QM9_COLUMNS)}")
    if o.no_target and o.target is not None:
        p.error("--target and --no-target contradict: give one of them")
    if not 1 <= o.most_atoms <= 4096 or o.jobs < 1:
        p.error("--most-atoms must be from 1 to 4096, --jobs at least 1")
    return o


def check_files(o):
    if o.csv and os.path.exists(o.out) and os.path.exists(o.csv) and os.path.samefile(o.out, o.csv):
        raise Problem(f"--out {o.out} is the table itself")
    if not o.force and os.path.isfile(o.out) and os.path.getsize(o.out):
        raise Problem(f"{o.out}: exists; replace it with --force")


def run(o):
    check_files(o)
    if o.qm9:
        wheel = o.wheel or fetch_qm9()
        check_wheel(wheel)
        rows = Qm9(wheel, o.target or "gap")
        convert(rows, rows.name, o.unit or rows.unit, load_split(o.split) if o.split else None, o)
        return
    path, split = find_source(o.csv)
    o.split = o.split or split
    rows = Table(path, o)
    unit = o.unit if o.unit is not None else "eV" if rows.name == "homolumogap" else ""
    convert(rows, rows.name, unit, load_split(o.split) if o.split else None, o)


# ---- the self-check ----

def self_check():
    """Of the molecule that OGB's own comments tell the features of, and of some by hand."""
    quiet()
    count, atoms, ends, bonds, odd = graph_of("Cl[C@H](/C=C/C)Br", 256)
    assert count == 6 and not odd and len(bonds) == 15 and len(ends) == 20
    assert tuple(atoms[9:18]) == (5, 2, 4, 5, 1, 0, 2, 0, 0), tuple(atoms[9:18])
    assert tuple(bonds[6:9]) == (1, 2, 0), tuple(bonds[6:9])
    assert struct.unpack("<4H", ends[:8]) == (0, 1, 1, 2)
    assert tuple(graph_of("c1ccccc1", 256)[1][:9]) == (5, 0, 3, 5, 1, 0, 1, 1, 1)
    assert tuple(graph_of("c1ccccc1", 256)[3][:3]) == (3, 0, 1)
    assert graph_of("C", 256)[4] == ["one atom"] and graph_of("[Na+].[Cl-]", 256)[4] == ["disconnected"]
    assert tuple(graph_of("[Na+].[Cl-]", 256)[1][:9]) == (10, 0, 0, 6, 0, 0, 5, 0, 0)
    assert graph_of("*C", 256)[4] == ["element"] and graph_of("*C", 256)[1][0] == 118
    assert graph_of("C1CC", 256) == "refused" and graph_of("", 256) == "empty" and graph_of("C" * 257, 256) == "large"


def main():
    o = parse(sys.argv[1:])
    try:
        import rdkit
    except ImportError:
        if os.environ.get("SSACL_GRAPH"):  # which says so itself
            return 3
        say("RDKit is missing: python3 -m pip install rdkit, in an environment of its own where Python wants that")
        return 1
    try:
        if o.self_check:
            self_check()
            print(f"convert.py: features are OGB's, with RDKit {rdkit.__version__}")
        else:
            run(o)
    except Problem as e:
        say(e)
        return 1
    except OSError as e:
        say(f"{e.filename or o.csv or 'QM9'}: {e.strerror}")
        return 1
    except (KeyError, zipfile.BadZipFile, csv.Error, UnicodeDecodeError):
        if o.csv:
            raise
        say(f"{o.wheel or 'QM9'}: is not as {QM9['package']} has it")
        return 1
    return 0


def stop(number, _):
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, stop)
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
