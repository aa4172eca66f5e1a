#include "perf/links.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <tuple>

#include "perf/two_ranks.hpp"

namespace tenon::perf {
namespace {

constexpr int latency_rounds = 9, messages_in_a_round = 100, latency_warm_up = 50;
constexpr std::size_t stream_bytes = 1 << 20;
constexpr int stream_rounds = 3, most_in_a_stream = 64;
constexpr double stream_seconds = 0.03;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median_of(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// One of the two ranks of a pair; both run the same, by turns.
class Pair {
public:
    Pair(Communicator& comm, Rank peer, bool begins) : comm_(comm), peer_(peer), begins_(begins) {}

    double latency_us() {
        there_and_back(comm_, peer_, begins_, word_, latency_warm_up);
        std::vector<double> rounds;
        for (int r = 0; r < latency_rounds; r++) {
            const auto start = Clock::now();
            there_and_back(comm_, peer_, begins_, word_, messages_in_a_round);
            rounds.push_back(seconds_since(start) * 1e6 / (2 * messages_in_a_round));
        }
        return median_of(rounds);
    }

    // Of what this rank sends, if `sends`, or what it receives. The receiver's clock counts: from its own word that it
    // is ready to the last byte.
    double bandwidth_GBs(bool sends) {
        data_.resize(stream_bytes);
        stream(sends, 1);  // whatever the first takes longer
        const double one = agreed(sends, stream(sends, 1));
        const int count = std::clamp(static_cast<int>(stream_seconds / std::max(one, 1e-6)), 1, most_in_a_stream);
        std::vector<double> rounds;
        for (int r = 0; r < stream_rounds; r++)
            rounds.push_back(count * static_cast<double>(stream_bytes) / stream(sends, count) * 1e-9);
        return median_of(rounds);
    }

private:
    double stream(bool sends, int count) {
        if (sends) comm_.receive(word_, peer_);
        const auto start = Clock::now();
        if (!sends) comm_.send(word_, peer_);
        one_way(comm_, peer_, sends, data_, count);
        return seconds_since(start);
    }

    // The receiver's value, on both.
    double agreed(bool sends, double value) {
        std::array<double, 1> shared{value};
        if (sends) comm_.receive(shared, peer_);
        else comm_.send(shared, peer_);
        return shared[0];
    }

    Communicator& comm_;
    Rank peer_;
    bool begins_;
    std::array<std::uint64_t, 1> word_{};
    std::vector<std::uint8_t> data_;
};

}  // namespace

Comparison::Comparison(const PairFigures& figures, std::span<const std::string> hosts, bool large_is_slow)
    : figures_(figures), hosts_(hosts), large_is_slow_(large_is_slow) {
    for (const Reach reach : reaches) {
        std::vector<double> values;
        for (Rank from = 0; from < figures.ranks(); from++)
            for (Rank to = 0; to < figures.ranks(); to++)
                if (from != to && reach_of(from, to) == reach) values.push_back(figures.at(from, to));
        if (values.empty()) continue;
        const auto [least, most] = std::ranges::minmax(values);
        scales_[static_cast<std::size_t>(reach)] = {.best = large_is_slow ? least : most,
                                                    .median = median_of(values),
                                                    .worst = large_is_slow ? most : least};
    }
}

Reach Comparison::reach_of(Rank from, Rank to) const {
    const auto host = [&](Rank rank) -> const std::string& { return hosts_[static_cast<std::size_t>(rank)]; };
    return host(from) == host(to) ? Reach::one_host : Reach::other_hosts;
}

double Comparison::times(double value, double best) const {
    const double slow = large_is_slow_ ? value : best, quick = large_is_slow_ ? best : value;
    return quick > 0 ? slow / quick : 1;
}

double Comparison::times_slower(Rank from, Rank to) const {
    return times(figures_.at(from, to), best(reach_of(from, to)));
}

std::vector<Comparison::Link> Comparison::slowest_first(Reach reach, bool is_both_ways) const {
    std::vector<Link> links;
    for (Rank from = 0; from < figures_.ranks(); from++)
        for (Rank to = is_both_ways ? from + 1 : 0; to < figures_.ranks(); to++)
            if (from != to && reach_of(from, to) == reach)
                links.push_back({from, to, figures_.at(from, to), times_slower(from, to)});
    std::ranges::sort(links, {}, [](const Link& link) { return std::tuple(-link.times_slower, link.from, link.to); });
    return links;
}

LinkFigures measure_links(Team& team, const std::function<void(Rank, Rank)>& told) {
    const Rank ranks = team.rank_count(), own = team.rank();
    LinkFigures figures{PairFigures{ranks}, PairFigures{ranks}};
    Communicator comm = team.split({});
    for (Rank a = 0; a < ranks; a++)
        for (Rank b = a + 1; b < ranks; b++) {
            if (own == 0) told(a, b);
            team.barrier();
            if (own != a && own != b) continue;
            Pair pair{comm, own == a ? b : a, own == a};
            const double latency = pair.latency_us();
            const double there = pair.bandwidth_GBs(own == a), back = pair.bandwidth_GBs(own == b);
            // Each figure from one rank: who began, and who received.
            if (own == a) figures.latency_us.at(a, b) = figures.latency_us.at(b, a) = latency;
            if (own == b) figures.bandwidth_GBs.at(a, b) = there;
            if (own == a) figures.bandwidth_GBs.at(b, a) = back;
        }
    figures.latency_us.values() = team.slowest(figures.latency_us.values());
    figures.bandwidth_GBs.values() = team.slowest(figures.bandwidth_GBs.values());
    return figures;
}

}  // namespace tenon::perf
