// What a collective between two ranks takes where nothing but a TCP socket is used: each sends the other what it needs,
// and looks for what comes until it is there. Of few bytes, no library can be quicker. What peer_timing.h says, and
//   --rank R --address A   which it is, and where rank 0 waits for the other, on port 29501
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perf/hosts/peer_timing.h"

enum { port = 29501, waited_for_s = 20, tries_a_second = 100 };
static int other = -1;
static float* arrived = NULL;

static void stop(const char* what) {
    fprintf(stderr, "sockets_peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void exchange(const void* out, size_t out_bytes, void* in, size_t in_bytes) {
    const char* to_send = out;
    char* place = in;
    while (out_bytes || in_bytes) {
        const ssize_t sent = out_bytes ? send(other, to_send, out_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        if (sent < 0 && errno != EAGAIN) stop("send");
        if (sent > 0) to_send += sent, out_bytes -= (size_t)sent;
        const ssize_t got = in_bytes ? recv(other, place, in_bytes, MSG_DONTWAIT) : 0;
        if (in_bytes && got == 0) errno = ECONNRESET;
        if (in_bytes && got <= 0 && errno != EAGAIN) stop("recv");
        if (got > 0) place += got, in_bytes -= (size_t)got;
    }
}

static void prepare(struct Call* call) {
    free(arrived);
    arrived = malloc(call->bytes + 1);
    if (!arrived) stop("malloc");
}

static void add(const struct Call* call, const float* own) {
    for (size_t i = 0; i < call->count; i++) call->output[i] = own[i] + arrived[i];
}

static void run(const struct Call* call) {
    const size_t block = call->count * sizeof(float);
    float* const own_in = call->input + (size_t)call->rank * call->count;
    float* const others_in = call->input + (size_t)!call->rank * call->count;
    float* const own_out = call->output + (size_t)call->rank * call->count;
    float* const others_out = call->output + (size_t)!call->rank * call->count;
    char word = 0;
    switch (call->collective) {
        case all_reduce:
            exchange(call->input, block, arrived, block);
            add(call, call->input);
            break;
        case all_gather:
            exchange(call->input, block, others_out, block);
            memcpy(own_out, call->input, block);
            break;
        case reduce_scatter:
            exchange(others_in, block, arrived, block);
            add(call, own_in);
            break;
        case all_to_all:
            exchange(others_in, block, others_out, block);
            memcpy(own_out, own_in, block);
            break;
        case broadcast:
            exchange(call->output, call->rank ? 0 : block, call->output, call->rank ? block : 0);
            break;
        default:
            exchange(&word, 1, &word, 1);
    }
}

static void wait_for_all(void) {
    char own = 0, theirs = 0;
    exchange(&own, 1, &theirs, 1);
}

static double slowest(double seconds) {
    double theirs = 0;
    exchange(&seconds, sizeof seconds, &theirs, sizeof theirs);
    return theirs > seconds ? theirs : seconds;
}

static int new_socket(void) {
    const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0) stop("socket");
    return made;
}

static int accept_at(const struct sockaddr* address, socklen_t bytes) {
    const int door = new_socket(), yes = 1;
    const struct timeval patience = {.tv_sec = waited_for_s};
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(door, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);  // of accept(), too
    if (bind(door, address, bytes) || listen(door, 1)) stop("bind");
    const int joined = accept(door, NULL, NULL);
    close(door);
    return joined;
}

static int connect_to(const struct sockaddr* address, socklen_t bytes) {
    const struct timespec between = {.tv_nsec = 1000000000 / tries_a_second};
    for (int i = 0; i < waited_for_s * tries_a_second; i++) {
        const int joined = new_socket();
        if (!connect(joined, address, bytes)) return joined;
        close(joined);
        nanosleep(&between, NULL);
    }
    return -1;
}

int main(int argc, char** argv) {
    const int rank = atoi(take_option(&argc, argv, "--rank", "0")), yes = 1;
    struct sockaddr_in first = {.sin_family = AF_INET, .sin_port = htons(port)};
    errno = EINVAL;
    if (inet_pton(AF_INET, take_option(&argc, argv, "--address", "127.0.0.1"), &first.sin_addr) != 1) stop("--address");
    const struct Request request = read_request(argc, argv);
    pin_to_core_of(rank);
    const struct sockaddr* const address = (const struct sockaddr*)&first;
    other = rank ? connect_to(address, sizeof first) : accept_at(address, sizeof first);
    if (other < 0) stop("the other rank");
    if (setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes)) stop("TCP_NODELAY");
    const struct Peer peer = {"sockets", "of Linux", prepare, run, wait_for_all, slowest};
    time_peer(&peer, &request, rank, 2);
    return 0;
}
