"""The library through ctypes. Structs are read out of the public headers, so that they cannot drift apart.

    lib = Library()
    device = lib.open("opencl")
    x = device.tensor(array)
    device.call("add", x=x, y=y, out=z, count=n)    # ssa_add(device, &(struct ssa_add){...})

An array is whatever shows its memory: of NumPy, array.array, of ctypes.
"""
import ctypes as C
import glob
import os
import re

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SCALARS = {"int": C.c_int, "float": C.c_float, "double": C.c_double, "size_t": C.c_size_t, "char": C.c_char,
           "int32_t": C.c_int32, "uint32_t": C.c_uint32, "uint64_t": C.c_uint64}
DENSE, UNBIASED, LOCAL = 0, 1, 2
FAMILIES = ["gpt", "vit", "pixels", "swin", "words", "egt"]
I32 = 1
NONE = -1


def declarators(text):
    """("int", "a[2]"), ("int", "*b") of "const int a[2], *b"; a pointer to a function is ("", "*name")."""
    function = re.match(r".*\(\*\s*(\w+)\)\s*\(.*\)$", text, re.S)
    if function:
        return [("", "*" + function.group(1))]
    kind, rest = re.match(r"((?:const |volatile |struct )*\w+)\s+(.*)", re.sub(r"(\*+)", r" \1", text), re.S).groups()
    return [(re.sub(r"\b(const|volatile)\s+", "", kind), re.sub(r"\bconst\b|\s", "", d)) for d in rest.split(",")]


def read_structs(folder):
    structs = {}
    for name in ["device", "cache", "tensor", "sample", "ops", "model", "data", "train", "evaluate", "checkpoint",
                 "pool", "ranks", "tuning", "graph"]:
        path = os.path.join(folder, name + ".h")
        if not os.path.exists(path):  # 0.1 has fewer headers, with the same structs
            continue
        text = re.sub(r"/\*.*?\*/", "", open(path, encoding="utf-8").read(), flags=re.S)
        for m in re.finditer(r"struct\s+(ssa_\w+)\s*\{((?:[^{}]|\{[^{}]*\})*)\}\s*;", text):
            body, union = re.sub(r"union\s*\{([^}]*)\};", "", m.group(2)), re.search(r"union\s*\{([^}]*)\};", m.group(2))
            fields = read_fields(body, structs)
            members = {"_fields_": fields}
            if union:  # without a name, and the last
                fields.append(("u", type("u", (C.Union,), {"_fields_": read_fields(union.group(1), structs)})))
                members["_anonymous_"] = ["u"]
            structs[m.group(1)] = type(m.group(1), (C.Structure,), members)
    return structs


def read_fields(body, structs):
    fields = []
    for line in body.split(";"):
        for kind, declarator in declarators(line.strip()) if line.strip() else []:
            plain = re.match(r"\**(\w+)", declarator).group(1)
            length = re.search(r"\[(\w+)\]", declarator)
            if declarator.startswith("*"):
                kind = C.c_void_p
            else:
                kind = structs[kind.split()[1]] if kind.startswith("struct ") else SCALARS[kind]
            fields.append((plain, kind * int(length.group(1)) if length else kind))
    return fields


def find_library(given):
    found = [given] if given else glob.glob(os.path.join(ROOT, "build*", "lib", "libssacl.so"))
    if not found:
        raise SystemExit("no build*/lib/libssacl.so: build first, or say --library FILE")
    return os.path.abspath(found[0])


def address(array):
    return C.addressof(C.c_char.from_buffer(array))


def count(array):
    view = memoryview(array)
    return view.nbytes // view.itemsize


class Library:
    def __init__(self, path=None, headers=os.path.join(ROOT, "include", "ssacl")):
        os.environ.setdefault("POCL_AFFINITY", "1")
        self.c = C.CDLL(find_library(path))
        self.structs = read_structs(headers)
        self.c.ssa_last_error.restype = C.c_char_p
        self.c.ssa_device_seconds.restype = C.c_double
        if hasattr(self.c, "ssa_model_elements"):  # 0.1 has it not
            self.c.ssa_model_elements.restype = C.c_size_t

    def function(self, name, before):
        """The function of this name; or of the one that it had in 0.1."""
        return getattr(self.c, name if hasattr(self.c, name) else before)

    def check(self, status):
        if status:
            raise RuntimeError(self.c.ssa_last_error().decode())

    def make(self, struct, **fields):
        """struct ssa_<struct> with these fields; objects are passed by address and kept alive."""
        s = self.structs["ssa_" + struct]()
        s.kept_alive = []
        if "no_own_key" in dict(s._fields_) and "own_key" in fields:  # 0.1
            fields["no_own_key"] = int(fields.pop("own_key") == NONE)
        if "attention" in dict(s._fields_):  # what both directions are given is a struct in theirs
            shared = dict(s._fields_)["attention"]._fields_
            inner = {("keys" if n == "length" else n): v for n, v in fields.items() if n not in dict(s._fields_)}
            fields = {n: v for n, v in fields.items() if n in dict(s._fields_)}
            assert set(inner) <= set(dict(shared)), inner
            fields["attention"] = self.make("attention", **inner)
            s.kept_alive.append(fields["attention"])
        if struct == "model_config" and "ssa_gpt" in self.structs and "family" not in fields:  # of a GPT, as it was once
            fields = {"gpt": self.make("gpt", **fields)}
        for name, value in fields.items():
            if isinstance(value, (C.Structure, C.Array)) and dict(s._fields_).get(name) is C.c_void_p:
                s.kept_alive.append(value)
                value = C.addressof(value)
            setattr(s, name, value)
        return s

    def open(self, name):
        return Device(self, name)

    def plan(self, **how):
        """A drawn plan, from the fields of struct ssa_sample."""
        plan = self.structs["ssa_plan"]()
        self.check(self.c.ssa_plan_draw(C.byref(plan), C.byref(self.make("sample", **how))))
        return plan


class Device:
    def __init__(self, lib, name):
        self.lib, self.handle, self.buffers = lib, C.c_void_p(), []
        self.typed = "type" in dict(lib.structs["ssa_tensor"]._fields_)
        self.unit = 4 if self.typed else 1  # of a buffer's size: 0.1 counts elements
        lib.check(lib.c.ssa_device_open(C.byref(self.handle), name.encode()))
        self.info = lib.structs["ssa_device_info"]()
        lib.function("ssa_device_info", "ssa_device_get_info")(self.handle, C.byref(self.info))
        self.name = self.info.id.decode()

    def set_precision(self, name):
        """Its name then says so."""
        precision = ["float32", "fast", "bf16"].index(name)
        if precision:
            self.lib.check(self.lib.c.ssa_device_set_precision(self.handle, precision))
            self.name += "-" + name

    def empty(self, elements):
        buffer = C.c_void_p()
        self.lib.check(self.lib.c.ssa_buffer_create(C.byref(buffer), self.handle, C.c_size_t(elements * self.unit)))
        self.buffers.append(buffer)
        return self.lib.make("tensor", buffer=buffer.value, offset=0)

    def tensor(self, array):
        """A tensor that holds an array of 4-byte elements."""
        t = self.empty(count(array))
        self.lib.check(self.lib.c.ssa_tensor_write(t, C.c_void_p(address(array)), C.c_size_t(count(array))))
        return t

    def plan_tensor(self, plan):
        elements = plan.stride * plan.examples
        t = self.empty(elements)
        if self.typed:
            t.type = I32
        self.lib.check(self.lib.c.ssa_tensor_write(t, C.c_void_p(plan.data), C.c_size_t(elements)))
        return t

    def read(self, tensor, array):
        self.lib.check(self.lib.c.ssa_tensor_read(tensor, C.c_void_p(address(array)), C.c_size_t(count(array))))
        return array

    def operator(self, name, **fields):
        """A function without arguments that calls the operator."""
        arguments, function = self.lib.make(name, **fields), getattr(self.lib.c, "ssa_" + name)
        return lambda: self.lib.check(function(self.handle, C.byref(arguments)))

    def call(self, name, **fields):
        self.operator(name, **fields)()

    def finish(self):
        self.lib.check(self.lib.c.ssa_device_finish(self.handle))

    def peak_bytes(self):
        peak = C.c_size_t()
        self.lib.c.ssa_device_memory(self.handle, None, C.byref(peak))
        return peak.value

    def release(self):
        for b in self.buffers:
            self.lib.c.ssa_buffer_destroy(b)
        self.buffers = []

    def close(self):
        self.release()
        self.lib.c.ssa_device_close(self.handle)


class Trainer:
    """A GPT as gpt.py has it, and its trainer: step() enqueues one step."""

    def __init__(self, device, layers, width, heads, length, batch, pattern, tokens):
        self.keep = tokens
        self.start(device, device.lib.make("model_config", layers=layers, heads=heads, width=width, vocabulary=256,
                                           length=length, positions=1, activation=2, untied=1), batch, pattern,
                   device.lib.make("data", items=address(tokens), count=len(tokens)))

    def start(self, device, config, batch, pattern, data):
        lib, self.device = device.lib, device
        limits = lib.make("model_limits", batch=batch, training=1)
        stage = lib.make("stage", pattern=lib.make("pattern", **pattern), steps=1 << 20, lr=3e-4)
        training = lib.make("train_config", seed=1, stages=stage, stage_count=1)
        self.data, self.model, self.trainer = data, C.c_void_p(), C.c_void_p()
        self.config = config
        lib.check(lib.c.ssa_model_create(C.byref(self.model), device.handle, C.byref(config), C.byref(limits)))
        lib.check(lib.c.ssa_trainer_create(C.byref(self.trainer), self.model, C.byref(training), C.byref(self.data)))

    def step(self):
        self.device.lib.check(self.device.lib.c.ssa_trainer_step(self.trainer))

    def loss(self):
        """Of the last step."""
        loss = C.c_float()
        self.device.lib.check(self.device.lib.c.ssa_trainer_losses(self.trainer, 1, C.byref(loss), None))
        return loss.value

    def elements(self):
        """Parameters of the model."""
        return self.device.lib.c.ssa_model_elements(C.byref(self.config))

    def close(self):
        self.device.lib.c.ssa_trainer_destroy(self.trainer)
        self.device.lib.c.ssa_model_destroy(self.model)


class FamilyTrainer(Trainer):
    """A model of any family, by the fields of its struct, on one batch: arrays for fields of struct ssa_batch."""

    def __init__(self, device, family, fields, batch, pattern, **arrays):
        lib, self.arrays = device.lib, arrays
        fill = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.POINTER(lib.structs["ssa_batch"]))

        def copy(_cookie, _draw, into):
            for name, array in arrays.items():
                C.memmove(getattr(into.contents, name), address(array), memoryview(array).nbytes)
            return 0
        self.fill = fill(copy)
        config = lib.make("model_config", family=FAMILIES.index(family), **{family: lib.make(family, **fields)})
        self.start(device, config, batch, pattern,
                   lib.make("data", fill=C.cast(self.fill, C.c_void_p), examples=batch))
