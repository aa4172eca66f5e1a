#include "perf/moe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "perf/heat_map.hpp"
#include "perf/moe_calls.hpp"
#include "perf/moe_report.hpp"
#include "perf/stopwatch.hpp"

namespace tenon::perf {
namespace {

constexpr double straggler_pass_s = 0.2;
constexpr double fewest_straggler_calls = 3, most_straggler_calls = 20;

// Who carries the calls out: the library's own, or the same over all-to-all-v.
template <class Calls>
struct DispatchCalls {
    static constexpr bool checks_last_call = true;
    MoeExchange& exchange;
    Calls& calls;
    void prepare(bool checked) {
        exchange.fill_tokens();
        if (checked) exchange.clear_rows();
    }
    void call() { calls.dispatch(); }
    std::uint64_t count_wrong() { return exchange.wrong_rows(); }
};

template <class Calls>
struct CombineCalls {
    static constexpr bool checks_last_call = true;
    MoeExchange& exchange;
    Calls& calls;
    void prepare(bool checked) {
        exchange.fill_rows();
        if (checked) exchange.clear_result();
    }
    void call() { calls.combine(); }
    std::uint64_t count_wrong() { return exchange.wrong_results(); }
};

// One rank's part in all rows.
class MoeBench {
public:
    MoeBench(const Options& options, Team& team, std::span<const std::string> hosts)
        : options_(options), team_(team), hosts_(hosts), comm_(team.split({})) {}

    std::uint64_t run() {
        if (team_.rank() == 0) print_moe_head(options_);
        for (const std::string& model : options_.moe.models)
            for (const std::string& routing : options_.moe.routings)
                for (const DataType type : options_.moe.types) run_routing(model, routing, type);
        if (team_.rank() == 0 && !options_.picture.empty()) draw();
        return wrong_;
    }

private:
    void run_routing(const std::string& model_name, const std::string& routing, DataType type) {
        MoeModel model = *moe_model_named(model_name);
        if (options_.moe.hidden != 0) model.hidden = options_.moe.hidden;
        const MoeChoices choices = choices_of(team_.rank(), model, routing);
        const std::uint64_t most_tokens = std::max<std::uint64_t>(team_.largest(choices.tokens), 1);
        MoeExchange exchange(choices, most_tokens, options_.moe, type, options_.memory, comm_);
        MoeRow row = described(exchange);
        row.model = model_name;
        row.routing = routing;
        row.type = type;
        row.hidden = model.hidden;
        row.tokens = most_tokens;
        row.path = exchange.is_hierarchical() ? "hierarchical" : "flat";
        run_both(exchange, exchange, row);
        if (options_.moe.against_all_to_all_v) {
            std::vector<MoeChoices> everybody;
            for (Rank r = 0; r < team_.rank_count(); r++) everybody.push_back(choices_of(r, model, routing));
            MoeOverAllToAllV over(exchange, everybody, options_.memory);
            row.path = "all_to_all_v";
            run_both(exchange, over, row);
        }
        keep_traffic(exchange, fmt::format("{}, {}: bytes of a dispatch from rank to rank", model_name, routing));
    }

    MoeChoices choices_of(Rank rank, const MoeModel& model, const std::string& routing) const {
        const auto choices = route(*moe_router_named(routing), model, options_.moe.tokens,
                                   static_cast<std::uint32_t>(rank), static_cast<std::uint32_t>(team_.rank_count()));
        if (!choices) throw std::runtime_error(choices.error());
        return *choices;
    }

    // What the routing alone says.
    MoeRow described(const MoeExchange& exchange) {
        MoeRow row{.ranks = team_.rank_count(),
                   .transport = comm_.transport((team_.rank() + 1) % team_.rank_count()),
                   .is_checked = options_.checks > 0};
        most_received_ = team_.largest(exchange.received_tokens(false));
        most_from_others_ = team_.largest(exchange.received_tokens(true));
        row.crossing_rows = team_.total(exchange.counts().rows_to_other_nodes);
        least_leaving_rows_ = team_.total(exchange.counts().least_rows_to_other_nodes);
        const std::uint64_t all_rows = team_.total(exchange.counts().rows);
        if (all_rows != 0)
            row.imbalance = static_cast<double>(team_.largest(exchange.counts().rows)) * team_.rank_count() /
                            static_cast<double>(all_rows);
        return row;
    }

    template <class Calls>
    void run_both(MoeExchange& exchange, Calls& calls, MoeRow row) {
        row.call = "dispatch";
        count_least(row, exchange.dispatched_row_bytes());
        run_call(exchange, DispatchCalls<Calls>{exchange, calls}, row);
        row.call = "combine";
        count_least(row, exchange.row_bytes());
        run_call(exchange, CombineCalls<Calls>{exchange, calls}, row);
    }

    void count_least(MoeRow& row, std::uint64_t row_bytes) const {
        row.received_bytes = most_received_ * row_bytes;
        row.from_others_bytes = most_from_others_ * row_bytes;
        row.least_leaving_bytes = least_leaving_rows_ * row_bytes;
    }

    template <class Subject>
    void run_call(const MoeExchange& exchange, Subject subject, MoeRow row) {
        const tenonMoeTraffic_t before = exchange.traffic();
        row.figures = Stopwatch{subject, options_, team_}.run();
        find_straggler(subject, row);
        count_traffic(exchange, before, row);
        wrong_ += row.figures.wrong;
        if (team_.rank() == 0) print_moe_row(options_, row);
    }

    // Calls one by one, each from a barrier on, every rank by its own clock.
    template <class Subject>
    void find_straggler(Subject& subject, MoeRow& row) {
        using Clock = std::chrono::steady_clock;
        const double call_s = std::max(row.figures.median_us, 1.0) / 1e6;
        const auto calls = static_cast<int>(
            std::clamp(straggler_pass_s / call_s, fewest_straggler_calls, most_straggler_calls));
        std::vector<double> seconds(static_cast<std::size_t>(team_.rank_count()));
        for (int i = 0; i < calls; i++) {
            team_.barrier();
            const auto start = Clock::now();
            subject.call();
            seconds[static_cast<std::size_t>(team_.rank())] +=
                std::chrono::duration<double>(Clock::now() - start).count();
        }
        seconds = team_.slowest(std::move(seconds));
        const auto slowest = std::ranges::max_element(seconds);
        row.straggler = static_cast<Rank>(slowest - seconds.begin());
        const double most = *slowest, middle = median(seconds);
        row.straggles = middle > 0 ? most / middle : 1;
    }

    // Of one call, by the library's counters; of calls over all-to-all-v from the routing.
    void count_traffic(const MoeExchange& exchange, const tenonMoeTraffic_t& before, MoeRow& row) {
        const tenonMoeTraffic_t after = exchange.traffic();
        const bool is_dispatch = row.call == "dispatch";
        const std::uint64_t calls =
            is_dispatch ? after.dispatches - before.dispatches : after.combines - before.combines;
        std::uint64_t inside = is_dispatch ? after.dispatchBytesInsideNode - before.dispatchBytesInsideNode
                                           : after.combineBytesInsideNode - before.combineBytesInsideNode;
        std::uint64_t leaving = is_dispatch ? after.dispatchBytesLeavingNode - before.dispatchBytesLeavingNode
                                            : after.combineBytesLeavingNode - before.combineBytesLeavingNode;
        row.calls = calls;
        if (calls != 0) {
            inside /= calls;
            leaving /= calls;
        } else {
            const MoeCounts& counts = exchange.counts();
            const auto own = static_cast<std::size_t>(team_.rank());
            for (std::size_t r = 0; r < counts.nodes.size(); r++)
                if (r != own)
                    (counts.nodes[r] == counts.nodes[own] ? inside : leaving) +=
                        (is_dispatch ? counts.sent_entries : counts.received_entries)[r] * exchange.row_bytes();
        }
        row.inside_bytes = team_.total(inside);
        row.leaving_bytes = team_.total(leaving);
    }

    void keep_traffic(const MoeExchange& exchange, std::string title) {
        if (options_.picture.empty()) return;
        PairFigures figures(team_.rank_count());
        const std::vector<double> sent = exchange.sent_bytes();
        for (Rank to = 0; to < team_.rank_count(); to++)
            if (to != team_.rank()) figures.at(team_.rank(), to) = sent[static_cast<std::size_t>(to)];
        figures.values() = team_.slowest(figures.values());
        traffic_.push_back({std::move(title), std::move(figures)});
    }

    void draw() const {
        std::vector<HeatMap> maps;
        for (const Traffic& t : traffic_)
            maps.push_back({t.title, {t.bytes, hosts_, true}, HeatMap::Nothing::is_good});
        std::ofstream file(options_.picture);
        file << as_svg(maps);
        if (!file.flush()) throw std::runtime_error(fmt::format("cannot write {}", options_.picture));
    }

    struct Traffic {
        std::string title;
        PairFigures bytes;
    };

    const Options& options_;
    Team& team_;
    std::span<const std::string> hosts_;
    Communicator comm_;
    std::vector<Traffic> traffic_;
    std::uint64_t most_received_ = 0, most_from_others_ = 0, least_leaving_rows_ = 0;  // of the routing at hand
    std::uint64_t wrong_ = 0;
};

}  // namespace

std::uint64_t run_moe(const Options& options, Team& team, std::span<const RankFacts> ranks) {
    std::vector<std::string> hosts;
    for (const RankFacts& rank : ranks) hosts.emplace_back(rank.host);
    return MoeBench(options, team, hosts).run();
}

}  // namespace tenon::perf
