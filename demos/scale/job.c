#include "job.h"

#include <math.h>

static double layer_flops(const struct ssa_model_config *m, double ratio)
{
    return 6.0 * m->gpt.width * (12.0 * m->gpt.width + m->gpt.length * ratio);
}

static double head_flops(const struct ssa_model_config *m)
{
    return 6.0 * m->gpt.width * m->gpt.vocabulary;
}

double scale_flops(const struct ssa_model_config *m, double ratio)
{
    return m->gpt.layers * layer_flops(m, ratio) + head_flops(m);
}

/* Parameters of a layer, by taking one away; what is left is embeddings and the last norm. */
static void count(const struct ssa_model_config *m, double *layer, double *head, double *rest)
{
    struct ssa_model_config more = *m;
    more.gpt.layers++;
    *layer = (double)(ssa_model_elements(&more) - ssa_model_elements(m));
    *head = 2.0 * m->gpt.width + (m->gpt.untied ? (double)m->gpt.vocabulary * m->gpt.width : 0);
    *rest = (double)ssa_model_elements(m) - m->gpt.layers * *layer - *head;
}

/* The library's own buckets: the last layer with the head and the last norm, the other layers, the embeddings; then the
 * losses, of which only the messages count. Backward takes two thirds of the time, since every product has two
 * gradients. */
static void fill_buckets(const struct ssa_model_config *m, double ratio, double tokens_seconds, struct scale_job *job)
{
    double layer, head, rest;
    int layers = m->gpt.layers;
    count(m, &layer, &head, &rest);
    job->buckets = layers + 2;
    for (int i = 0; i < layers; i++) {
        job->bytes[i] = 4 * layer;
        job->backward[i] = tokens_seconds * layer_flops(m, ratio) * 2 / 3;
    }
    job->bytes[0] += 4 * head;
    job->backward[0] += tokens_seconds * head_flops(m) * 2 / 3;
    job->bytes[layers] = 4 * rest;
    job->bytes[layers + 1] = job->backward[layers] = job->backward[layers + 1] = 0;
    job->forward = tokens_seconds * scale_flops(m, ratio) / 3;
}

double scale_make_job(const struct scale_options *o, const struct ssa_model_config *m, int ranks,
                      struct scale_job *job)
{
    double crowd = o->processors > 0 ? fmax(ranks / o->processors, 1) : 1;
    double micro_batches = o->accumulate, all = (double)ranks * o->accumulate;
    if (o->global_batch) {
        all = ceil((double)o->global_batch / o->batch);
        micro_batches = ceil(all / ranks);
    }
    if (all < ranks)
        return 0;
    job->micro_batches = (int)micro_batches;
    job->update = o->memory > 0 ? crowd * 32 * (double)ssa_model_elements(m) / o->memory : 0;
    fill_buckets(m, o->ratio, crowd * o->batch * m->gpt.length / o->rate, job);
    return o->global_batch ? o->global_batch : all * o->batch;
}
