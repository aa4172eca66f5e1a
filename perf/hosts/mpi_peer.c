// Times a collective of an MPI library between the ranks that mpirun started: what peer_timing.h says, and
//   --rank R    which it will be: the process is pinned before MPI starts threads
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "perf/hosts/peer_timing.h"

static void prepare(struct Call* call) { (void)call; }

static void run(const struct Call* call) {
    const int count = (int)call->count;
    switch (call->collective) {
        case all_reduce:
            MPI_Allreduce(call->input, call->output, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            break;
        case all_gather:
            MPI_Allgather(call->input, count, MPI_FLOAT, call->output, count, MPI_FLOAT, MPI_COMM_WORLD);
            break;
        case reduce_scatter:
            MPI_Reduce_scatter_block(call->input, call->output, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            break;
        case all_to_all:
            MPI_Alltoall(call->input, count, MPI_FLOAT, call->output, count, MPI_FLOAT, MPI_COMM_WORLD);
            break;
        case broadcast:
            MPI_Bcast(call->output, count, MPI_FLOAT, 0, MPI_COMM_WORLD);
            break;
        default:
            MPI_Barrier(MPI_COMM_WORLD);
    }
}

static void wait_for_all(void) { MPI_Barrier(MPI_COMM_WORLD); }

static double slowest(double seconds) {
    double all = 0;
    MPI_Allreduce(&seconds, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

int main(int argc, char** argv) {
    pin_to_core_of(atoi(take_option(&argc, argv, "--rank", "0")));
    MPI_Init(&argc, &argv);
    const struct Request request = read_request(argc, argv);
    int rank = 0, rank_count = 1, length = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &rank_count);
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    MPI_Get_library_version(version, &length);
    version[strcspn(version, ",\n\"")] = '\0';
    const struct Peer peer = {"openmpi", version, prepare, run, wait_for_all, slowest};
    time_peer(&peer, &request, rank, rank_count);
    MPI_Finalize();
    return 0;
}
