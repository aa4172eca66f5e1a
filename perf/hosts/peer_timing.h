// What the programs that time peers share: arguments, tenon-perf's method (perf/README.md), the data and its check.
//
// A program describes a library by a Peer and hands it to time_peer, which prints a line of JSON for each size on rank
// 0. Whatever goes wrong is said on stderr and ends the process with status 1. One thread.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum Collective { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, barrier, collective_count };

struct Call {
    enum Collective collective;
    int rank, rank_count;
    size_t bytes;   // as nccl-tests counts them
    size_t count;   // floats in the buffer, or in a rank's block of it
    float* input;   // a broadcast works on `output` alone, with rank 0 as the root
    float* output;  // `prepare` sets it to `input` where the library leaves its result there
};

struct Peer {
    const char* name;
    const char* version;
    void (*prepare)(struct Call* call);  // once for each size, untimed
    void (*run)(const struct Call* call);
    void (*barrier)(void);
    double (*slowest)(double seconds);  // the largest of all ranks' numbers
};

struct Batches {
    int count;
    double batch_s;
};

struct Request {
    enum Collective collective;
    size_t sizes[64];
    int size_count;
    struct Batches batches;
};

// Removes `name` and the word behind it from the arguments; `otherwise` where it is not there.
const char* take_option(int* argc, char** argv, const char* name, const char* otherwise);

// [--batches N] [--batch-ms T], which are removed.
struct Batches take_batches(int* argc, char** argv);

// COLLECTIVE [--sizes BYTES,BYTES] [--batches N] [--batch-ms T], after a program's own options were taken.
struct Request read_request(int argc, char** argv);

// To core `rank` modulo the cores; threads that are started later inherit it.
void pin_to_core_of(int rank);

// Of calls of run(what): microseconds per call, the slowest rank's, the median and the least of the batches, and how
// many calls a batch has.
struct Times {
    double median_us, least_us;
    int calls;
};
struct Times time_calls(const struct Peer* peer, const struct Batches* batches, void (*run)(void* what),
                        void* what);

void time_peer(const struct Peer* peer, const struct Request* request, int rank, int rank_count);

#ifdef __cplusplus
}
#endif
