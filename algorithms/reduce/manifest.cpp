// The rows of reduce, in the order in which they are listed to users.
//
// direct keeps ranks - 1 blocks in scratch at the root: at most 64 MiB.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/reduce/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "direct",
     .collective = Collective::reduce,
     .summary = "small messages; the root sums all",
     .cost = "1 step, ranks - 1 buffers at the root",
     .source = "the basic linear algorithm of Open MPI",
     .build = direct_reduce,
     .needs = {.max_ranks = 64, .max_bytes = {1 << 20}},
     .deterministic = true},
    {.name = "two_shot",
     .collective = Collective::reduce,
     .summary = "middle and large messages where all reach all",
     .cost = "2 steps, 2 (ranks - 1) / ranks of the buffer at the root",
     .source = "Rabenseifner, Optimization of Collective Reduction Operations, ICCS 2004, with direct exchanges",
     .build = two_shot_reduce,
     .deterministic = true},
    {.name = "binomial",
     .collective = Collective::reduce,
     .summary = "small messages among many ranks",
     .cost = "log2(ranks) rounds of the buffer",
     .source =
         "Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005",
     .build = binomial_reduce},
    {.name = "chain",
     .collective = Collective::reduce,
     .summary = "large messages among few ranks",
     .cost = "ranks - 1 hops, the buffer once per link",
     .source = "Watts and van de Geijn, A Pipelined Broadcast for Multidimensional Meshes, PPL 1995, backwards",
     .build = chain_reduce},
    {.name = "hierarchical",
     .collective = Collective::reduce,
     .summary = "large messages between groups",
     .cost = "a chain across groups, the buffer once out of each, by all ways",
     .source = "Barnett et al., Interprocessor Collective Communication Library (InterCom), SHPCC 1994, over levels",
     .build = hierarchical_reduce},
    {.name = "hierarchical_binomial",
     .collective = Collective::reduce,
     .summary = "small messages between groups",
     .cost = "log2 of the ranks within rounds, log2(groups) across groups",
     .source = "Barnett et al., Interprocessor Collective Communication Library (InterCom), SHPCC 1994, over levels",
     .build = hierarchical_binomial_reduce},
};

}  // namespace

std::span<const Algorithm> reduce_algorithms() { return rows; }

}  // namespace tenon
