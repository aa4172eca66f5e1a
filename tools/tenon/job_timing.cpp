#include "tools/tenon/job_timing.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>

#include "bootstrap/launch.hpp"
#include "communicator/batch.hpp"
#include "communicator/surroundings.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"
#include "plan/representatives.hpp"
#include "reduction/kernels.hpp"
#include "tools/tenon/job_name.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t small_message = 8, large_message = 1 << 20;
constexpr double level_round_ms = 20;
constexpr int level_rounds = 3;
constexpr int long_warming_calls = 2, warming_calls = 8, most_warming_calls = 512;
// Nothing that is done once counts beside calls that take so long.
constexpr double long_call_seconds = 0.02;
// So many times slower than the quickest in its first calls, an algorithm is not timed any further.
constexpr double hopeless = 3;

// As tenon-perf does: a rank keeps to one core.
void keep_to_a_core(Rank rank) {
    const auto cores = os::cores_of_this_thread();
    if (!cores || cores->count() == 0) return;
    std::size_t skip = static_cast<std::size_t>(rank) % cores->count();
    for (std::size_t core = 0; core < cores->size() && core < CPU_SETSIZE; core++) {
        if (!cores->test(core) || skip-- != 0) continue;
        cpu_set_t own;
        CPU_ZERO(&own);
        CPU_SET(core, &own);
        sched_setaffinity(0, sizeof own, &own);
        return;
    }
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Whether there is such an algorithm of each collective or not, there is one to force.
std::vector<AlgorithmChoice> nth_of_each(std::span<const Algorithm> algorithms, std::size_t number) {
    std::vector<AlgorithmChoice> forced;
    for (std::size_t c = 0; c < planned_collective_count; c++) {
        std::size_t n = 0;
        for (const Algorithm& a : algorithms)
            if (a.collective == static_cast<Collective>(c) && n++ == number)
                forced.push_back({.collective = a.collective, .name = std::string(a.name)});
    }
    return forced;
}

}  // namespace

Result<JobTiming> JobTiming::join(const Config& config) {
    const auto launched = find_launch(process_environment());
    if (!launched) return std::unexpected(launched.error());
    const Launch launch = launched->value_or(Launch{.job = new_job_name("timing")});
    const auto id = unique_id_for_launch(launch, config);
    if (!id) return std::unexpected(id.error());
    keep_to_a_core(launch.rank);
    auto known = known_algorithms(config);
    if (!known) return std::unexpected(known.error());
    auto ranks = Communicator::join(*id, launch.rank, launch.rank_count, config);
    if (!ranks) return std::unexpected(ranks.error());
    JobTiming made;
    made.config_ = config;
    made.config_.algorithms.clear();
    made.ranks_ = std::move(*ranks);
    made.algorithms_ = *known;
    return made;
}

Result<double> JobTiming::largest(double own) {
    double all = 0;
    if (auto ok = ranks_->run({.collective = Collective::all_reduce,
                               .type = DataType::float64,
                               .op = ReduceOp::max,
                               .send = &own,
                               .receive = &all,
                               .count = 1});
        !ok)
        return std::unexpected(ok.error());
    return all;
}

Result<double> JobTiming::seconds(int calls, const Body& body) {
    if (auto ok = ranks_->run({.collective = Collective::barrier}); !ok) return std::unexpected(ok.error());
    const std::uint64_t start = os::now_ns();
    for (int i = 0; i < calls; i++)
        if (auto ok = body(); !ok) return std::unexpected(ok.error());
    return largest(static_cast<double>(os::now_ns() - start) / 1e9);
}

Result<JobTiming::Rounds> JobTiming::rounds_of(const Communicator& ranks, double round_ms, const Body& body) {
    // The first calls of a shape make its plan, open connections and try ways to run it. Where only some ranks take
    // part in a call, only they try; so all agree on whether any has.
    double first = std::numeric_limits<double>::infinity();
    bool has_tried = true;
    const auto is_warm = [&](int calls) {
        if (first >= long_call_seconds) return calls >= long_warming_calls;
        return calls >= warming_calls && (!has_tried || calls >= most_warming_calls);
    };
    for (int calls = 0; !is_warm(calls); calls++) {
        const std::uint64_t before = ranks.tries();
        const auto took = seconds(1, body);
        if (!took) return std::unexpected(took.error());
        const auto tried = largest(ranks.tries() == before ? 0 : 1);
        if (!tried) return std::unexpected(tried.error());
        has_tried = *tried != 0;
        first = std::min(first, *took);
    }
    if (first >= long_call_seconds) return Rounds{1, first};
    for (int calls = 1;; calls *= 4) {
        const auto took = seconds(calls, body);
        if (!took) return std::unexpected(took.error());
        constexpr int most = 1 << 20;
        if (*took * 1e3 >= round_ms / 4 || calls >= most)
            return Rounds{std::clamp(static_cast<int>(round_ms / 1e3 / (*took / calls)), 1, most), *took / calls};
    }
}

Result<void> JobTiming::make_room(std::uint64_t send_bytes, std::uint64_t receive_bytes) {
    for (const auto& [mapping, bytes] : {std::pair(&send_, send_bytes), std::pair(&receive_, receive_bytes)}) {
        if (bytes <= mapping->size()) continue;
        auto made = os::Mapping::anonymous({bytes});
        if (!made) return std::unexpected(made.error());
        *mapping = std::move(*made);
    }
    return {};
}

Result<Communicator*> JobTiming::forcing(std::size_t number) {
    while (forcing_.size() <= number) {
        Config config = config_;
        config.algorithms = nth_of_each(algorithms_, forcing_.size());
        auto made = ranks_->split(0, ranks_->rank(), config);
        if (!made) return std::unexpected(made.error());
        forcing_.push_back(std::move(*made));
    }
    return forcing_[number].get();
}

Result<std::vector<std::optional<double>>> JobTiming::time_all(const Request& request, double round_ms, int rounds) {
    const std::uint64_t block = request.count.value * element_bytes(request.type);
    const auto bytes_of = [&](auto blocks) {
        std::uint64_t most = 0;  // alike on all ranks, so that all can
        for (Rank r = 0; r < request.rank_count; r++)
            most = std::max<std::uint64_t>(most, blocks(request.collective, r, request.rank_count, request.root));
        return block * most;
    };
    if (auto ok = make_room(bytes_of(input_blocks), bytes_of(output_blocks)); !ok) return std::unexpected(ok.error());
    const Call call{.collective = request.collective,
                    .type = request.type,
                    .op = request.op,
                    .root = request.root,
                    .send = send_.data(),
                    .receive = receive_.data(),
                    .count = request.count.value};
    struct Timed {
        std::size_t index;
        Communicator* ranks;
        Rounds rounds;
        std::vector<double> ns{};
    };
    std::vector<Timed> timed;
    std::size_t index = 0;
    double least = std::numeric_limits<double>::infinity();
    for (const Algorithm& a : algorithms_) {
        if (a.collective != request.collective) continue;
        const std::size_t at = index++;
        if (!Selection::obstacle(a, request).empty()) continue;
        const auto ranks = forcing(at);
        if (!ranks) return std::unexpected(ranks.error());
        const auto first = rounds_of(**ranks, round_ms, [&, r = *ranks] { return r->run(call); });
        if (!first) continue;  // it is the algorithm's own refusal, and the same on every rank
        least = std::min(least, first->seconds_per_call);
        timed.push_back({at, *ranks, *first});
    }
    std::vector<std::optional<double>> all(index);
    std::vector<Timed*> turns;
    for (Timed& t : timed)
        if (t.rounds.seconds_per_call <= std::max(hopeless * least, long_call_seconds)) turns.push_back(&t);
    std::minstd_rand order;  // the same on every rank
    for (int round = 0; round < rounds; round++) {
        std::ranges::shuffle(turns, order);
        for (Timed* t : turns) {
            const Body body = [&] { return t->ranks->run(call); };
            // What another has left in the caches is not this one's.
            if (t->rounds.calls > 1)
                if (auto ok = seconds(1, body); !ok) return std::unexpected(ok.error());
            const auto took = seconds(t->rounds.calls, body);
            if (!took) return std::unexpected(took.error());
            t->ns.push_back(*took * 1e9 / t->rounds.calls);
        }
    }
    // The cores are near each other, then far, for whole rounds: what counts is how each compares to the others.
    std::vector<double> means;
    for (std::size_t round = 0; round < static_cast<std::size_t>(rounds); round++) {
        double logarithms = 0;
        for (const Timed* t : turns) logarithms += std::log(t->ns[round]);
        means.push_back(std::exp(logarithms / static_cast<double>(std::max<std::size_t>(turns.size(), 1))));
    }
    for (Timed& t : timed) {
        for (std::size_t round = 0; round < t.ns.size(); round++) t.ns[round] /= means[round];
        all[t.index] = t.ns.empty() ? t.rounds.seconds_per_call * 1e9 : median(std::move(t.ns)) * median(means);
    }
    return all;
}

Result<void> JobTiming::exchange(std::span<const Call> calls) {
    if (calls.empty()) return {};
    Batch batch;
    for (const Call& call : calls) batch.add(*ranks_, call);
    batch.take_tickets();
    return batch.run([](Communicator&, const Error&) {});
}

// Of one exchange.
Result<double> JobTiming::exchange_seconds(std::span<const Call> calls, double round_ms) {
    const auto body = [&] { return exchange(calls); };
    const auto first = rounds_of(*ranks_, round_ms, body);
    if (!first) return std::unexpected(first.error());
    std::vector<double> rounds;
    for (int round = 0; round < level_rounds; round++) {
        const auto took = seconds(first->calls, body);
        if (!took) return took;
        rounds.push_back(*took / first->calls);
    }
    return median(std::move(rounds));
}

namespace {

std::optional<std::pair<Rank, Rank>> first_pair(const LevelMap& map, std::size_t level) {
    for (Rank one = 0; one < map.rank_count(); one++)
        for (Rank other = one + 1; other < map.rank_count(); other++)
            if (map.level_between(one, other) == level) return std::pair(one, other);
    return std::nullopt;
}

Call message(bool is_send, Rank peer, void* bytes, std::uint64_t count) {
    return {.collective = is_send ? Collective::send : Collective::receive,
            .root = peer,
            .send = is_send ? bytes : nullptr,
            .receive = is_send ? nullptr : bytes,
            .count = count};
}

}  // namespace

Result<LevelTimes> JobTiming::time_level(std::size_t level, Rank one, Rank other) {
    const LevelMap map(ranks_->topology());
    const Rank own = ranks_->rank();
    if (auto ok = make_room(large_message, large_message); !ok) return std::unexpected(ok.error());
    const bool is_first = own == one, is_of_pair = is_first || own == other;
    const Rank peer = is_first ? other : one;
    LevelTimes times;

    // There, and only then back: two exchanges, in each of which one sends.
    const Call there = message(is_first, peer, send_.data(), small_message);
    const Call back = message(!is_first, peer, send_.data(), small_message);
    const auto body = [&]() -> Result<void> {
        if (!is_of_pair) return {};
        if (auto ok = exchange({&there, 1}); !ok) return ok;
        return exchange({&back, 1});
    };
    const auto first = rounds_of(*ranks_, level_round_ms, body);
    if (!first) return std::unexpected(first.error());
    std::vector<double> round_trips;
    for (int round = 0; round < level_rounds; round++) {
        const auto took = seconds(first->calls, body);
        if (!took) return std::unexpected(took.error());
        round_trips.push_back(*took / first->calls);
    }
    times.half_round_trip_ns = median(std::move(round_trips)) * 1e9 / 2;

    const auto stream = exchange_seconds({&there, is_of_pair ? std::size_t{1} : 0}, level_round_ms);
    if (!stream) return std::unexpected(stream.error());
    times.message_ns = *stream * 1e9;

    const auto both_ways = [&](bool takes_part, Rank with) -> Result<double> {
        const Call calls[] = {message(true, with, send_.data(), large_message),
                              message(false, with, receive_.data(), large_message)};
        return exchange_seconds({calls, takes_part ? std::size_t{2} : 0}, level_round_ms);
    };
    const auto alone = both_ways(is_of_pair, peer);
    if (!alone) return std::unexpected(alone.error());
    times.pair_bytes_per_s = static_cast<double>(large_message) / *alone;

    // The n-th of one part with the n-th of the other.
    std::vector<Rank> part_of_one, part_of_other;
    for (Rank r = 0; r < map.rank_count(); r++) {
        if (map.part_of(level, r) == map.part_of(level, one)) part_of_one.push_back(r);
        if (map.part_of(level, r) == map.part_of(level, other)) part_of_other.push_back(r);
    }
    const std::size_t pairs = std::min(part_of_one.size(), part_of_other.size());
    Rank with = no_rank;
    for (std::size_t i = 0; i < pairs; i++) {
        if (part_of_one[i] == own) with = part_of_other[i];
        if (part_of_other[i] == own) with = part_of_one[i];
    }
    const auto together = both_ways(with != no_rank, with);
    if (!together) return std::unexpected(together.error());
    times.part_bytes_per_s = static_cast<double>(large_message) * static_cast<double>(pairs) / *together;
    return times;
}

Result<std::vector<std::optional<LevelTimes>>> JobTiming::time_levels() {
    const LevelMap map(ranks_->topology());
    std::vector<std::optional<LevelTimes>> all(map.level_count());
    for (std::size_t level = 0; level < all.size(); level++) {
        const auto pair = first_pair(map, level);
        if (!pair) continue;
        auto times = time_level(level, pair->first, pair->second);
        if (!times) return std::unexpected(times.error());
        all[level] = *times;
    }
    return all;
}

namespace {

// The best of several passes over more than caches hold.
template <class Pass>
double bytes_per_s(std::uint64_t bytes, const Pass& pass) {
    double best = 0;
    constexpr int passes = 5;
    for (int i = 0; i < passes; i++) {
        const std::uint64_t start = os::now_ns();
        pass();
        const std::uint64_t took = std::max<std::uint64_t>(1, os::now_ns() - start);
        best = std::max(best, static_cast<double>(bytes) * 1e9 / static_cast<double>(took));
    }
    return std::round(best / 1e6) * 1e6;
}

constexpr std::uint64_t pass_bytes = 8 << 20;

}  // namespace

double JobTiming::copying_bytes_per_s() {
    std::vector<std::byte> from(pass_bytes), to(pass_bytes);
    return bytes_per_s(pass_bytes, [&] { std::memcpy(to.data(), from.data(), pass_bytes); });
}

double JobTiming::summing_bytes_per_s() {
    std::vector<float> one(pass_bytes / sizeof(float)), other(one.size()), sum(one.size());
    const void* sources[] = {one.data(), other.data()};
    const auto kernel = reduce_kernel(DataType::float32, ReduceOp::sum);
    return bytes_per_s(pass_bytes, [&] {
        kernel(
            {.destination = sum.data(), .sources = sources, .source_count = 2, .elements = one.size(), .divisor = 1});
    });
}

}  // namespace tenon
