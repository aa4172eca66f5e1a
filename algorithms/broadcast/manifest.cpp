// The rows of broadcast, in the order in which they are listed to users.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/broadcast/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "direct",
     .collective = Collective::broadcast,
     .summary = "where all reach the root",
     .cost = "1 step, the buffer read by each rank",
     .source = "the flat algorithm of shared-memory MPI collectives",
     .build = direct_broadcast,
     .deterministic = true},
    {.name = "split",
     .collective = Collective::broadcast,
     .summary = "middle and large messages, the root copying too",
     .cost = "1 step, (ranks - 1) / ranks of the buffer copied by each rank",
     .source = "Chakraborty, Subramoni and Panda, Contention-aware Kernel-assisted MPI Collectives, CLUSTER 2017",
     .build = split_broadcast,
     .deterministic = true},
    {.name = "binomial",
     .collective = Collective::broadcast,
     .summary = "small messages among many ranks",
     .cost = "log2(ranks) rounds of the buffer",
     .source =
         "Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005",
     .build = binomial_broadcast,
     .deterministic = true},
    {.name = "chain",
     .collective = Collective::broadcast,
     .summary = "large messages among few ranks",
     .cost = "ranks - 1 hops, the buffer once per link",
     .source = "Watts and van de Geijn, A Pipelined Broadcast for Multidimensional Meshes, PPL 1995",
     .build = chain_broadcast,
     .deterministic = true},
    {.name = "scatter_all_gather",
     .collective = Collective::broadcast,
     .summary = "large messages where the root's link is the limit",
     .cost = "ranks steps, 2 (ranks - 1) / ranks of the buffer",
     .source = "Barnett et al., Interprocessor Collective Communication Library (InterCom), SHPCC 1994",
     .build = scatter_all_gather_broadcast,
     .deterministic = true},
    {.name = "hierarchical",
     .collective = Collective::broadcast,
     .summary = "large messages between groups",
     .cost = "a chain across groups, the buffer once into each, by all ways",
     .source = "Barnett et al., Interprocessor Collective Communication Library (InterCom), SHPCC 1994, over levels",
     .build = hierarchical_broadcast,
     .deterministic = true},
    {.name = "hierarchical_binomial",
     .collective = Collective::broadcast,
     .summary = "small messages between groups",
     .cost = "log2(groups) rounds across groups, log2 of the ranks within",
     .source = "Barnett et al., Interprocessor Collective Communication Library (InterCom), SHPCC 1994, over levels",
     .build = hierarchical_binomial_broadcast,
     .deterministic = true},
};

}  // namespace

std::span<const Algorithm> broadcast_algorithms() { return rows; }

}  // namespace tenon
