/*
 * Stands in for NCCL where there is no GPU: the same functions over memory of the host, by MPI, which the process has
 * started. What it is given is checked as NCCL would need it: one identifier for all, a communicator that it made, sums of
 * floats, calls within a group.
 */
#include <mpi.h>
#include <stddef.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { char internal[128]; } ncclUniqueId;
typedef struct { int magic, ranks, rank; } Comm;

enum { OK = 0, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, FLOAT = 7, SUM = 0, MAGIC = 0x6e63636c };

static int group;

const char *ncclGetErrorString(int code) {
  return code == OK ? "no error" : code == INVALID_ARGUMENT ? "invalid argument" : "invalid usage";
}

int ncclGetUniqueId(ncclUniqueId *id) {
  for (int i = 0; i < 128; i++) id->internal[i] = (char)(i * 37 + 11);
  return OK;
}

int ncclCommInitRank(Comm **comm, int ranks, ncclUniqueId id, int rank) {
  int size, own;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_rank(MPI_COMM_WORLD, &own);
  if (size != ranks || own != rank) return INVALID_ARGUMENT;
  for (int i = 0; i < 128; i++) if (id.internal[i] != (char)(i * 37 + 11)) return INVALID_ARGUMENT;
  *comm = malloc(sizeof(Comm));
  **comm = (Comm){MAGIC, ranks, rank};
  return OK;
}

int ncclGroupStart(void) { return group++ ? INVALID_USAGE : OK; }

int ncclGroupEnd(void) {
  const char *log = getenv("NCCL_STAND_IN_LOG");
  if (log) {
    FILE *file = fopen(log, "a");
    if (file) { fputs("group\n", file); fclose(file); }
  }
  return --group ? INVALID_USAGE : OK;
}

static int sound(const Comm *comm, int type, int root) {
  return comm && comm->magic == MAGIC && type == FLOAT && root >= 0 && root < comm->ranks && group == 1;
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, Comm *comm, void *stream) {
  if (!sound(comm, type, 0) || op != SUM || from != to || stream) return INVALID_ARGUMENT;
  return MPI_Allreduce(MPI_IN_PLACE, to, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

int ncclReduce(const void *from, void *to, size_t count, int type, int op, int root, Comm *comm, void *stream) {
  if (!sound(comm, type, root) || op != SUM || stream) return INVALID_ARGUMENT;
  /* Not in place: MPICH 4.0 crashes then where the root is not rank 0. */
  float *sums = malloc(count * sizeof(float));
  int code = MPI_Reduce(from, sums, (int)count, MPI_FLOAT, MPI_SUM, root, MPI_COMM_WORLD);
  if (comm->rank == root) memcpy(to, sums, count * sizeof(float));
  free(sums);
  return code;
}

int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, Comm *comm, void *stream) {
  if (!sound(comm, type, root) || from != to || stream) return INVALID_ARGUMENT;
  return MPI_Bcast(to, (int)count, MPI_FLOAT, root, MPI_COMM_WORLD);
}
