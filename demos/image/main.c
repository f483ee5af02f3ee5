/* ssacl-image: models of pictures, trained with Stochastically Subsampled self-Attention. */
#include "answers.h"
#include "classes.h"
#include "data.h"
#include "draw.h"
#include "weights.h"

#include "run/stages.h"

static const struct command commands[] = {
    {"train", train_main, "train a model on pictures, or take up a run that was stopped"},
    {"plan", plan_main, "what such a run would take: memory, operations, time"},
    {"eval", eval_main, "measure a checkpoint on pictures it has not seen: one dense pass, and the self-ensemble"},
    {"answers", answers_main, "what classifiers take test pictures for, as a page of them"},
    {"draw", draw_main, "what a model of pixels draws, or completes, as a page of pictures"},
    {"import", import_main, "make a checkpoint of weights that timm saved: ViT, DeiT, Swin"},
    {"export", export_main, "write the weights of a checkpoint with timm's names"},
    {"report", report_main, "compare runs: a table, and loss against images and seconds as SVG and PNG"},
    {0}};

static const char train_about[] =
    "Trains a model on pictures. --family vit tells classes, as ViT and DeiT do; --family swin does so with attention "
    "in windows of the picture, as Swin does; --family pixels makes pictures, pixel by pixel, as Sparse Transformers "
    "do. Rows, columns, channels and classes of the model are those of the data.\n"
    "\n"
    "--data takes the files of MNIST (and Fashion-MNIST and others of its form), CIFAR-10 and CIFAR-100 (binary), "
    ".npz with images and labels, or the folder that they lie in; or a folder with a folder of JPEG and PNG for each "
    "class. What comes as a test part is kept apart for `eval`, and so is what comes for validation; else they are "
    "drawn of the rest. Without more options this is dense attention; --attention or --stages sample it.\n"
    "\n"
    "Ctrl-C (or SIGTERM, SIGQUIT) stops after the step at hand, writes the checkpoint and exits with 130; a second "
    "one ends at once. --resume continues such a run, or one that was killed, from its last checkpoint, as if it had "
    "never stopped. Under mpirun or srun the processes train one model together; --alone: not so.";

static const char plan_about[] =
    "Says what `ssacl-image train` with the same options would take, before it starts: parameters, memory by kind, "
    "floating-point operations of a step (forward and backward, of products only; attention by the pairs of queries "
    "and keys that are drawn), seconds of a step, and the time of all of it, stage by stage. Seconds are measured, of "
    "pictures that are there: preparing them comes on top where it takes longer. Without --data give --size, "
    "--channels and --classes, or a --preset that has them. Nothing is written.";

static const char train_examples[] =
    STAGES_HELP
    "\n"
    "examples:\n"
    "  # dense\n"
    "  ssacl-image train --data fashion-mnist --epochs 20 --dropout 0.1 --checkpoint dense.safetensors\n"
    "  # each query sees 12 patches and the class token, drawn for each image; then dense epochs\n"
    "  ssacl-image train --data fashion-mnist --attention unbiased --keys 12 --per-example --epochs 17 \\\n"
    "                    --fine-tune-epochs 3 --fine-tune-lr 1e-4 --checkpoint ssa.safetensors --log ssa.jsonl\n"
    "  # Swin: 14 x 14 windows with 49 of their 196 keys, drawn for each window; the last two layers dense\n"
    "  ssacl-image train --family swin --data fashion-mnist --window 14 --layers 2,2 --heads 2,4 --epochs 20 \\\n"
    "                    --attention unbiased --keys 49 --per-example --last-dense 2\n"
    "  # each patch sees as many that are near it in both directions, and the class token\n"
    "  ssacl-image train --data fashion-mnist --patch 2 --attention local --grid --sigma 0.5 --keys 49 --per-example\n"
    "  # DeiT-tiny on a folder of folders; what would it take?\n"
    "  ssacl-image plan --preset deit-tiny\n"
    "  ssacl-image train --preset deit-tiny --data imagenet --device all\n"
    "  # what timm trained, on classes of one's own\n"
    "  ssacl-image train --from deit_tiny_patch16_224.safetensors --data flowers --augment swin --lr 1e-4\n"
    "  # a generator\n"
    "  ssacl-image train --family pixels --data cifar-10-batches-bin --attention local --grid --look-back \\\n"
    "                    --sigma 0.5 --ratio 0.25\n";

static const char eval_about[] =
    "Measures a checkpoint on a part of the pictures, the test's if none is said. A classifier: how often the right "
    "class is the likeliest (top-1), how often among the five likeliest (top-5), and the log loss. A generator: bits "
    "per dimension, of all elements of all pictures.\n"
    "\n"
    "dense: one pass in which every query sees every key. ensemble: the self-ensemble of the paper, M passes that "
    "each sample anew, their probabilities averaged. Beside it stand the mean of the single passes, and the deviation "
    "of their loss. The sample is that of the checkpoint's last sampled stage, or what --pattern says; a checkpoint "
    "without one is measured dense only.";

static const char eval_examples[] =
    "examples:\n"
    "  ssacl-image eval --checkpoint ssa.safetensors --data fashion-mnist --passes 50 --confusion\n"
    "  ssacl-image eval --checkpoint dense.safetensors --data fashion-mnist --pattern unbiased:keys=24,per-example\n";

static const struct arg eval_options[] = {
    ARG_FLAG(0, "confusion", &classes_confusion, "of classifiers: which classes are taken for which, by all passes"),
    ARG_INT(0, "threads", &data_threads, 0, 64, "N", DATA_THREADS_HELP),
    ARG_END};

static const char report_about[] =
    "Reads the logs of one or several runs of `train` (and what `eval --log` added to them). Prints a table; with "
    "--out draws NAME.svg and NAME.png: loss against images and against seconds of training. Faint: training, "
    "averaged. Full line: validation, dense. Dashed: validation, one sampled pass, while a stage samples. Pictures "
    "need gnuplot. A run that went on from another's weights (--from) is drawn behind it from one file: cat "
    "FIRST.jsonl SECOND.jsonl.";

static const char report_examples[] = "examples:\n  ssacl-image report dense.jsonl ssa.jsonl --out curves\n";

static const struct model_option model_options[] = {
    {"rows", .hidden = true}, /* --size */
    {"columns", .hidden = true},
    {"values", .hidden = true}, /* pictures have bytes */
    {"channels", 0, 0, "of a pixel, 1 or 3; with --data as they have"},
    {"classes", 0, 0, "of pictures; with --data as they have. Of pixels: 0: the model is not told of them"},
    {0}};

static const struct renamed renamed[] = {
    {"batch", "batch", "images in a pass"},
    {"eval-windows", "eval-images", "images of the validation part used each time"},
    {"windows", "images", "at most so many, spread evenly; 0: all"},
    {"stride", NULL, NULL},
    {"context", NULL, NULL},
    {"blocks", NULL, NULL},
    {"from", "from", "start with the weights of this checkpoint (not with an average of them), or of a ViT, DeiT or "
                     "Swin that timm saved: see `import --help`"},
    {0}};

static const struct figure figures[] = {
    {"test_dense_top1", "test, dense, top-1 %", "%.2f", 100, "test.dense.top1"},
    {"test_dense_top5", "  top-5 %", "%.2f", 100, "test.dense.top5"},
    {"test_single_top1", "test, one sampled pass, top-1 %", "%.2f", 100, "test.ensemble.single_top1"},
    {"test_ensemble_top1", "test, self-ensemble, top-1 %", "%.2f", 100, "test.ensemble.top1"},
    {"test_ensemble_top5", "  top-5 %", "%.2f", 100, "test.ensemble.top5"},
    {"waited_for_images", "time waited for images, %", "%.1f", 100, "end.waited_for_images"},
    {0}};

int main(int argc, char **argv)
{
    data_look(argc, argv);
    const struct program ssacl_image = {
        .name = "ssacl-image",
        .about = "Trains transformers on pictures, to tell classes or to make more of them, with Stochastically\n"
                 "Subsampled self-Attention, on any OpenCL device or, where there is none, on the CPU.\n",
        .commands = commands,
        .train = {.about = train_about, .examples = train_examples, .options = data_train_options(),
                  .data = "pictures to train on; repeat it for several files"},
        .plan = {.about = plan_about, .examples = STAGES_HELP},
        .eval = {.about = eval_about, .examples = eval_examples, .options = eval_options,
                 .data = "the pictures it was trained on; their parts are found as `train` does. Of others that is "
                         "said, and with --json \"same_images\" is false"},
        .report = {.about = report_about, .examples = report_examples},
        .families = 1u << SSA_VIT | 1u << SSA_PIXELS | 1u << SSA_SWIN,
        .model_options = model_options,
        .renamed = renamed,
        .sequence = "image",
        .lr = 1e-3f,
        .units = data_units,
        .figures = figures,
        .what = "images",
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
        .account = data_account,
        .describe_model = data_describe_model,
    };
    return program_main(&ssacl_image, argc, argv);
}
