// The rows of reduce_scatter, in the order in which they are listed to users.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/reduce_scatter/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "direct",
     .collective = Collective::reduce_scatter,
     .summary = "where all reach all",
     .cost = "1 step, ranks - 1 blocks",
     .source = "the first half of a two-shot all-reduce",
     .build = direct_reduce_scatter,
     .deterministic = true},
    {.name = "ring",
     .collective = Collective::reduce_scatter,
     .summary = "large messages where neighbours are near",
     .cost = "ranks - 1 steps of one block",
     .source = "Patarasuk and Yuan, Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations, JPDC 2009",
     .build = ring_reduce_scatter},
    {.name = "recursive_halving",
     .collective = Collective::reduce_scatter,
     .summary = "small and middle messages among many ranks",
     .cost = "log2(ranks) rounds, ranks - 1 blocks",
     .source =
         "Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005",
     .build = recursive_halving_reduce_scatter},
    {.name = "nhr",
     .collective = Collective::reduce_scatter,
     .summary = "middle and large messages where neighbours are nearer",
     .cost = "log2(ranks) rounds, ranks - 1 blocks",
     .source = "Huawei, HCCL's documentation (coll_algo_intro)",
     .build = nhr_reduce_scatter},
    {.name = "circulant",
     .collective = Collective::reduce_scatter,
     .summary = "small and middle messages among ranks that are no power of two",
     .cost = "log2(ranks) rounds, ranks - 1 blocks",
     .source = "Träff, Optimal, Non-pipelined Reduce-scatter and Allreduce Algorithms, 2024",
     .build = circulant_reduce_scatter},
    {.name = "hierarchical",
     .collective = Collective::reduce_scatter,
     .summary = "large messages between groups",
     .cost = "a ring across groups, a sum of each block once out of each",
     .source = "Cho, Finkler and Kung, BlueConnect, SysML 2019",
     .build = hierarchical_reduce_scatter},
    {.name = "hierarchical_circulant",
     .collective = Collective::reduce_scatter,
     .summary = "small messages between groups",
     .cost = "log2(groups) rounds across groups, a sum of each block once out of each",
     .source = "Cho, Finkler and Kung, BlueConnect, SysML 2019",
     .build = hierarchical_circulant_reduce_scatter},
};

}  // namespace

std::span<const Algorithm> reduce_scatter_algorithms() { return rows; }

}  // namespace tenon
