/* The engine "mpi": a module of its own, so that the library needs no MPI.
 *
 * MPI's own waiting turns in a loop. Here the thread that waits often shares its core with one that computes, so
 * messages are started, then asked after with pauses between. */
#include "all_reduce.h"
#include "module.h"

#include <mpi.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SPINS = 200, PAUSE = 20000 }; /* tests before the first pause, some 50 us; nanoseconds of a pause */
enum { FAREWELL = 10 };              /* seconds that a failed rank gives the others to come to the same end */
enum { BLOCK = 1 << 30 };            /* bytes of one broadcast */

struct engine {
    struct ssa_ranks ranks; /* first: the table is the engine */
    struct ssa_links links;
    MPI_Comm work, farewell; /* two: the end must not be taken for a message */
    size_t room;             /* of links.scratch */
    int (*fail)(int, const char *);
    int started; /* by us */
};

static int failed(const struct engine *e, const char *call, int code)
{
    char words[MPI_MAX_ERROR_STRING] = "", text[MPI_MAX_ERROR_STRING + 128];
    int length = 0;
    MPI_Error_string(code, words, &length);
    snprintf(text, sizeof text, "ranks: %s on rank %d failed: %s", call, e->ranks.rank, words);
    return e->fail(SSA_EIO, text);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for all of them; `limit` seconds at most where it is positive, then `done` stays 0. Those in which this process was
 * stopped (it did not look for longer than a second) do not count. */
static int await(int count, MPI_Request *requests, double limit, int *done)
{
    double latest = seconds(), waited = 0;
    *done = 0;
    for (int i = 0;; i++) {
        int code = MPI_Testall(count, requests, done, MPI_STATUSES_IGNORE);
        double now = limit > 0 ? seconds() : latest;
        waited += now - latest < 1 ? now - latest : 1;
        latest = now;
        if (code != MPI_SUCCESS || *done || (limit > 0 && waited > limit))
            return code;
        if (i >= SPINS)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE}, NULL);
    }
}

/* ---- the table ---- */

static int exchange(struct ssa_links *links, int to, const float *out, size_t out_count, int from, float *in,
                    size_t in_count)
{
    struct engine *e = (struct engine *)((char *)links - offsetof(struct engine, links));
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    int code = MPI_SUCCESS, done;
    if (in_count)
        code = MPI_Irecv(in, (int)in_count, MPI_FLOAT, from, 0, e->work, &requests[0]);
    if (code == MPI_SUCCESS && out_count)
        code = MPI_Isend(out, (int)out_count, MPI_FLOAT, to, 0, e->work, &requests[1]);
    if (code == MPI_SUCCESS)
        code = await(2, requests, 0, &done);
    return code == MPI_SUCCESS ? SSA_OK : failed(e, "a message of an all-reduce", code);
}

static int all_reduce(struct ssa_ranks *ranks, float *data, size_t count)
{
    struct engine *e = (struct engine *)ranks;
    size_t room = ssa_all_reduce_scratch(ranks->count, count);
    if (room > e->room) {
        free(e->links.scratch);
        e->links.scratch = malloc(room * sizeof *e->links.scratch);
        e->room = e->links.scratch ? room : 0;
    }
    return e->links.scratch ? ssa_all_reduce(&e->links, data, count)
                            : e->fail(SSA_ENOMEM, "ranks: out of host memory for an all-reduce");
}

static int broadcast(struct ssa_ranks *ranks, void *data, size_t bytes, int from)
{
    struct engine *e = (struct engine *)ranks;
    int code = MPI_SUCCESS, done;
    for (size_t at = 0; at < bytes && code == MPI_SUCCESS; at += BLOCK) {
        MPI_Request request;
        int n = (int)(bytes - at < BLOCK ? bytes - at : BLOCK);
        code = MPI_Ibcast((char *)data + at, n, MPI_BYTE, from, e->work, &request);
        if (code == MPI_SUCCESS)
            code = await(1, &request, 0, &done);
    }
    return code == MPI_SUCCESS ? SSA_OK : failed(e, "a broadcast", code);
}

/* ---- begin and end ---- */

static void release(struct engine *e)
{
    if (e->work != MPI_COMM_NULL)
        MPI_Comm_free(&e->work);
    if (e->farewell != MPI_COMM_NULL)
        MPI_Comm_free(&e->farewell);
    if (e->started)
        MPI_Finalize();
    free(e->links.scratch);
    free(e);
}

/* Where all ranks refuse the same thing, each says so and leaves in peace; one that fails alone takes them along. */
static void finish(struct ssa_ranks *ranks, int has_failed)
{
    struct engine *e = (struct engine *)ranks;
    MPI_Request request;
    int done = 0, code = MPI_Ibarrier(e->farewell, &request);
    if (code == MPI_SUCCESS)
        await(1, &request, has_failed ? FAREWELL : 0, &done);
    if (has_failed && !done)
        MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
    release(e);
}

static int start(struct engine *e)
{
    int on = 0, level = 0, code;
    MPI_Initialized(&on);
    if (!on) {
        code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
        if (code != MPI_SUCCESS)
            return failed(e, "MPI_Init_thread", code);
        e->started = 1;
    }
    MPI_Query_thread(&level);
    return level >= MPI_THREAD_SERIALIZED
        ? SSA_OK : e->fail(SSA_EUNSUPPORTED, "ranks: this MPI lets only its first thread call it; ask for "
                           "MPI_THREAD_SERIALIZED in MPI_Init_thread, or use a build of MPI that has it");
}

static int join(struct engine *e)
{
    MPI_Comm here = MPI_COMM_NULL;
    int code = MPI_Comm_dup(MPI_COMM_WORLD, &e->work);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_dup(MPI_COMM_WORLD, &e->farewell);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    if (code != MPI_SUCCESS)
        return failed(e, "setting up communicators", code);
    MPI_Comm_set_errhandler(e->work, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(e->farewell, MPI_ERRORS_RETURN);
    MPI_Comm_rank(e->work, &e->ranks.rank);
    MPI_Comm_size(e->work, &e->ranks.count);
    MPI_Comm_rank(here, &e->ranks.local_rank);
    MPI_Comm_size(here, &e->ranks.local_count);
    MPI_Comm_free(&here);
    e->links.rank = e->ranks.rank;
    e->links.count = e->ranks.count;
    return SSA_OK;
}

int ssa_mpi_open_0(struct ssa_ranks **ranks, int (*fail)(int status, const char *text))
{
    struct engine *e = calloc(1, sizeof *e);
    *ranks = NULL;
    if (!e)
        return fail(SSA_ENOMEM, "ranks: out of host memory");
    e->ranks.all_reduce = all_reduce;
    e->ranks.broadcast = broadcast;
    e->ranks.finish = finish;
    e->links.exchange = exchange;
    e->work = e->farewell = MPI_COMM_NULL;
    e->fail = fail;
    int err = start(e);
    err = err ? err : join(e);
    if (err)
        release(e);
    else
        *ranks = &e->ranks;
    return err;
}
