// The rows of all_reduce, in the order in which they are listed to users.
//
// one_shot keeps ranks - 1 blocks in scratch: at most 64 MiB.
#include "algorithms/patterns/manifest.hpp"

#include "algorithms/all_reduce/algorithms.hpp"

namespace tenon {
namespace {

constexpr Algorithm rows[] = {
    {.name = "one_shot",
     .collective = Collective::all_reduce,
     .summary = "small messages; every rank sums all",
     .cost = "1 step, ranks - 1 buffers read",
     .source = "the one-shot kernels of TensorRT-LLM and vLLM",
     .build = one_shot_all_reduce,
     .needs = {.max_ranks = 64, .max_bytes = {1 << 20}},
     .deterministic = true},
    {.name = "two_shot",
     .collective = Collective::all_reduce,
     .summary = "middle and large messages where all reach all",
     .cost = "2 steps, 2 (ranks - 1) / ranks of the buffer",
     .source = "the two-shot kernels of TensorRT-LLM and vLLM",
     .build = two_shot_all_reduce,
     .deterministic = true},
    {.name = "recursive_doubling",
     .collective = Collective::all_reduce,
     .summary = "small messages among many ranks",
     .cost = "log2(ranks) rounds of the buffer",
     .source =
         "Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005",
     .build = recursive_doubling_all_reduce,
     .deterministic_by_powers = true},
    {.name = "rabenseifner",
     .collective = Collective::all_reduce,
     .summary = "middle messages among many ranks",
     .cost = "2 log2(ranks) rounds, 2 (ranks - 1) / ranks of the buffer",
     .source = "Rabenseifner, Optimization of Collective Reduction Operations, ICCS 2004",
     .build = rabenseifner_all_reduce},
    {.name = "ring",
     .collective = Collective::all_reduce,
     .summary = "large messages where neighbours are near",
     .cost = "2 (ranks - 1) steps, 2 (ranks - 1) / ranks of the buffer",
     .source = "Patarasuk and Yuan, Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations, JPDC 2009",
     .build = ring_all_reduce},
    {.name = "ring_direct",
     .collective = Collective::all_reduce,
     .summary = "middle and large messages where all reach all and cores are few",
     .cost = "ranks steps, 2 (ranks - 1) / ranks of the buffer",
     .source = "the reduce-scatter of ring, the all-gather of two_shot",
     .build = ring_direct_all_reduce},
    {.name = "double_binary_tree",
     .collective = Collective::all_reduce,
     .summary = "middle messages among many ranks",
     .cost = "2 log2(ranks) steps, 2 buffers",
     .source = "Sanders, Speck and Träff, Two-tree Algorithms for Full Bandwidth Broadcast, Reduction and Scan, 2009",
     .build = double_binary_tree_all_reduce},
    {.name = "nhr",
     .collective = Collective::all_reduce,
     .summary = "middle and large messages where neighbours are nearer",
     .cost = "2 log2(ranks) rounds, 2 (ranks - 1) / ranks of the buffer",
     .source = "Huawei, HCCL's documentation (coll_algo_intro)",
     .build = nhr_all_reduce},
    {.name = "circulant",
     .collective = Collective::all_reduce,
     .summary = "middle messages among ranks that are no power of two",
     .cost = "2 log2(ranks) rounds, 2 (ranks - 1) / ranks of the buffer",
     .source = "Träff, Optimal, Non-pipelined Reduce-scatter and Allreduce Algorithms, 2024",
     .build = circulant_all_reduce},
    {.name = "hierarchical",
     .collective = Collective::all_reduce,
     .summary = "large messages between groups",
     .cost = "a ring across groups, 2 (groups - 1) / groups of the buffer",
     .source = "Cho, Finkler and Kung, BlueConnect, SysML 2019",
     .build = hierarchical_all_reduce},
    {.name = "hierarchical_doubling",
     .collective = Collective::all_reduce,
     .summary = "small messages between groups",
     .cost = "log2(groups) rounds across groups, each of the buffer",
     .source = "Cho, Finkler and Kung, BlueConnect, SysML 2019",
     .build = hierarchical_doubling_all_reduce},
    {.name = "hierarchical_circulant",
     .collective = Collective::all_reduce,
     .summary = "middle messages between many groups",
     .cost = "2 log2(groups) rounds across groups, 2 (groups - 1) / groups of the buffer",
     .source = "Cho, Finkler and Kung, BlueConnect, SysML 2019",
     .build = hierarchical_circulant_all_reduce},
};

}  // namespace

std::span<const Algorithm> all_reduce_algorithms() { return rows; }

}  // namespace tenon
