/* What a driver takes long over is said while it does: calls are made to hang until it is. */
#include "../harness.h"
#include "faults.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct faults faults;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char notes[4096];

static void keep(void *cookie, int level, const char *line)
{
    (void)cookie;
    pthread_mutex_lock(&lock);
    size_t used = strlen(notes);
    if (level == SSA_LOG_NOTE)
        snprintf(notes + used, sizeof notes - used, "%s\n", line);
    pthread_mutex_unlock(&lock);
    if (strstr(line, "takes long"))
        faults.set(NULL); /* the call goes on */
}

/* One kernel, waited for, on a device just opened; what the log said. */
static const char *notes_of(const char *rules)
{
    struct ssa_device *device;
    struct ssa_buffer *b;
    float values[4];
    *notes = 0;
    OK(ssa_device_open(&device, "opencl"));
    ck_assert_int_ge(faults.set(rules), 0);
    OK(ssa_buffer_create(&b, device, 16));
    struct ssa_tensor x = ssa_tensor_at(b, 0);
    OK(ssa_tensor_fill(x, 1, 4));
    OK(ssa_add(device, &(struct ssa_add){.x = x, .y = x, .out = x, .count = 4}));
    OK(ssa_tensor_read(x, values, 4));
    ssa_buffer_destroy(b);
    ssa_device_close(device);
    return notes;
}

START_TEST(said_while_it_lasts)
{
    static const struct {
        const char *rules, *words;
    } cases[] = {{"hang=clBuildProgram", ": building cl/add.cl, program "},
                 {"hang=clCreateKernel", ": making kernel add takes long: "},
                 {"hang=clEnqueueReadBuffer", ": the first run of 1 kernel, which drivers may build only then, takes long: "}};
    setenv("SSACL_CACHE", "0", 1);
    ssa_set_log(keep, NULL);
    struct ssa_device *device;
    OK(ssa_device_open(&device, "opencl")); /* the loader takes the layer */
    ssa_device_close(device);
    ck_assert(faults_find(&faults));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *said = notes_of(cases[i].rules);
        ck_assert_msg(strstr(said, cases[i].words), "%s: %s", cases[i].rules, said);
        ck_assert_ptr_nonnull(strstr(said, "device opencl:"));
    }
}
END_TEST

int main(void)
{
    return test_run_alone("patience", (const TTest *const[]){said_while_it_lasts, NULL});
}
