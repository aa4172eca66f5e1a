#define _GNU_SOURCE
#include "perf/hosts/peer_timing.h"

#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char* const names[collective_count] = {"all_reduce", "all_gather", "reduce_scatter",
                                                    "all_to_all", "broadcast",  "barrier"};

// As in perf/timing.cpp.
enum { most_batches = 1000, most_calls = 200000, fewest_batches = 3 };
static const double known_s = 0.3, row_s = 3;

__attribute__((format(printf, 1, 2), noreturn)) static void stop(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

const char* take_option(int* argc, char** argv, const char* name, const char* otherwise) {
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], name)) continue;
        const char* value = argv[i + 1];
        memmove(argv + i, argv + i + 2, (size_t)(*argc - i - 1) * sizeof *argv);  // with the null behind the last
        *argc -= 2;
        return value;
    }
    return otherwise;
}

struct Batches take_batches(int* argc, char** argv) {
    const struct Batches batches = {.count = atoi(take_option(argc, argv, "--batches", "7")),
                                    .batch_s = atof(take_option(argc, argv, "--batch-ms", "30")) * 1e-3};
    if (batches.count < 1 || batches.count > most_batches)
        stop("%s: --batches must be from 1 to %d", argv[0], most_batches);
    return batches;
}

struct Request read_request(int argc, char** argv) {
    struct Request request = {.collective = collective_count};
    const char* sizes = take_option(&argc, argv, "--sizes", "8");
    request.batches = take_batches(&argc, argv);
    for (int i = 0; argc == 2 && i < collective_count; i++)
        if (!strcmp(argv[1], names[i])) request.collective = (enum Collective)i;
    const int room = sizeof request.sizes / sizeof *request.sizes;
    for (char* end = (char*)sizes; *end && request.size_count < room; end += *end == ',') {
        const char* start = end;
        request.sizes[request.size_count++] = strtoull(start, &end, 10);
        if (end == start) stop("%s: '%s' is no list of sizes in bytes", argv[0], sizes);
    }
    if (request.collective == collective_count)
        stop("usage: %s COLLECTIVE [--sizes BYTES,BYTES] [--batches N] [--batch-ms T]", argv[0]);
    return request;
}

void pin_to_core_of(int rank) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)(rank % (cores > 0 ? cores : 1)), &set);
    sched_setaffinity(0, sizeof set, &set);
}

// Small integers: their sums are exact in any order.
static float value_of(int rank, size_t i) { return (float)((i * 7 + (size_t)rank * 3) % 29); }

static bool has_one_buffer(enum Collective collective) { return collective == all_reduce || collective == broadcast; }

static struct Call make_call(enum Collective collective, size_t bytes, int rank, int rank_count) {
    struct Call call = {.collective = collective, .rank = rank, .rank_count = rank_count};
    if (collective == barrier) return call;
    const size_t blocks = has_one_buffer(collective) ? 1 : (size_t)rank_count;
    call.count = bytes / sizeof(float) / blocks;
    if (call.count == 0) call.count = 1;
    call.bytes = call.count * blocks * sizeof(float);
    // Aligned alike for every library.
    if (posix_memalign((void**)&call.input, (size_t)2 << 20, call.bytes) ||
        posix_memalign((void**)&call.output, (size_t)2 << 20, call.bytes))
        stop("no memory for buffers of %zu bytes", call.bytes);
    memset(call.input, 0, call.bytes);
    memset(call.output, 0, call.bytes);
    return call;
}

static void fill(const struct Call* call) {
    const size_t floats = call->bytes / sizeof(float);
    float* data = call->collective == broadcast ? call->output : call->input;
    for (size_t i = 0; i < floats; i++) data[i] = value_of(call->rank, i);
}

// What element i of the output must be.
static float result_of(const struct Call* call, size_t i) {
    const size_t own = call->count * (size_t)call->rank;
    switch (call->collective) {
        case all_gather:
            return value_of((int)(i / call->count), i % call->count);
        case all_to_all:
            return value_of((int)(i / call->count), own + i % call->count);
        case broadcast:
            return value_of(0, i);
        default: {
            float sum = 0;
            const size_t first = call->collective == reduce_scatter ? own : 0;
            for (int from = 0; from < call->rank_count; from++) sum += value_of(from, first + i);
            return sum;
        }
    }
}

static void check(const struct Peer* peer, const struct Call* call) {
    if (call->collective == barrier) return;
    memset(call->output, 0xee, call->bytes);
    fill(call);
    peer->barrier();
    peer->run(call);
    const size_t floats = call->collective == reduce_scatter ? call->count : call->bytes / sizeof(float);
    for (size_t i = 0; i < floats; i++)
        if (call->output[i] != result_of(call, i))
            stop("%s: %s of %zu bytes, rank %d: element %zu is %g, not %g", peer->name, names[call->collective],
                 call->bytes, call->rank, i, (double)call->output[i], (double)result_of(call, i));
}

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

struct Repeated {
    const struct Peer* peer;
    void (*run)(void* what);
    void* what;
};

// Seconds per call, the slowest rank's.
static double batch(const struct Repeated* call, int calls) {
    call->peer->barrier();
    const double start = now_s();
    for (int i = 0; i < calls; i++) call->run(call->what);
    return call->peer->slowest((now_s() - start) / calls);
}

static int calls_in_batch(const struct Batches* batches, double call_s) {
    const double calls = batches->batch_s / call_s;
    return calls < 1 ? 1 : calls > most_calls ? most_calls : (int)calls;
}

static double warm_up(const struct Batches* batches, const struct Repeated* call) {
    double call_s = batch(call, 1);
    for (int i = 0; i < 3 && call_s < known_s; i++) {
        const int calls = calls_in_batch(batches, call_s) / 2;
        call_s = batch(call, calls > 1 ? calls : 1);
    }
    return call_s;
}

static int is_greater(const void* a, const void* b) {
    return (*(const double*)a > *(const double*)b) - (*(const double*)a < *(const double*)b);
}

struct Times time_calls(const struct Peer* peer, const struct Batches* batches, void (*run)(void* what),
                        void* what) {
    const struct Repeated call = {peer, run, what};
    const double estimate_s = warm_up(batches, &call);
    const int calls = calls_in_batch(batches, estimate_s);
    const double fitting = row_s / (estimate_s * calls);
    int count = batches->count;
    if (fitting < count) count = fitting > fewest_batches ? (int)fitting : fewest_batches;
    double times_us[most_batches];
    for (int i = 0; i < count; i++) times_us[i] = 1e6 * batch(&call, calls);
    qsort(times_us, (size_t)count, sizeof *times_us, is_greater);
    return (struct Times){(times_us[count / 2] + times_us[(count - 1) / 2]) / 2, times_us[0], calls};
}

struct PeerCall {
    const struct Peer* peer;
    const struct Call* call;
};

static void run_peer(void* what) {
    const struct PeerCall* of = what;
    of->peer->run(of->call);
}

static void time_size(const struct Peer* peer, const struct Request* request, struct Call* call) {
    const bool is_in_place = call->collective == broadcast || (call->bytes && call->output == call->input);
    check(peer, call);
    struct PeerCall what = {peer, call};
    const struct Times times = time_calls(peer, &request->batches, run_peer, &what);
    check(peer, call);
    if (call->rank != 0) return;
    printf(
        "{\"peer\":\"%s\",\"version\":\"%s\",\"collective\":\"%s\",\"ranks\":%d,\"bytes\":%zu,\"inplace\":%s,"
        "\"us_median\":%.4g,\"us_min\":%.4g,\"calls\":%d}\n",
        peer->name, peer->version, names[call->collective], call->rank_count, call->bytes,
        is_in_place ? "true" : "false", times.median_us, times.least_us, times.calls);
    fflush(stdout);
}

void time_peer(const struct Peer* peer, const struct Request* request, int rank, int rank_count) {
    size_t last = (size_t)-1;
    for (int i = 0; i < request->size_count; i++) {
        struct Call call = make_call(request->collective, request->sizes[i], rank, rank_count);
        float *const input = call.input, *const output = call.output;
        if (call.bytes != last) {  // sizes that were raised may have become the same
            peer->prepare(&call);
            time_size(peer, request, &call);
        }
        last = call.bytes;
        free(input);
        free(output);
    }
}
