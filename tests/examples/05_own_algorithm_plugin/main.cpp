// Uses the algorithm of chain_all_reduce.cpp. Needs TENON_PLUGINS to name the module:
//
//   TENON_PLUGINS=lib/libexample_chain.so ./05_own_algorithm_plugin
#include <cstdio>
#include <vector>

#include "../run_ranks.hpp"

namespace {

constexpr int rank_count = 4;

bool run_rank(tenon::Communicator& ranks) {
    for (const std::size_t count : {1UL, 1'000UL, 1'000'003UL}) {
        const std::string used = ranks.algorithm(tenonCollectiveAllReduce, count, tenonInt32);
        if (ranks.rank() == 0) std::printf("%zu elements by %s\n", count, used.c_str());

        std::vector<int> values(count);
        for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<int>(i) * (ranks.rank() + 1);
        ranks.all_reduce(values);
        for (std::size_t i = 0; i < count; ++i)
            if (used != "chain" || values[i] != static_cast<int>(i) * 10) {
                std::fprintf(stderr, "rank %d: element %zu by %s is wrong\n", ranks.rank(), i, used.c_str());
                return false;
            }
    }
    return true;
}

}  // namespace

int main() { return run_ranks(rank_count, run_rank, {.algorithm = "all_reduce=chain"}); }
