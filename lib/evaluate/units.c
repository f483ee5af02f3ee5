/* Units of work handed out to whoever is free, with plans drawn ahead. A slot holds the plans of a unit from their
 * drawing until they were used; each taker uses one slot at a time, so with two a taker there is one drawn ahead. */
#include "units.h"
#include "impl.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLOTS_A_TAKER = 2, BACK_A_TAKER = 2 };
enum slot_state { SLOT_EMPTY, SLOT_DRAWING, SLOT_READY, SLOT_TAKEN };

struct slot {
    enum slot_state state;
    size_t number;
    struct ssa_plan *plans;        /* a layer each */
    const struct ssa_plan **views; /* of them; NULL where dense */
    int status;                    /* of the drawing, */
    char error[512];               /* and its text: the last error belongs to a thread */
};

struct ssa_units {
    struct ssa_units_config config;
    pthread_mutex_t lock; /* guards what follows; a slot that is being drawn or taken is its thread's */
    pthread_cond_t changed;
    size_t next;          /* first unit never picked */
    size_t *again;        /* given back */
    size_t again_count, again_room;
    bool closed, quit;
    struct slot *slots;
    int slot_count;
    pthread_t *threads;
    int thread_count;
    bool lock_made;
};

/* Not drawn yet. */
static size_t unpicked(const struct ssa_units *u)
{
    return u->closed ? 0 : u->config.count - u->next + u->again_count;
}

static bool pick(struct ssa_units *u, size_t *number)
{
    if (!unpicked(u))
        return false;
    *number = u->again_count ? u->again[--u->again_count] : u->next++;
    return true;
}

/* ---- drawing ---- */

static int draw(const struct ssa_units *u, struct slot *slot)
{
    int err = SSA_OK;
    for (int l = 0; l < u->config.layers; l++) {
        struct ssa_sample how = {.step = slot->number};
        TRY(u->config.settings(u->config.cookie, slot->number, l, &how));
        slot->views[l] = how.kind == SSA_DENSE ? NULL : &slot->plans[l];
        if (slot->views[l])
            TRY(ssa_plan_draw(&slot->plans[l], &how));
    }
done:
    return err;
}

static struct slot *empty_slot(struct ssa_units *u)
{
    for (int i = 0; i < u->slot_count; i++)
        if (u->slots[i].state == SLOT_EMPTY)
            return &u->slots[i];
    return NULL;
}

static void *draw_ahead(void *argument)
{
    struct ssa_units *u = argument;
    pthread_mutex_lock(&u->lock);
    while (!u->quit) {
        struct slot *slot = empty_slot(u);
        if (!slot || !pick(u, &slot->number)) {
            pthread_cond_wait(&u->changed, &u->lock);
            continue;
        }
        slot->state = SLOT_DRAWING;
        pthread_mutex_unlock(&u->lock);
        slot->status = draw(u, slot);
        if (slot->status)
            snprintf(slot->error, sizeof slot->error, "%s", ssa_last_error());
        pthread_mutex_lock(&u->lock);
        slot->state = SLOT_READY;
        pthread_cond_broadcast(&u->changed);
    }
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

/* ---- taking ---- */

static struct slot *first_ready(struct ssa_units *u)
{
    struct slot *first = NULL;
    for (int i = 0; i < u->slot_count && !u->closed; i++) {
        struct slot *s = &u->slots[i];
        if (s->state == SLOT_READY && (!first || s->number < first->number))
            first = s;
    }
    return first;
}

static bool hand_out(struct ssa_units *u, struct ssa_unit *unit)
{
    if (!u->config.layers)
        return pick(u, &unit->number);
    struct slot *slot = first_ready(u);
    if (!slot)
        return false;
    slot->state = SLOT_TAKEN;
    *unit = (struct ssa_unit){slot->number, slot->views, (int)(slot - u->slots)};
    return true;
}

static size_t left(const struct ssa_units *u)
{
    size_t count = unpicked(u);
    for (int i = 0; i < u->slot_count && !u->closed; i++)
        count += u->slots[i].state == SLOT_DRAWING || u->slots[i].state == SLOT_READY;
    return count;
}

int ssa_units_take(struct ssa_units *u, bool wait, struct ssa_unit *unit)
{
    struct slot *slot = NULL;
    *unit = (struct ssa_unit){.number = SSA_UNIT_NONE};
    pthread_mutex_lock(&u->lock);
    while (!hand_out(u, unit) && wait && left(u))
        pthread_cond_wait(&u->changed, &u->lock);
    if (unit->plans)
        slot = &u->slots[unit->slot];
    pthread_mutex_unlock(&u->lock);
    return slot && slot->status ? ssa_fail(slot->status, "%s", slot->error) : SSA_OK;
}

void ssa_units_used(struct ssa_units *u, const struct ssa_unit *unit)
{
    if (!unit->plans)
        return;
    pthread_mutex_lock(&u->lock);
    u->slots[unit->slot].state = SLOT_EMPTY;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

void ssa_units_again(struct ssa_units *u, size_t number)
{
    pthread_mutex_lock(&u->lock);
    if (u->again_count < u->again_room)
        u->again[u->again_count++] = number;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

size_t ssa_units_left(struct ssa_units *u)
{
    pthread_mutex_lock(&u->lock);
    size_t count = left(u);
    pthread_mutex_unlock(&u->lock);
    return count;
}

void ssa_units_close(struct ssa_units *u)
{
    pthread_mutex_lock(&u->lock);
    u->closed = true;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

/* ---- create and destroy ---- */

static int make_slots(struct ssa_units *u)
{
    size_t layers = (size_t)u->config.layers, count = layers ? SLOTS_A_TAKER * (size_t)u->config.takers : 0;
    u->again_room = BACK_A_TAKER * ((size_t)u->config.takers + 1); /* one may join */
    u->again = calloc(u->again_room, sizeof *u->again);
    u->slots = calloc(count + 1, sizeof *u->slots);
    if (!u->again || !u->slots)
        return ssa_fail(SSA_ENOMEM, "units: out of host memory");
    for (u->slot_count = 0; u->slot_count < (int)count; u->slot_count++) {
        struct slot *s = &u->slots[u->slot_count];
        s->plans = calloc(layers, sizeof *s->plans);
        s->views = calloc(layers, sizeof *s->views);
        if (!s->plans || !s->views)
            return ssa_fail(SSA_ENOMEM, "units: out of host memory for %zu plans", layers);
    }
    return SSA_OK;
}

static int start_threads(struct ssa_units *u)
{
    int count = u->config.layers ? u->config.takers : 0;
    u->threads = calloc((size_t)count + 1, sizeof *u->threads);
    if (!u->threads)
        return ssa_fail(SSA_ENOMEM, "units: out of host memory");
    for (; u->thread_count < count; u->thread_count++)
        if (!ssa_thread_start(&u->threads[u->thread_count], draw_ahead, u))
            return ssa_fail(SSA_ENOMEM, "units: cannot start a thread");
    return SSA_OK;
}

int ssa_units_create(struct ssa_units **units, const struct ssa_units_config *config)
{
    struct ssa_units *u = calloc(1, sizeof *u);
    int err;
    if (!u)
        TRY(ssa_fail(SSA_ENOMEM, "units: out of host memory"));
    u->config = *config;
    u->lock_made = ssa_lock_create(&u->lock, &u->changed);
    if (!u->lock_made)
        TRY(ssa_fail(SSA_ENOMEM, "units: cannot make a lock"));
    TRY(make_slots(u));
    TRY(start_threads(u));
done:
    if (err) {
        ssa_units_destroy(u);
        u = NULL;
    }
    *units = u;
    return err;
}

void ssa_units_stop(struct ssa_units *u)
{
    pthread_mutex_lock(&u->lock);
    u->quit = true;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
    while (u->thread_count > 0)
        pthread_join(u->threads[--u->thread_count], NULL);
}

void ssa_units_destroy(struct ssa_units *u)
{
    if (!u)
        return;
    if (u->thread_count)
        ssa_units_stop(u);
    for (int i = 0; u->slots && i <= u->slot_count; i++) { /* the last may be half made */
        for (int l = 0; u->slots[i].plans && l < u->config.layers; l++)
            ssa_plan_finish(&u->slots[i].plans[l]);
        free(u->slots[i].plans);
        free(u->slots[i].views);
    }
    if (u->lock_made)
        ssa_lock_destroy(&u->lock, &u->changed);
    free(u->slots);
    free(u->again);
    free(u->threads);
    free(u);
}
