#include "devices.h"

#include "numbers.h"

#include <stdio.h>
#include <string.h>

/* ---- what happens to them; people are told by the library's log ---- */

static const char *const changes[] = {"left out", "share", "lost", "joined", "rollback"};

static void record(struct devices *d, json_t *line)
{
    if (d->log && !d->failed)
        d->failed = log_write(d->log, json_incref(line));
    else if (!d->log)
        json_array_append(d->events, line);
    json_decref(line);
}

static void on_change(void *cookie, const struct ssa_pool_event *e)
{
    struct devices *d = cookie;
    record(d, json_pack("{ss ss si ss si si si sf ss}", "event", "device", "change", changes[e->change], "member",
                        e->member, "id", e->device, "step", e->step, "before", e->before, "after", e->after, "seconds",
                        d->seconds ? d->seconds(d->cookie) : 0.0, "reason", e->reason));
}

/* ---- a pool ---- */

int devices_open(struct devices *d, const char *names, const struct ssa_pool_config *config)
{
    struct ssa_pool_config c = *config;
    c.changed = on_change;
    c.cookie = d;
    d->events = json_array();
    return ssa_pool_open(&d->pool, names, &c) == SSA_OK ? 0 : library_failed();
}

int devices_log(struct devices *d, struct log_file *log)
{
    json_t *line;
    size_t i;
    d->log = log;
    json_array_foreach(d->events, i, line)
        record(d, json_incref(line));
    json_array_clear(d->events);
    return d->failed;
}

void devices_close(struct devices *d)
{
    ssa_pool_close(d->pool);
    json_decref(d->events);
    d->pool = NULL;
    d->events = NULL;
}

/* ---- telling ---- */

int devices_live(const struct ssa_pool *pool)
{
    struct ssa_pool_member m;
    int live = 0;
    for (int i = 0; i < ssa_pool_count(pool); i++)
        live += ssa_pool_member(pool, i, &m) == SSA_OK && !m.lost;
    return live;
}

size_t devices_peak(const struct ssa_pool *pool)
{
    size_t most = 0, peak;
    for (int i = 0; i < ssa_pool_count(pool); i++) {
        struct ssa_device *device = ssa_pool_device(pool, i);
        if (device)
            ssa_device_memory(device, NULL, &peak);
        most = device && peak > most ? peak : most;
    }
    return most;
}

void devices_reset_peak(const struct ssa_pool *pool)
{
    for (int i = 0; i < ssa_pool_count(pool); i++)
        if (ssa_pool_device(pool, i))
            ssa_device_reset_peak(ssa_pool_device(pool, i));
}

json_t *devices_json(const struct ssa_pool *pool)
{
    json_t *list = json_array();
    struct ssa_pool_member m;
    for (int i = 0; i < ssa_pool_count(pool); i++)
        if (ssa_pool_member(pool, i, &m) == SSA_OK)
            json_array_append_new(list, json_pack("{ss ss ss ss si sb}", "id", m.info.id, "name", m.info.name,
                                                  "platform", m.info.platform, "driver", m.info.driver, "units",
                                                  m.info.units, "lost", m.lost));
    return list;
}

void devices_add_shares(const struct ssa_pool *pool, json_t *record)
{
    json_t *shares = json_array(), *rates = json_array();
    struct ssa_pool_member m;
    for (int i = 0; i < ssa_pool_count(pool); i++)
        if (ssa_pool_member(pool, i, &m) == SSA_OK) {
            json_array_append_new(shares, json_integer(m.share));
            json_array_append_new(rates, number_json(m.rate));
        }
    json_object_set_new(record, "shares", shares);
    json_object_set_new(record, "rates", rates);
}

const char *devices_text(const struct ssa_pool *pool, char *text, size_t size)
{
    struct ssa_pool_member m;
    int all = 0, count = ssa_pool_count(pool);
    size_t used = 0;
    *text = 0;
    for (int i = 0; i < count; i++)
        all += ssa_pool_member(pool, i, &m) == SSA_OK ? m.share : 0;
    for (int i = 0; i < count && count > 1 && used < size; i++)
        if (ssa_pool_member(pool, i, &m) == SSA_OK && !m.lost)
            used += (size_t)snprintf(text + used, size - used, "%s%s %d/%d %.0f/s", used ? " + " : " = ", m.info.id,
                                     m.share, all, m.rate);
    return text;
}
