// Ranks as threads: runs body(rank) in a thread for each rank and waits for all of them. What a body throws fails the
// test.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <thread>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon::support {

template <class Body>
void on_rank_threads(Rank rank_count, const Body& body) {
    std::vector<std::jthread> threads;
    for (Rank rank = 0; rank < rank_count; rank++)
        threads.emplace_back([rank, &body] {
            try {
                body(rank);
            } catch (const std::exception& problem) {
                ADD_FAILURE() << "rank " << rank << ": " << problem.what();
            }
        });
}

}  // namespace tenon::support
