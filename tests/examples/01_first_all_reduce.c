/* The first all-reduce, in C: four processes, each with its own numbers, end with the sum of all of them.
 *
 * Rank 0 makes the unique id and gives it to the others, here through pipes that the processes inherit; MPI, a file or
 * a socket would do as well. With the id in hand every rank joins, calls, and leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <tenon/tenon.h>
#include <unistd.h>

enum { ranks = 4, count = 1000 };

static void check(const char* call, tenonResult_t result) {
    if (result == tenonSuccess) return;
    fprintf(stderr, "%s: %s: %s\n", call, tenonGetErrorString(result), tenonGetLastError(NULL));
    exit(1);
}

static void run_rank(int rank, tenonUniqueId id) {
    tenonComm_t comm;
    check("tenonCommInitRank", tenonCommInitRank(&comm, ranks, id, rank));

    float mine[count], sum[count];
    for (int i = 0; i < count; i++) mine[i] = (float)(rank * count + i);

    /* No stream: the call has completed when it returns. */
    check("tenonAllReduce", tenonAllReduce(mine, sum, count, tenonFloat32, tenonSum, comm, NULL));

    const char *algorithm, *transport;
    check("tenonCommAlgorithm",
          tenonCommAlgorithm(comm, tenonCollectiveAllReduce, count, tenonFloat32, tenonSum, &algorithm));
    check("tenonCommTransport", tenonCommTransport(comm, (rank + 1) % ranks, &transport));
    printf("rank %d: sum[1] is %g, by %s over %s\n", rank, sum[1], algorithm, transport);

    for (int i = 0; i < count; i++)
        if (sum[i] != (float)(ranks * (ranks - 1) / 2 * count + ranks * i)) {
            fprintf(stderr, "rank %d: sum[%d] is wrong: %g\n", rank, i, sum[i]);
            exit(1);
        }
    check("tenonCommDestroy", tenonCommDestroy(comm));
}

int main(void) {
    int pipes[ranks][2]; /* to each rank, from rank 0 */
    for (int rank = 0; rank < ranks; rank++)
        if (pipe(pipes[rank]) != 0) return perror("pipe"), 1;

    for (int rank = 0; rank < ranks; rank++) {
        pid_t child = fork();
        if (child < 0) return perror("fork"), 1;
        if (child > 0) continue;

        tenonUniqueId id;
        if (rank == 0) {
            check("tenonGetUniqueId", tenonGetUniqueId(&id));
            for (int other = 1; other < ranks; other++)
                if (write(pipes[other][1], &id, sizeof id) != sizeof id) return perror("write"), 1;
        }
        for (int other = 0; other < ranks; other++) close(pipes[other][1]);
        if (rank != 0 && read(pipes[rank][0], &id, sizeof id) != sizeof id) return 1; /* rank 0 has said why */
        run_rank(rank, id);
        return 0;
    }

    for (int rank = 0; rank < ranks; rank++) close(pipes[rank][1]);
    int failures = 0;
    for (int rank = 0; rank < ranks; rank++) {
        int status;
        if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) failures++;
    }
    return failures > 0;
}
