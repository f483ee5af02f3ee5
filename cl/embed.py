"""Turns the kernels of cl/ into C.

embed.py sources OUT FILE...      the files as byte arrays, includes resolved, for the OpenCL backend
embed.py hashes OUT FILE...       a checksum of each, includes resolved, comments left out: what tuning files are for
embed.py parameters OUT FILE...   the names and kinds of every kernel's parameters, for the tests
embed.py host OUT NAME [VARIANTS] FILE   one kernel file compiled natively, with a table of its kernels; VARIANTS is
                                  "D=64" or "D=64,M=2": constants that this native build is specialised for
"""
import hashlib
import os
import re
import sys


def resolve(path, seen):
    """The file with its local includes in place, once each, and #line so that compilers name the right file."""
    folder, out = os.path.dirname(path), ['#line 1 "cl/%s"\n' % os.path.basename(path)]
    with open(path, encoding="utf-8") as f:
        lines = f.readlines()
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s+"([\w.]+)"', line)
        if not m:
            out.append(line)
        elif m.group(1) not in seen:
            seen.add(m.group(1))
            out += resolve(os.path.join(folder, m.group(1)), seen)
            out.append('#line %d "cl/%s"\n' % (number + 1, os.path.basename(path)))
        else:
            out.append("\n")
    return out


def sources(out, files):
    with open(out, "w", encoding="utf-8") as f:
        f.write('#include "ocl/source.h"\n')
        names = []
        for path in files:
            name = os.path.basename(path)[:-3]
            text = "".join(resolve(path, set())).encode()
            names.append(name)
            f.write("static const char %s[] = {\n" % name)
            for i in range(0, len(text), 24):
                f.write(",".join(str(b) for b in text[i:i + 24]) + ",\n")
            f.write("0};\n")
        f.write("const struct ssa_source ssa_sources[] = {\n")
        for name in names:
            f.write('    {"%s", %s},\n' % (name, name))
        f.write("    {0, 0}};\n")


def without_words(text):
    """A change of words in a comment, or of the layout, makes no other kernel."""
    text = re.sub(r"^#line.*\n", "", text, flags=re.M)
    return " ".join(re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S).split())


def hashes(out, files):
    with open(out, "w", encoding="utf-8") as f:
        f.write('#include "tune/tuning.h"\nconst struct ssa_kernel_hash ssa_kernel_hashes[] = {\n')
        for path in files:
            text = without_words("".join(resolve(path, set())))
            f.write('    {"%s", 0x%su},\n' % (os.path.basename(path)[:-3], hashlib.sha256(text.encode()).hexdigest()[:16]))
        f.write("    {0, 0}};\n")


def parameters(text, start):
    """The parameter list that opens at text[start], split at top-level commas."""
    depth, parts, last = 0, [], start + 1
    for i in range(start, len(text)):
        if text[i] == "(":
            depth += 1
        elif text[i] == ")":
            depth -= 1
            if not depth:
                return [p.strip() for p in parts + [text[last:i]]]
        elif text[i] == "," and depth == 1:
            parts.append(text[last:i])
            last = i + 1
    raise SystemExit("unbalanced parameter list")


def macros(text):
    """{name: (names of its arguments or None, body)} of the macros that a parameter list may be made of."""
    text = re.sub(r"\\\n\s*", "", text)
    found = re.findall(r"^#define (\w+)(?:\(([\w, ]*)\))? +(\S.*)$", text, re.M)
    return {name: (arguments.replace(" ", "").split(",") if arguments else None, body) for name, arguments, body in found}


def expanded(parameter, known):
    """The parameters that one of a list stands for: itself, or those of a macro (STRIDES(q), ATTENTION_SIZES)."""
    m = re.match(r"(\w+)(?:\((\w+)\))?$", parameter)
    if not m or m.group(1) not in known or m.group(1) == "TENSOR":
        return [parameter]
    arguments, body = known[m.group(1)]
    for name in arguments or []:
        body = re.sub(r"\b%s##|\b%s\b" % (name, name), m.group(2), body)
    return [x for p in parameters("(" + body + ")", 0) for x in expanded(p, known)]


def argument(i, parameter):
    m = re.match(r"TENSOR\((.*),\s*\w+\)$", parameter, re.S)
    if m:
        return "(%s *)a[%d].memory, a[%d].at" % (m.group(1).strip(), i, i)
    kind = {"int": "i", "float": "f", "ulong": "u"}[re.sub(r"\bconst\b", "", parameter).split()[0]]
    return "a[%d].%s" % (i, kind)


def kernels(path):
    """(name, parameters) of each kernel of a file."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", open(path, encoding="utf-8").read(), flags=re.S)
    known = macros("".join(resolve(path, set())))
    for m in re.finditer(r"__kernel\s+(?:[A-Z_]+(?:\([^)]*\))?\s+)?(?:__attribute__\s*\(\(.*?\)\)\)?\s*)?void\s+(\w+)\s*\(",
                         text, re.S):
        yield m.group(1), [x for p in parameters(text, m.end() - 1) for x in expanded(p, known)]


def parameter_names(out, files):
    """{"adamw", "tensor w, tensor g, ..., ulong count, float beta1"}"""
    with open(out, "w", encoding="utf-8") as f:
        f.write('#include "arguments.h"\nconst struct kernel_parameters kernel_parameters[] = {\n')
        for name, taken in (k for path in files for k in kernels(path)):
            words = [re.sub(r"TENSOR\(.*,\s*(\w+)\)$", r"tensor \1", re.sub(r"\bconst\s+", "", p), flags=re.S) for p in taken]
            f.write('    {"%s", "%s"},\n' % (name, ", ".join(words)))
        f.write("    {0, 0}};\n")


def host(out, isa, variant, path):
    file = os.path.basename(path)[:-3]
    constants = [c.split("=") for c in variant.split(",") if c]
    with open(out, "w", encoding="utf-8") as f:
        for name, value in constants:
            f.write("#define %s %s\n" % (name, value))
        f.write('#include "%s.cl"\n#include "host/kernel.h"\n' % file)
        names = []
        for name, taken in kernels(path):
            names.append(name)
            args = ", ".join(argument(i, p) for i, p in enumerate(taken))
            f.write("static void run_%s(const struct ssa_host_arg *a)\n{\n    %s(%s);\n}\n" % (name, name, args))
        f.write("const struct ssa_host_kernel %s[] = {\n" % table_name(file, variant, isa))
        for name in names:
            pairs = ", ".join('{"%s", %s}' % (n, v) for n, v in constants)
            f.write('    {"%s", {%s}, run_%s, STACK},\n' % (name, pairs or "{0, 0}", name))
        f.write("    {0, {{0, 0}}, 0, 0}};\n")


def table_name(file, variant, isa):
    return "ssa_host_%s_%s_%s" % (file, re.sub(r"\W", "", variant.replace(",", "_")), isa)


ISAS = ["base", "v3", "v4", "amx"] # lib/host/device.c has them in this order


def tables(out, builds):
    """The list of all native kernel tables: builds are ISA/FILE or ISA/FILE:VARIANT, isas weakest first."""
    with open(out, "w", encoding="utf-8") as f:
        f.write('#include "host/kernel.h"\n')
        all_names = [(ISAS.index(isa), table_name(n.partition(":")[0], n.partition(":")[2], isa))
                     for isa, _, n in (b.partition("/") for b in builds)]
        for _, t in all_names:
            f.write("extern const struct ssa_host_kernel %s[];\n" % t)
        f.write("const struct ssa_host_table ssa_host_tables[] = {\n")
        for i, t in all_names:
            f.write("    {%d, %s},\n" % (i, t))
        f.write("    {0, 0}};\n")


if __name__ == "__main__":
    command, args = sys.argv[1], sys.argv[2:]
    if command == "sources":
        sources(args[0], args[1:])
    elif command == "hashes":
        hashes(args[0], args[1:])
    elif command == "host":
        host(*args)
    elif command == "parameters":
        parameter_names(args[0], args[1:])
    elif command == "tables":
        tables(args[0], args[1:])
    else:
        raise SystemExit(__doc__)
