/* A program outside the tree: linked with the installed library through pkg-config, as a user would. */
#include <ssacl/ssacl.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct ssa_device *device = NULL;
    struct ssa_buffer *b = NULL;
    struct ssa_plan plan = {0};
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    int ok = !ssa_device_open(&device, "cpu") && !ssa_buffer_create(&b, device, 8 * sizeof(float));
    struct ssa_tensor t = ssa_tensor_at(b, 0);
    ok = ok && !ssa_tensor_write(t, x, 8) &&
         !ssa_add(device, &(struct ssa_add){.x = t, .y = t, .out = t, .count = 8}) && !ssa_tensor_read(t, x, 8) &&
         x[0] == 2 && x[7] == 16;
    ok = ok && !ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = 8, .keys = 4});
    char header[32];
    snprintf(header, sizeof header, "%d.%d.%d", SSA_VERSION_MAJOR, SSA_VERSION_MINOR, SSA_VERSION_PATCH);
    if (strcmp(header, ssa_version()) || SSA_VERSION != ssa_version_number())
        return fprintf(stderr, "the header is of %s, the library of %s\n", header, ssa_version()), 1;
    if (!ok)
        fprintf(stderr, "%s\n", ssa_last_error());
    else
        printf("%s\n", ssa_version());
    ssa_plan_finish(&plan);
    ssa_buffer_destroy(b);
    ssa_device_close(device);
    return !ok;
}
