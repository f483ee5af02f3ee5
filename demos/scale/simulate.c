#include "simulate.h"

#include <math.h>

static double time_of(double bytes, double rate)
{
    return rate > 0 ? bytes / rate : 0;
}

static int messages(int algorithm, double bytes, int ranks)
{
    const double segment = 1 << 24;
    if (algorithm == SCALE_RING || ranks & (ranks - 1))
        return 2 * (ranks - 1);
    return 2 * (int)(log2(ranks) * fmax(ceil(bytes / segment), 1));
}

double scale_sent(double bytes, int ranks)
{
    return 2 * bytes * (1 - 1.0 / ranks);
}

double scale_all_reduce(const struct scale_link *l, double bytes, int ranks)
{
    double sent = scale_sent(bytes, ranks);
    return messages(l->algorithm, bytes, ranks) * l->latency + sent / l->bandwidth + time_of(sent / 2, l->sum);
}

/* A stage of the pipeline takes a bucket when it has it and is done with the one before. */
static double pass(double *free_at, double ready, double takes)
{
    *free_at = fmax(*free_at, ready) + takes;
    return *free_at;
}

void scale_simulate(const struct scale_job *job, const struct scale_link *link, int ranks, struct scale_step *step)
{
    double backward = 0, down = 0, wire = 0, up = 0, ready;
    *step = (struct scale_step){0};
    for (int i = 0; i < job->buckets; i++)
        backward += job->backward[i];
    step->compute = job->micro_batches * (job->forward + backward);
    ready = step->compute - backward;
    for (int i = 0; i < job->buckets; i++) {
        double copy = time_of(job->bytes[i], link->copy), reduce = scale_all_reduce(link, job->bytes[i], ranks);
        ready += job->backward[i];
        pass(&up, pass(&wire, pass(&down, link->alone ? step->compute : ready, copy), reduce), copy);
        step->reduce += reduce;
        step->sent += scale_sent(job->bytes[i], ranks);
    }
    step->exposed = fmax(up - step->compute, 0);
    step->seconds = step->compute + step->exposed + job->update;
}

/* What became ready at the very end of backward, and nothing before it. */
static double tail(const struct scale_job *job, const struct scale_link *link, int ranks)
{
    struct scale_job last = {.buckets = 1, .micro_batches = 1};
    struct scale_step step;
    int first = job->buckets - 1;
    while (first > 0 && !(job->backward[first] > 0))
        first--;
    last.buckets = job->buckets - first;
    for (int i = 0; i < last.buckets; i++)
        last.bytes[i] = job->bytes[first + i];
    scale_simulate(&last, link, ranks, &step);
    return step.exposed;
}

static bool hides(const struct scale_job *job, const struct scale_link *link, double bandwidth, int ranks)
{
    struct scale_link l = *link;
    struct scale_step step;
    l.bandwidth = bandwidth;
    scale_simulate(job, &l, ranks, &step);
    return step.exposed <= tail(job, &l, ranks) + 1e-9 * step.compute;
}

double scale_hiding_bandwidth(const struct scale_job *job, const struct scale_link *link, int ranks)
{
    double low = 1, high = 1e15; /* bytes/s */
    if (ranks == 1)
        return 0;
    if (link->alone || !hides(job, link, high, ranks))
        return INFINITY;
    while (high / low > 1 + 1e-6) {
        double middle = sqrt(low * high);
        if (hides(job, link, middle, ranks))
            high = middle;
        else
            low = middle;
    }
    return high;
}
