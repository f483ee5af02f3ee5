/* Several devices in one process, each with its thread: what one computes alone, it computes beside the others, bit for
 * bit, and each counts its own memory. tests/meson.build runs it on all devices there are, and on two of PoCL: the
 * argument is a platform that must have two, or the test is skipped. */
#include "harness.h"
#include "piece.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX = 8, ROUNDS = 12, OWN = 1000 };

/* What a thread does and what came of it: Check's assertions are for the main thread. */
struct job {
    struct ssa_device *device; /* NULL: the thread opens `id` for itself */
    char id[32];
    size_t number;
    float expected[PIECE_RESULTS], results[PIECE_RESULTS];
    int err, differs; /* the round that gave other results */
    size_t held, held_after;
    char error[512];
};

static struct job jobs[MAX];
static int count;

static int work(struct job *j, struct ssa_device *device)
{
    struct ssa_buffer *own = NULL;
    int err;
    TRY(ssa_buffer_create(&own, device, j->number * OWN * sizeof(float)));
    for (int round = 1; round <= ROUNDS && !j->differs; round++) {
        TRY(piece_run(device, j->results));
        if (memcmp(j->results, j->expected, sizeof j->expected))
            j->differs = round;
    }
    j->held = device->held;
done:
    ssa_buffer_destroy(own);
    j->held_after = device->held;
    return err;
}

static int open_and_work(struct job *j)
{
    struct ssa_device *device = j->device;
    int err;
    if (!device)
        TRY(ssa_device_open(&device, j->id));
    TRY(work(j, device));
done:
    if (!j->device)
        ssa_device_close(device);
    return err;
}

static void *thread(void *cookie)
{
    struct job *j = cookie;
    j->err = open_and_work(j);
    if (j->err)
        snprintf(j->error, sizeof j->error, "%s", ssa_last_error());
    return NULL;
}

static void run_all(void)
{
    pthread_t threads[MAX];
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, thread, &jobs[i]), 0);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < count; i++) {
        struct job *j = &jobs[i];
        ck_assert_msg(!j->err, "%s: %s", j->id, j->error);
        ck_assert_msg(!j->differs, "%s beside others gives other results than alone, in round %d", j->id, j->differs);
        ck_assert_uint_eq(j->held - j->held_after, j->number * OWN * 4);
    }
}

/* The devices of the run, and what each computes alone. */
static void setup(bool own_devices)
{
    count = test_device_count() < MAX ? test_device_count() : MAX;
    for (int i = 0; i < count; i++) {
        struct ssa_device *device = test_device(i);
        jobs[i] = (struct job){.device = own_devices ? device : NULL, .number = (size_t)i + 1};
        snprintf(jobs[i].id, sizeof jobs[i].id, "%s", device->info.id);
        OK(piece_run(device, jobs[i].expected));
    }
}

START_TEST(at_once)
{
    setup(true);
    run_all();
}
END_TEST

/* From opening to closing, so that their kernels are built at the same time too. */
START_TEST(opened_at_once)
{
    setup(false);
    run_all();
}
END_TEST

START_TEST(equal_devices_agree)
{
    setup(true);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++) {
            const struct ssa_device_info *a = &test_device(i)->info, *b = &test_device(k)->info;
            if (!strcmp(a->name, b->name) && !strcmp(a->platform, b->platform) && a->gpu_shape == b->gpu_shape)
                ck_assert_msg(!memcmp(jobs[i].expected, jobs[k].expected, sizeof jobs[i].expected),
                              "%s and %s differ", a->id, b->id);
        }
}
END_TEST

static bool has_two(const char *platform)
{
    struct ssa_device_info list[2 * MAX];
    int n = 0, found = 0;
    ssa_device_list(list, 2 * MAX, &n);
    for (int i = 0; i < n && i < 2 * MAX; i++)
        found += strstr(list[i].platform, platform) != NULL;
    return found >= 2;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !has_two(argv[1]))
        return 77;
    return test_run("devices", (const TTest *const[]){at_once, opened_at_once, equal_devices_agree, NULL});
}
