"""Stack frames of what was built, by its instructions: those of the library and of programs are small, so that threads
with little stack may call them; those of native kernels stay within the STACK that their file in cl/ asks for.

frames.py CL_FOLDER LIBRARY PROGRAM...   exit status 77 (skipped) without objdump, or on other processors than x86-64
"""
import os
import re
import shutil
import subprocess
import sys

LIBRARY, PROGRAM = 9 << 10, 32 << 10  # bytes of one function
OTHERS = 2 << 10  # of a kernel's stack, for what calls it


def frames(path):
    """The largest frame of each function: `sub $0x...,%rsp`, or `lea -0x...(%rsp),%r11` where large ones are probed."""
    names, largest, name = {}, re.compile(r"\b(?:sub +\$0x([0-9a-f]+),%rsp|lea +-0x([0-9a-f]+)\(%rsp\),%r)"), ""
    run = subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", path], stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.endswith(">:\n"):
            name = line[line.index("<") + 1:-3].partition(".")[0]
        elif "%rsp" in line:
            m = largest.search(line)
            if m:
                size = int(m.group(1) or m.group(2), 16)
                names[name] = max(names.get(name, 0), size if size < 1 << 63 else 0)  # -0x80 is written so
    if run.wait():
        raise SystemExit("objdump fails on " + path)
    return names


def kernel_stacks(folder):
    """What each kernel's file asks for, the most where builds of it differ, by the kernel's name."""
    stacks = {}
    for file in sorted(os.listdir(folder)):
        text = open(os.path.join(folder, file), encoding="utf-8").read()
        asked = re.findall(r"#define STACK \((\d+) << 10\)", text)
        for name in re.findall(r"__kernel[^(]*?void (\w+)\(", text) if asked else []:
            stacks[name] = stacks["run_" + name] = max(map(int, asked)) << 10
    return stacks


def main(folder, library, programs):
    if not shutil.which("objdump"):
        return 77
    if " x86-64" not in subprocess.run(["objdump", "-f", library], stdout=subprocess.PIPE, text=True).stdout.replace(
            ":", " "):
        return 77
    stacks, wrong, seen = kernel_stacks(folder), 0, 0
    for path, most in [(library, LIBRARY)] + [(p, PROGRAM) for p in programs]:
        found = frames(path)
        seen += len(found)
        for name, size in found.items():
            allowed = stacks[name] - OTHERS if name in stacks else most
            if size > allowed:
                print("%s: %s takes %d bytes of stack, may take %d" % (os.path.basename(path), name, size, allowed))
                wrong += 1
    print("%d functions" % seen)
    return 1 if wrong or seen < 100 else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
