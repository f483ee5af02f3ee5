"""The linear layers of a GPT, forward and both gradients: ours against OpenBLAS."""
import ctypes as C
import ctypes.util

import numpy as np

import pairing
import ssacl

ROW_MAJOR, NO_TRANS, TRANS = 101, 111, 112


def open_blas(threads):
    name = ctypes.util.find_library("openblas")
    if not name:
        raise SystemExit("no libopenblas.so: install libopenblas0-pthread or the like")
    blas = C.CDLL(name)
    blas.openblas_set_num_threads(threads)
    return blas


def sgemm(blas, a, trans_a, b, trans_b, c):
    m, n = c.shape
    k = a.shape[0] if trans_a else a.shape[1]

    def run():
        blas.cblas_sgemm(ROW_MAJOR, TRANS if trans_a else NO_TRANS, TRANS if trans_b else NO_TRANS, m, n, k,
                         C.c_float(1), C.c_void_p(a.ctypes.data), a.shape[1], C.c_void_p(b.ctypes.data), b.shape[1],
                         C.c_float(0), C.c_void_p(c.ctypes.data), n)
    return run


def our_sides(device, x, w, dy):
    rows, inner = x.shape
    same = dict(rows=rows, out=w.shape[0], w=device.tensor(w), x=device.tensor(x))
    same["in"] = inner
    y, dx, dw = device.empty(dy.size), device.empty(x.size), device.empty(w.size)
    tdy = device.tensor(dy)
    calls = {"fwd": (device.operator("linear_fwd", y=y, **same), y),
             "dx": (device.operator("linear_bwd", dy=tdy, dx=dx, **same), dx),
             "dw": (device.operator("linear_bwd", dy=tdy, dw=dw, **same), dw)}

    def finished(call):
        def run():
            call()
            device.finish()
        return run
    return {direction: (finished(call), result) for direction, (call, result) in calls.items()}


def compare(blas, devices, shape, reps):
    rows, inner, outer = shape
    rng = np.random.default_rng(0)
    x, w, dy = (rng.uniform(-1, 1, s).astype(np.float32) for s in ((rows, inner), (outer, inner), (rows, outer)))
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    theirs = {"fwd": (sgemm(blas, x, 0, w, 1, y), y), "dx": (sgemm(blas, dy, 0, w, 0, dx), dx),
              "dw": (sgemm(blas, dy, 1, x, 0, dw), dw)}
    ours = {device: our_sides(device, x, w, dy) for device in devices}
    ratios = {device.name: [] for device in devices}
    for direction, (run, want) in theirs.items():
        sides = {"openblas": run}
        sides.update({device.name: ours[device][direction][0] for device in devices})
        best = pairing.alternate(sides, reps)
        words = ["openblas %6.1f GFLOP/s" % (2e-9 * rows * inner * outer / best["openblas"])]
        for device in devices:
            got = device.read(ours[device][direction][1], np.empty_like(want))
            ratios[device.name].append(best["openblas"] / best[device.name])
            words.append("%s %6.1f (%.2fx, differs by %.0e)" % (
                device.name, 2e-9 * rows * inner * outer / best[device.name], ratios[device.name][-1],
                np.abs(got - want).max() / np.abs(want).max()))
        print("rows %4d in %4d out %4d %-3s  %s" % (*shape, direction, "   ".join(words)), flush=True)
    for device in devices:
        device.release()
    return ratios


def shapes():
    for width in (256, 512):
        for rows in (4096, 8192):
            for inner, outer in ((1, 3), (1, 1), (1, 4), (4, 1)):
                yield rows, inner * width, outer * width
            if width != 256:
                yield rows, width, 256


def main():
    a = pairing.arguments(__doc__, reps=7)
    blas = open_blas(a.threads)
    lib = ssacl.Library(a.library)
    devices = [lib.open(name) for name in a.devices.split(",")]
    every = {device.name: [] for device in devices}
    for shape in shapes():
        for name, ratios in compare(blas, devices, shape, a.reps).items():
            every[name] += ratios
    for name, ratios in every.items():
        print("%s against OpenBLAS: geometric mean %.3fx (%.2f to %.2f over %d)" % (
            name, pairing.geometric_mean(ratios), min(ratios), max(ratios), len(ratios)))


if __name__ == "__main__":
    main()
