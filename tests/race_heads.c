/* The adaptive head of the model of WikiText-103 against a softmax of all words in chunks, each alone: forward and
 * backward, in turns, by the processor's time; and what parameters, gradients, moments and logits of both take.
 *
 *   race_heads [ROWS WIDTH VOCABULARY CUTOFF CUTOFF]     (3072 1024 267744 20000 60000; 4.5 GB)
 *
 * Targets are drawn by Zipf's law: the r-th word is 1/r times as frequent as the first. Moments are AdamW's two; with
 * NAG's one the shares of memory differ by less than a hundredth. Both heads are blocks of lib/net as models have them.
 * The exit status is 1 where the adaptive one is not 6 times as fast, or takes more than 0.2 of the memory. Since rows
 * of the full head are few at a time (64 MiB of logits), so that its table is read and packed often, the ratio is also
 * given as if its products were as fast as those of the other. */
#include "impl.h"
#include "net/block/blocks.h"
#include "net/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HEADS = 2, ROUNDS = 2 };
static const double least_speed = 6, most_memory = 0.2, moments = 2;

static struct {
    int rows, width, vocabulary, cutoffs[2];
} size = {3072, 1024, 267744, {20000, 60000}};
static struct ssa_bands bands; /* of the head that is made */

static int fails(int err)
{
    if (err)
        fprintf(stderr, "race_heads: %s\n", ssa_last_error());
    return err;
}

/* ---- a net that is a head alone: its first block has the tables, and a stream that never changes ---- */

struct stream_block {
    struct ssa_block block;
    struct ssa_place values;
};

static int width_of(int band)
{
    return size.width >> 2 * band;
}

static void fill_stream(const struct ssa_block *block, float *values)
{
    (void)block;
    for (size_t i = 0; i < (size_t)size.rows * (size_t)size.width; i++)
        values[i] = (float)sin(0.37 * (double)i);
}

static void draft_stream(struct ssa_block *block, struct ssa_draft *d)
{
    d->width = size.width;
    for (int b = 0; b < bands.count; b++) {
        char name[32];
        snprintf(name, sizeof name, "embed.%d.weight", b);
        ssa_draft_matrix(d, name, ssa_band_size(&bands, b), width_of(b), SSA_START_NORMAL);
        snprintf(name, sizeof name, "embed.%d.proj.weight", b);
        if (b)
            ssa_draft_matrix(d, name, size.width, width_of(b), SSA_START_NORMAL);
    }
    ((struct stream_block *)block)->values =
        ssa_draft_constant(d, d->rows * (size_t)size.width, "rows", fill_stream);
}

static int forward_stream(const struct ssa_block *block, struct ssa_run *r)
{
    return ssa_tensor_copy(ssa_kept(r, block->out), ssa_kept(r, ((const struct stream_block *)block)->values),
                           (size_t)r->rows * (size_t)size.width);
}

static int backward_stream(const struct ssa_block *block, struct ssa_run *r)
{
    (void)block;
    (void)r;
    return SSA_OK;
}

static const struct ssa_block_kind stream_kind = {"stream", sizeof(struct stream_block), draft_stream, forward_stream,
                                                  backward_stream, NULL};

static int check(const struct ssa_model_config *config)
{
    (void)config;
    return SSA_OK;
}

static void settle(struct ssa_model_config *config)
{
    (void)config;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    (void)config;
    return (struct ssa_facts){.length = size.rows, .width = size.width, .vocabulary = size.vocabulary, .causal = true,
                              .answers = size.rows};
}

static bool narrow(struct ssa_model_config *config)
{
    (void)config;
    return false;
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    struct ssa_head_words_block head = {.bands = bands};
    (void)config;
    for (int b = 0; b < bands.count; b++)
        head.widths[b] = width_of(b);
    ssa_net_add(net, &stream_kind, &(struct stream_block){.block.ends_bucket = true});
    ssa_net_add(net, &ssa_head_words_kind, &head);
}

static const struct ssa_family head_alone = {"head", (const struct ssa_field[]){{0}}, check, settle, facts, narrow,
                                             build, NULL};

/* ---- a side ---- */

struct side {
    const char *name;
    struct ssa_bands bands;
    struct ssa_model *model;
    double bytes, operations, seconds; /* the least of all rounds */
};

/* Six for each weight and row that it sees: forward, and both gradients. */
static double operations_of(const struct ssa_bands *of, const int32_t *targets)
{
    double sum = (double)size.rows * size.width * (of->ends[0] + of->count - 1);
    for (int i = 0; i < size.rows; i++)
        for (int b = 1; b < of->count; b++)
            if (targets[i] >= ssa_band_begin(of, b) && targets[i] < of->ends[b])
                sum += (double)width_of(b) * (size.width + ssa_band_size(of, b));
    return 6 * sum;
}

/* Logits lie in one of the slots that activations are. */
static int open_side(struct side *s, struct ssa_device *device, const int32_t *targets)
{
    const struct ssa_model_config config = {.family = SSA_FAMILY_OF_TESTS};
    struct ssa_memory memory;
    bands = s->bands;
    ssa_family_of_tests = &head_alone;
    const struct ssa_model_limits limits = {.batch = 1, .training = 1};
    int err = ssa_model_create(&s->model, device, &config, &limits);
    if (!err)
        err = ssa_model_memory(&config, &limits, &memory);
    if (err)
        return err;
    s->bytes = (double)memory.parameters * (1 + moments) + (double)memory.gradients + (double)memory.activations;
    s->operations = operations_of(&s->bands, targets);
    s->seconds = INFINITY;
    return SSA_OK;
}

static int run_side(struct side *s, const int32_t *targets)
{
    const struct ssa_pass pass = {.targets = targets, .training = 1,
                                  .grad_scale = 1 / (float)size.rows};
    const clock_t start = clock();
    int err = ssa_model_forward(s->model, &pass);
    if (!err)
        err = ssa_model_backward(s->model);
    if (!err)
        err = ssa_device_finish(ssa_model_device(s->model));
    s->seconds = fmin(s->seconds, (double)(clock() - start) / CLOCKS_PER_SEC);
    return err;
}

/* ---- the race ---- */

static int32_t *draw_targets(void)
{
    int32_t *targets = malloc((size_t)size.rows * sizeof *targets);
    uint32_t s = 1;
    for (int i = 0; targets && i < size.rows; i++) {
        s = s * 1664525u + 1013904223u;
        targets[i] = (int32_t)fmin(pow(size.vocabulary, (double)(s >> 8) / (1 << 24)) - 0.5, size.vocabulary - 1.0);
    }
    return targets;
}

static int report(const struct side *sides)
{
    const struct side *full = &sides[0], *adaptive = &sides[1];
    const double speed = full->seconds / adaptive->seconds, memory = adaptive->bytes / full->bytes;
    for (int i = 0; i < HEADS; i++)
        printf("%-8s  %9.3f s  %6.1f GFLOP/s  %8.1f MB\n", sides[i].name, sides[i].seconds,
               sides[i].operations / sides[i].seconds * 1e-9, sides[i].bytes * 1e-6);
    printf("%.2f times as fast (%.2f, if both made as many GFLOP/s), %.3f of the memory\n", speed,
           full->operations / adaptive->operations, memory);
    return speed >= least_speed && memory <= most_memory ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int race(struct ssa_device *device, const int32_t *targets)
{
    struct side sides[HEADS] = {
        {.name = "full", .bands = {1, {size.vocabulary}}},
        {.name = "adaptive", .bands = {3, {size.cutoffs[0], size.cutoffs[1], size.vocabulary}}}};
    int err = SSA_OK;
    for (int i = 0; i < HEADS && !err; i++)
        err = open_side(&sides[i], device, targets);
    for (int round = 0; round < ROUNDS && !err; round++)
        for (int i = 0; i < HEADS && !err; i++)
            err = run_side(&sides[i], targets);
    for (int i = 0; i < HEADS; i++)
        ssa_model_destroy(sides[i].model);
    return fails(err) ? EXIT_FAILURE : report(sides);
}

int main(int argc, char **argv)
{
    int *const numbers[] = {&size.rows, &size.width, &size.vocabulary, &size.cutoffs[0], &size.cutoffs[1]};
    struct ssa_device *device;
    for (int i = 1; i < argc && i <= 5; i++)
        *numbers[i - 1] = atoi(argv[i]);
    int32_t *targets = draw_targets();
    if (!targets || fails(ssa_device_open(&device, "cpu")))
        return EXIT_FAILURE;
    const int status = race(device, targets);
    ssa_device_close(device);
    free(targets);
    return status;
}
