#!/bin/sh
# Token files: ids of 16 and 32 bits instead of bytes, through train, eval, sample and report. On the host backend.
# Usage: tokens.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
tiny="--device cpu --layers 1 --width 16 --heads 2 --length 32 --batch 2 --eval-windows 2 --log-every 1"

text() { "$program" "$@" 2>err; }
# shellcheck disable=SC2086 # a list of options
train() { text train $tiny "$@"; }
refuses() { # STATUS WORDS COMMAND...
    status=$1 words=$2
    shift 2
    "$@" >out
    check [ $? -eq "$status" ]
    check [ ! -s out ]
    check grep -q -e "$words" err
    check [ "$(grep -c '^ssacl-text' err)" -eq 1 ]
}
same() { check python3 -c "import json, sys; a, b = (json.load(open(f)) for f in sys.argv[2:]); assert $1" "$@"; }

# The same ids as 16 and as 32 bits, those of a byte also as bytes; and files that are wrong.
python3 - <<'END'
import random, struct
random.seed(1)
def put(name, form, ids): open(name, "wb").write(struct.pack("<%d%s" % (len(ids), form), *ids))
large = [min(random.randrange(1, 1000), random.randrange(1, 1000)) for _ in range(3000)] + [999] * 8
put("16.bin", "H", large); put("32.bin", "I", large)
small = [random.randrange(0, 65) for _ in range(3000)]
put("small.bin", "H", small); put("small32.bin", "I", small); put("small.text", "B", small)
put("other.bin", "H", [5] * 1000 + [1234] + [5] * 1000)
put("huge.bin", "I", [5] * 1000 + [2**32 - 1])
open("odd.bin", "wb").write(open("16.bin", "rb").read()[:-1])
END

# ---- the same run from both widths ----

train --data 16.bin --tokens 16 --steps 6 -c 16.st -l 16.jsonl
check [ $? -eq 0 ]
check grep -q 'a vocabulary of 1000, by the largest id' err
check grep -q 'tokens to train on' err
check grep -q 'validation [0-9.]* nats/token (perplexity [0-9.]*)' err
train --data 32.bin --tokens 32 --vocabulary 1000 --steps 6 -c 32.st -l 32.jsonl --json >32.json
check [ ! -s err ]
json 32.json 'x["unit"] == "nats per token" and x["model"]["vocabulary"] == 1000 and "train_bits" not in x'
json 32.json 'abs(x["valid_loss"] - 6.9) < 0.2 and 800 < x["valid_perplexity"] < 1200'
json 32.json 'x["train_tokens"] == 3008 - 2 * 150 and x["tokens_of_bits"] == 32'
losses() { python3 -c 'import json, sys; print([json.loads(l).get("loss") for l in open(sys.argv[1])])' "$1"; }
check [ "$(losses 16.jsonl)" = "$(losses 32.jsonl)" ]
check grep -q '"perplexity":' 16.jsonl
check sh -c '! grep -q "\"bits\":" 16.jsonl'
# Ids of bytes are the run of the bytes.
train --data small.bin --tokens 16 --vocabulary 256 --steps 6 -c small.st -l small.jsonl --quiet
train --data small.text --steps 6 -c bytes.st -l bytes.jsonl --quiet
check [ "$(losses small.jsonl)" = "$(losses bytes.jsonl)" ]

# ---- several files: each is cut by itself ----

train --data 16.bin --data small.bin --tokens 16 --steps 6 -c two.st -l two.jsonl --json >two.json
json two.json 'x["train_tokens"] == 3008 - 2 * 150 + 3000 - 2 * 150'
train --data 32.bin --data small32.bin --tokens 32 --steps 6 -c two32.st -l two32.jsonl --json >two32.json
check [ "$(losses two.jsonl)" = "$(losses two32.jsonl)" ]
same 'a["valid_loss"] == b["valid_loss"]' two.json two32.json

# ---- going on ----

check text train --device cpu --data 16.bin --resume 16.st --steps 8 -l 16.jsonl
refuses 1 'other text' text train --data 32.bin --tokens 32 --resume 16.st --steps 10
check text train --device cpu --data 16.bin --from 16.st --batch 2 --steps 2 -c from.st --eval-windows 2
refuses 2 'does not go with --from' text train --data 16.bin --from 16.st --vocabulary 2000

# ---- eval, report ----

evaluate() { text eval --device cpu --pattern unbiased:ratio=0.5 --passes 4 "$@"; }
evaluate -c 16.st --data 16.bin --json >eval16.json
evaluate -c 16.st --data 32.bin --tokens 32 --json >eval32.json
json eval16.json 'abs(x["dense"]["loss"] - 6.9) < 0.3 and x["same_text"] and "bits" not in x["dense"]'
json eval16.json 'abs(x["dense"]["perplexity"] / 2.718281828459045 ** x["dense"]["loss"] - 1) < 1e-6'
json eval16.json 'len(x["ensemble"]["loss_of_first"]) == 4 and abs(x["ensemble"]["single_loss"] - 6.9) < 0.3'
json eval16.json 'x["unit"] == "nats per token" and x["dense"]["tokens"] == 149'
same 'a["dense"]["loss"] == b["dense"]["loss"]' eval16.json eval32.json
json eval32.json 'x["same_text"] is False'
evaluate -c 16.st --data 16.bin >out
check grep -q 'dense .* nats per token (perplexity ' out
check grep -q 'self-ensemble of 4 .*(perplexity ' out
evaluate -c 16.st --data 16.bin --log 16.jsonl --json >eval16.json
text report 16.jsonl --json >report.json
json report.json 'abs(x["runs"][0]["test_dense_loss"] - 6.9) < 0.3 and x["runs"][0]["train_bits"] is None'
json report.json '5 < x["runs"][0]["train_loss"] < 8 and x["runs"][0]["valid_perplexity"] > 100'
check sh -c '"$0" report 16.jsonl bytes.jsonl | grep -q "training, nats per token  *[0-9.]* *-"' "$program"
refuses 1 'draw them apart' text report 16.jsonl bytes.jsonl --out both

# ---- sample ----

sample() { text sample --device cpu -c 16.st --seed 3 -n 5 "$@"; }
sample --prompt-tokens '1 2,3' >out
check grep -Eq '^1 2 3( [0-9]+){5}$' out
sample --prompt-tokens '1 2 3' --json >sample.json
json sample.json 'x["prompt"] == [1, 2, 3] and len(x["tokens"]) == 5 and max(x["tokens"]) < 1000'
python3 -c 'import struct; open("prompt", "wb").write(struct.pack("<3H", 1, 2, 3))'
sample --prompt prompt --tokens 16 >out2
check cmp -s out out2
check sh -c '"$0" sample --device cpu -c 16.st --seed 3 -n 5 --prompt - --tokens 16 <prompt | cmp -s - out' "$program"
refuses 1 'give --prompt-tokens' sample
refuses 1 'give --prompt-tokens' sample --prompt text
refuses 1 'is no id of a token' sample --prompt-tokens '1 -2'
refuses 1 'is no id of a token' sample --prompt-tokens '123456789012345678901234567890'
refuses 1 'there is none' sample --prompt-tokens ' '
refuses 1 "token 1 (from 0) is 1000, and the vocabulary of 16.st has 1000" sample --prompt-tokens '5 1000'
refuses 1 'no whole number of tokens' sample --prompt odd.bin --tokens 16
refuses 1 'cannot be opened' sample --prompt nothing-there --tokens 16
# Ids below 256 that are no bytes: the checkpoint knows.
refuses 1 'give --prompt-tokens' text sample --device cpu -c small.st -n 1
check sh -c '"$0" sample --device cpu -c small.st -n 3 --prompt-tokens 7 | grep -Eq "^7( [0-9]+){3}$"' "$program"

# ---- what is wrong ----

rm -f new.st
refuses 1 'odd.bin: its 6015 bytes are no whole number of tokens of 16 bits' train --data odd.bin --tokens 16 -c new.st
refuses 1 'no whole number of tokens of 32 bits' train --data 16.bin --data odd.bin --tokens 32 -c new.st
refuses 1 'other.bin: token 1000 (from 0) is 1234, and the vocabulary has 1000' train --data 16.bin --data other.bin \
    --tokens 16 --vocabulary 1000 -c new.st
refuses 1 'other.bin: token 1000 (from 0) is 1234' text eval --device cpu -c 16.st --data other.bin
refuses 1 'other.bin: token 1000 (from 0) is 1234' text train --device cpu --from 16.st --data other.bin -c new.st
refuses 1 'byte [0-9]* (from 0) is 64, and the vocabulary has 64' train --data small.text --vocabulary 64 -c new.st
refuses 1 'vocabulary' train --data huge.bin --tokens 32 -c new.st --quiet
refuses 1 'too short' train --data small.bin --tokens 16 --length 150 -c new.st
refuses 2 'one of 8|16|32' train --data 16.bin --tokens 64 -c new.st
check [ ! -e new.st ]

finish 'ssacl-text, tokens'
