#!/bin/sh
# Words instead of bytes, through train, eval, sample and report. On the host backend. Usage: words.sh PATH/ssacl-text
. "$(dirname "$0")/begin.sh"
export SSACL_OPENCL_LIBRARY= SSACL_THREADS=1
tiny="--device cpu --layers 1 --width 16 --heads 2 --length 32 --batch 2 --eval-windows 2 --log-every 1"

text() { "$program" "$@"; }
# shellcheck disable=SC2086 # a list of options
train() { text train --tokens words $tiny "$@"; }
evaluate() { text eval --device cpu --pattern unbiased:ratio=0.5 --passes 4 "$@"; }
sample() { text sample --device cpu --seed 3 -n 5 "$@"; }
copies() { for i in $(seq "$1"); do printf '%s\n' "$2"; done; }

mkdir wiki
printf ' = City = \n \n the history of a river \n' >wiki/wiki.train.tokens
copies 60 ' the city of the river is the first city in <unk> history ' >>wiki/wiki.train.tokens
copies 4 ' the river of the city ' >wiki/wiki.valid.tokens
copies 5 ' the first river is of a lake ' >wiki/wiki.test.tokens
words 3000 >some.text
tr ' ' '\n' <some.text | fold -w 7 >other.text

# ---- a run, by the official parts ----

train --data wiki --steps 6 -c w.st -l w.jsonl 2>err
check [ $? -eq 0 ]
check grep -q '11 words and 4 more ids, a vocabulary of 16; not in it: 7.6% of training, 0.0% of v.* 12.5% of test' err
check grep -q 'validation [0-9.]* nats/word (perplexity [0-9.]*)' err
check grep -q 'million parameters, 791 words to train on' err
train --data wiki --steps 6 -c w2.st --json >w.json 2>err
check [ ! -s err ]
json w.json 'x["unit"] == "nats per word" and x["model"]["vocabulary"] == 16 and x["train_words"] == 791'
json w.json 'x["words"]["known"] == 11 and abs(x["words"]["unknown"] - 60 / 791) < 1e-9'
check cmp w.st w2.st
refuses 1 'too short: 791 words of it are for training, and a window takes 800' train --data wiki --length 800 -c x.st

# ---- blocks of the text instead of windows from anywhere ----

train --data wiki --blocks --steps 6 -c blocks.st --json >blocks.json 2>err
check python3 -c 'import json; a, b = (json.load(open(f)) for f in ("w.json", "blocks.json")); assert a != b'
train --data wiki --blocks --steps 3 -c half.st 2>err
text train --data wiki --device cpu --resume half.st --stages dense:steps=3 2>err
check [ $? -eq 0 ]
refuses 2 '--blocks does not go with --resume' text train --data wiki --device cpu --resume half.st --blocks

# ---- fewer words ----

train --data wiki --steps 2 -c few.st --vocabulary 8 --json >few.json
json few.json 'x["model"]["vocabulary"] == 8 and x["words"]["known"] == 4'
train --data wiki --steps 2 -c few.st --force --least 60 --json >few.json
json few.json 'x["model"]["vocabulary"] == 16 and x["words"]["known"] == 8'
train --data wiki --steps 2 -c few.st --force --vocabulary 1000 --json >few.json
json few.json 'x["model"]["vocabulary"] == 16'

# ---- eval: every word is predicted once, whatever of it is read before ----

evaluate -c w.st --data wiki --json >eval.json
json eval.json 'x["unit"] == "nats per word" and x["same_text"] and x["dense"]["words"] == 40'
json eval.json 'abs(x["dense"]["perplexity"] / 2.718281828459045 ** x["dense"]["loss"] - 1) < 1e-6'
size=$(wc -c <wiki/wiki.test.tokens)
json eval.json "abs(x['dense']['bits_per_byte'] * 0.6931471805599453 * $size / 40 / x['dense']['loss'] - 1) < 1e-6"
json eval.json 'abs(2 ** x["dense"]["bits_per_byte"] / x["dense"]["perplexity_per_byte"] - 1) < 1e-6'
json eval.json 'len(x["ensemble"]["loss_of_first"]) == 4 and x["ensemble"]["perplexity_per_byte"] > 1'
evaluate -c w.st --data wiki --context 24 --json >context.json
json context.json 'x["stride"] == 8 and x["dense"]["words"] == x["ensemble"]["words"] == 40'
evaluate -c w.st --data wiki --stride 8 --json >stride.json
same() { check python3 -c "import json, sys; a, b = (json.load(open(f)) for f in sys.argv[2:]); assert $1" "$@"; }
same 'a["dense"]["loss"] == b["dense"]["loss"]' context.json stride.json
same 'a["ensemble"]["loss"] == b["ensemble"]["loss"]' context.json stride.json
same 'a["dense"]["loss"] != b["dense"]["loss"]' context.json eval.json
refuses 1 '--context is 32, must be below' evaluate -c w.st --data wiki --context 32
refuses 1 'say the same' evaluate -c w.st --data wiki --context 8 --stride 8
# Of the part alone, which is known again; of a part that is not there.
evaluate -c w.st --data wiki/wiki.test.tokens --json >alone.json 2>err
check [ ! -s err ]
json alone.json 'x["same_text"]'
same 'a["dense"]["loss"] == b["dense"]["loss"]' alone.json eval.json
refuses 1 'has no such part' evaluate -c w.st --data wiki/wiki.test.tokens --part valid
sed 's/lake/sea/' wiki/wiki.test.tokens >other.test.tokens # not a word of it
evaluate -c w.st --data other.test.tokens --json >alone.json
json alone.json 'x["same_text"]'
sed 's/lake/city/' wiki/wiki.test.tokens >other.test.tokens
evaluate -c w.st --data other.test.tokens --json >alone.json 2>err
json alone.json 'not x["same_text"]'
evaluate -c w.st --data wiki >out 2>/dev/null
check grep -q 'dense .* nats per word (perplexity ' out
check grep -q 'bits per byte (perplexity [0-9.]*), of [0-9.]* bytes a word' out
evaluate -c w.st --data wiki --log w.jsonl --json >eval.json
text report w.jsonl --json >report.json
json report.json 'abs(x["runs"][0]["test_dense_loss"] - 2.7) < 1 and x["runs"][0]["valid_perplexity"] > 1'

# ---- sample ----

sample -c w.st --prompt 'the city of' >out
check grep -q '^the city of [^ ]' out
sample -c w.st --prompt 'the city of' --json >sample.json
json sample.json 'x["prompt"] == ["</s>", "the", "city", "of"] and len(x["words"]) == 5 == len(x["tokens"])'
sample -c w.st --prompt 'the teapot' --json >sample.json
json sample.json 'x["prompt"] == ["</s>", "the", "<unk>"]'
sample -c w.st --prompt 'the teapot' >out 2>err
check grep -q "1 of the prompt's words is not known" err
printf 'the city\nof' | sample -c w.st --prompt - >out
check [ "$(head -n 1 out)" = 'the city' ]
check sh -c 'sed -n 2p out | grep -q "^of"'
sample -c w.st --prompt-tokens '2 4' >out
check grep -q '^the ' out
refuses 1 'has its words in it' sample -c w.st --dictionary some.text

# ---- going on ----

cp w.st again.st
check text train --device cpu --data wiki --resume again.st --steps 8 -q
refuses 1 'other text' text train --device cpu --data some.text --resume w.st --steps 10
# From other text by the words that are known.
text train --device cpu --batch 2 --data some.text --from w.st --steps 2 -c from.st --eval-windows 2 --json >from.json
json from.json 'x["words"]["known"] == 11 and not x["same_text"] and x["words"]["unknown"] > 0.4'

# ---- other words than the checkpoint's: both are named ----

printf 'city 5\nthe 3\n' >dict.txt
refuses 1 "dict.txt: has 2 words, of id 4 'city', and w.st has 11 words, of id 4 'the'" \
    text train --device cpu --from w.st --data some.text --dictionary dict.txt -c x.st
refuses 1 "dict.txt: has 2 words, of id 4 'city', and w.st has 11 words" \
    evaluate -c w.st --data wiki --dictionary dict.txt
refuses 1 '--tokens 8: w.st was trained on words' text train --device cpu --from w.st --data some.text --tokens 8 -c x.st
refuses 1 '--tokens 16: w.st was trained on words' evaluate -c w.st --data some.text --tokens 16
refuses 1 '--vocabulary does not go with --dictionary' train --data wiki --dictionary dict.txt --vocabulary 8 -c x.st
refuses 1 '--vocabulary does not go with --dictionary' text plan --family words --dictionary dict.txt --vocabulary 8
check text plan --device cpu --measure 0 --preset wikitext103 --cutoffs 0 --dictionary dict.txt --json >plan.json
json plan.json 'x["model"]["vocabulary"] == 8'
refuses 1 'must be a whole number of keys' text eval --device cpu -c w.st --data wiki --pattern unbiased:ratio=0.3
refuses 1 '--least does not go with w.st' text train --device cpu --from w.st --data some.text --least 2 -c x.st
train --data wiki --dictionary dict.txt --steps 2 -c dict.st --json >dict.json
refuses 1 'no word is left' text train --tokens words --device cpu --data wiki --least 5000 -c x.st
refuses 1 '--least does not go with --dictionary' text train --tokens words --device cpu --data wiki --least 2 \
    --dictionary dict.txt -c x.st
refuses 1 'some files have parts of their names' text train --tokens words --device cpu --data wiki \
    --data some.text -c x.st
json dict.json 'x["words"]["known"] == 2 and x["model"]["vocabulary"] == 8'
evaluate -c dict.st --data wiki --dictionary dict.txt --json >eval.json
json eval.json 'x["same_text"]'
# A checkpoint that has none: those of the text it was trained on.
note() { # FROM NOTE TO: the same checkpoint with another note
    python3 - "$@" <<'END'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
head = json.loads(data[8:8 + size])
head["__metadata__"]["note"] = sys.argv[2]
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[3], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + size:])
END
}
note w.st '{}' none.st
text eval --device cpu -c none.st --data wiki --tokens words --mode dense --json >none.json
evaluate -c w.st --data wiki --json >eval.json
same 'a["dense"]["loss"] == b["dense"]["loss"]' none.json eval.json
refuses 1 "none.st: is of a vocabulary of 16, and some.text makes one of" \
    text eval --device cpu -c none.st --data some.text --tokens words
note w.st '{"named": 1}' half.st
refuses 1 'counted in its part for training: give that' text eval --device cpu -c half.st --tokens words \
    --data wiki/wiki.test.tokens
note w.st '{"words": "the \nzz of "}' wrong.st
refuses 1 'wrong.st: its words are not as they were written' evaluate -c wrong.st --data wiki
note w.st "{\"words\": \"$(seq -s ' ' 13) \"}" many.st
refuses 1 'many.st: has more words than its model' evaluate -c many.st --data wiki

# ---- any text, cut ----

train --data some.text --steps 3 -c cut.st --json >cut.json
json cut.json 'x["words"]["known"] == 20 and 2650 < x["train_words"] < 2720'
check text eval --device cpu -c cut.st --data some.text --mode dense
check sh -c '"$0" eval --device cpu -c cut.st --data - --mode dense <some.text' "$program"

# ---- the family of words: adaptive input and softmax ----

adaptive="--family words --cutoffs 4,10 --width 32"
# shellcheck disable=SC2086 # a list of options
family() { text train $tiny $adaptive "$@"; }
dropout="--dropout 0.1 --activation-dropout 0.1 --head-dropout 0.1"
# shellcheck disable=SC2086
family --data wiki --steps 60 --lr 2e-2 $dropout -c f.st -l f.jsonl --json >f.json
json f.json 'x["unit"] == "nats per word" and x["words"]["known"] == 11 and x["model"]["cutoffs"] == [4, 10]'
json f.json 'x["train_perplexity"] < 4 and x["model"]["activation"] == "relu"'
evaluate -c f.st --data wiki --context 16 --json >eval.json
json eval.json 'x["dense"]["words"] == 40 and x["ensemble"]["loss"] <= x["ensemble"]["single_loss"]'
sample -c f.st --prompt 'the city of' >out
check grep -q '^the city of [^ ]' out
evaluate -c f.st --data wiki --log f.jsonl --json >eval.json
check text report f.jsonl
cp f.st f2.st
check text train --device cpu --data wiki --resume f2.st --steps 64 -q
check text train --device cpu --data wiki --from f.st --family words --steps 2 -c f3.st -q
for source in --from --resume; do
    refuses 2 "--cutoffs does not go with $source f.st: the checkpoint settles it" \
        text train --device cpu --data wiki $source f.st --cutoffs 4,8 -c x.st
done
refuses 1 "--family gpt: f.st is of family words" text train --device cpu --data wiki --from f.st --family gpt -c x.st
refuses 1 'cutoff' family --data wiki --steps 1 -c x.st --cutoffs 4,16
refuses 1 'cutoffs' family --data wiki --steps 1 -c x.st --cutoffs 8,4
text plan --preset wikitext103 --device cpu --measure 0 --json >plan.json
json plan.json 'x["parameters"] == 246933504 and x["tokens_per_step"] == 73728 and x["optimiser"] == "nag"'
json plan.json 'x["model"]["vocabulary"] == 267744'
text plan --preset wikitext103 --data wiki --cutoffs 4,10 --length 32 --device cpu --measure 0 --json >plan.json
json plan.json 'x["model"]["vocabulary"] == 16'
# Ids of token files are words of it, too.
python3 -c 'import struct; open("ids", "wb").write(struct.pack("<2000H", *[i * i % 13 for i in range(2000)]))'
check family --data ids --tokens 16 --vocabulary 16 --steps 3 -c ids.st -q

# ---- what is wrong ----

rm -f x.st
: >empty
refuses 1 'is empty' train --data empty -c x.st
refuses 1 'too short' train --data dict.txt -c x.st
refuses 1 'give --tokens words, too' text train --data some.text --device cpu --least 2 -c x.st
refuses 1 'nobody knows how many words there are' text plan --tokens words --device cpu
text plan --tokens words --device cpu --vocabulary 1001 --measure 0 >out
check grep -q 'vocabulary 1008' out
check [ ! -e x.st ]

finish 'ssacl-text, words'
