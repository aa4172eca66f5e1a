// The rows of gather, in the order in which they are listed to users.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/gather/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "direct",
     .collective = Collective::gather,
     .summary = "where the root reaches all",
     .cost = "1 step, ranks - 1 blocks at the root",
     .source = "the basic linear algorithm of Open MPI",
     .build = direct_gather,
     .deterministic = true},
    {.name = "binomial",
     .collective = Collective::gather,
     .summary = "small blocks among many ranks",
     .cost = "log2(ranks) rounds, ranks - 1 blocks at the root",
     .source = "Chan et al., Collective Communication: Theory, Practice and Experience, 2007",
     .build = binomial_gather,
     .deterministic = true},
};

}  // namespace

std::span<const Algorithm> gather_algorithms() { return rows; }

}  // namespace tenon
