// `tenon tune` and `tenon topo probe`: write a tuning file of what the job that they are ranks of has measured.
//
//   tenon run --hosts a:8,b:8 -- tenon topo probe --out links.txt
//   TENON_TUNING_FILE=links.txt tenon run --hosts a:8,b:8 -- tenon tune --out tuned.txt
// What TENON_TUNING_FILE says already stays, where it was not measured anew. Rank 0 writes; the format is in
// src/selection/README.md. Exit status: 1 when a rank failed or the file cannot be written, 2 for bad input.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>

#include "config/values.hpp"
#include "plan/representatives.hpp"
#include "selection/tuning.hpp"
#include "tools/tenon/command.hpp"
#include "tools/tenon/job_timing.hpp"

namespace tenon {
namespace {

struct TuneOptions {
    std::vector<std::string> collectives{"all"};
    std::vector<std::string> sizes{"8", "64", "512", "4k", "32k", "256k", "2m", "16m", "64m"};
    std::string out;
    double round_ms = 10;
    int rounds = 5;
};

int failed(const Error& error) {
    bad_input(error.message);
    return 1;
}

int write_out(const std::string& path, const std::string& text) {
    if (path.empty()) {
        fmt::print("{}", text);
        return 0;
    }
    std::ofstream file(path, std::ios::binary);
    file << text << std::flush;
    if (file) return 0;
    fmt::print(stderr, "tenon: cannot write {}\n", path);
    return 1;
}

Result<Tuning> tuning_so_far(const Config& config) {
    return config.tuning_file.empty() ? Result<Tuning>(Tuning{}) : read_tuning_file(config.tuning_file);
}

// One size's times, and who is taken.
struct Measured {
    std::uint64_t bytes = 0;
    std::vector<std::pair<std::string, double>> ns{};
    std::string best{};
};

// Who was taken for the size before stays, while it loses less than what measuring again would.
std::string best_of(const Measured& measured, const std::string& before) {
    constexpr double as_good = 1.03;
    const auto& least = *std::ranges::min_element(measured.ns, {}, &std::pair<std::string, double>::second);
    for (const auto& [name, ns] : measured.ns)
        if (name == before && ns <= least.second * as_good) return name;
    return least.first;
}

std::uint64_t between(std::uint64_t small, std::uint64_t large) {
    return static_cast<std::uint64_t>(std::sqrt(static_cast<double>(small) * static_cast<double>(large)));
}

// Ranges that meet midway between sizes, on a scale of powers; neighbours of one algorithm become one.
std::vector<TunedChoice> choices_of(const std::vector<Measured>& sizes, const Request& request, std::int32_t hosts) {
    std::vector<TunedChoice> choices;
    for (std::size_t i = 0; i < sizes.size(); i++) {
        const bool is_last = i + 1 == sizes.size();
        const ByteCount most{is_last ? UINT64_MAX : between(sizes[i].bytes, sizes[i + 1].bytes)};
        if (!choices.empty() && choices.back().algorithm == sizes[i].best) {
            choices.back().max_bytes = most;
        } else {
            const ByteCount least{choices.empty() ? 0 : choices.back().max_bytes.value + 1};
            choices.push_back({request.collective, request.rank_count, hosts, least, most, sizes[i].best});
        }
    }
    return choices;
}

std::string in_comments(Collective collective, const std::vector<Measured>& sizes) {
    std::string text = fmt::format("# {}: bytes, and microseconds of a call\n", name_of(collective));
    for (const Measured& m : sizes) {
        text += fmt::format("#   {:>8}", show_size(m.bytes));
        for (const auto& [name, ns] : m.ns)
            text += fmt::format("  {}{} {:.2f}", name == m.best ? "*" : "", name, ns / 1e3);
        text += "\n";
    }
    return text;
}

Result<std::vector<Measured>> measure_sizes(JobTiming& job, Request request, const TuneOptions& options,
                                            const std::vector<std::uint64_t>& sizes) {
    request.count = {1};
    const std::uint64_t of_one = large_buffer_bytes(request).value;
    std::vector<std::string_view> names;
    for (const Algorithm& a : job.algorithms())
        if (a.collective == request.collective) names.push_back(a.name);
    std::vector<Measured> all;
    for (const std::uint64_t bytes : sizes) {
        if (request.collective != Collective::barrier) request.count.value = std::max<std::uint64_t>(1, bytes / of_one);
        Measured measured{.bytes = request.collective == Collective::barrier ? 0 : large_buffer_bytes(request).value};
        if (!all.empty() && all.back().bytes == measured.bytes) continue;
        const auto ns = job.time_all(request, options.round_ms, options.rounds);
        if (!ns) return std::unexpected(ns.error());
        for (std::size_t i = 0; i < ns->size(); i++)
            if ((*ns)[i]) measured.ns.emplace_back(names[i], *(*ns)[i]);
        if (measured.ns.empty()) continue;
        measured.best = best_of(measured, all.empty() ? "" : all.back().best);
        all.push_back(std::move(measured));
    }
    return all;
}

Result<std::vector<Collective>> collectives_named(const std::vector<std::string>& names) {
    std::vector<Collective> all;
    for (const std::string& name : names) {
        const auto one = collective_named(name);
        if (name != "all" && (!one || static_cast<std::size_t>(*one) >= planned_collective_count))
            return fail(Status::invalid_argument,
                        fmt::format("'{}' is no collective that has a plan, and not all", name));
        for (std::size_t c = 0; c < planned_collective_count; c++)
            if (name == "all" || *one == static_cast<Collective>(c)) all.push_back(static_cast<Collective>(c));
    }
    return all;
}

Result<std::vector<std::uint64_t>> sizes_named(const std::vector<std::string>& texts) {
    std::vector<std::uint64_t> sizes;
    for (const std::string& text : texts) {
        const auto bytes = parse_size(text);
        if (!bytes)
            return fail(Status::invalid_argument, fmt::format("--bytes: '{}' is no size, such as 64K or 1M", text));
        sizes.push_back(*bytes);
    }
    std::ranges::sort(sizes);
    return sizes;
}

int tune(const TuneOptions& options) {
    const auto config = read_config();
    if (!config) return bad_input(config.error().message);
    const auto collectives = collectives_named(options.collectives);
    if (!collectives) return bad_input(collectives.error().message);
    const auto sizes = sizes_named(options.sizes);
    if (!sizes) return bad_input(sizes.error().message);
    auto tuning = tuning_so_far(*config);
    if (!tuning) return bad_input(tuning.error().message);
    auto job = JobTiming::join(*config);
    if (!job) return bad_input(job.error().message);
    const Topology& topology = job->ranks().topology();
    std::string comments = fmt::format(
        "# measured by tenon tune among {} ranks on {} hosts, over {}\n", topology.rank_count, topology.hosts,
        topology.rank_count == 1
            ? "nothing"
            : job->ranks().transport_name((job->ranks().rank() + topology.rank_count - 1) % topology.rank_count));
    for (const Collective collective : *collectives) {
        const Request request{.collective = collective,
                              .rank = job->ranks().rank(),
                              .rank_count = topology.rank_count,
                              .type = DataType::float32,
                              .deterministic = config->deterministic};
        const auto measured = measure_sizes(*job, request, options, *sizes);
        if (!measured) return failed(measured.error());
        std::erase_if(tuning->choices, [&](const TunedChoice& c) {
            return c.collective == collective && c.rank_count == topology.rank_count && c.hosts == topology.hosts;
        });
        const auto choices = choices_of(*measured, request, topology.hosts);
        tuning->choices.insert(tuning->choices.end(), choices.begin(), choices.end());
        comments += in_comments(collective, *measured);
    }
    return job->ranks().rank() == 0 ? write_out(options.out, show(*tuning) + comments) : 0;
}

std::uint64_t rounded(double value, double to) { return static_cast<std::uint64_t>(std::round(value / to) * to); }

// What the figures of a level mean for prices, in which a message costs both ends and the way between.
void set_link(Tuning& tuning, const Level& level, const LevelTimes& times, bool is_local, bool has_limit) {
    PathCosts& path = is_local ? tuning.costs.memory : tuning.costs.network;
    // What one message keeps its ends busy with cannot be more than the way takes; messages that follow each other may
    // be further apart, where cores are few.
    path.message_ns = static_cast<double>(rounded(std::min(times.message_ns, times.half_round_trip_ns / 3), 1));
    path.message_latency_part = 0;
    TunedLink link{.level = level.name};
    const double latency = times.half_round_trip_ns - 2 * path.message_ns;
    link.latency_ns = std::max<std::uint64_t>(1, rounded(std::max(latency, 0.0), 1));
    // Through memory, what limits a pair are its cores.
    constexpr double mega = 1e6;
    if (has_limit) {
        link.rank_bytes_per_s = rounded(times.pair_bytes_per_s, mega);
        link.part_bytes_per_s = rounded(std::max(times.part_bytes_per_s, times.pair_bytes_per_s), mega);
    }
    std::erase_if(tuning.links, [&](const TunedLink& known) { return known.level == level.name; });
    tuning.links.push_back(std::move(link));
}

std::string in_comments(const Level& level, const LevelTimes& times) {
    return fmt::format(
        "# {}: {:.2f} us for 8 bytes one way, {:.2f} us between messages, a pair {:.0f} MB/s each way, "
        "a part {:.0f} MB/s\n",
        level.name, times.half_round_trip_ns / 1e3, times.message_ns / 1e3, times.pair_bytes_per_s / 1e6,
        times.part_bytes_per_s / 1e6);
}

int probe(const std::string& out) {
    const auto config = read_config();
    if (!config) return bad_input(config.error().message);
    auto tuning = tuning_so_far(*config);
    if (!tuning) return bad_input(tuning.error().message);
    auto job = JobTiming::join(*config);
    if (!job) return bad_input(job.error().message);
    const auto times = job->time_levels();
    if (!times) return failed(times.error());
    if (job->ranks().rank() != 0) return 0;
    const LevelMap map(job->ranks().topology());
    std::string comments = fmt::format("# measured by tenon topo probe among {} ranks on {} hosts\n", map.rank_count(),
                                       job->ranks().topology().hosts);
    for (std::size_t level = 0; level < times->size(); level++) {
        if (!(*times)[level]) continue;
        set_link(*tuning, map.level(level), *(*times)[level], map.is_local(level), !map.is_local(level));
        comments += in_comments(map.level(level), *(*times)[level]);
    }
    tuning->costs.copy_bytes_per_s = JobTiming::copying_bytes_per_s();
    tuning->costs.reduce_bytes_per_s = JobTiming::summing_bytes_per_s();
    return write_out(out, show(*tuning) + comments);
}

}  // namespace

void add_tune_command(CLI::App& program, Action& action) {
    auto options = std::make_shared<TuneOptions>();
    CLI::App* command = program.add_subcommand(
        "tune", "Time every algorithm in the job that runs this, and write a file for TENON_TUNING_FILE");
    command->add_option("collectives", options->collectives, "all_reduce, all_gather, ..., or all")
        ->delimiter(',')
        ->capture_default_str();
    command->add_option("--bytes", options->sizes, "Sizes of the large buffer, such as 8,64K,1M")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->capture_default_str();
    command->add_option("--out", options->out, "Write to this file (default: standard output)");
    command->add_option("--round-ms", options->round_ms, "How long a round of one algorithm takes")
        ->check(CLI::Range(0.1, 10'000.0))
        ->capture_default_str();
    command->add_option("--rounds", options->rounds, "Rounds, of which the median counts")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    command->callback([options, &action] { action = [options] { return tune(*options); }; });
}

void add_probe_command(CLI::App& program, Action& action) {
    auto out = std::make_shared<std::string>();
    CLI::App* command = program.add_subcommand(
        "probe",
        "Measure latency and bandwidth of each level of links in the job that runs this, for TENON_TUNING_FILE");
    command->add_option("--out", *out, "Write to this file (default: standard output)");
    command->callback([out, &action] { action = [out] { return probe(*out); }; });
}

}  // namespace tenon
