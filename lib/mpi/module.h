/* What the library knows of its module for MPI: a file name and one symbol. The module needs nothing of the library, so
 * it serves programs that link it statically too. */
#ifndef SSA_MPI_MODULE_H
#define SSA_MPI_MODULE_H

#include "ssacl/ranks.h"

#define SSA_MPI_MODULE "libssacl-mpi.so"
#define SSA_MPI_OPEN "ssa_mpi_open_0" /* of the library's soname */

/* `fail` is ssa_ranks_fail(). */
typedef int (*ssa_mpi_open_function)(struct ssa_ranks **ranks, int (*fail)(int status, const char *text));
SSA_API int ssa_mpi_open_0(struct ssa_ranks **ranks, int (*fail)(int status, const char *text));

#endif
