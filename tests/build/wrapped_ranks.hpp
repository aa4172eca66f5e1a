// The ranks of a test of the C++ wrapper, and what a call is refused with.
#pragma once

#include <gtest/gtest.h>

#include <tenon/tenon.hpp>
#include <thread>
#include <vector>

// Calls body(communicator) in a thread for each rank.
template <class Body>
void on_ranks(int rank_count, Body body) {
    std::vector<tenon::Communicator> communicators = tenon::Communicator::create_all(rank_count);
    std::vector<std::jthread> threads;
    for (tenon::Communicator& ranks : communicators)
        threads.emplace_back([&ranks, &body] {
            try {
                body(ranks);
            } catch (const std::exception& error) {
                ADD_FAILURE() << error.what();
                ranks.abort();
            }
        });
}

template <class Body>
tenonResult_t refusal(Body body) {
    try {
        body();
    } catch (const tenon::Exception& error) {
        EXPECT_STRNE(error.what(), "");
        return error.result();
    }
    return tenonSuccess;
}
