/* ssacl-graph: models of molecules, trained with Stochastically Subsampled self-Attention. */
#include "converter.h"
#include "data.h"
#include "errors.h"
#include "predict.h"
#include "weights.h"

#include "run/stages.h"

static const struct command commands[] = {
    {"convert", convert_main, "make a file of graphs of SMILES: a csv, PCQM4Mv2, QM9 (by Python with RDKit)"},
    {"train", train_main, "train a model on molecules, or take up a run that was stopped"},
    {"plan", plan_main, "what such a run would take: memory, operations, time"},
    {"eval", eval_main, "measure a checkpoint on molecules it has not seen: one dense pass, and the self-ensemble"},
    {"predict", predict_main, "what a checkpoint says of molecules: a csv of graphs, or of a csv of SMILES"},
    {"import", import_main, "make a checkpoint of weights of the authors' EGT"},
    {"export", export_main, "write the weights of a checkpoint with the names of the authors' EGT"},
    {"report", report_main, "compare runs: a table, and loss against molecules and seconds as SVG and PNG"},
    {0}};

static const char train_about[] =
    "Trains an EGT (Edge-augmented Graph Transformer) on molecules to say a number: each atom attends to all others, "
    "by what bonds and distances make of the pair. --data is a file of graphs, as `ssacl-graph convert` makes them. "
    "Without more options this is dense attention; --attention or --stages sample it: of a molecule of n atoms ratio "
    "n, rounded up, are seen by all, drawn for each molecule and layer (per-example), and virtual nodes besides.\n"
    "\n"
    "The target is learned less its mean, divided by its deviation (--raw-targets: as it is), by absolute error and "
    "without decay; everything that is told is in the target's own unit. Molecules of like size are trained on "
    "together.\n"
    "\n"
    "Ctrl-C (or SIGTERM, SIGQUIT) stops after the step at hand, writes the checkpoint and exits with 130; a second "
    "one ends at once. --resume continues such a run, or one that was killed, from its last checkpoint, as if it had "
    "never stopped. Under mpirun or srun the processes train one model together; --alone: not so.";

static const char plan_about[] =
    "Says what `ssacl-graph train` with the same options would take, before it starts: parameters, memory by kind, "
    "floating-point operations of a step (forward and backward, of products only, of molecules of the largest size), "
    "seconds of a step, and the time of all of it, stage by stage. Seconds are measured: with --data of its molecules, "
    "without of such as have all of --nodes atoms. Nothing is written.";

static const char train_examples[] =
    STAGES_HELP
    "\n"
    "examples:\n"
    "  # QM9's gap, dense\n"
    "  ssacl-graph convert --qm9 --out qm9.graphs\n"
    "  ssacl-graph train --data qm9.graphs --epochs 20 --checkpoint dense.safetensors\n"
    "  # half of the atoms are seen, drawn for each molecule and layer; then dense epochs\n"
    "  ssacl-graph train --data qm9.graphs --attention unbiased --ratio 0.5 --per-example --epochs 17 \\\n"
    "                    --fine-tune-epochs 3 --fine-tune-lr 5e-5 --checkpoint ssa.safetensors --log ssa.jsonl\n"
    "  # the model of the paper's task; what would it take?\n"
    "  ssacl-graph plan --preset egt-90m-ssa\n"
    "  ssacl-graph train --preset egt-90m-ssa --data pcqm4mv2.graphs --device all\n"
    "  # from what its authors trained, on a target of one's own\n"
    "  ssacl-graph train --from egt_90m.safetensors --data mine.graphs --lr 1e-5\n";

static const char eval_about[] =
    "Measures a checkpoint on a part of the molecules, the test's if none is said: mean absolute error, and the root "
    "of the mean square, in the target's unit.\n"
    "\n"
    "dense: one pass in which every atom sees every atom. ensemble: the self-ensemble of the paper, M passes that "
    "each sample anew, their answers averaged. Beside it stand the mean of the single passes, and spread: how far the"
    " passes of one molecule are apart (their deviation), on average. The sample is that of the checkpoint's last "
    "sampled stage, or what --pattern says; a checkpoint without one is measured dense only.";

static const char eval_examples[] =
    "examples:\n"
    "  ssacl-graph eval --checkpoint ssa.safetensors --data qm9.graphs --passes 50 --csv answers.csv\n"
    "  ssacl-graph eval --checkpoint dense.safetensors --data qm9.graphs --pattern unbiased:ratio=0.7,per-example\n";

static const struct arg eval_options[] = {
    ARG_TEXT(0, "csv", &errors_csv, "FILE", "write a line for each molecule: its target, what dense passes and the "
                                            "ensemble say, and the spread of its passes"),
    ARG_END};

static const char report_about[] =
    "Reads the logs of one or several runs of `train` (and what `eval --log` added to them). Prints a table; with "
    "--out draws NAME.svg and NAME.png: loss against molecules and against seconds of training. Faint: training, "
    "averaged. Full line: validation, dense. Dashed: validation, one sampled pass, while a stage samples. Pictures "
    "need gnuplot. A run that went on from another's weights (--from) is drawn behind it from one file: cat "
    "FIRST.jsonl SECOND.jsonl.";

static const char report_examples[] = "examples:\n  ssacl-graph report dense.jsonl ssa.jsonl --out curves\n";

static const struct model_option model_options[] = {
    {"nodes", 0, 0, "atoms of the largest molecule that it takes; 0: of the data"},
    {"node_ids", .hidden = true}, /* the data's */
    {"node_values", .hidden = true},
    {"edge_ids", .hidden = true},
    {"edge_values", .hidden = true},
    {"targets", .hidden = true}, /* one */
    {0}};

static const struct renamed renamed[] = {
    {"batch", "batch", "molecules in a pass"},
    {"eval-windows", "eval-molecules", "molecules of the validation part used each time"},
    {"windows", "molecules", "at most so many, spread evenly; 0: all"},
    {"stride", NULL, NULL},
    {"context", NULL, NULL},
    {"smoothing", NULL, NULL},
    {"blocks", NULL, NULL},
    {"look-back", NULL, NULL},
    {"sigma", NULL, NULL},
    {"fixed-windows", NULL, NULL},
    {"grid", NULL, NULL},
    {"permute-queries", NULL, NULL},
    {"from", "from", "start with the weights of this checkpoint (not with an average of them), or of an EGT of its "
                     "authors: see `import --help`"},
    {0}};

static const struct figure figures[] = {
    {"test_dense_rmse", "test, dense, RMSE", "%.4f", 1, "test.dense.rmse"},
    {"test_ensemble_rmse", "test, self-ensemble, RMSE", "%.4f", 1, "test.ensemble.rmse"},
    {"test_spread", "  spread of its passes", "%.4f", 1, "test.ensemble.spread"},
    {0}};

int main(int argc, char **argv)
{
    const struct program ssacl_graph = {
        .name = "ssacl-graph",
        .about = "Trains transformers on molecules, to say a number of each, with Stochastically Subsampled\n"
                 "self-Attention, on any OpenCL device or, where there is none, on the CPU.\n",
        .commands = commands,
        .train = {.about = train_about, .examples = train_examples, .options = data_train_options(),
                  .data = "molecules to train on: a file of graphs"},
        .plan = {.about = plan_about, .examples = STAGES_HELP},
        .eval = {.about = eval_about, .examples = eval_examples, .options = eval_options,
                 .data = "the molecules it was trained on; their parts are found as `train` does. Of others that is "
                         "said, and with --json \"same_molecules\" is false"},
        .report = {.about = report_about, .examples = report_examples},
        .families = 1u << SSA_EGT,
        .model_options = model_options,
        .renamed = renamed,
        .sequence = "molecule",
        .lr = 5e-4f,
        .units = data_units,
        .figures = figures,
        .what = "molecules",
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
    return program_main(&ssacl_graph, argc, argv);
}
