#include "classes.h"

#include "data.h"
#include "numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 5, TABLE_MOST = 20 /* classes of which people see all */, WORST = 10, NAME = 12 };

int classes_confusion;

/* Counts over pictures, of each number of passes. */
struct counts {
    size_t first, five;
};

static struct {
    int passes, classes;
    size_t pictures;
    float *joined;                      /* [pictures, classes]: sums of probabilities of the passes so far */
    double *p;                          /* of one picture */
    struct counts *single, *together;   /* of pass m alone, of the first m + 1 */
    size_t *seen;                       /* pictures of pass m */
    int32_t *right;                     /* [pictures], with --confusion: -1: not seen */
    int32_t *answered;                  /* [pictures, passes], by the passes so far */
    size_t *confusion;                  /* [right, answered], of all passes that count together */
} s;

void classes_finish(void)
{
    free(s.joined);
    free(s.p);
    free(s.single);
    free(s.together);
    free(s.seen);
    free(s.right);
    free(s.answered);
    free(s.confusion);
    memset(&s, 0, sizeof s);
}

/* How many passes count is known when all have been seen: an ensemble may settle before the last. */
static bool begin_confusion(void)
{
    const size_t V = (size_t)s.classes, M = (size_t)s.passes;
    if (!classes_confusion)
        return true;
    s.right = malloc(s.pictures * sizeof *s.right);
    s.answered = calloc(s.pictures * M, sizeof *s.answered);
    s.confusion = calloc(V * V, sizeof *s.confusion);
    for (size_t i = 0; s.right && i < s.pictures; i++)
        s.right[i] = -1;
    return s.right && s.answered && s.confusion;
}

static int begin(const struct settings *settings, bool sampled, int passes)
{
    (void)sampled;
    classes_finish();
    s.passes = passes;
    s.classes = model_int(&settings->model, "classes");
    for (int p = 0; p < DATA_PARTS; p++)
        if (settings->data.part[p].examples > s.pictures)
            s.pictures = settings->data.part[p].examples;
    const size_t V = (size_t)s.classes, M = (size_t)passes;
    s.joined = passes > 1 ? calloc(s.pictures * V, sizeof *s.joined) : NULL;
    s.p = calloc(V, sizeof *s.p);
    s.single = calloc(M, sizeof *s.single);
    s.together = calloc(M, sizeof *s.together);
    s.seen = calloc(M, sizeof *s.seen);
    if (s.p && s.single && s.together && s.seen && (passes < 2 || s.joined) && begin_confusion())
        return 0;
    classes_finish();
    return say_error("no memory for %d classes of %zu pictures", (int)V, s.pictures);
}

/* ---- an answer ---- */

int classes_answer(const float *logits, int count, double *p)
{
    int best = 0;
    double sum = 0;
    for (int v = 1; v < count; v++)
        best = logits[v] > logits[best] ? v : best;
    for (int v = 0; v < count; v++)
        sum += exp((double)logits[v] - (double)logits[best]);
    *p = 1 / sum;
    return best;
}

static void softmax(const float *logits, double *p, int count)
{
    double of_best;
    const int best = classes_answer(logits, count, &of_best);
    for (int v = 0; v < count; v++)
        p[v] = of_best * exp((double)logits[v] - (double)logits[best]);
}

/* How many classes come before it: of equals the first. */
static int rank_of(const double *p, int target, int count)
{
    int rank = 0;
    for (int v = 0; v < count; v++)
        rank += p[v] > p[target] || (p[v] >= p[target] && v < target);
    return rank;
}

static int likeliest(const double *p, int count)
{
    int best = 0;
    for (int v = 1; v < count; v++)
        best = p[v] > p[best] ? v : best;
    return best;
}

static void count_rank(struct counts *c, int rank)
{
    c->first += rank == 0;
    c->five += rank < TOP;
}

static void answer(void *cookie, const struct ssa_answer *a)
{
    const int target = a->targets[0], V = s.classes;
    (void)cookie;
    if (target < 0)
        return;
    softmax(a->logits, s.p, V);
    s.seen[a->pass]++;
    count_rank(&s.single[a->pass], rank_of(s.p, target, V));
    float *joined = s.joined ? s.joined + a->example * (size_t)V : NULL;
    for (int v = 0; joined && v < V; v++)
        s.p[v] = (double)(joined[v] += (float)s.p[v]);
    count_rank(&s.together[a->pass], rank_of(s.p, target, V));
    if (s.confusion) {
        s.right[a->example] = target;
        s.answered[a->example * (size_t)s.passes + (size_t)a->pass] = likeliest(s.p, V);
    }
}

/* ---- telling ---- */

static double share(size_t count, int pass)
{
    return s.seen[pass] ? (double)count / (double)s.seen[pass] : 0;
}

/* Of the first `passes`, singly: their mean, and deviation. */
static double single_first(int passes, double *spread)
{
    double mean = 0, sum = 0;
    for (int m = 0; m < passes; m++)
        mean += share(s.single[m].first, m) / passes;
    for (int m = 0; m < passes; m++)
        sum += pow(share(s.single[m].first, m) - mean, 2);
    *spread = passes > 1 ? sqrt(sum / (passes - 1)) : 0;
    return mean;
}

static double single_five(int passes)
{
    double mean = 0;
    for (int m = 0; m < passes; m++)
        mean += share(s.single[m].five, m) / passes;
    return mean;
}

/* That were seen; an ensemble may have settled before all of them. */
static int passes_seen(void)
{
    int passes = 0;
    while (passes < s.passes && s.seen[passes] == s.seen[0] && s.seen[0])
        passes++;
    return passes;
}

static const char *row(int passes, char text[64])
{
    double spread;
    if (passes)
        snprintf(text, 64, "%6.2f%%  %6.2f%%  ", 100 * share(s.together[passes - 1].first, passes - 1),
                 100 * share(s.together[passes - 1].five, passes - 1));
    else
        snprintf(text, 64, "%6.2f%%  %6.2f%%  ", 100 * single_first(passes_seen(), &spread),
                 100 * single_five(passes_seen()));
    return text;
}

static const char *brief(char text[64])
{
    snprintf(text, 64, "%.1f%% right", 100 * share(s.together[s.passes - 1].first, s.passes - 1));
    return text;
}

static void set(json_t *object, const char *before, const char *name, json_t *value)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s", before, name);
    json_object_set_new(object, key, value);
}

/* By the first `passes`. */
static void count_confusion(int passes)
{
    const size_t V = (size_t)s.classes, M = (size_t)s.passes;
    memset(s.confusion, 0, V * V * sizeof *s.confusion);
    for (size_t i = 0; i < s.pictures; i++)
        if (s.right[i] >= 0)
            s.confusion[(size_t)s.right[i] * V + (size_t)s.answered[i * M + (size_t)passes - 1]]++;
}

static json_t *confusion_json(void)
{
    json_t *rows = json_array();
    for (int r = 0; r < s.classes; r++) {
        json_t *columns = json_array();
        for (int c = 0; c < s.classes; c++)
            json_array_append_new(columns, json_integer((json_int_t)s.confusion[r * s.classes + c]));
        json_array_append_new(rows, columns);
    }
    return rows;
}

static void record(json_t *object, const char *before, int passes)
{
    double spread, mean = single_first(passes, &spread);
    const int last = passes - 1;
    set(object, before, "top1", number_json(share(s.together[last].first, last)));
    set(object, before, "top5", number_json(share(s.together[last].five, last)));
    if (s.confusion) {
        count_confusion(passes);
        set(object, before, "confusion", confusion_json());
    }
    if (s.passes < 2)
        return;
    json_t *curve = json_array();
    for (int m = 0; m < passes; m++)
        json_array_append_new(curve, number_json(share(s.together[m].first, m)));
    set(object, before, "single_top1", number_json(mean));
    set(object, before, "single_top1_spread", number_json(spread));
    set(object, before, "single_top5", number_json(single_five(passes)));
    set(object, before, "top1_of_first", curve);
}

/* ---- which are taken for which ---- */

static const char *name_of(int class, char name[NAME + 1])
{
    const struct dataset *d = data_set();
    snprintf(name, NAME + 1, "%d", class);
    if (d->class_names && class < d->classes)
        snprintf(name, NAME + 1, "%.*s", NAME, d->class_names[class]);
    ssa_plain_text(name, strlen(name));
    return name;
}

static void print_all(void)
{
    char name[NAME + 1];
    printf("\n  %-*s  answered\n  %-*s", NAME, "class", NAME, "");
    for (int c = 0; c < s.classes; c++)
        printf(" %6.6s", name_of(c, name));
    putchar('\n');
    for (int r = 0; r < s.classes; r++) {
        printf("  %-*s", NAME, name_of(r, name));
        for (int c = 0; c < s.classes; c++)
            printf(" %6zu", s.confusion[r * s.classes + c]);
        putchar('\n');
    }
    putchar('\n');
}

/* The most frequent of all, WORST times. */
static void print_worst(void)
{
    char right[NAME + 1], wrong[NAME + 1];
    size_t before = SIZE_MAX;
    int printed = 0;
    printf("\n  taken for another most often:\n");
    while (printed < WORST) {
        size_t most = 0;
        for (int i = 0; i < s.classes * s.classes; i++)
            if (i / s.classes != i % s.classes && s.confusion[i] < before && s.confusion[i] > most)
                most = s.confusion[i];
        for (int i = 0; i < s.classes * s.classes && most && printed < WORST; i++)
            if (i / s.classes != i % s.classes && s.confusion[i] == most && printed++ < WORST)
                printf("  %6zu  %s for %s\n", most, name_of(i / s.classes, right), name_of(i % s.classes, wrong));
        if (!most)
            break;
        before = most;
    }
    putchar('\n');
}

static void print(void)
{
    if (s.confusion && s.classes <= TABLE_MOST)
        print_all();
    else if (s.confusion)
        print_worst();
}

const struct judge classes_judge = {.begin = begin, .answer = answer, .heads = "  top-1    top-5      loss", .row = row,
                                    .brief = brief, .record = record, .print = print};
