// The rows of all_to_all, in the order in which they are listed to users.
//
// bruck keeps about ranks / 2 (log2(ranks) + 1) blocks in scratch: 45 MiB for 1,000 ranks.
// There is no in-place all-to-all: the caller copies its input first.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/all_to_all/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "direct",
     .collective = Collective::all_to_all,
     .summary = "where all reach all",
     .cost = "1 step, ranks - 1 blocks",
     .source = "the basic linear algorithm of MPICH and Open MPI",
     .build = direct_all_to_all,
     .deterministic = true,
     .in_place = false},
    {.name = "pairwise",
     .collective = Collective::all_to_all,
     .summary = "large blocks where links are shared",
     .cost = "ranks - 1 steps of one block",
     .source =
         "Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005",
     .build = pairwise_all_to_all,
     .deterministic = true,
     .in_place = false},
    {.name = "bruck",
     .collective = Collective::all_to_all,
     .summary = "tiny blocks among many ranks",
     .cost = "log2(ranks) rounds of ranks / 2 blocks",
     .source = "Bruck et al., Efficient Algorithms for All-to-All Communications in Multiport Message-Passing Systems, "
               "TPDS 1997",
     .build = bruck_all_to_all,
     .needs = {.max_bytes = {8 << 10}},
     .deterministic = true,
     .in_place = false},
    {.name = "hierarchical",
     .collective = Collective::all_to_all,
     .summary = "small blocks between groups",
     .cost = "a message for each rank of the group and one for each other group",
     .source =
         "Träff and Rougier, MPI Collectives and Datatypes for Hierarchical All-to-all Communication, EuroMPI 2014",
     .build = hierarchical_all_to_all,
     .needs = {.max_bytes = {64 << 10}},
     .deterministic = true,
     .in_place = false},
};

}  // namespace

std::span<const Algorithm> all_to_all_algorithms() { return rows; }

}  // namespace tenon
