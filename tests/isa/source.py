"""What a kernel file says of itself, once preprocessed for a variant: sizes of work-groups, and how many of some
operations no compiler may leave out."""
import re
import subprocess

import embed

# Operations a work-item, in the file's own macros, each loop that stays one counted once. What is left of a kernel of
# which the compiler has seen too little: the exponentials of three lanes in four once vanished from all attention.
SCORES = "(EARLY * 12 + 4) * EACH"  # of scores() and of gather(): four steps a turn, or one
GATHER = "(EARLY * 3 + 1) * EACH * VECS * CW"
SLOPES = "(PAIRS == 0) * %d * HALF + (PAIRS > 0) * %d"  # with pairs: in a loop, a probability and a gate
ASKED = {
    "attention_fwd_gpu": {"exp2": "20 * HALF + 2 * (PAIRS > 0)", "divide": "4 * HALF + 2 * (PAIRS > 0)",
                          "fma": SCORES + " + " + GATHER},
    "attention_bwd_prepare": {"exp2": "1 + (PAIRS > 0)", "divide": "(PAIRS > 0)", "fma": "2"},
    "attention_bwd_queries": {"exp2": SLOPES % (20, 4), "divide": "2 * (PAIRS > 0)",
                              "fma": "2 * " + SCORES + " + " + GATHER},
    "attention_bwd_sources": {"exp2": SLOPES % (16, 2), "divide": "(PAIRS > 0)",
                              "fma": "2 * " + SCORES + " + SUMS * " + GATHER},
    "gemm_gpu": {"divide": "6 * EACH * EACH", "fma": "4 * EACH * EACH"},
    "gelu_fwd": {"divide": "3 * VW"},
    "gelu_bwd": {"divide": "3 * VW"},
    "glu_fwd": {"divide": "3 * VW"},
    "glu_bwd": {"divide": "6 * VW"},
    "linear_epilogue": {"divide": "6 * VW"},
    "norm_fwd": {"root": "1", "divide": "1"},
    "adamw": {"root": "VW + 1", "divide": "VW"},
    "nag": {"root": "1"},
    "mean_fwd": {"divide": "1"},
    "mean_bwd": {"divide": "1"},
    "centrality_fwd": {"divide": "2"},
    "centrality_bwd": {"divide": "3"},
}


class Source:
    """.sizes: {kernel: (x, y, z)}, None where it requires none; .lanes: the group that those are launched with;
    .asked: {kernel: {operation: count}}."""

    def __init__(self, preprocessor, path, options):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        names = re.findall(r"\bvoid\s+(\w+)\s*\(", text)
        asked = [(name, operation, count) for name in names for operation, count in ASKED.get(name, {}).items()]
        questions = "".join("\nASKED %s %s : %s ;" % question for question in asked) + "\nLANES_ASKED : LANES ;\n"
        # No C compiler's own macros: what they say of its processor is not so here.
        done = subprocess.run([preprocessor, "-E", "-P", "-undef", "-x", "c", "-D__OPENCL_C_VERSION__=120", *options,
                               "-"], input=text + questions, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)
        if done.returncode:
            raise ValueError("the preprocessor: " + done.stderr[-2000:])
        self.lanes = value(re.search(r"\bLANES_ASKED : (.*?) ;", done.stdout, re.S)[1])
        self.asked = {}
        for name, operation, count in re.findall(r"\bASKED (\w+) (\w+) : (.*?) ;", done.stdout, re.S):
            self.asked.setdefault(name, {})[operation] = value(count)
        self.sizes = {}
        for words, name in re.findall(r"__kernel\b([^{;]*?)\bvoid\s+(\w+)\s*\(", done.stdout):
            at = words.find("reqd_work_group_size(")
            sizes = embed.parameters(words, words.index("(", at)) if at >= 0 else None
            self.sizes[name] = tuple(map(value, sizes)) if sizes else None

    def group(self, kernel):
        """Work-items of the group that the kernel is launched with."""
        x, y, z = self.sizes[kernel] or (self.lanes, 1, 1)
        return x * y * z


def value(expression):
    """Of a constant expression of the preprocessor's output: whole numbers, + - * / %, comparisons."""
    if not re.fullmatch(r"[\d\s()+*/%<>=!-]+", expression):
        raise ValueError("not a constant: " + expression)
    return int(eval(expression.replace("/", "//"), {"__builtins__": {}}))  # pylint: disable=eval-used
