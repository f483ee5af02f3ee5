/* ssacl-text: language models over bytes or tokens, trained with Stochastically Subsampled self-Attention. */
#include "data.h"
#include "sample.h"
#include "weights.h"

#include "run/stages.h"

#include <limits.h>

#define TOKENS_HELP \
    "bits of a token: 8 are the bytes of text, 16 and 32 unsigned integers of token files, as nanoGPT's train.bin; " \
    "or words, between blanks, and one at the end of each line"
#define DICTIONARY_HELP \
    "the words, one a line, of which ids from 4 on are made, as in fairseq's dict.txt; if not said, "

static const struct command commands[] = {
    {"train", train_main, "train a model on text, or take up a run that was stopped"},
    {"plan", plan_main, "what such a run would take: memory, operations, time"},
    {"eval", eval_main, "measure a checkpoint on held-out text: one dense pass, and the self-ensemble"},
    {"sample", sample_main, "let a checkpoint write"},
    {"import", import_main, "make a checkpoint of weights that fairseq saved: words, adaptive input and softmax"},
    {"export", export_main, "write the weights of a checkpoint with fairseq's names"},
    {"report", report_main, "compare runs: a table, and loss against tokens and seconds as SVG and PNG"},
    {0}};

static const char train_about[] =
    "Trains a model on the bytes of files (or with --tokens, on the tokens of token files): the first 90% of each file "
    "for training, the next 5% for validation, the last 5% left for `eval`. Without more "
    "options this is dense attention; --attention or --stages sample it.\n"
    "\n"
    "With --tokens words, and where --family is words, it is the words of files, each line of which ends with one "
    "more. A folder with WikiText's wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens, or these files, have "
    "the parts of their names. The checkpoint keeps the words.\n"
    "\n"
    "Ctrl-C (or SIGTERM, SIGQUIT) stops after the step at hand, writes the checkpoint and exits with 130; a second one "
    "ends at once. So do SIGHUP, SIGXCPU, SIGUSR1 and SIGUSR2, unless they are ignored (nohup). --resume continues such "
    "a run, or one that was killed, from its last checkpoint, as if it had never stopped.\n"
    "\n"
    "Under mpirun or srun the processes train one model together, each on a part of the passes of a step "
    "(--accumulate); devices of one machine are dealt out among them. Rank 0 speaks and writes all files. "
    "--alone: not so.";

static const char plan_about[] =
    "Says what `ssacl-text train` with the same options would take, before it starts: parameters, memory by kind, "
    "floating-point operations of a step (forward and backward, of products only; attention by the pairs of queries "
    "and keys that are drawn), seconds of a step, and the time of all of it, stage by stage. Seconds are measured: "
    "some steps of the run itself, or where those would take long (--measure) of fewer layers and passes, and that is said. "
    "Without --data none is checked, and --tokens needs --vocabulary. Nothing is written. A run that does not fit is "
    "planned too, with what would make it fit.";

static const char train_examples[] =
    STAGES_HELP
    "\n"
    "examples:\n"
    "  # dense\n"
    "  ssacl-text train --data enwik8 --layers 6 --width 256 --heads 8 --length 512 --steps 5000\n"
    "  # the recipe of the paper: sampled, then a short dense fine-tune\n"
    "  ssacl-text train --data enwik8 --attention local --look-back --ratio 0.25 --steps 4500 \\\n"
    "                   --fine-tune 500 --checkpoint ssa.safetensors --log ssa.jsonl\n"
    "  # tokens of GPT-2, as nanoGPT's data/openwebtext/prepare.py writes them\n"
    "  ssacl-text train --data train.bin --tokens 16 --vocabulary 50257 --layers 6 --width 384 --heads 6\n"
    "  # words: WikiText-103's folder, as fairseq's model of it was trained; a small model of any text\n"
    "  ssacl-text train --preset wikitext103 --data wikitext-103\n"
    "  ssacl-text train --family words --data books.txt --least 3 --cutoffs 2000,6000 --dropout 0.2\n"
    "  # go on after Ctrl-C; make it longer\n"
    "  ssacl-text train --data enwik8 --resume ssa.safetensors --log ssa.jsonl\n"
    "  ssacl-text train --data enwik8 --resume ssa.safetensors --log ssa.jsonl --steps 8000\n";

static const struct arg train_options[] = {
    ARG_CHOICE(0, "family", &data_family, DATA_FAMILY_NAMES,
               "gpt: of bytes, tokens or words; words: of a large vocabulary, with adaptive input and softmax. It is "
               "that of --preset, too. Each has a model of its own settings: --family words --help"),
    ARG_CHOICE(0, "tokens", &data_tokens, DATA_TOKEN_NAMES,
               TOKENS_HELP "; losses are then nats a token, and perplexity. If not said, 8, or of --family words "
               "words, or as the checkpoint's"),
    ARG_INT(0, "least", &data_least, 0, INT_MAX, "N",
            "words that training has less often than N times are <unk>; 0: all words are known that it has"),
    ARG_TEXT(0, "dictionary", &data_dictionary, "FILE",
             DICTIONARY_HELP "the checkpoint's, or those of training, by falling count"),
    ARG_END};

static const char eval_about[] =
    "Measures a checkpoint on text that it was not trained on: window after window, each byte predicted once; "
    "in bits a byte, or where tokens are no bytes, in nats a token and as perplexity; of words also in bits a byte of "
    "what they stand for in the text, blanks and ends of lines included.\n"
    "\n"
    "dense: one pass in which every query sees every key. ensemble: the self-ensemble of the paper, M passes that "
    "each sample anew, their probabilities averaged for every byte (token), log(1/M sum p). Beside it stand the "
    "mean and the standard deviation of the single passes. With --tolerance there are no more passes than it takes: it "
    "ends once the result is within that of what infinitely many passes would give, by what the last doubling of the "
    "passes changed and by the scatter of the single ones. The sample is that of the checkpoint's last sampled stage, or "
    "what --pattern says; a checkpoint without one is measured dense only.";

static const char eval_examples[] =
    "examples:\n"
    "  ssacl-text eval --checkpoint ssa.safetensors --data enwik8 --passes 50\n"
    "  ssacl-text eval --checkpoint ssa.safetensors --data enwik8 --passes 200 --tolerance 0.002 --device all\n"
    "  ssacl-text eval --checkpoint dense.safetensors --data enwik8 --pattern unbiased:ratio=0.5\n"
    "  ssacl-text eval --checkpoint words.safetensors --data wikitext-103 --context 2560\n";

static const struct arg eval_options[] = {
    ARG_CHOICE(0, "tokens", &data_tokens, DATA_TOKEN_NAMES, TOKENS_HELP "; if not said, as it was trained on"),
    ARG_TEXT(0, "dictionary", &data_dictionary, "FILE",
             DICTIONARY_HELP "the checkpoint's, or where it has none those of the text's part for training"),
    ARG_END};

static const char report_about[] =
    "Reads the logs of one or several runs of `train` (and what `eval --log` added to them). Prints a table; with "
    "--out draws NAME.svg and NAME.png: bits per byte (nats per token, of token files) against bytes read and against "
    "seconds of training (without the time for evaluations). Faint: training, averaged. Full line: "
    "validation, dense. Dashed: validation, one sampled pass, while a stage samples. Of runs on several devices "
    "NAME-shares.svg and .png show which part of every "
    "step each device computed. Pictures need gnuplot. A run that went on from another's weights (--from) is "
    "drawn behind it from one file: cat FIRST.jsonl SECOND.jsonl.";

static const char report_examples[] = "examples:\n  ssacl-text report dense.jsonl ssa.jsonl --out curves\n";

static const struct model_option model_options[] = {
    {"vocabulary", 0, 0, "ids that the model knows, those of the data must be below; 0: 256, or of token files the "
                         "data's largest and one. Of words the most that it is to know, with four that are none, up to "
                         "a multiple of 8; 0: all"},
    {"length", 'N', 8, "bytes, or tokens, or words, in a sequence"},
    {"bidirectional", .hidden = true}, /* would see what it is to predict */
    {0}};

static const struct program ssacl_text = {
    .name = "ssacl-text",
    .about = "Trains transformers over bytes, tokens or words, with Stochastically Subsampled self-Attention, on any\n"
             "OpenCL device or, where there is none, on the CPU.\n",
    .commands = commands,
    .train = {.about = train_about, .examples = train_examples, .options = train_options,
              .data = "text to train on, - for stdin; repeat it for several files"},
    .plan = {.about = plan_about, .examples = STAGES_HELP},
    .eval = {.about = eval_about, .examples = eval_examples, .options = eval_options,
             .data = "the text it was trained on, - for stdin; the part held out is found as `train` does. Of other "
                     "text that is said, and with --json \"same_text\" is false"},
    .report = {.about = report_about, .examples = report_examples},
    .families = 1u << SSA_GPT | 1u << SSA_WORDS,
    .model_options = model_options,
    .units = data_units,
    .what = "text",
    .defaults = data_defaults,
    .adapt = data_adapt,
    .adopt = weights_adopt,
    .exchange = &weights_exchange,
    .open = data_open,
    .close = data_close,
    .describe = data_describe,
    .note = data_note,
    .fill = data_fill,
    .invent = data_invent,
    .describe_model = data_describe_model,
};

int main(int argc, char **argv)
{
    data_look(argc, argv);
    return program_main(&ssacl_text, argc, argv);
}
