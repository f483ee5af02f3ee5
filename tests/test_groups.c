/* What a driver is asked for where a launch leaves the size of its work-groups open. */
#define SSA_CL_NO_NAMES
#include "harness.h"
#include "ocl/cl.h"

static size_t asked; /* by the last launch; 0: the driver's choice */

/* In place of the driver's, which would compile the kernel. */
static cl_int CL_API_CALL launched(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
                                   const size_t *global, const size_t *local, cl_uint waits, const cl_event *wait,
                                   cl_event *event)
{
    (void)queue, (void)kernel, (void)dimensions, (void)offset, (void)waits, (void)wait, (void)event;
    asked = local ? local[0] : 0;
    ck_assert(!asked || global[0] % asked == 0);
    return CL_SUCCESS;
}

/* A driver of CPUs compiles a kernel for every size of group, and puts a group on one core. */
START_TEST(few_and_small_on_processors)
{
    enum { WIDTH = 136, MOST = 4096 }; /* of narrower rows several are one work-item */
    FOR_DEVICES (dev) {
        if (dev->info.kind != SSA_DEVICE_CPU || dev->info.gpu_shape)
            continue;
        struct ssa_tensor x = test_new(dev, MOST * WIDTH), y = test_new(dev, MOST * WIDTH);
        const struct ssa_cl_table real = ssa_cl;
        bool seen[9] = {false};
        ssa_cl.clEnqueueNDRangeKernel = launched;
        for (int rows = MOST; rows > MOST - 100; rows -= 3) {
            int err = ssa_norm_fwd(dev, &(struct ssa_norm_fwd){.x = x, .y = y, .rows = rows, .width = WIDTH});
            ck_assert_msg(!err && asked && asked <= 8, "%d rows in groups of %zu", rows, asked);
            seen[asked] = true;
        }
        ssa_cl = real;
        ck_assert(seen[1] && seen[2] && seen[4] && seen[8]);
        ck_assert(!seen[3] && !seen[5] && !seen[6] && !seen[7]);
        test_free(x, MOST * WIDTH);
        test_free(y, MOST * WIDTH);
    }
}
END_TEST

int main(void)
{
    return test_run("groups", (const TTest *const[]){few_and_small_on_processors, NULL});
}
