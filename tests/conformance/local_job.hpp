// All ranks of a communicator within this process, each run by a thread of its own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "communicator/communicator.hpp"
#include "tests/support/call_buffers.hpp"
#include "tests/support/rank_threads.hpp"

namespace tenon::conformance {

// What the environment says, such as TENON_TRANSPORT, with a deadline that a busy machine keeps under a sanitizer.
inline Config config_of_environment() {
    auto config = read_config();
    if (!config) throw std::runtime_error(config.error().message);
    config->timeout_ms = 100'000;
    return std::move(*config);
}

inline Call call_of(const support::Shape& shape, const void* send, void* receive) {
    return {.collective = shape.collective, .type = shape.type, .op = shape.op, .root = shape.root,
            .send = send, .receive = receive, .count = shape.count};
}

// One rank makes the reference's call, which must succeed and leave its memory as it should be.
inline void expect_right(Communicator& communicator, const support::Reference& reference, bool in_place,
                         support::Memory memory) {
    const support::CallBuffers buffers(reference, communicator.rank(), in_place, memory);
    const auto ran = communicator.run(call_of(reference.shape(), buffers.send(), buffers.receive()));
    const std::string who = "rank " + std::to_string(communicator.rank()) + ", " + in_words(reference.shape()) + ": ";
    if (!ran) {
        ADD_FAILURE() << who << ran.error().message;
    } else if (const auto problem = buffers.problem()) {
        ADD_FAILURE() << who << *problem;
    }
}

class LocalJob {
public:
    LocalJob(Rank rank_count, const Config& config) {
        auto made = Communicator::make_local(rank_count, config);
        if (!made) throw std::runtime_error(made.error().message);
        ranks_ = std::move(*made);
    }

    // All at once, as in a job: who leaves waits a little for those that it has sent to.
    ~LocalJob() {
        support::on_rank_threads(rank_count(), [&](Rank r) { ranks_[static_cast<std::size_t>(r)].reset(); });
    }
    LocalJob(const LocalJob&) = delete;
    LocalJob& operator=(const LocalJob&) = delete;

    Rank rank_count() const { return static_cast<Rank>(ranks_.size()); }
    Communicator& rank(Rank r) { return *ranks_[static_cast<std::size_t>(r)]; }

    // body(Communicator&) in a thread for each rank.
    template <class Body>
    void run(const Body& body) {
        support::on_rank_threads(rank_count(), [&](Rank r) { body(rank(r)); });
    }

    // The same on every rank.
    void expect_right(const support::Reference& reference, bool in_place, support::Memory memory) {
        run([&](Communicator& communicator) {
            conformance::expect_right(communicator, reference, in_place, memory);
        });
    }

private:
    std::vector<std::unique_ptr<Communicator>> ranks_;
};

}  // namespace tenon::conformance
