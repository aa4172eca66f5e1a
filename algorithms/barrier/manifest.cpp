// The rows of barrier, in the order in which they are listed to users.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/barrier/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "board",
     .collective = Collective::barrier,
     .summary = "ranks on one host",
     .cost = "1 step, ranks - 1 tokens read",
     .source = "Mellor-Crummey and Scott, Algorithms for Scalable Synchronization, TOCS 1991",
     .build = board_barrier,
     .deterministic = true},
    {.name = "dissemination",
     .collective = Collective::barrier,
     .summary = "many ranks, across hosts",
     .cost = "log2(ranks) rounds of one token",
     .source = "Hensgen, Finkel and Manber, Two Algorithms for Barrier Synchronization, IJPP 1988",
     .build = dissemination_barrier,
     .deterministic = true},
};

}  // namespace

std::span<const Algorithm> barrier_algorithms() { return rows; }

}  // namespace tenon
