#!/bin/sh
# ssacl-image import and export, and weights of timm's where a checkpoint is taken: what was imported is written again
# as it was, tensor for tensor; a head is new where the data have other classes, and all else is timm's. On the host
# backend. Usage: weights.sh PATH/ssacl-image FOLDER_OF_GOLDEN_FILES
golden=$(realpath "$2")
. "$(dirname "$0")/begin.sh"
. "$tests/../weights.sh"

image() { "$program" "$@" 2>err; }

# Colour pictures of 8 x 8, of five classes and of three.
python3 - "$tests" <<'END'
import random, sys, zipfile
sys.path.insert(0, sys.argv[1])
from pictures import npy
random.seed(1)
for classes in 5, 3:
    with zipfile.ZipFile("classes%d.npz" % classes, "w") as z:
        for part, n in ("train", 40), ("test", 10):
            pixels = bytes(random.randrange(256) for _ in range(n * 192))
            z.writestr("x_%s.npy" % part, npy("|u1", (n, 8, 8, 3), pixels))
            z.writestr("y_%s.npy" % part, npy("|u1", (n,), bytes(i % classes for i in range(n))))
END

# ---- there and back ----

timm=$golden/timm.safetensors
check image import "$timm" --heads 2 -c vit.st --json >import.json
json import.json 'x["family"] == "vit" and x["model"]["heads"] == 2 and x["model"]["classes"] == 5'
json import.json 'x["parameters"] == 4917 and x["from"].endswith("timm.safetensors") and x["checkpoint"] == "vit.st"'
check image export -c vit.st --to back.safetensors >out
check grep -q '^timm.models.vision_transformer.VisionTransformer(img_size=(8, 8), ' out
same "$timm" back.safetensors
check image import "$timm" --heads 2 --classes 9 --seed 4 -c nine.st >out
check image export -c nine.st --to nine.safetensors --json >export.json
json export.json 'x["out"] == "nine.safetensors" and "num_classes=9, " in x["timm"] and x["model"]["classes"] == 9'
same "$timm" nine.safetensors head.

# ---- a file of timm's wherever a checkpoint is taken ----

run="--device cpu --force --batch 5 --eval-images 2"
# shellcheck disable=SC2086 # a list of options
train() { image train $run "$@"; }
check train --data classes5.npz --layers 1 --width 64 --heads 1 --patch 4 --steps 2 -c own.st
check image export -c own.st --to own.safetensors --json >export.json
check image import own.safetensors -c again.st --json >import.json
json import.json 'x["model"] == json.load(open("export.json"))["model"]'
for from in again.st own.safetensors; do
    check train --data classes5.npz --from $from --steps 3 --lr 1e-3 -c $from.trained
    check image eval --device cpu --data classes5.npz -c $from --mode dense --json >$from.json
done
check cmp again.st.trained own.safetensors.trained
json own.safetensors.json 'x["dense"]["loss"] == json.load(open("again.st.json"))["dense"]["loss"]'
check image export -c own.safetensors --to twice.safetensors --json >export.json
same own.safetensors twice.safetensors

check image import own.safetensors -c half.st --scale half >out
check image eval --device cpu --data classes5.npz -c half.st --mode dense --json >half.json
json half.json 'x["dense"]["loss"] != json.load(open("again.st.json"))["dense"]["loss"]'
for scale in data:False imagenet:0.485 half:0.5; do
    check image import own.safetensors -c scaled.st --scale ${scale%:*} -f >out
    check train --data classes5.npz --from scaled.st --steps 1 -c scaled
    check python3 -c 'import re, sys
mean = float(re.search(rb"mean_0[^0-9]*([0-9.]+)", open("scaled", "rb").read())[1])
assert mean == eval(sys.argv[1]) if eval(sys.argv[1]) else 0.4 < mean < 0.6 and mean != 0.5, mean' ${scale#*:}
done

# ---- other classes: the head is new, and all else hardly moves in a step of next to no length ----

for seed in 1 2; do
    check train --data classes3.npz --from own.safetensors --steps 1 --lr 1e-9 --seed $seed -c three$seed
    check grep -q 'own.safetensors: knows 5 classes; a new head begins, of 3' err
    check image export -c three$seed --to three$seed.safetensors --json >export.json
done
check python3 - <<'END'
import array
from tensors import tensors
old, new, other = (tensors(name + ".safetensors") for name in ("own", "three1", "three2"))
assert old.keys() == new.keys() and new["head.weight"][1] == [3, 64] != old["head.weight"][1]
head, another = (array.array("f", x["head.weight"][2]) for x in (new, other))
assert 0.015 < (sum(x * x for x in head) / len(head)) ** 0.5 < 0.025
assert max(abs(x - y) for x, y in zip(head, another)) > 0.01
for name in old.keys() - {"head.weight", "head.bias"}:
    a, b = (array.array("f", x[name][2]) for x in (old, new))
    assert old[name][1] == new[name][1] and max(abs(x - y) for x, y in zip(a, b)) < 1e-7, name
END

# ---- Swin, where the program knows it ----

if image import "$golden/timm_swin.safetensors" -c swin.st >out; then
    check image export -c swin.st --to swin.safetensors >out
    same "$golden/timm_swin.safetensors" swin.safetensors
else
    check grep -q 'holds a model of family swin, which ssacl-image does not know' err
fi

# ---- what is wrong is said ----

: >empty
cp "$timm" copy.safetensors
check train --family pixels --data classes3.npz --layers 1 --width 16 --heads 2 --steps 1 -c pixels.st
bad 2 'give --checkpoint' import "$timm"
bad 2 'give one file' import -c x
bad 2 'give one file' import "$timm" "$timm" -c x
bad 1 'nowhere' import nowhere -c x
bad 1 'is no safetensors file' import empty -c x
bad 1 'has no patch_embed.proj.weight' import vit.st -c x
bad 1 'say how many it has, by import --heads' import "$timm" -c x
bad 1 'vit.st: exists; replace it with --force' import "$timm" --heads 2 -c vit.st
bad 1 'copy.safetensors' import copy.safetensors --heads 2 -c copy.safetensors --force
check cmp "$timm" copy.safetensors
bad 2 'give --to' export -c vit.st
bad 1 'back.safetensors: exists; replace it with --force' export -c vit.st --to back.safetensors
bad 1 'pixels.st: holds a model of family pixels, which timm has no names for' export -c pixels.st --to x
bad 1 'holds a model but no run to continue; use --from' train --data classes5.npz --resume own.safetensors -c x
bad 1 'knows 5 classes, and the data have 3: that cannot be mixed' train --data classes3.npz --from own.st --mix 1 -c x
bad 1 'is no model of pixels' draw -c own.safetensors -o x.ppm
TMPDIR=/nowhere bad 1 'a folder of $TMPDIR, which cannot be made' export -c own.safetensors --to x
checks=$((checks + 1))
(ulimit -f 8; image train --device cpu --data classes5.npz --from own.safetensors --steps 1 -c x 2>err) &&
    wrong 'went on without room in $TMPDIR'
check grep -q 'own.safetensors: becomes a checkpoint of 1 MB in .*/tmp, where it cannot be written; make room' err
check test -z "$(ls -A tmp)"

# ---- who ends the program while a file of timm's becomes a checkpoint finds nothing in $TMPDIR ----

check python3 - "$program" <<'END'
import json, os, signal, struct, subprocess, sys
width, tensors, end = 512, {}, 0
layer = {"norm1.weight": 1, "norm1.bias": 1, "attn.qkv.weight": (3, 1), "attn.qkv.bias": 3, "attn.proj.weight": (1, 1),
         "attn.proj.bias": 1, "norm2.weight": 1, "norm2.bias": 1, "mlp.fc1.weight": (4, 1), "mlp.fc1.bias": 4,
         "mlp.fc2.weight": (1, 4), "mlp.fc2.bias": 1}
shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 5, width), "patch_embed.proj.weight": (width, 3, 4, 4),
          "patch_embed.proj.bias": (width,), "norm.weight": (width,), "norm.bias": (width,),
          "head.weight": (5, width), "head.bias": (5,)}
for name, times in layer.items():
    for i in 0, 1:
        shapes["blocks.%d.%s" % (i, name)] = [width * n for n in (times if isinstance(times, tuple) else (times,))]
for name, shape in shapes.items():
    begin, end = end, end + 4
    for n in shape:
        end = begin + (end - begin) * n
    tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
header = json.dumps(tensors).encode()
with open("large", "wb") as f:
    f.write(struct.pack("<Q", len(header)) + header)
    f.truncate(8 + len(header) + end)
signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, as in the background
for command in (["eval", "--checkpoint", "large", "--mode", "dense"],
                ["train", "--from", "large", "--steps", "1", "--checkpoint", "x"]):
    for number in signal.SIGINT, signal.SIGTERM:
        run = subprocess.Popen([sys.argv[1], *command, "--device", "cpu", "--data", "classes5.npz"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and not os.listdir("tmp"):
            pass
        run.send_signal(number)
        assert run.wait() in (0, -number, 130), (command, number, run.returncode)
        assert not os.listdir("tmp"), (command, number)
END

finish 'ssacl-image, weights'
