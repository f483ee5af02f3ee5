/* CLBlast, for GPUs: the one file that knows it. It is looked for at run time; without it our own kernels serve.
 *
 * On CPU devices it is never used: its defaults reach 6-12% of PoCL's peak, our tile 90%. CLBlast 1.5.3 fills its
 * database unguarded on first use, so calls from several devices' threads go through one lock. */
#define _GNU_SOURCE
#include "ocl.h"
#include "tune/verify.h"

#include <clblast_c.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __typeof__(CLBlastSgemm) *sgemm;
static __typeof__(CLBlastClearCache) *clear_cache;
static bool looked;
static char identity[512]; /* of the library file: it does not tell its version */

static void look_up(void)
{
    const char *chosen = ssa_environment("SSACL_CLBLAST_LIBRARY"); /* "" for none */
    void *library = dlopen(chosen ? chosen : "libclblast.so.1", RTLD_NOW | RTLD_LOCAL);
    looked = true;
    if (library && (!chosen || *chosen)) {
        *(void **)&sgemm = dlsym(library, "CLBlastSgemm");
        *(void **)&clear_cache = dlsym(library, "CLBlastClearCache");
    }
    Dl_info where;
    struct stat file;
    if (sgemm && dladdr(*(void **)&sgemm, &where) && !stat(where.dli_fname, &file))
        snprintf(identity, sizeof identity, "%s, %lld bytes, changed %lld", where.dli_fname, (long long)file.st_size,
                 (long long)file.st_mtime);
    if (!sgemm)
        ssa_log(SSA_LOG_INFO, "CLBlast (libclblast.so.1) not found: our own GEMM kernels serve");
}

int ssa_ocl_gemm(struct ssa_device *device, const struct ssa_gemm *g)
{
    struct ocl_device *d = ocl(device);
    if (!device->info.gpu_shape || d->no_library_gemm || d->out_of_order)
        return SSA_EUNSUPPORTED;
    pthread_mutex_lock(&lock);
    if (!looked)
        look_up();
    pthread_mutex_unlock(&lock);
    if (!sgemm || !ssa_gemm_trusted(device, g, "CLBlast", identity, "our own GEMM kernel"))
        return SSA_EUNSUPPORTED;
    struct ocl_watch *watch = d->library_called ? NULL : ssa_ocl_watch(d, "building CLBlast's kernels");
    d->library_called = true;
    pthread_mutex_lock(&lock);
    CLBlastStatusCode code = sgemm(CLBlastLayoutRowMajor, g->trans_a ? CLBlastTransposeYes : CLBlastTransposeNo,
                                   g->trans_b ? CLBlastTransposeYes : CLBlastTransposeNo, (size_t)g->m, (size_t)g->n,
                                   (size_t)g->k, 1.0f, ocl_memory(g->a), g->a.offset, (size_t)g->lda,
                                   ocl_memory(g->b), g->b.offset, (size_t)g->ldb, g->accumulate ? 1.0f : 0.0f,
                                   ocl_memory(g->c), g->c.offset, (size_t)g->ldc, &d->queue, NULL);
    pthread_mutex_unlock(&lock);
    ssa_ocl_watch_end(watch);
    if (code == CLBlastSuccess) {
        if (!*device->path.way)
            snprintf(device->path.way, sizeof device->path.way, "CLBlast");
        return SSA_OK;
    }
    if (device->trial)
        return ssa_fail(SSA_EDEVICE, "CLBlastSgemm(%d, %d, %d) fails with %d", g->m, g->n, g->k, (int)code);
    ssa_log(SSA_LOG_WARNING, "CLBlastSgemm(%d, %d, %d) failed with %d on %s: our own GEMM kernels serve", g->m, g->n,
            g->k, (int)code, device->info.name);
    d->no_library_gemm = true;
    return SSA_EUNSUPPORTED;
}

void ssa_ocl_gemm_forget(struct ocl_device *d)
{
    (void)d;
    pthread_mutex_lock(&lock); /* its programs hold references to our context */
    if (clear_cache)
        clear_cache();
    pthread_mutex_unlock(&lock);
}
