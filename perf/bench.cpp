#include "perf/bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "communicator/surroundings.hpp"
#include "library/registry.hpp"
#include "perf/links_report.hpp"
#include "perf/moe.hpp"
#include "perf/pair_tests.hpp"
#include "perf/report.hpp"
#include "perf/timing.hpp"
#include "selection/selection.hpp"

namespace tenon::perf {
namespace {

// Of all ranks, to take the median time of: so many, or, where they take long, fewer.
constexpr std::size_t most_meetings = 7, least_meetings = 3;
constexpr double meetings_us = 2e6;
constexpr const char* no_plan = "exchange";  // data-dependent calls have no algorithm to choose

std::string shown_name(Collective collective) {
    return collective == Collective::send ? "sendrecv" : std::string(name_of(collective));
}

bool has_plan(Collective collective) { return static_cast<std::size_t>(collective) < planned_collective_count; }

// Which row: all that its figures depend on.
struct RowKey {
    Collective collective{};
    DataType type{};
    Operation operation{};
    Rank root = 0;
    std::uint64_t bytes = 0;
    std::string algorithm;  // forced; empty: Tenon chooses
};

Request request_of(const RowKey& key, Rank rank_count, bool deterministic) {
    const Shape shape = make_shape(key.collective, key.type, 0, rank_count, key.root, key.bytes);
    return {.collective = key.collective,
            .rank_count = rank_count,
            .count = {shape.count},
            .type = key.type,
            .op = key.operation == Operation::mulsum ? ReduceOp::sum : static_cast<ReduceOp>(key.operation),
            .root = key.root,
            .deterministic = deterministic};
}

class Bench {
public:
    Bench(const Options& options, Team& team, std::span<const RankFacts> ranks, Report* report)
        : options_(options), team_(team), ranks_(ranks), report_(report) {
        if (options.memory == MemoryKind::device) device_.emplace(options.device, team.rank(), ranks);
    }

    int run() {
        if (options_.init) time_meetings();
        for (const Collective collective : options_.collectives) {
            if (report_) report_->begin(shown_name(collective));
            run_collective(collective);
            if (report_) report_->end(shown_name(collective));
        }
        for (const PairTest test : options_.pair_tests) run_pair_test(test);
        if (options_.moe.asked) wrong_ += run_moe(options_, team_, ranks_);
        team_.barrier();  // a rank that ends with status 1 ends the others, which must have shown all by then
        return wrong_ == 0 ? 0 : 1;
    }

private:
    void run_collective(Collective collective) {
        for (const DataType type : types_of(options_, collective))
            for (const Operation operation : operations_of(options_, collective))
                for (const Rank root : roots_of(collective)) run_sizes({collective, type, operation, root, 0, ""});
    }

    void run_pair_test(PairTest test) {
        const std::string name{name_of(test)};
        Communicator& comm = communicator({});
        if (report_) report_->begin(name);
        for (const std::uint64_t bytes : options_.sizes.expanded()) {
            const std::string transport = transport_of(comm, team_.rank_count() - 1);
            const bool is_registration = test == PairTest::registration;
            Row row{.collective = name, .type = DataType::int8, .ranks = team_.rank_count(), .bytes = bytes,
                    .count = bytes, .memory = options_.memory, .checked = options_.checks > 0 && !is_registration,
                    .algorithm = is_registration ? registration_by(transport) : "send", .transport = transport,
                    .has_bandwidth = !is_registration};
            progress(row, "between two ranks");
            row.out_of_place = measure(test, bytes, options_, comm, team_);
            wrong_ += row.out_of_place.wrong;
            add(row);
        }
        if (report_) report_->end(name);
    }

    std::vector<Rank> roots_of(Collective collective) const {
        if (!is_rooted(collective)) return {0};
        if (options_.root >= 0) return {options_.root};
        std::vector<Rank> all;
        for (Rank rank = 0; rank < team_.rank_count(); rank++) all.push_back(rank);
        return all;
    }

    void run_sizes(RowKey key) {
        std::optional<std::uint64_t> last;
        const std::vector<std::uint64_t> sizes =
            has_data(key.collective) ? options_.sizes.expanded() : std::vector<std::uint64_t>{0};
        for (const std::uint64_t size : sizes) {
            key.bytes = usable_bytes(key.collective, key.type, team_.rank_count(), size);
            if (key.bytes == last) continue;  // both were raised to the smallest size
            last = key.bytes;
            for (key.algorithm.clear(); const std::string& algorithm : algorithms_for(key)) {
                key.algorithm = algorithm;
                run_row(key);
            }
        }
    }

    static bool has_data(Collective collective) { return collective != Collective::barrier; }

    // The algorithms to force one after the other; an empty name forces none. Of one that was asked for by name, it is
    // said where it does not fit.
    std::vector<std::string> algorithms_for(const RowKey& key) {
        if (options_.algorithm.empty() || !has_plan(key.collective)) return {""};
        const Request request = request_of(key, team_.rank_count(), options_.deterministic);
        std::vector<std::string> fitting;
        for (const Algorithm* algorithm : algorithms_of(key.collective)) {
            if (options_.algorithm != "all" && options_.algorithm != algorithm->name) continue;
            const std::string why = Selection::obstacle(*algorithm, request);
            if (why.empty())
                fitting.emplace_back(algorithm->name);
            else if (options_.algorithm != "all" && report_ != nullptr)
                fmt::print(stderr, "tenon-perf: left out: {} of {} bytes of {}: {} {}\n", shown_name(key.collective),
                           key.bytes, name_of(key.type), algorithm->name, why);
        }
        return fitting;
    }

    void run_row(const RowKey& key) {
        Communicator& comm = communicator(key);
        const Shape shape = make_shape(key.collective, key.type, team_.rank(), team_.rank_count(), key.root, key.bytes);
        Workload workload{shape, key.operation, options_.memory, comm, device_ ? &*device_ : nullptr};
        Row row{.collective = shown_name(key.collective),
                .type = key.type,
                .ranks = team_.rank_count(),
                .bytes = shape.bytes,
                .count = shape.count,
                .bus_factor = bus_factor(key.collective, team_.rank_count()),
                .memory = options_.memory,
                .checked = options_.checks > 0 && has_data(key.collective)};
        if (reduces(key.collective)) row.operation = name_of(key.operation);
        if (is_rooted(key.collective)) row.root = key.root;
        row.algorithm = algorithm_of(comm, workload);
        row.transport = transport_of(comm);
        progress(row, "out of place");
        row.out_of_place = measure(workload, false, options_, team_);
        wrong_ += row.out_of_place.wrong;
        if (has_data(key.collective)) row.sent = sent_by_a_call(comm, workload);
        if (shape.can_be_in_place) {
            progress(row, "in place");
            row.in_place = measure(workload, true, options_, team_);
            wrong_ += row.in_place->wrong;
        }
        row.slot_memory_bytes = team_.largest(comm.slot_memory_bytes());
        add(row);
    }

    std::vector<SentBytes> sent_by_a_call(const Communicator& comm, const Workload& workload) {
        const std::vector<tenonTraffic_t> before = comm.traffic();
        workload.call();
        workload.finish();
        const std::vector<tenonTraffic_t> after = comm.traffic();
        std::vector<SentBytes> sent;
        for (std::size_t level = 0; level < after.size(); level++)
            sent.push_back({after[level].level, team_.total(after[level].bytes - before[level].bytes),
                            team_.total(after[level].bytesLeavingHost - before[level].bytesLeavingHost)});
        return sent;
    }

    // One communicator at a time, for the algorithm that is forced: together they would take the memory of all.
    Communicator& communicator(const RowKey& key) {
        const std::string forced =
            key.algorithm.empty() ? "" : fmt::format("{}={}", name_of(key.collective), key.algorithm);
        if (!comm_ || forced != forced_) {
            comm_.reset();
            Settings settings{.algorithm = forced};
            if (options_.deterministic) settings.deterministic = true;
            if (device_) settings.device = device_->device();
            comm_ = team_.split(settings);
            forced_ = forced;
        }
        return *comm_;
    }

    std::string algorithm_of(const Communicator& comm, const Workload& workload) const {
        const Shape& shape = workload.shape();
        if (!has_plan(shape.collective)) return no_plan;
        return comm.algorithm(static_cast<tenonCollective_t>(shape.collective), shape.count,
                              static_cast<tenonDataType_t>(shape.type), workload.operation());
    }

    std::string transport_of(const Communicator& comm, Rank peer) const {
        return comm.transport(team_.rank() == peer ? 0 : peer);
    }

    // Of what is built in, only rdma has devices that memory is registered with.
    static std::string registration_by(std::string_view transport) {
        constexpr std::string_view without[] = {"self", "inproc", "shm", "tcp", "ucx"};
        return std::ranges::find(without, transport) != std::end(without) ? "registers nothing" : "register";
    }

    std::string transport_of(const Communicator& comm) const {
        if (device_) return device_->kind();
        std::set<std::string> names;
        for (Rank peer = 0; peer < team_.rank_count(); peer++)
            if (peer != team_.rank() || team_.rank_count() == 1) names.insert(comm.transport(peer));
        return fmt::format("{}", fmt::join(names, "+"));
    }

    void time_meetings() {
        std::vector<double> times_us;
        double all_us = 0;  // the same on all ranks
        while (times_us.size() < least_meetings || (times_us.size() < most_meetings && all_us < meetings_us)) {
            team_.barrier();
            const auto start = std::chrono::steady_clock::now();
            const Communicator met = team_.meet_anew();
            times_us.push_back(
                1e6 * team_.slowest(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()));
            all_us += times_us.back();
        }
        std::sort(times_us.begin(), times_us.end());
        Row row{.collective = "init",
                .type = DataType::int8,
                .ranks = team_.rank_count(),
                .memory = options_.memory,
                .algorithm = "rendezvous",
                .transport = "-"};
        row.out_of_place = {.median_us = median(times_us),
                            .min_us = times_us.front(),
                            .p50_us = percentile(times_us, 50),
                            .p95_us = percentile(times_us, 95),
                            .p99_us = percentile(times_us, 99)};
        if (report_) report_->begin(row.collective);
        add(row);
        if (report_) report_->end(row.collective);
    }

    void progress(const Row& row, const char* half) {
        if (report_)
            progress_.show(fmt::format("{}, {} bytes, {}: {} ...", row.collective, row.bytes, row.algorithm, half));
    }

    void add(const Row& row) {
        if (!report_) return;
        progress_.clear();
        report_->add(row);
    }

    const Options& options_;
    Team& team_;
    std::span<const RankFacts> ranks_;
    Report* report_;
    Progress progress_;
    std::optional<DeviceSide> device_;  // ends after its communicator
    std::optional<Communicator> comm_;
    std::string forced_;
    std::uint64_t wrong_ = 0;
};

// Why not even the smallest row of a collective can be had with the algorithm that the user names, or "".
std::string obstacle_to_algorithm(const Options& options, Collective collective, Rank rank_count) {
    if (!has_plan(collective)) return "";
    const auto algorithm = algorithm_named(collective, options.algorithm);
    if (!algorithm) return "--algorithm: " + algorithm.error().message;
    std::string why;
    const std::uint64_t smallest = std::ranges::min(options.sizes.expanded());
    for (const DataType type : types_of(options, collective)) {
        const RowKey key{collective, type, Operation::sum, std::max(options.root, 0),
                         usable_bytes(collective, type, rank_count, smallest), ""};
        why = Selection::obstacle(**algorithm, request_of(key, rank_count, options.deterministic));
        if (why.empty()) return "";
    }
    return fmt::format("--algorithm: {} of {} {}", (*algorithm)->name, name_of(collective), why);
}

}  // namespace

int run_bench(const Options& options, Team& team, const RankFacts& facts) {
    const std::vector<RankFacts> ranks = team.everyone(facts);
    const std::unique_ptr<Report> report = team.rank() == 0 ? make_report(options, ranks) : nullptr;
    if (options.links) show_links(options, team, ranks);
    return Bench{options, team, ranks, report.get()}.run();
}

std::string obstacle(const Options& options, Rank rank_count) {
    if (options.root >= rank_count) return fmt::format("-r: there is no rank {} among {}", options.root, rank_count);
    const auto config = read_config();
    if (!config) return config.error().message;
    if (const auto known = known_algorithms(*config); !known) return known.error().message;
    if (options.algorithm.empty() || options.algorithm == "all") return "";
    for (const Collective collective : options.collectives)
        if (std::string why = obstacle_to_algorithm(options, collective, rank_count); !why.empty()) return why;
    return "";
}

}  // namespace tenon::perf
