/* Ranks, as threads of one process: the all-reduce; then what the trainer does with them. */
#include "golden.h"
#include "ssacl/ranks.h"
#include "ssacl/train.h"
#include "team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the sum ---- */

static float value(int rank, size_t i)
{
    return (float)golden_value((uint32_t)rank, (uint32_t)i) * (float)(1 << i % 9);
}

static float tree(int begin, int end, size_t i)
{
    int half = 1;
    if (end - begin == 1)
        return value(begin, i);
    while (2 * half < end - begin)
        half *= 2;
    return tree(begin, begin + half, i) + tree(begin + half, end, i);
}

static void sum(struct ssa_ranks *ranks, void *cookie)
{
    size_t count = *(const size_t *)cookie;
    float *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = value(ranks->rank, i);
    x[count] = 7;
    OK(ranks->all_reduce(ranks, x, count));
    for (size_t i = 0; i < count; i++) {
        float want = tree(0, ranks->count, i);
        ck_assert_msg(!memcmp(&x[i], &want, sizeof want), "%d ranks, rank %d, %zu of %zu: %.9g, should be %.9g",
                      ranks->count, ranks->rank, i, count, (double)x[i], (double)want);
    }
    ck_assert(x[count] == 7);
    free(x);
}

START_TEST(sums_along_the_tree)
{
    static const size_t counts[] = {0, 1, 2, 3, 15, 16, 1000, 1005, 4001};
    for (int ranks = 1; ranks <= TEAM_MAX; ranks++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            team_run(ranks, sum, (void *)&counts[i]);
}
END_TEST

/* ---- opening ---- */

START_TEST(refuses_to_open)
{
    struct ssa_ranks *ranks;
    FAILS(ssa_ranks_open(&ranks, NULL), SSA_EINVAL, "engine is \"NULL\", there is \"mpi\"");
    FAILS(ssa_ranks_open(&ranks, "gossip"), SSA_EINVAL, "engine is \"gossip\"");
    ck_assert_ptr_null(ranks);
    setenv("SSACL_MPI_LIBRARY", "", 1);
    FAILS(ssa_ranks_open(&ranks, "mpi"), SSA_EUNSUPPORTED, "$SSACL_MPI_LIBRARY names none");
    setenv("SSACL_MPI_LIBRARY", "/nowhere.so", 1);
    FAILS(ssa_ranks_open(&ranks, "mpi"), SSA_EUNSUPPORTED, "-Dmpi=enabled");
    ck_assert_ptr_null(ranks);
    unsetenv("SSACL_MPI_LIBRARY");
    ssa_ranks_close(NULL, 0);
}
END_TEST

START_TEST(knows_its_launcher)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (int i = 0; i < 3; i++)
        unsetenv(names[i]);
    ck_assert_int_eq(ssa_ranks_launched(), 1);
    for (int i = 0; i < 3; i++) {
        setenv(names[i], "4", 1);
        ck_assert_int_eq(ssa_ranks_launched(), 4);
        setenv(names[i], "many", 1);
        ck_assert_int_eq(ssa_ranks_launched(), 1);
        unsetenv(names[i]);
    }
}
END_TEST

int main(void)
{
    return test_run("ranks", (const TTest *const[]){sums_along_the_tree, refuses_to_open, knows_its_launcher, NULL});
}
