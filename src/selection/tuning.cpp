#include "selection/tuning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "config/algorithm_choice.hpp"
#include "config/values.hpp"

namespace tenon {
namespace {

constexpr std::string_view first_line = "tenon tuning 1";
constexpr std::size_t most_bytes = 4 << 20, most_lines = 100'000;

// The figures of CostParameters, by the names that a file has for them.
struct CostRow {
    std::string_view name;
    double PathCosts::*of_path;
    double CostParameters::*own;
    PathCosts CostParameters::*path;
};
constexpr CostRow cost_rows[] = {
    {"memory.message_ns", &PathCosts::message_ns, nullptr, &CostParameters::memory},
    {"memory.message_latency_part", &PathCosts::message_latency_part, nullptr, &CostParameters::memory},
    {"memory.send_bytes_per_s", &PathCosts::send_bytes_per_s, nullptr, &CostParameters::memory},
    {"memory.receive_bytes_per_s", &PathCosts::receive_bytes_per_s, nullptr, &CostParameters::memory},
    {"memory.latency_ns", &PathCosts::latency_ns, nullptr, &CostParameters::memory},
    {"memory.link_bytes_per_s", &PathCosts::link_bytes_per_s, nullptr, &CostParameters::memory},
    {"network.message_ns", &PathCosts::message_ns, nullptr, &CostParameters::network},
    {"network.message_latency_part", &PathCosts::message_latency_part, nullptr, &CostParameters::network},
    {"network.send_bytes_per_s", &PathCosts::send_bytes_per_s, nullptr, &CostParameters::network},
    {"network.receive_bytes_per_s", &PathCosts::receive_bytes_per_s, nullptr, &CostParameters::network},
    {"network.latency_ns", &PathCosts::latency_ns, nullptr, &CostParameters::network},
    {"network.link_bytes_per_s", &PathCosts::link_bytes_per_s, nullptr, &CostParameters::network},
    {"step_ns", nullptr, &CostParameters::step_ns, nullptr},
    {"copy_bytes_per_s", nullptr, &CostParameters::copy_bytes_per_s, nullptr},
    {"reduce_bytes_per_s", nullptr, &CostParameters::reduce_bytes_per_s, nullptr},
    {"cores", nullptr, &CostParameters::cores, nullptr},
};
template <class Costs>
auto& figure(Costs& costs, const CostRow& row) {
    return row.own != nullptr ? costs.*row.own : costs.*row.path.*row.of_path;
}

using Words = std::vector<std::string_view>;

// Without what follows a '#'.
Words words_of(std::string_view line) {
    constexpr std::string_view blanks = " \t\r";
    line = line.substr(0, line.find('#'));
    Words words;
    while (true) {
        const std::size_t first = line.find_first_not_of(blanks);
        if (first == line.npos) return words;
        line.remove_prefix(first);
        words.push_back(line.substr(0, line.find_first_of(blanks)));
        line.remove_prefix(words.back().size());
    }
}

using Problem = std::string;  // empty: none

// A figure from 0 to 10^15, which keeps what is made of it finite.
std::optional<double> parse_figure(std::string_view text) {
    double value = 0;
    const auto [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::general);
    constexpr double most = 1e15;
    if (text.empty() || problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return std::isfinite(value) && value >= 0 && value <= most ? std::optional(value) : std::nullopt;
}

Problem read_cost(const Words& words, Tuning& tuning) {
    if (words.size() != 3) return "a cost has a name and a figure: cost step_ns 10";
    const auto* row = std::ranges::find(cost_rows, words[1], &CostRow::name);
    if (row == std::end(cost_rows)) {
        std::vector<std::string_view> known;
        for (const CostRow& r : cost_rows) known.push_back(r.name);
        return fmt::format("there is no cost '{}'; there are: {}", words[1], fmt::join(known, ", "));
    }
    const auto value = parse_figure(words[2]);
    if (!value) return fmt::format("'{}' is no figure from 0 to 10^15", words[2]);
    figure(tuning.costs, *row) = *value;
    return {};
}

// "name=value": the value, or nothing.
std::optional<std::string_view> value_of(std::string_view word, std::string_view name) {
    if (!word.starts_with(name) || word.size() <= name.size() || word[name.size()] != '=') return std::nullopt;
    return word.substr(name.size() + 1);
}

// The name of a level may be any text; in a file it is one word.
std::string as_word(std::string text) {
    std::ranges::replace_if(
        text, [](unsigned char c) { return c <= ' ' || c == '#'; }, '_');
    return text;
}

Problem read_link(const Words& words, Tuning& tuning) {
    if (words.size() < 3) return "a link has a level and figures: link host latency_ns=200 rank_bytes_per_s=5000000000";
    TunedLink link{.level = as_word(std::string(words[1]))};
    for (std::size_t i = 2; i < words.size(); i++) {
        bool is_known = false;
        for (const auto& [name, field] : {std::pair{"latency_ns", &TunedLink::latency_ns},
                                          std::pair{"rank_bytes_per_s", &TunedLink::rank_bytes_per_s},
                                          std::pair{"part_bytes_per_s", &TunedLink::part_bytes_per_s}}) {
            const auto value = value_of(words[i], name);
            if (!value) continue;
            is_known = true;
            const auto number = parse_figure(*value);
            if (!number) return fmt::format("'{}' has no figure from 0 to 10^15", words[i]);
            link.*field = static_cast<std::uint64_t>(*number);
        }
        if (!is_known)
            return fmt::format("'{}' is none of latency_ns=, rank_bytes_per_s= and part_bytes_per_s=", words[i]);
    }
    if (std::ranges::find(tuning.links, link.level, &TunedLink::level) != tuning.links.end())
        return fmt::format("the level '{}' has a link already", link.level);
    tuning.links.push_back(std::move(link));
    return {};
}

// As TENON_ALGORITHM has it, after the layout that it holds for.
Problem read_choice(const Words& words, Tuning& tuning) {
    constexpr std::string_view shape = "a choice is: choose ranks=8 hosts=4 all_reduce:0-4k=ring";
    if (words.size() != 4) return std::string(shape);
    const auto ranks = value_of(words[1], "ranks"), hosts = value_of(words[2], "hosts");
    if (!ranks || !hosts) return std::string(shape);
    const auto rank_count = parse_number(*ranks), host_count = parse_number(*hosts);
    constexpr std::uint64_t most_ranks = 1 << 20;
    if (!rank_count || !host_count || *rank_count < 1 || *rank_count > most_ranks || *host_count < 1 ||
        *host_count > *rank_count)
        return fmt::format("'{} {}' are no numbers of ranks and of hosts", words[1], words[2]);
    const auto choices = parse_algorithm_choices(words[3]);
    if (!choices) return choices.error().message;
    for (const AlgorithmChoice& c : *choices)
        tuning.choices.push_back({c.collective, static_cast<Rank>(*rank_count), static_cast<std::int32_t>(*host_count),
                                  c.min_bytes, c.max_bytes, c.name});
    return {};
}

Problem read_line(const Words& words, Tuning& tuning) {
    if (words[0] == "cost") return read_cost(words, tuning);
    if (words[0] == "link") return read_link(words, tuning);
    if (words[0] == "choose") return read_choice(words, tuning);
    return fmt::format("'{}' is none of cost, link and choose", words[0]);
}

std::uint64_t fingerprint_of(std::string_view text) {
    // FNV-1a: files that differ by mistake differ here.
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return hash == 0 ? 1 : hash;
}

}  // namespace

const TunedChoice* Tuning::find(const Request& request, const Topology& topology, ByteCount bytes) const {
    const auto at = std::ranges::find_if(choices, [&](const TunedChoice& c) {
        return c.collective == request.collective && c.rank_count == request.rank_count && c.hosts == topology.hosts &&
               c.min_bytes <= bytes && bytes <= c.max_bytes;
    });
    return at == choices.end() ? nullptr : &*at;
}

Topology Tuning::applied_to(Topology topology) const {
    for (Level& level : topology.levels)
        for (const TunedLink& link : links) {
            if (link.level != as_word(level.name)) continue;
            if (link.latency_ns != 0) level.link.latency_ns = link.latency_ns;
            if (link.rank_bytes_per_s != 0) level.link.rank_bytes_per_s = link.rank_bytes_per_s;
            if (link.part_bytes_per_s != 0) level.link.part_bytes_per_s = link.part_bytes_per_s;
        }
    return topology;
}

Result<Tuning> parse_tuning(std::string_view text, std::string_view name) {
    const auto refuse = [&](std::size_t line, std::string_view why) {
        return fail(Status::invalid_argument, fmt::format("{}, line {}: {}", name, line, why));
    };
    if (text.size() > most_bytes) return refuse(1, fmt::format("the file has more than {} bytes", most_bytes));
    const std::vector<std::string_view> lines = split(text, '\n');
    if (lines.size() > most_lines) return refuse(most_lines, "there are more lines than that");
    Tuning tuning;
    if (fmt::format("{}", fmt::join(words_of(lines[0]), " ")) != first_line)
        return refuse(1, fmt::format("this is no tuning file: it does not begin with '{}'", first_line));
    for (std::size_t i = 1; i < lines.size(); i++) {
        const Words words = words_of(lines[i]);
        if (words.empty()) continue;
        if (const Problem problem = read_line(words, tuning); !problem.empty()) return refuse(i + 1, problem);
    }
    tuning.fingerprint = fingerprint_of(text);
    return tuning;
}

Result<Tuning> read_tuning_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file || !file.is_open())
        return fail(
            Status::invalid_argument,
            fmt::format("TENON_TUNING_FILE: {} cannot be read; name a file that `tenon tune` has written", path));
    return parse_tuning(text, path);
}

std::string show(const Tuning& tuning) {
    const CostParameters defaults;
    std::string text = fmt::format("{}\n", first_line);
    for (const TunedLink& link : tuning.links)
        text += fmt::format("link {} latency_ns={} rank_bytes_per_s={} part_bytes_per_s={}\n", as_word(link.level),
                            link.latency_ns, link.rank_bytes_per_s, link.part_bytes_per_s);
    for (const CostRow& row : cost_rows)
        if (figure(tuning.costs, row) != figure(defaults, row))
            text += fmt::format("cost {} {}\n", row.name, figure(tuning.costs, row));
    for (const TunedChoice& c : tuning.choices) {
        const AlgorithmChoice choice{c.collective, c.min_bytes, c.max_bytes, c.algorithm};
        text += fmt::format("choose ranks={} hosts={} {}\n", c.rank_count, c.hosts, show(std::span(&choice, 1)));
    }
    return text;
}

}  // namespace tenon
