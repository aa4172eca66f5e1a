// The table of nccl-tests 2.19, column for column, then percentiles (of the calls out of place), the algorithm and the
// transport. Scripts that read nccl-tests' output read this one.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "perf/report.hpp"

namespace tenon::perf {
namespace {

// nccl-tests' names, which fit its column.
std::string short_name(DataType type) {
    switch (type) {
        case DataType::float16:
            return "half";
        case DataType::float32:
            return "float";
        case DataType::float64:
            return "double";
        case DataType::float8_e4m3:
            return "f8e4m3";
        case DataType::float8_e5m2:
            return "f8e5m2";
        default:
            return std::string(name_of(type));
    }
}

// About four digits whatever the magnitude.
std::string time_text(double time_us) {
    return fmt::format("{:.{}f}", time_us, time_us < 10 ? 3 : time_us < 100 ? 2 : time_us < 10'000 ? 1 : 0);
}

std::string half_text(const Row& row, const std::optional<Figures>& figures) {
    if (!figures) return fmt::format("  {:>7}  {:>6}  {:>6}  {:>6}", "N/A", "N/A", "N/A", "N/A");
    const double bandwidth = algorithm_bandwidth_GBs(row.bytes, figures->median_us);
    const auto shown = [&](double GBs) { return row.has_bandwidth ? fmt::format("{:.2f}", GBs) : "N/A"; };
    return fmt::format("  {:>7}  {:>6}  {:>6}  {:>6}", time_text(figures->median_us), shown(bandwidth),
                       shown(bandwidth * row.bus_factor),
                       row.checked ? fmt::format("{:g}", static_cast<double>(figures->wrong)) : "N/A");
}

class Table : public Report {
public:
    Table(const Options& options, std::span<const RankFacts> ranks)
        : options_(options), ranks_(ranks.begin(), ranks.end()) {}

    void begin(const std::string& collective) override {
        fmt::print("# tenon-perf version {}.{}.{} tenon-library={}\n", TENON_MAJOR, TENON_MINOR, TENON_PATCH,
                   library_version());
        fmt::print("# Collective test starting: {}\n", collective);
        const Sizes& sizes = options_.sizes;
        const bool adds = sizes.step_bytes > 0;
        fmt::print(
            "# nThread {} nGpus 0 minBytes {} maxBytes {} step: {}({}) warmup iters: {} iters: {} agg iters: 1 "
            "validation: {} "
            "graph: 0 unalign: 0\n#\n",
            std::ranges::count(ranks_, ranks_.front().process, &RankFacts::process), sizes.expanded().front(),
            sizes.expanded().back(), adds ? sizes.step_bytes : sizes.step_factor, adds ? "bytes" : "factor",
            options_.warmup ? std::to_string(*options_.warmup) : "auto",
            options_.iterations ? std::to_string(*options_.iterations) : "auto", options_.checks);
        fmt::print("# Using devices\n");
        for (std::size_t rank = 0; rank < ranks_.size(); rank++)
            fmt::print("#  Rank {:2} Group  0 Pid {:6} on {:>10} core {:2} {}\n", rank, ranks_[rank].process,
                       ranks_[rank].host, ranks_[rank].core, ranks_[rank].processor);
        fmt::print("#\n#{:74}{:<35}{:<35}\n", "", "out-of-place", "in-place");
        fmt::print("# {:>11}  {:>12}  {:>8}  {:>6}  {:>6}", "size", "count", "type", "redop", "root");
        for (int half = 0; half < 2; half++)
            fmt::print("  {:>7}  {:>6}  {:>6}  {:>6}", "time", "algbw", "busbw", "#wrong");
        fmt::print("  {:>7}  {:>7}  {:>7}  {:<20}  {}\n", "p50", "p95", "p99", "algorithm", "transport");
        fmt::print("# {:>11}  {:>12}  {:>8}  {:>6}  {:>6}", "(B)", "(elements)", "", "", "");
        for (int half = 0; half < 2; half++) fmt::print("  {:>7}  {:>6}  {:>6}  {:>6}", "(us)", "(GB/s)", "(GB/s)", "");
        fmt::print("  {:>7}  {:>7}  {:>7}\n", "(us)", "(us)", "(us)");
        std::fflush(stdout);
        wrong_ = 0;
        bandwidths_ = 0;
        bandwidth_count_ = 0;
        slot_memory_bytes_ = 0;
    }

    void add(const Row& row) override {
        const Figures& out = row.out_of_place;
        fmt::print("{:>12}  {:>12}  {:>8}  {:>6}  {:>6}{}{}  {:>7}  {:>7}  {:>7}  {:<20}  {}\n", row.bytes, row.count,
                   short_name(row.type), row.operation, row.root, half_text(row, out), half_text(row, row.in_place),
                   time_text(out.p50_us), time_text(out.p95_us), time_text(out.p99_us), row.algorithm, row.transport);
        if (options_.traffic && !row.sent.empty())
            fmt::print("#   bytes a call sends, all ranks together: {}; leaving hosts {}\n", in_words(row.sent),
                       leaving_host(row.sent));
        std::fflush(stdout);
        slot_memory_bytes_ = std::max(slot_memory_bytes_, row.slot_memory_bytes);
        count(row, out);
        if (row.in_place) count(row, *row.in_place);
    }

    void end(const std::string& collective) override {
        fmt::print("# Out of bounds values : {} {}\n", wrong_, wrong_ == 0 ? "OK" : "FAILED");
        fmt::print("# Avg bus bandwidth    : {:g} \n", bandwidth_count_ > 0 ? bandwidths_ / bandwidth_count_ : 0.0);
        fmt::print("# Slots per rank       : {:.1f} MiB at most\n#\n",
                   static_cast<double>(slot_memory_bytes_) / (1 << 20));
        fmt::print("# Collective test concluded: {}\n#\n", collective);
        std::fflush(stdout);
    }

private:
    void count(const Row& row, const Figures& figures) {
        wrong_ += figures.wrong;
        if (!row.has_bandwidth) return;
        bandwidths_ += algorithm_bandwidth_GBs(row.bytes, figures.median_us) * row.bus_factor;
        bandwidth_count_++;
    }

    const Options& options_;
    const std::vector<RankFacts> ranks_;
    std::uint64_t wrong_ = 0, slot_memory_bytes_ = 0;
    double bandwidths_ = 0;
    int bandwidth_count_ = 0;
};

}  // namespace

std::unique_ptr<Report> make_table(const Options& options, std::span<const RankFacts> ranks) {
    return std::make_unique<Table>(options, ranks);
}

}  // namespace tenon::perf
