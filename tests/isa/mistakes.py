"""What tests/isa.sh must not let pass: each is compiled, for one target of each maker, and has to be caught."""
import os

import embed

SMALL = {"AMD": "D=32,SIDE=8,EACH=4", "NVIDIA": "D=32,SIDE=8,EACH=4", "Intel": "D=32,SIDE=8,EACH=4,REGISTERS=128"}
CROWDED = {"AMD": "D=128,SIDE=8,EACH=8", "NVIDIA": "D=128,SIDE=8,EACH=8", "Intel": "D=64,SIDE=16,EACH=8"}
INDEXED = """
__kernel void indexed(TENSOR(float, x), const int n)
{
    BIND(float, x);
    float t[1024];
    for (int i = 0; i < 1024; i++)
        t[i] = x[i];
    for (int i = 0; i < n; i++)
        t[t[i % 1024] > 0.0f ? i % 1024 : 0] += 1.0f;
    for (int i = 0; i < 1024; i++)
        x[i] = t[i];
}
"""


def resolved(isa, name):
    return "".join(embed.resolve(os.path.join(isa.CL, name + ".cl"), set()))


def caught(isa, tools, target, text, options):
    """In words, what was found wrong with it; "" if nothing was."""
    try:
        results = isa.compile_text(tools, target, "mistake", text, options)
    except isa.Failure as f:
        return "does not compile: %s" % f
    return "; ".join(" ".join(filter(None, isa.faults(r))) for r in results.values())


def with_shim(isa, lanes, *rest):
    """The same with another native_exp2 of four floats."""
    right = isa.SHIM
    assert right.count(isa.FOUR_LANES) == 1
    isa.SHIM = right.replace(isa.FOUR_LANES, lanes)
    try:
        return caught(isa, *rest)
    finally:
        isa.SHIM = right


def cases(isa, tools, maker, target):
    """(what is wrong, what must be said of it, what was)"""
    forward = resolved(isa, "attention_fwd_gpu")
    few = forward.replace("EXP2(s[c][i] - base)", "s[c][i] - base")
    assert few != forward
    small = SMALL[maker]
    if maker != "Intel":  # no shim there
        yield ("lanes in a comma expression", "unused-value" if maker == "AMD" else "exp2 left",
               with_shim(isa, "((ONE(x.x), ONE(x.y), ONE(x.z), ONE(x.w)))", tools, target, forward, small))
        yield "one lane for four", "exp2 left", with_shim(isa, "(ONE(x.w))", tools, target, forward, small)
    yield "nothing wrong", "", caught(isa, tools, target, forward, small)
    yield "exponentials that are not there", "exp2 left", caught(isa, tools, target, few, small)
    yield "more than registers hold", "stack", caught(isa, tools, target, forward, CROWDED[maker])
    yield "an array in memory", "stack", caught(isa, tools, target, resolved(isa, "add") + INDEXED, "")


def check(isa, tools, targets, checks, failures):
    """Adds to what was checked and what failed, under "mistakes"."""
    for maker, all_targets in isa.MAKERS.items():
        target = next((t for t in targets if t in all_targets), None)
        for what, must, said in cases(isa, tools, maker, target) if target else []:
            checks["mistakes"] = checks.get("mistakes", 0) + 1
            if (must not in said) if must else said:
                words = "%s, compiled for %s: %s" % (what, target, said or "not noticed")
                failures.setdefault("mistakes", []).append((what + target, words))
