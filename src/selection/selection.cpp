#include "selection/selection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "reduction/floating_point_mode.hpp"

namespace tenon {

ByteCount large_buffer_bytes(const Request& request) {
    const bool blocks = request.collective != Collective::all_reduce && request.collective != Collective::broadcast &&
                        request.collective != Collective::reduce;
    return {request.count.value * element_bytes(request.type) *
            (blocks ? static_cast<std::uint64_t>(request.rank_count) : 1)};
}

Result<Selection> Selection::make(std::span<const Algorithm> algorithms, std::vector<AlgorithmChoice> forced,
                                  Tuning tuning) {
    Selection selection(algorithms, std::move(forced), std::move(tuning));
    if (auto ok = selection.check_names(); !ok) return std::unexpected(ok.error());
    return selection;
}

Result<Selection> Selection::make(std::span<const Algorithm> algorithms, const Config& config) {
    if (config.tuning_file.empty()) return make(algorithms, config.algorithms);
    auto tuning = read_tuning_file(config.tuning_file);
    if (!tuning) return std::unexpected(tuning.error());
    return make(algorithms, config.algorithms, std::move(*tuning));
}

Result<void> Selection::check_names() const {
    const auto unknown = [&](std::string_view variable, Collective collective, std::string_view name) {
        std::string known;
        for (const Algorithm& a : algorithms_)
            if (a.collective == collective) known += (known.empty() ? "" : ", ") + std::string{a.name};
        return fail(Status::invalid_argument, fmt::format("{}: {} has no algorithm '{}'; there are: {}", variable,
                                                          name_of(collective), name, known));
    };
    for (const AlgorithmChoice& f : forced_)
        if (find(f.collective, f.name) == nullptr) return unknown("TENON_ALGORITHM", f.collective, f.name);
    for (const TunedChoice& t : tuning_.choices)
        if (find(t.collective, t.algorithm) == nullptr) return unknown("TENON_TUNING_FILE", t.collective, t.algorithm);
    return {};
}

const Algorithm* Selection::find(Collective collective, std::string_view name) const {
    for (const Algorithm& a : algorithms_)
        if (a.collective == collective && a.name == name) return &a;
    return nullptr;
}

namespace {

bool forms_the_tree(const Algorithm& a, const Request& request) {
    return a.deterministic || request.rank_count == 1 ||
           (a.deterministic_by_powers && std::has_single_bit(static_cast<unsigned>(request.rank_count)) &&
            !is_narrow_float(request.type));
}

}  // namespace

std::string Selection::obstacle(const Algorithm& a, const Request& request) {
    const ByteCount block{request.count.value * element_bytes(request.type)};
    if (a.needs.power_of_two_ranks && !std::has_single_bit(static_cast<unsigned>(request.rank_count)))
        return fmt::format("needs a power of two of ranks, there are {}", request.rank_count);
    if (request.rank_count > a.needs.max_ranks)
        return fmt::format("serves at most {} ranks, there are {}", a.needs.max_ranks, request.rank_count);
    if (block > a.needs.max_bytes)
        return fmt::format("serves blocks of at most {} bytes, this is {}", a.needs.max_bytes.value, block.value);
    if (request.deterministic && reduces(request.collective) && !forms_the_tree(a, request))
        return fmt::format("does not add in the order of the tree{}, which deterministic mode requires",
                           a.deterministic_by_powers
                               ? ", unless the ranks are a power of two and the type is not an 8- or 16-bit float"
                               : "");
    return {};
}

namespace {

bool fits(TableRow::Groups wanted, const Topology& topology) {
    if (wanted == TableRow::Groups::any) return true;
    if (topology.levels.empty()) return false;
    const std::int32_t groups = 1 + std::ranges::max(topology.levels.front().group_of);
    if (wanted == TableRow::Groups::two_of_several_ranks && groups != 2) return false;
    return groups > 1 && groups < topology.rank_count;
}

std::string reason_of(const TableRow& row, bool shares_memory) {
    using Cores = TableRow::Cores;
    std::string why = shares_memory ? "measured table" : "measured table for networks";
    if (row.max_bytes != UINT64_MAX) why += fmt::format(", up to {} bytes", row.max_bytes);
    if (row.max_ranks < 1 << 20)
        why += fmt::format(", {} to {} ranks", row.min_ranks, row.max_ranks);
    else if (row.min_ranks > 1)
        why += fmt::format(", {} ranks or more", row.min_ranks);
    if (row.cores == Cores::few) why += ", fewer cores than ranks";
    if (row.cores == Cores::enough) why += ", a core for each rank";
    if (row.groups == TableRow::Groups::of_several_ranks) why += ", several ranks in a group";
    if (row.groups == TableRow::Groups::two_of_several_ranks) why += ", several ranks in one of two groups";
    return why;
}

bool tells_no_figures(std::span<const Level> levels) {
    return std::ranges::all_of(levels, [](const Level& level) {
        const LevelLink& link = level.link;
        return link.latency_ns == 0 && link.rank_bytes_per_s == 0 && link.part_bytes_per_s == 0;
    });
}

// To a multiple of a quarter of the power of two below: what a limit of an algorithm may be stays itself.
Request rounded_up(Request request) {
    const std::uint64_t quarter = std::bit_floor(request.count.value) / 4;
    if (quarter > 1) request.count.value = (request.count.value + quarter - 1) / quarter * quarter;
    return request;
}

std::string in_words(double ns) {
    return ns < 1e4   ? fmt::format("{:.2f} us", ns / 1e3)
           : ns < 1e6 ? fmt::format("{:.1f} us", ns / 1e3)
                      : fmt::format("{:.2f} ms", ns / 1e6);
}

}  // namespace

bool is_measured_layout(const Topology& topology) {
    constexpr std::uint64_t quickest_measured_bytes_per_s = 1'250'000'000;
    constexpr Rank most_measured_ranks = 64;
    if (topology.has_boards) return topology.levels.size() <= 1 || tells_no_figures(topology.levels);
    if (topology.levels.empty()) return true;
    return topology.levels.size() <= 2 && topology.rank_count <= most_measured_ranks &&
           topology.levels.back().link.part_bytes_per_s <= quickest_measured_bytes_per_s;
}

Result<Choice> Selection::choose(const Request& request, const Topology& topology, PricedChoices* known) const {
    const std::uint64_t bytes = large_buffer_bytes(request).value;
    if (const AlgorithmChoice* f = find_choice(forced_, request.collective, {bytes})) {
        const Algorithm* a = find(f->collective, f->name);
        if (const std::string why = obstacle(*a, request); !why.empty())
            return fail(Status::invalid_usage,
                        fmt::format("{} is asked for in {}, by TENON_ALGORITHM or the communicator's settings, but it "
                                    "{}", f->name, name_of(f->collective), why));
        return Choice{a, "forced by configuration"};
    }
    if (auto tuned = by_tuning(request, topology)) return std::move(*tuned);
    if (is_measured_layout(topology))
        if (auto measured = by_table(request, topology)) return std::move(*measured);
    const Request rounded = rounded_up(request);
    if (known != nullptr)
        if (const Choice* priced = known->find(PricedChoices::key_of(rounded))) return *priced;
    if (auto priced = by_price(rounded, topology))
        return known == nullptr ? *priced : known->put(PricedChoices::key_of(rounded), std::move(*priced));
    return fail(Status::invalid_usage, fmt::format("no algorithm can serve {} of {} bytes on {} ranks",
                                                   name_of(request.collective), bytes, request.rank_count));
}

std::optional<Choice> Selection::by_tuning(const Request& request, const Topology& topology) const {
    const TunedChoice* tuned = tuning_.find(request, topology, large_buffer_bytes(request));
    if (tuned == nullptr) return std::nullopt;
    const Algorithm* a = find(tuned->collective, tuned->algorithm);
    if (!obstacle(*a, request).empty()) return std::nullopt;
    const bool is_open = tuned->max_bytes.value == UINT64_MAX;
    return Choice{a, fmt::format("tuning file, for {} ranks on {} {}, {}", tuned->rank_count, tuned->hosts,
                                 tuned->hosts == 1 ? "host" : "hosts",
                                 is_open ? fmt::format("from {} bytes on", tuned->min_bytes.value)
                                         : fmt::format("up to {} bytes", tuned->max_bytes.value))};
}

std::optional<Choice> Selection::by_table(const Request& request, const Topology& topology) const {
    const std::uint64_t bytes = large_buffer_bytes(request).value;
    const bool shares_memory = topology.has_boards;
    for (const TableRow& row : shares_memory ? measured_table() : measured_table_over_network()) {
        using Cores = TableRow::Cores;
        if (row.collective != request.collective || bytes > row.max_bytes || request.rank_count < row.min_ranks ||
            request.rank_count > row.max_ranks)
            continue;
        if (row.cores != Cores::any && (row.cores == Cores::few) != topology.cores_are_short()) continue;
        if (!fits(row.groups, topology)) continue;
        const Algorithm* a = find(row.collective, row.algorithm);
        if (a == nullptr || !obstacle(*a, request).empty()) continue;
        return Choice{a, reason_of(row, shares_memory)};
    }
    return std::nullopt;
}

namespace {

struct Prospect {
    double least_ns;
    std::size_t index;  // among the algorithms
    bool is_long;       // to price
    friend auto operator<=>(const Prospect&, const Prospect&) = default;
};

}  // namespace

// What may be quickest comes first, so that the others need not be priced to the end, or at all.
// Of equal prices the first in the manifest's order counts.
std::optional<Choice> Selection::by_price(const Request& request, const Topology& topology) const {
    // A rank's caller may have changed how its thread rounds, and all must come to the same.
    const StandardFloatingPoint standard;
    constexpr std::size_t many_steps = 1000;  // of a rank
    std::vector<Prospect> prospects;
    for (std::size_t i = 0; i < algorithms_.size(); i++) {
        const Algorithm& a = algorithms_[i];
        if (a.collective != request.collective || !obstacle(a, request).empty()) continue;
        if (const auto seen = outlook(a, request, topology, tuning_.costs))
            prospects.push_back({seen->least_ns, i, seen->steps > many_steps});
    }
    std::ranges::sort(prospects);
    std::vector<std::pair<double, std::size_t>> able;
    double best = std::numeric_limits<double>::infinity();
    for (const Prospect& p : prospects) {
        // Of what is short, runners-up have a price, for the reason.
        const PriceLimits limits{.is_only_total = true, .most_ns = p.is_long ? best : 2 * best};
        double ns = std::numeric_limits<double>::infinity();
        if (p.least_ns <= limits.most_ns) {
            const auto priced = price(algorithms_[p.index], request, topology, tuning_.costs, limits);
            if (!priced) continue;
            ns = priced->total_ns;
        }
        able.emplace_back(ns, p.index);
        best = std::min(best, ns);
    }
    if (able.empty()) return std::nullopt;
    std::ranges::sort(able);
    std::string why = "priced: " + in_words(able.front().first);
    constexpr std::size_t most_named = 3;
    for (std::size_t i = 1; i < std::min(able.size(), most_named); i++) {
        const bool is_known = std::isfinite(able[i].first);
        why += is_known ? fmt::format(", {} {}", algorithms_[able[i].second].name, in_words(able[i].first))
                        : ", others longer";
        if (!is_known) break;
    }
    return Choice{&algorithms_[able.front().second], std::move(why)};
}

std::vector<Candidate> Selection::candidates(const Request& request, const Topology& topology) const {
    std::vector<Candidate> all;
    for (const Algorithm& a : algorithms_) {
        if (a.collective != request.collective) continue;
        Candidate candidate{&a, obstacle(a, request)};
        if (candidate.obstacle.empty()) {
            auto found = price(a, request, topology, tuning_.costs);
            if (found)
                candidate.price = std::move(*found);
            else
                candidate.obstacle = found.error().message;
        }
        all.push_back(std::move(candidate));
    }
    return all;
}

}  // namespace tenon
