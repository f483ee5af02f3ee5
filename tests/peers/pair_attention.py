"""Attention forward and backward, causal or not: ours against PyTorch's dense attention, and against PyTorch's
gather of the sampled keys followed by attention."""
import numpy as np
import torch
import torch.nn.functional as F

import pairing
import ssacl


def torch_side(q, k, v, dout, subset, causal):
    """Forward and backward over all keys, or over the rows `subset` of them."""
    mask = subset[None, :] <= torch.arange(q.shape[2])[:, None] if causal and subset is not None else None

    def run():
        q.grad = k.grad = v.grad = None
        if subset is None:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:
            out = F.scaled_dot_product_attention(q, k.index_select(2, subset), v.index_select(2, subset),
                                                 attn_mask=mask)
        out.backward(dout)
    return run


def our_side(device, tensors, shape, plan, causal):
    batch, heads, length, width = shape
    count = batch * heads * length * width
    q, k, v, dout = (device.tensor(np.ascontiguousarray(t.detach().numpy().transpose(0, 2, 1, 3))) for t in tensors)
    out, dq, dk, dv = (device.empty(count) for _ in range(4))
    same = dict(q=q, k=k, v=v, out=out, lse=device.empty(batch * heads * length), plan=plan,
                plan_data=device.plan_tensor(plan), batch=batch, length=length, heads=heads, width=width,
                causal=causal)
    forward = device.operator("attention_fwd", **same)
    backward = device.operator("attention_bwd", dout=dout, dq=dq, dk=dk, dv=dv, **same)

    def run():
        forward()
        backward()
        device.finish()
    return run, (dq, dk, dv)


def layout_plan(lib, length, subset):
    """The plan in which every query sees just `subset`, so that both sides do the same work."""
    order = subset.numpy().astype(np.int32)
    ints = {name: np.array(values, np.int32) for name, values in
            dict(slice_start=[0, len(order)], first=[0], end=[1]).items()}
    layout = lib.make("layout", length=length, block=length, slices=1, order=order.ctypes.data,
                      **{name: a.ctypes.data for name, a in ints.items()})
    plan = lib.structs["ssa_plan"]()
    lib.check(lib.c.ssa_plan_from_layout(ssacl.C.byref(plan), ssacl.C.byref(layout)))
    return plan


def largest_difference(device, gradients, tensors, shape):
    batch, heads, length, width = shape
    worst = 0
    for gradient, t in zip(gradients, tensors):
        got = device.read(gradient, np.empty((batch, length, heads, width), np.float32)).transpose(0, 2, 1, 3)
        want = t.grad.numpy()
        worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
    return worst


def compare(lib, devices, shape, ratio, causal, reps):
    batch, heads, length, width = shape
    tensors = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    dout = torch.randn(shape)
    subset = torch.randperm(length)[:length // ratio].sort().values
    if causal:
        subset[0] = 0  # no empty rows: PyTorch would answer NaN
    gather = torch_side(*tensors, dout, subset, causal)
    sides = {"torch dense": torch_side(*tensors, dout, None, causal), "torch gather": gather}
    plans = {"k=N/%d" % ratio: layout_plan(lib, length, subset), "dense": lib.plan(kind=ssacl.DENSE, length=length)}
    for device in devices:
        for name, plan in plans.items():
            run, gradients = our_side(device, tensors + [dout], shape, plan, causal)
            sides["%s %s" % (device.name, name)] = run
            (gather if name != "dense" else sides["torch dense"])()
            run()
            difference = largest_difference(device, gradients, tensors, shape)
            print("    %s %s: gradients differ by %.1e of the largest" % (device.name, name, difference))
    best = pairing.alternate(sides, reps)
    for name, seconds in best.items():
        print("B%d H%d D%d N%d %-6s %-22s fwd+bwd %8.2f ms   %5.2fx torch dense  %5.2fx torch gather" % (
            batch, heads, width, length, "causal" if causal else "full", name, 1e3 * seconds,
            best["torch dense"] / seconds, best["torch gather"] / seconds), flush=True)
    for device in devices:
        device.release()


def main():
    a = pairing.arguments(__doc__, batch=1, heads=8, width=64, lengths="1024,2048", ratio=4, reps=9)
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    lib = ssacl.Library(a.library)
    devices = [lib.open(name) for name in a.devices.split(",")]
    for length in map(int, a.lengths.split(",")):
        for causal in (False, True):
            compare(lib, devices, (a.batch, a.heads, length, a.width), a.ratio, causal, a.reps)


if __name__ == "__main__":
    main()
