/* What ranks must have in common, compared before the first step: each writes down what it is about to do, and holds it
 * against what rank 0 wrote. */
#include "train/team/worker.h"
#include "checkpoint/checkpoint.h"
#include "disk/crc32.h"
#include "disk/json.h"
#include "impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 512 };

/* ---- what this rank is about to do ---- */

static int add_checksum(json_t *o, const char *name, uint32_t crc)
{
    char digits[9];
    snprintf(digits, sizeof digits, "%08x", (unsigned)crc);
    return json_object_set_new(o, name, json_string(digits));
}

static int sum_tensor(struct ssa_tensor t, size_t count, uint32_t *crc)
{
    enum { CHUNK = 1 << 20 };
    float *chunk = malloc(CHUNK * sizeof *chunk);
    int err = chunk ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: out of host memory");
    for (size_t at = 0; at < count && !err; at += CHUNK) {
        size_t n = count - at < CHUNK ? count - at : CHUNK;
        err = ssa_tensor_read(ssa_tensor_add(t, at), chunk, n);
        *crc = ssa_crc32(*crc, chunk, n * sizeof *chunk);
    }
    free(chunk);
    return err;
}

/* Parameters, and once there are some the optimiser's moments, with the average. */
static int sum_state(struct ssa_worker *w, int step, uint32_t *parameters, uint32_t *moments)
{
    int count = ssa_model_tensors(w->model), err;
    *parameters = *moments = 0;
    TRY(ssa_average_begin(w));
    for (int i = 0; i < count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(w->model, i);
        TRY(sum_tensor(p->value, p->count, parameters));
        for (int kind = SSA_KIND_FIRST; step && kind < SSA_KINDS; kind++)
            if (ssa_train_config_has(&w->task.config, kind))
                TRY(sum_tensor(ssa_worker_moment(w, p, kind), p->count, moments));
    }
done:
    return err;
}

static int add_data(json_t *o, const struct ssa_data *d)
{
    const size_t bytes = d->count * (size_t)(d->item_size ? d->item_size : 1);
    json_t *data = json_object();
    char digits[17];
    int failed;
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)d->identity);
    if (d->fill)
        failed = json_object_set_new(data, "examples", json_integer((json_int_t)d->examples)) ||
                 json_object_set_new(data, "identity", json_string(digits));
    else
        failed = json_object_set_new(data, "tokens", json_integer((json_int_t)d->count)) ||
                 add_checksum(data, "checksum", ssa_crc32(0, d->items, bytes));
    return json_object_set_new(o, "data", data) || failed;
}

/* The names are those that a difference is told by. */
static int write_down(const struct ssa_trainer *t, struct ssa_worker *w, char **text)
{
    uint32_t parameters, moments;
    json_t *o = json_object();
    int err;
    if (!w)
        TRY(ssa_fail(SSA_EDEVICE, "no device is left"));
    TRY(sum_state(w, t->step, &parameters, &moments));
    if (json_object_set_new(o, "version", json_string(ssa_version())) ||
        json_object_set_new(o, "model", ssa_model_to_json(ssa_model_config(t->model))) ||
        json_object_set_new(o, "training", ssa_training_to_json(&t->task.config)) ||
        json_object_set_new(o, "micro_batch", json_integer(t->task.micro_batch)) ||
        json_object_set_new(o, "step", json_integer(t->step)) || add_checksum(o, "parameters", parameters) ||
        add_checksum(o, "moments", moments) || add_data(o, &t->task.data) ||
        !(*text = ssa_json_text(o, JSON_COMPACT)))
        err = ssa_fail(SSA_ENOMEM, "train: out of host memory");
done:
    json_decref(o);
    return err;
}

/* ---- differences ---- */

struct differences {
    char text[TEXT];
    size_t used;
};

static void add_difference(struct differences *d, const char *name, const json_t *first, const json_t *mine)
{
    const size_t how = JSON_ENCODE_ANY | JSON_REAL_PRECISION(7);
    char *a = ssa_json_text(first, how), *b = ssa_json_text(mine, how);
    int n = snprintf(d->text + d->used, sizeof d->text - d->used, "%s%s is %s, rank 0 has %s", d->used ? "; " : "",
                     name, b ? b : "absent", a ? a : "absent");
    d->used = n > 0 && d->used + (size_t)n < sizeof d->text ? d->used + (size_t)n : sizeof d->text - 1;
    free(a);
    free(b);
}

static void compare(struct differences *d, const char *name, const json_t *first, const json_t *mine)
{
    char inner[256];
    const char *key;
    json_t *value;
    if (json_is_object(first) && json_is_object(mine)) {
        json_object_foreach((json_t *)first, key, value) {
            snprintf(inner, sizeof inner, "%s%s%s", name, *name ? "." : "", key);
            compare(d, inner, value, json_object_get(mine, key));
        }
    } else if (json_is_array(first) && json_is_array(mine)) {
        size_t a = json_array_size(first), b = json_array_size(mine);
        for (size_t i = 0; i < (a > b ? a : b); i++) {
            snprintf(inner, sizeof inner, "%s[%zu]", name, i);
            compare(d, inner, json_array_get(first, i), json_array_get(mine, i));
        }
    } else if (!json_equal(first, mine)) {
        add_difference(d, name, first, mine);
    }
}

static void find_differences(struct differences *d, const char *first, const char *mine)
{
    json_t *a = json_loads(first, 0, NULL), *b = json_loads(mine, 0, NULL);
    compare(d, "", a, b);
    if (!d->used)
        snprintf(d->text, sizeof d->text, "what it is about to do cannot be compared");
    json_decref(a);
    json_decref(b);
}

/* ---- between ranks ---- */

/* What rank 0 wrote, on every rank. */
static int receive(struct ssa_ranks *ranks, const char *mine, char **first)
{
    uint64_t size = strlen(mine) + 1;
    int err;
    TRY(ranks->broadcast(ranks, &size, sizeof size, 0));
    *first = malloc((size_t)size);
    if (!*first)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    memcpy(*first, mine, ranks->rank ? 0 : (size_t)size);
    TRY(ranks->broadcast(ranks, *first, (size_t)size, 0));
done:
    return err;
}

/* All that decides which bits a device computes, as far as the library knows. */
void ssa_ranks_identify(const struct ssa_worker *w, char identity[SSA_IDENTITY])
{
    memset(identity, 0, SSA_IDENTITY);
    if (!w)
        return;
    const struct ssa_device_info *i = &w->device->info;
    snprintf(identity, SSA_IDENTITY, "%s|%s|%s|%d|%d|%08x", i->name, i->platform, i->driver, i->units, i->gpu_shape,
             (unsigned)ssa_crc32(0, w->device->tuned, sizeof w->device->tuned));
}

/* Every rank learns of the lowest that has something to say; `flags` has room for one a rank and one more. */
static int judge(struct ssa_ranks *ranks, float *flags, char text[TEXT], bool *same_bits)
{
    int rank, err;
    flags[ranks->rank] = *text != 0;
    flags[ranks->count] = !*same_bits;
    TRY(ranks->all_reduce(ranks, flags, (size_t)ranks->count + 1));
    *same_bits = flags[ranks->count] == 0;
    rank = ssa_ranks_lowest(ranks, flags);
    if (rank < ranks->count) {
        TRY(ranks->broadcast(ranks, text, TEXT, rank));
        text[TEXT - 1] = 0;
        ranks->unanimous = 1;
        err = ssa_fail(SSA_EINVAL, "train: the ranks do not agree, rank %d: %s", rank, text);
    }
done:
    return err;
}

int ssa_ranks_compare(struct ssa_trainer *t, struct ssa_worker *w, bool *same_bits)
{
    struct ssa_ranks *ranks = t->task.config.ranks;
    struct differences d = {.used = 0};
    char *mine = NULL, *first = NULL, own[SSA_IDENTITY], theirs[SSA_IDENTITY];
    float *flags = calloc((size_t)ranks->count + 1, sizeof *flags);
    int err, own_err = flags ? write_down(t, w, &mine) : ssa_fail(SSA_ENOMEM, "train: out of host memory");
    if (own_err) { /* the others wait: take part, and tell */
        snprintf(d.text, sizeof d.text, "%s", ssa_last_error());
        free(mine);
        mine = strdup("{}");
    }
    if (!flags || !mine)
        TRY(own_err);
    ssa_ranks_identify(w, own);
    memcpy(theirs, own, sizeof own);
    TRY(receive(ranks, mine, &first));
    TRY(ranks->broadcast(ranks, theirs, sizeof theirs, 0));
    *same_bits = !memcmp(own, theirs, sizeof own);
    if (!own_err && strcmp(first, mine))
        find_differences(&d, first, mine);
    TRY(judge(ranks, flags, d.text, same_bits));
done:
    free(mine);
    free(first);
    free(flags);
    return err;
}
