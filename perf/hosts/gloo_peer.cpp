// Times a collective of Gloo over TCP: what peer_timing.h says, and
//   --rank R --ranks N    which of how many processes this is
//   --address A           of the host it runs on
//   --store FOLDER        empty, and seen by all ranks: there they leave their addresses
//   --algorithm NAME      of the all-reduce: ring (Gloo's own choice), bcube or halving_doubling
#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/allreduce_halving_doubling.h>
#include <gloo/alltoall.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/config.h>
#include <gloo/math.h>
#include <gloo/reduce_scatter.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "perf/hosts/peer_timing.h"

namespace {

std::shared_ptr<gloo::rendezvous::Context> context;
std::string algorithm;
std::function<void()> timed_call;

// Options and algorithm objects are made once for each size: they only hold the buffers.
template <class Options>
std::function<void()> repeated(void (*call)(Options&), std::shared_ptr<Options> options) {
    return [=] { call(*options); };
}

std::function<void()> make_all_reduce(const Call& call) {
    auto options = std::make_shared<gloo::AllreduceOptions>(context);
    options->setAlgorithm(algorithm == "bcube" ? gloo::AllreduceOptions::Algorithm::BCUBE
                                               : gloo::AllreduceOptions::Algorithm::RING);
    options->setInput(call.input, call.count);
    options->setOutput(call.output, call.count);
    options->setReduceFunction(static_cast<void (*)(void*, const void*, const void*, std::size_t)>(&gloo::sum<float>));
    return [=] { gloo::allreduce(*options); };
}

template <class Algorithm>
std::function<void()> repeated_in_place(Call& call, std::shared_ptr<Algorithm> made) {
    call.output = call.input;
    return [=] { made->run(); };
}

std::function<void()> make_call(Call& call) {
    const std::size_t all = call.count * static_cast<std::size_t>(call.rank_count);
    switch (call.collective) {
        case all_reduce:
            if (algorithm != "halving_doubling") return make_all_reduce(call);
            return repeated_in_place(call, std::make_shared<gloo::AllreduceHalvingDoubling<float>>(
                                               context, std::vector{call.input}, static_cast<int>(call.count)));
        case reduce_scatter:
            return repeated_in_place(
                call, std::make_shared<gloo::ReduceScatterHalvingDoubling<float>>(
                          context, std::vector{call.input}, static_cast<int>(all),
                          std::vector<int>(static_cast<std::size_t>(call.rank_count), static_cast<int>(call.count))));
        case all_gather: {
            auto options = std::make_shared<gloo::AllgatherOptions>(context);
            options->setInput(call.input, call.count);
            options->setOutput(call.output, all);
            return repeated(gloo::allgather, options);
        }
        case all_to_all: {
            auto options = std::make_shared<gloo::AlltoallOptions>(context);
            options->setInput(call.input, all);
            options->setOutput(call.output, all);
            return repeated(gloo::alltoall, options);
        }
        case broadcast: {
            auto options = std::make_shared<gloo::BroadcastOptions>(context);
            options->setOutput(call.output, call.count);
            options->setRoot(0);
            return repeated(gloo::broadcast, options);
        }
        default:
            return repeated(gloo::barrier, std::make_shared<gloo::BarrierOptions>(context));
    }
}

void wait_for_all() {
    gloo::BarrierOptions options(context);
    gloo::barrier(options);
}

double slowest(double seconds) {
    gloo::AllreduceOptions options(context);
    options.setOutput(&seconds, 1);
    options.setReduceFunction(static_cast<void (*)(void*, const void*, const void*, std::size_t)>(&gloo::max<double>));
    gloo::allreduce(options);
    return seconds;
}

}  // namespace

int main(int argc, char** argv) try {
    const int rank = std::atoi(take_option(&argc, argv, "--rank", "0"));
    const int rank_count = std::atoi(take_option(&argc, argv, "--ranks", "1"));
    gloo::transport::tcp::attr address(take_option(&argc, argv, "--address", "127.0.0.1"));
    gloo::rendezvous::FileStore store(take_option(&argc, argv, "--store", "."));
    algorithm = take_option(&argc, argv, "--algorithm", "ring");
    const Request request = read_request(argc, argv);
    pin_to_core_of(rank);
    auto device = gloo::transport::tcp::CreateDevice(address);
    context = std::make_shared<gloo::rendezvous::Context>(rank, rank_count);
    context->connectFullMesh(store, device);
    const std::string version = std::to_string(GLOO_VERSION_MAJOR) + "." + std::to_string(GLOO_VERSION_MINOR) + "." +
                                std::to_string(GLOO_VERSION_PATCH);
    const Peer peer{.name = "gloo",
                    .version = version.c_str(),
                    .prepare = [](Call* call) { timed_call = make_call(*call); },
                    .run = [](const Call*) { timed_call(); },
                    .barrier = wait_for_all,
                    .slowest = slowest};
    time_peer(&peer, &request, rank, rank_count);
    wait_for_all();  // before the first to leave closes its connections
    timed_call = nullptr;
    context.reset();
    return 0;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "gloo_peer: %s\n", failure.what());
    return 1;
}
