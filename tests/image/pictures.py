"""Files of pictures, written with Python alone."""
import binascii
import struct
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))


def png(rows, columns, colour, depth, lines, before=b"", interlace=0):
    """`lines`: bytes of each row; colour 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    data = b"".join(b"\0" + line for line in lines)
    header = struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
            before + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def rgb(rows, columns, seed=0):
    """Bytes [rows, columns, 3]."""
    return bytes((seed + 7 * i + i * i) & 255 for i in range(rows * columns * 3))


def rgb_png(rows, columns, seed=0):
    p = rgb(rows, columns, seed)
    return png(rows, columns, 2, 8, [p[i:i + 3 * columns] for i in range(0, len(p), 3 * columns)])


def idx3(pictures, rows, columns):
    return struct.pack(">IIII", 0x803, len(pictures) // (rows * columns), rows, columns) + pictures


def idx1(labels):
    return struct.pack(">II", 0x801, len(labels)) + bytes(labels)


def npy(kind, shape, data, version=1, order="False"):
    shape = "(%s,)" % shape[0] if len(shape) == 1 else "(%s)" % ", ".join(map(str, shape))
    header = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (kind, order, shape)
    skip = 10 if version == 1 else 12
    header += " " * (63 - (skip + len(header)) % 64) + "\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes((version, 0)) + length + header.encode() + data


def planar(pixels, channels=3):
    """Of one picture."""
    return b"".join(pixels[c::channels] for c in range(channels))
