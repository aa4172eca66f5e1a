// The rows of all_gather, in the order in which they are listed to users.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/all_gather/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "direct",
     .collective = Collective::all_gather,
     .summary = "where all reach all",
     .cost = "1 step, ranks - 1 blocks read",
     .source = "the flat algorithm of shared-memory MPI collectives",
     .build = direct_all_gather,
     .deterministic = true},
    {.name = "ring",
     .collective = Collective::all_gather,
     .summary = "large messages where neighbours are near",
     .cost = "ranks - 1 steps of one block",
     .source =
         "Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005",
     .build = ring_all_gather,
     .deterministic = true},
    {.name = "bruck",
     .collective = Collective::all_gather,
     .summary = "small messages among many ranks",
     .cost = "log2(ranks) rounds, ranks - 1 blocks",
     .source = "Bruck et al., Efficient Algorithms for All-to-All Communications in Multiport Message-Passing Systems, "
               "TPDS 1997",
     .build = bruck_all_gather,
     .deterministic = true},
    {.name = "recursive_doubling",
     .collective = Collective::all_gather,
     .summary = "small and middle messages",
     .cost = "log2(ranks) rounds, ranks - 1 blocks",
     .source =
         "Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005",
     .build = recursive_doubling_all_gather,
     .needs = {.power_of_two_ranks = true},
     .deterministic = true},
    {.name = "nhr",
     .collective = Collective::all_gather,
     .summary = "middle and large messages where neighbours are nearer",
     .cost = "log2(ranks) rounds, ranks - 1 blocks",
     .source = "Huawei, HCCL's documentation (coll_algo_intro)",
     .build = nhr_all_gather,
     .deterministic = true},
    {.name = "hierarchical",
     .collective = Collective::all_gather,
     .summary = "large messages between groups",
     .cost = "a ring across groups, each block once into each",
     .source = "Cho, Finkler and Kung, BlueConnect, SysML 2019",
     .build = hierarchical_all_gather,
     .deterministic = true},
    {.name = "hierarchical_bruck",
     .collective = Collective::all_gather,
     .summary = "small messages between groups",
     .cost = "log2(groups) rounds across groups, each block once into each",
     .source = "Cho, Finkler and Kung, BlueConnect, SysML 2019",
     .build = hierarchical_bruck_all_gather,
     .deterministic = true},
};

}  // namespace

std::span<const Algorithm> all_gather_algorithms() { return rows; }

}  // namespace tenon
