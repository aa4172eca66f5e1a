// The table of what was fastest, measured on one host with `tenon-perf --algorithm all`. Rows are tried in order.
#include "selection/selection.hpp"

namespace tenon {
namespace {

using enum Collective;
using Cores = TableRow::Cores;
constexpr auto of_several_ranks = TableRow::Groups::of_several_ranks;
constexpr auto two_of_several = TableRow::Groups::two_of_several_ranks;
constexpr std::uint64_t K = 1 << 10, M = 1 << 20, any_size = UINT64_MAX;
constexpr Rank any = 1 << 20;

constexpr TableRow rows[] = {
    {all_reduce, 1, 2, Cores::any, 64 * K, "one_shot"},
    {all_reduce, 1, 2, Cores::any, any_size, "two_shot"},
    {all_reduce, 3, 16, Cores::few, 8 * K, "one_shot"},
    {all_reduce, 3, 4, Cores::few, 16 * K, "recursive_doubling"},
    {all_reduce, 3, 4, Cores::few, 64 * K, "two_shot"},
    {all_reduce, 3, 16, Cores::few, 32 * K, "recursive_doubling"},
    {all_reduce, 3, 16, Cores::few, 128 * K, "rabenseifner"},
    {all_reduce, 3, 16, Cores::few, any_size, "ring_direct"},
    {all_reduce, 3, 16, Cores::any, 16 * K, "one_shot"},
    {all_reduce, 17, 256, Cores::any, 1 * K, "one_shot"},
    {all_reduce, 3, 256, Cores::any, any_size, "two_shot"},
    {all_reduce, 257, any, Cores::any, 64 * K, "recursive_doubling"},
    {all_reduce, 257, any, Cores::any, 16 * M, "rabenseifner"},
    {all_reduce, 257, any, Cores::any, any_size, "ring"},
    {all_gather, 1, 256, Cores::any, any_size, "direct"},
    {all_gather, 257, any, Cores::any, 1 * M, "bruck"},
    {all_gather, 257, any, Cores::any, any_size, "ring"},
    {reduce_scatter, 3, 16, Cores::few, 128 * K, "direct"},
    {reduce_scatter, 3, 16, Cores::few, any_size, "ring"},
    {reduce_scatter, 1, 256, Cores::any, any_size, "direct"},
    {reduce_scatter, 257, any, Cores::any, 1 * M, "recursive_halving"},
    {reduce_scatter, 257, any, Cores::any, any_size, "ring"},
    {all_to_all, 3, 4, Cores::few, 512 * K, "direct"},
    {all_to_all, 3, 4, Cores::few, any_size, "pairwise"},
    {all_to_all, 1, 64, Cores::any, any_size, "direct"},
    {all_to_all, 65, any, Cores::any, 256 * K, "bruck"},
    {all_to_all, 65, any, Cores::any, any_size, "direct"},
    {broadcast, 2, 2, Cores::any, 2 * M, "direct"},
    {broadcast, 2, 2, Cores::any, any_size, "chain"},
    {broadcast, 1, 64, Cores::any, any_size, "direct"},
    {broadcast, 65, any, Cores::any, 1 * M, "binomial"},
    {broadcast, 65, any, Cores::any, any_size, "chain"},
    {reduce, 3, 4, Cores::few, 1 * K, "direct"},
    {reduce, 3, 4, Cores::few, 16 * K, "binomial"},
    {reduce, 3, 4, Cores::few, 96 * K, "chain"},
    {reduce, 3, 4, Cores::few, any_size, "hierarchical"},
    {reduce, 3, 16, Cores::few, any_size, "binomial"},
    {reduce, 1, 16, Cores::any, any_size, "direct"},
    {reduce, 17, any, Cores::any, any_size, "binomial"},
    {gather, 1, any, Cores::any, any_size, "direct"},
    {scatter, 1, any, Cores::any, any_size, "direct"},
    {barrier, 1, 256, Cores::any, any_size, "board"},
    {barrier, 257, any, Cores::any, any_size, "dissemination"},
};

// Hosts over TCP: first where several ranks of a host share its link, then for any. Rows of 3 to 8 ranks were measured
// with perf/selection/regret on 4 hosts of 2 ranks and 2 of 4.
constexpr TableRow rows_over_network[] = {
    {all_reduce, 3, 8, Cores::any, 32, "hierarchical_doubling", two_of_several},
    {all_reduce, 3, 8, Cores::any, 2 * K, "recursive_doubling", two_of_several},
    {all_reduce, 3, 8, Cores::any, 5 * K, "double_binary_tree", two_of_several},
    {all_reduce, 3, 8, Cores::any, 24 * K, "hierarchical_doubling", two_of_several},
    {all_reduce, 3, 8, Cores::any, 32, "ring", of_several_ranks},
    {all_reduce, 3, any, Cores::any, 6 * K, "recursive_doubling", of_several_ranks},
    {all_reduce, 3, any, Cores::any, 64 * K, "hierarchical_doubling", of_several_ranks},
    {all_reduce, 3, any, Cores::any, 256 * K, "hierarchical_circulant", of_several_ranks},
    {all_reduce, 3, any, Cores::any, any_size, "hierarchical", of_several_ranks},
    {all_reduce, 1, 2, Cores::any, 32 * K, "recursive_doubling"},
    {all_reduce, 3, any, Cores::any, 6 * K, "recursive_doubling"},
    {all_reduce, 3, any, Cores::any, 256 * K, "rabenseifner"},
    {all_reduce, 1, any, Cores::any, any_size, "ring"},
    {all_gather, 3, 8, Cores::any, 6 * K, "ring", two_of_several},
    {all_gather, 3, 8, Cores::any, 64 * K, "hierarchical_bruck", two_of_several},
    {all_gather, 3, 8, Cores::any, 16 * K, "ring", of_several_ranks},
    {all_gather, 3, any, Cores::any, 64 * K, "hierarchical_bruck", of_several_ranks},
    {all_gather, 3, any, Cores::any, any_size, "hierarchical", of_several_ranks},
    {all_gather, 1, any, Cores::any, 16 * K, "recursive_doubling"},
    {all_gather, 1, any, Cores::any, 16 * K, "bruck"},
    {all_gather, 1, 16, Cores::any, 64 * K, "direct"},
    {all_gather, 1, any, Cores::any, 64 * K, "bruck"},
    {all_gather, 1, any, Cores::any, any_size, "ring"},
    {reduce_scatter, 3, 8, Cores::any, 1 * K, "ring", two_of_several},
    {reduce_scatter, 3, 8, Cores::any, 128 * K, "hierarchical_circulant", two_of_several},
    {reduce_scatter, 3, 8, Cores::any, 8 * K, "ring", of_several_ranks},
    {reduce_scatter, 3, any, Cores::any, 128 * K, "hierarchical_circulant", of_several_ranks},
    {reduce_scatter, 3, any, Cores::any, any_size, "hierarchical", of_several_ranks},
    {reduce_scatter, 1, any, Cores::any, 128 * K, "recursive_halving"},
    {reduce_scatter, 1, any, Cores::any, any_size, "ring"},
    {all_to_all, 3, 8, Cores::any, 16 * K, "hierarchical", two_of_several},
    {all_to_all, 3, 8, Cores::any, 2 * M, "direct", two_of_several},
    {all_to_all, 3, 8, Cores::any, any_size, "pairwise", two_of_several},
    {all_to_all, 3, any, Cores::any, 32 * K, "hierarchical", of_several_ranks},
    {all_to_all, 3, any, Cores::any, 1 * M, "direct", of_several_ranks},
    {all_to_all, 3, any, Cores::any, 3 * M, "pairwise", of_several_ranks},
    {all_to_all, 3, 8, Cores::any, 2 * K, "bruck"},
    {all_to_all, 9, any, Cores::any, 16 * K, "bruck"},
    {all_to_all, 1, any, Cores::any, any_size, "direct"},
    {broadcast, 3, 8, Cores::any, any_size, "chain", of_several_ranks},
    {broadcast, 1, any, Cores::any, 64 * K, "binomial"},
    {broadcast, 1, any, Cores::any, any_size, "chain"},
    {reduce, 3, 8, Cores::any, 8 * K, "hierarchical_binomial", two_of_several},
    {reduce, 3, 8, Cores::any, 1 * K, "hierarchical_binomial", of_several_ranks},
    {reduce, 3, 8, Cores::any, 16 * K, "chain", of_several_ranks},
    {reduce, 3, 8, Cores::any, any_size, "hierarchical", of_several_ranks},
    {reduce, 1, any, Cores::any, 64 * K, "binomial"},
    {reduce, 1, any, Cores::any, any_size, "chain"},
    {gather, 3, 8, Cores::any, 8 * K, "binomial", two_of_several},
    {gather, 1, any, Cores::any, any_size, "direct"},
    {scatter, 3, 8, Cores::any, 64 * K, "binomial", of_several_ranks},
    {scatter, 1, any, Cores::any, any_size, "direct"},
    {barrier, 1, any, Cores::any, any_size, "dissemination"},
};

}  // namespace

std::span<const TableRow> measured_table() { return rows; }
std::span<const TableRow> measured_table_over_network() { return rows_over_network; }

}  // namespace tenon
