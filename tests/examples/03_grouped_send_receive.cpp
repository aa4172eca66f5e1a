// Groups of sends and receives: heat spreads along a rod that is cut in four, one piece for each process.
//
// Before every step a rank gives its edges to its neighbours and takes theirs. One call after the other, everybody
// could wait in a send for somebody who waits in a send; in a group all four run at once, in whatever order they were
// written.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "run_ranks.hpp"

namespace {

constexpr int rank_count = 4;
constexpr std::size_t piece = 250, steps = 500;

// rod[0] and rod[size - 1] are the neighbours of what is computed.
void spread(std::vector<double>& rod) {
    std::vector<double> next = rod;
    for (std::size_t i = 1; i + 1 < rod.size(); ++i) next[i] = rod[i] + 0.25 * (rod[i - 1] - 2 * rod[i] + rod[i + 1]);
    rod.swap(next);
}

// The whole rod in one process: hot and cold bands, and ends that stay cold.
std::vector<double> whole_rod() {
    std::vector<double> rod(rank_count * piece + 2);
    for (std::size_t i = 1; i + 1 < rod.size(); ++i) rod[i] = i % 160 < 90 ? 100 : 0;
    return rod;
}

bool run_rank(tenon::Communicator& ranks) {
    const int left = ranks.rank() - 1, right = ranks.rank() + 1;
    const auto first = static_cast<std::ptrdiff_t>(piece) * ranks.rank();
    std::vector<double> whole = whole_rod();
    std::vector<double> mine(whole.begin() + first, whole.begin() + first + piece + 2);
    const std::span cells(mine);

    for (std::size_t step = 0; step < steps; ++step) {
        tenon::group([&] {
            if (left >= 0) {
                ranks.send(cells.subspan(1, 1), left);
                ranks.receive(cells.first(1), left);
            }
            if (right < ranks.rank_count()) {
                ranks.send(cells.subspan(piece, 1), right);
                ranks.receive(cells.last(1), right);
            }
        });
        std::vector<double> next = mine;
        spread(next);
        std::copy_n(next.begin() + 1, piece, mine.begin() + 1);
    }

    for (std::size_t step = 0; step < steps; ++step) spread(whole);
    if (!std::equal(mine.begin() + 1, mine.end() - 1, whole.begin() + first + 1)) {
        std::fprintf(stderr, "rank %d: not what one process computes\n", ranks.rank());
        return false;
    }
    std::printf("rank %d: %.3f degrees in the middle, as in one process\n", ranks.rank(), mine[piece / 2]);
    return true;
}

}  // namespace

int main() { return run_ranks(rank_count, run_rank); }
