// The ranks of a communicator of the C API within this process, each run by a thread of its own.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "tests/support/c_calls.hpp"
#include "tests/support/rank_threads.hpp"

namespace tenon::conformance {

class CJob {
public:
    explicit CJob(int rank_count) : comms_(static_cast<std::size_t>(rank_count)) {
        setenv("TENON_TIMEOUT_MS", "20000", 0);  // what hangs fails before the test's own limit
        if (tenonCommInitAll(comms_.data(), rank_count, nullptr) != tenonSuccess)
            throw std::runtime_error(tenonGetLastError(nullptr));
    }
    // Ranks that were destroyed or aborted in the test refuse this, which does no harm.
    ~CJob() {
        for (tenonComm_t comm : comms_) tenonCommDestroy(comm);
    }
    CJob(const CJob&) = delete;
    CJob& operator=(const CJob&) = delete;

    int rank_count() const { return static_cast<int>(comms_.size()); }
    tenonComm_t comm(int rank) const { return comms_[static_cast<std::size_t>(rank)]; }

    // body(comm, rank) in a thread for each rank.
    template <class Body>
    void run(const Body& body) const {
        support::on_rank_threads(rank_count(), [&](Rank rank) { body(comm(rank), rank); });
    }

private:
    std::vector<tenonComm_t> comms_;
};

// For EXPECT_EQ(did(tenonBarrier(...)), "success"), so that a failure says what the library says.
inline std::string did(tenonResult_t result) { return support::outcome(result); }

}  // namespace tenon::conformance
