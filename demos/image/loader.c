#include "loader.h"

#include "places.h"
#include "progress.h"
#include "say.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 256, MOST_AHEAD = 1024, ORDERS = 4, SUBSTITUTES = 16, AT_ONCE = 1 << 16 };
enum state { UNTOUCHED, BEGUN, READY };
#define NOTHING UINT32_MAX

/* A step's pictures, cropped and augmented, not yet normalised. */
struct slot {
    int64_t step;         /* -1: of none */
    int next;             /* the first that was not looked at, of those prepared ahead */
    int busy;             /* threads that write in it */
    unsigned char *bytes; /* [batch, rows, columns, channels] */
    uint32_t *images;     /* which it is in the end; NOTHING */
    unsigned char *states;
};

/* What a thread needs for itself. */
struct room {
    struct loader *loader;
    struct dataset_reader reader;
    struct augment_room augment;
    float *other;
};

/* A fill whose pictures are ready. */
struct finish {
    const struct slot *slot;
    struct mix mix;
    int first, count, next, done;
    float *pixels, *soft;
    unsigned char *bytes;
    int32_t *labels;
};

struct order {
    uint64_t epoch;
    uint32_t *images; /* NULL: not drawn */
};

struct loader {
    struct loader_options o;
    const uint32_t *images; /* of the part */
    size_t image_count, size; /* bytes of an example */
    int chunk;                /* examples that a thread takes at once */

    pthread_mutex_t filling;  /* one fill at a time */
    pthread_mutex_t lock;     /* of all below */
    pthread_cond_t work, done;
    bool stops, failed;
    int64_t step; /* what was asked for last */
    struct slot *slots;
    int slot_count;
    struct finish *finish; /* NULL: none */
    struct loader_counters counters;
    unsigned char *unreadable; /* of the data set's pictures */

    pthread_mutex_t ordering;
    struct order orders[ORDERS];

    struct room *rooms; /* the last is of whoever fills */
    pthread_t *threads;
    int thread_count; /* that run */
};

/* ---- which picture ---- */

static uint32_t *order_of(struct loader *l, uint64_t epoch)
{
    struct order *order = &l->orders[epoch % ORDERS];
    if (order->images && order->epoch == epoch)
        return order->images;
    if (!order->images)
        order->images = malloc(l->image_count * sizeof *order->images);
    struct draws draws = draws_begin(places_seed(l->o.augment.seed), PLACE_SHUFFLE, (uint32_t)epoch, 0);
    order->epoch = epoch;
    if (order->images)
        draw_permutation(&draws, order->images, (uint32_t)l->image_count);
    return order->images;
}

static uint32_t epoch_of(const struct loader *l, int64_t step, int example)
{
    return (uint32_t)(((uint64_t)step * (uint64_t)l->o.batch + (uint64_t)example) / l->image_count);
}

/* As its number in the part. */
static uint32_t place_of(struct loader *l, int64_t step, int example, uint32_t *epoch)
{
    uint64_t n = (uint64_t)step * (uint64_t)l->o.batch + (uint64_t)example, at = n % l->image_count;
    *epoch = (uint32_t)(n / l->image_count);
    if (l->o.in_order)
        return (uint32_t)at;
    pthread_mutex_lock(&l->ordering);
    const uint32_t *order = order_of(l, n / l->image_count);
    uint32_t place = order ? order[at] : NOTHING;
    pthread_mutex_unlock(&l->ordering);
    return place;
}

uint32_t loader_image(struct loader *l, int64_t step, int example, uint32_t *epoch)
{
    uint32_t place = place_of(l, step, example, epoch);
    return place == NOTHING ? NOTHING : l->images[place];
}

/* ---- preparing ---- */

static bool is_unreadable(struct loader *l, uint32_t image)
{
    pthread_mutex_lock(&l->lock);
    bool is = l->unreadable[image];
    pthread_mutex_unlock(&l->lock);
    return is;
}

static void note_unreadable(struct loader *l, uint32_t image, const char *why)
{
    struct loader_counters *c = &l->counters;
    char name[WHY];
    pthread_mutex_lock(&l->lock);
    if (!l->unreadable[image] && !c->unreadable++)
        snprintf(c->first_unreadable, sizeof c->first_unreadable, "%s %s", dataset_name(l->o.data, image, name), why);
    l->unreadable[image] = 1;
    pthread_mutex_unlock(&l->lock);
}

/* Reads that picture, or in training the next that can be read. Which it was; NOTHING. */
static uint32_t read_some(struct loader *l, struct room *room, uint32_t place)
{
    char why[WHY];
    for (int tries = l->o.in_order ? 1 : SUBSTITUTES; tries; tries--) {
        uint32_t image = l->images[place];
        if (!is_unreadable(l, image)) {
            if (!dataset_picture(l->o.data, &room->reader, image, why))
                return image;
            note_unreadable(l, image, why);
        }
        place = place + 1 < l->image_count ? place + 1 : 0;
    }
    return NOTHING;
}

/* Without the lock. */
static void prepare(struct loader *l, struct room *room, struct slot *slot, int64_t step, int example)
{
    uint32_t epoch, place = place_of(l, step, example, &epoch);
    uint32_t image = place == NOTHING ? NOTHING : read_some(l, room, place);
    unsigned char *to = slot->bytes + (size_t)example * l->size;
    bool failed = place == NOTHING;
    slot->images[example] = image;
    if (image == NOTHING)
        memset(to, 0, l->size);
    else
        failed = augment_picture(&l->o.augment, &room->augment, &room->reader.picture, epoch, image, to);
    if (failed) {
        pthread_mutex_lock(&l->lock);
        l->failed = true;
        pthread_mutex_unlock(&l->lock);
    }
}

/* With the lock, which is free meanwhile. The examples have been begun by this thread. */
static void prepare_begun(struct loader *l, struct room *room, struct slot *slot, const int *examples, int count)
{
    int64_t step = slot->step; /* which aim() may take from it meanwhile */
    slot->busy++;
    pthread_mutex_unlock(&l->lock);
    double start = now_seconds();
    for (int i = 0; i < count; i++)
        prepare(l, room, slot, step, examples[i]);
    double seconds = now_seconds() - start;
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < count; i++)
        slot->states[examples[i]] = READY;
    slot->busy--;
    l->counters.prepared += seconds;
    pthread_cond_broadcast(&l->done);
}

static struct slot *slot_of(struct loader *l, int64_t step)
{
    return &l->slots[step % l->slot_count];
}

/* Takes some examples that nobody has begun, the earliest; how many. */
static int take_ahead(struct loader *l, struct slot **slot, int *examples)
{
    int count = 0, end = l->o.first + l->o.count;
    for (int64_t step = l->step; step >= 0 && step < l->step + l->slot_count && !count; step++) {
        *slot = slot_of(l, step);
        if ((*slot)->step != step)
            continue;
        for (int *i = &(*slot)->next; *i < end && count < l->chunk; ++*i)
            if ((*slot)->states[*i] == UNTOUCHED) {
                (*slot)->states[*i] = BEGUN;
                examples[count++] = *i;
            }
    }
    return count;
}

/* ---- finishing ---- */

static void values_of(struct loader *l, const struct finish *f, int example, float *values)
{
    uint32_t image = f->slot->images[example], epoch = epoch_of(l, f->slot->step, example);
    if (image == NOTHING)
        memset(values, 0, l->size * sizeof *values);
    else
        augment_values(&l->o.augment, epoch, image, f->slot->bytes + (size_t)example * l->size, values);
}

static int label_of(const struct loader *l, const struct finish *f, int example)
{
    uint32_t image = f->slot->images[example];
    return image == NOTHING ? -1 : l->o.data->labels[image];
}

static void finish_example(struct loader *l, struct room *room, const struct finish *f, int i)
{
    int example = f->first + i, other = l->o.batch - 1 - example, classes = l->o.data->classes;
    float *pixels = f->pixels ? f->pixels + (size_t)i * l->size : NULL;
    if (pixels)
        values_of(l, f, example, pixels);
    if (pixels && f->mix.kind) {
        values_of(l, f, other, room->other);
        augment_mix_values(&l->o.augment, &f->mix, pixels, room->other);
    }
    if (f->bytes)
        memcpy(f->bytes + (size_t)i * l->size, f->slot->bytes + (size_t)example * l->size, l->size);
    if (f->labels)
        f->labels[i] = label_of(l, f, example);
    if (f->soft)
        augment_targets(&l->o.augment, &f->mix, label_of(l, f, example), f->mix.kind ? label_of(l, f, other) : -1,
                        classes, f->soft + (size_t)i * (size_t)classes);
}

/* Some examples of the fill, with the lock, which is free meanwhile; false: there are none left to begin. */
static bool finish_some(struct loader *l, struct room *room)
{
    struct finish *f = l->finish;
    if (!f || f->next == f->count)
        return false;
    int first = f->next, left = f->count - first, count = left < l->chunk ? left : l->chunk;
    f->next += count;
    pthread_mutex_unlock(&l->lock);
    for (int i = first; i < first + count; i++)
        finish_example(l, room, f, i);
    pthread_mutex_lock(&l->lock);
    f->done += count;
    if (f->done == f->count)
        pthread_cond_broadcast(&l->done);
    return true;
}

static void *work(void *argument)
{
    struct room *room = argument;
    struct loader *l = room->loader;
    int examples[64];
    pthread_mutex_lock(&l->lock);
    while (!l->stops) {
        struct slot *slot = NULL;
        int count = 0;
        if (finish_some(l, room))
            continue;
        if ((count = take_ahead(l, &slot, examples)))
            prepare_begun(l, room, slot, examples, count);
        else
            pthread_cond_wait(&l->work, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- filling ---- */

/* The slots become those of this step and of what follows. */
static void aim(struct loader *l, int64_t step)
{
    l->step = step;
    for (int64_t s = step; s < step + l->slot_count && (s == step || !l->o.steps || s < l->o.steps); s++) {
        struct slot *slot = slot_of(l, s);
        if (slot->step == s)
            continue;
        slot->step = -1; /* nobody begins more of it */
        while (slot->busy)
            pthread_cond_wait(&l->done, &l->lock);
        slot->step = s;
        slot->next = l->o.first;
        memset(slot->states, UNTOUCHED, (size_t)l->o.batch);
    }
    pthread_cond_broadcast(&l->work);
}

static bool is_wanted(const struct loader *l, const struct finish *f, int example)
{
    int other = l->o.batch - 1 - example, end = f->first + f->count;
    return (example >= f->first && example < end) || (f->mix.kind && other >= f->first && other < end);
}

/* What nobody has begun is prepared here; the rest is waited for. */
static void make_ready(struct loader *l, struct room *room, struct slot *slot, const struct finish *f)
{
    for (int i = 0; i < l->o.batch; i++)
        if (is_wanted(l, f, i) && slot->states[i] == UNTOUCHED) {
            slot->states[i] = BEGUN;
            l->counters.helped++;
            prepare_begun(l, room, slot, &i, 1);
        }
    for (int i = 0; i < l->o.batch; i++)
        while (is_wanted(l, f, i) && slot->states[i] != READY)
            pthread_cond_wait(&l->done, &l->lock);
}

/* With the lock. */
static bool fill(struct loader *l, int64_t step, struct finish *f)
{
    struct room *room = &l->rooms[l->o.threads];
    double start = now_seconds();
    aim(l, step);
    struct slot *slot = slot_of(l, step);
    f->slot = slot;
    make_ready(l, room, slot, f);
    double ready = now_seconds();
    l->finish = f;
    pthread_cond_broadcast(&l->work);
    while (finish_some(l, room))
        ;
    while (f->done < f->count)
        pthread_cond_wait(&l->done, &l->lock);
    l->finish = NULL;
    l->counters.examples += (uint64_t)f->count;
    l->counters.waited += ready - start;
    l->counters.finished += now_seconds() - ready;
    return !l->failed;
}

static int check_fill(const struct loader *l, int64_t step, int first, int count)
{
    bool is_step = step >= 0 && step <= INT64_MAX / l->o.batch - l->slot_count;
    if (!is_step || first < 0 || count < 1 || first > l->o.batch - count)
        return say_error("examples %d to %d of step %lld: a step has %d", first, first + count - 1, (long long)step,
                         l->o.batch);
    return 0;
}

static int fill_alone(struct loader *l, int64_t step, struct finish *f)
{
    pthread_mutex_lock(&l->filling);
    pthread_mutex_lock(&l->lock);
    bool filled = fill(l, step, f);
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->filling);
    return filled ? 0 : say_error("no memory to prepare pictures");
}

int loader_fill(struct loader *l, int64_t step, int first, int count, float *pixels, int32_t *labels, float *soft)
{
    struct finish f = {.first = first, .count = count, .pixels = pixels, .labels = labels, .soft = soft};
    if (check_fill(l, step, first, count))
        return EXIT_FAILED;
    if (soft && !l->o.data->classes)
        return say_error("pictures without classes have no targets");
    f.mix = augment_mix(&l->o.augment, step);
    return fill_alone(l, step, &f);
}

int loader_fill_bytes(struct loader *l, int64_t step, int first, int count, unsigned char *bytes, int32_t *labels)
{
    struct finish f = {.first = first, .count = count, .bytes = bytes, .labels = labels};
    return check_fill(l, step, first, count) || fill_alone(l, step, &f) ? EXIT_FAILED : 0;
}

bool loader_lost(struct loader *l, int64_t step, int example)
{
    pthread_mutex_lock(&l->lock);
    const struct slot *slot = slot_of(l, step);
    bool lost = slot->step == step && slot->images[example] == NOTHING;
    pthread_mutex_unlock(&l->lock);
    return lost;
}

struct loader_counters loader_counters(struct loader *l)
{
    pthread_mutex_lock(&l->lock);
    struct loader_counters c = l->counters;
    pthread_mutex_unlock(&l->lock);
    return c;
}

/* ---- creating ---- */

static int check(const struct loader_options *o)
{
    char why[WHY];
    if (o->part < 0 || o->part >= DATASET_PARTS || !o->data->part[o->part].count)
        return say_error("the part of the data set has no pictures");
    if (augment_check(&o->augment, why))
        return say_error("%s", why);
    if (o->augment.channels != o->data->channels)
        return say_error("the pictures have %d channels, the result %d", o->data->channels, o->augment.channels);
    if (o->batch < 1 || o->first < 0 || o->count < 0 || o->first > o->batch - o->count)
        return say_error("examples %d to %d of a batch of %d", o->first, o->first + o->count - 1, o->batch);
    if (o->threads < 0 || o->threads > MOST_THREADS || o->ahead < 0 || o->ahead > MOST_AHEAD)
        return say_error("%d threads, %d steps ahead; at most %d and %d", o->threads, o->ahead, MOST_THREADS,
                         MOST_AHEAD);
    return o->steps < 0 ? say_error("%lld steps", (long long)o->steps) : 0;
}

static bool make_slots(struct loader *l)
{
    size_t batch = (size_t)l->o.batch;
    l->slot_count = l->o.threads ? l->o.ahead + 1 : 1;
    l->slots = calloc((size_t)l->slot_count, sizeof *l->slots);
    for (int i = 0; l->slots && i < l->slot_count; i++) {
        struct slot *s = &l->slots[i];
        s->step = -1;
        s->bytes = batch <= SIZE_MAX / l->size ? malloc(batch * l->size) : NULL;
        s->images = malloc(batch * sizeof *s->images);
        s->states = calloc(batch, 1);
        if (!s->bytes || !s->images || !s->states)
            return false;
    }
    return l->slots != NULL;
}

static bool make_rooms(struct loader *l)
{
    size_t count = (size_t)l->o.threads + 1;
    l->rooms = calloc(count, sizeof *l->rooms);
    l->threads = calloc(count, sizeof *l->threads);
    l->unreadable = calloc(l->o.data->count, 1);
    for (size_t i = 0; l->rooms && i < count; i++) {
        l->rooms[i].loader = l;
        l->rooms[i].other = malloc(l->size * sizeof(float));
        if (!l->rooms[i].other)
            return false;
    }
    return l->rooms && l->threads && l->unreadable;
}

static int start(struct loader *l)
{
    if (!make_slots(l) || !make_rooms(l))
        return say_error("no memory for %d steps of %d pictures", l->o.ahead + 1, l->o.batch);
    for (; l->thread_count < l->o.threads; l->thread_count++)
        if (pthread_create(&l->threads[l->thread_count], NULL, work, &l->rooms[l->thread_count]))
            return say_error("threads that prepare pictures cannot be started");
    return 0;
}

int loader_create(struct loader **loader, const struct loader_options *options)
{
    *loader = NULL;
    if (check(options))
        return EXIT_FAILED;
    struct loader *l = calloc(1, sizeof *l);
    if (!l)
        return say_error("no memory");
    const struct augment *a = &options->augment;
    l->o = *options;
    l->o.count = l->o.count ? l->o.count : l->o.batch - l->o.first;
    l->images = l->o.data->part[l->o.part].images;
    l->image_count = l->o.data->part[l->o.part].count;
    l->size = (size_t)a->rows * (size_t)a->columns * (size_t)a->channels;
    l->chunk = l->size < AT_ONCE / 64 ? 64 : l->size < AT_ONCE ? (int)(AT_ONCE / l->size) : 1;
    l->step = -1;
    pthread_mutex_init(&l->filling, NULL);
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->ordering, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    int status = start(l);
    if (status)
        loader_destroy(l);
    else
        *loader = l;
    return status;
}

static void free_all(struct loader *l)
{
    for (int i = 0; l->slots && i < l->slot_count; i++) {
        free(l->slots[i].bytes);
        free(l->slots[i].images);
        free(l->slots[i].states);
    }
    for (int i = 0; l->rooms && i <= l->o.threads; i++) {
        dataset_reader_free(&l->rooms[i].reader);
        augment_room_free(&l->rooms[i].augment);
        free(l->rooms[i].other);
    }
    for (int i = 0; i < ORDERS; i++)
        free(l->orders[i].images);
    free(l->slots);
    free(l->rooms);
    free(l->threads);
    free(l->unreadable);
}

void loader_destroy(struct loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stops = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->thread_count; i++)
        pthread_join(l->threads[i], NULL);
    free_all(l);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    pthread_mutex_destroy(&l->filling);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->ordering);
    free(l);
}
