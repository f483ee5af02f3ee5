#!/usr/bin/env python3
"""The library's sizes of public structs are those of its headers, all of them. Usage: test_structs.py LIBRARY HEADER..."""
import ctypes
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/peers")
import ssacl  # noqa: E402

library, headers = ctypes.CDLL(sys.argv[1]), sys.argv[2:]
library.ssa_sizeof.restype = ctypes.c_size_t
structs = ssacl.read_structs(headers[0].rsplit("/", 1)[0])

for tag, struct in structs.items():
    size = library.ssa_sizeof(tag.encode())
    assert size == ctypes.sizeof(struct), "%s: ssa_sizeof() is %d, the header makes %d (lib/sizes.c has the list)" % (
        tag, size, ctypes.sizeof(struct))
for header in headers:
    with open(header, encoding="utf-8") as f:
        for tag in re.findall(r"^struct (ssa_\w+) \{", f.read(), re.M):
            assert tag in structs, "%s of %s: tests/peers/ssacl.py does not read it" % (tag, header)
assert library.ssa_sizeof(b"ssa_nothing") == library.ssa_sizeof(b"tensor") == library.ssa_sizeof(None) == 0
