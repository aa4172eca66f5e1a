#include "perf/moe_report.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "perf/report.hpp"

namespace tenon::perf {
namespace {

std::string_view layout_of(const Options& options) { return options.moe.rank_major ? "rank" : "expert"; }
std::string_view name_of(MemoryKind memory) { return memory == MemoryKind::tenon ? "tenon" : "ordinary"; }
double in_mb(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

void print_table_row(const MoeRow& row, double gbs, double others, const std::string& wrong) {
    const Figures& f = row.figures;
    fmt::print(
        "{:>10} {:>16} {:>9} {:>12} {:>9} {:>6} {:>6} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>8.2f} {:>8.2f} "
        "{:>9.3f} {:>9.3f} {:>9.3f} {:>9.2f} {:>4} x{:<5.2f} {:>6}  {}\n",
        row.model, row.routing, row.call, row.path, tenon::name_of(row.type), row.hidden, row.tokens, f.median_us,
        f.p50_us, f.p95_us, f.p99_us, gbs, others, in_mb(row.inside_bytes), in_mb(row.leaving_bytes),
        in_mb(row.least_leaving_bytes), row.imbalance, row.straggler, row.straggles, wrong, row.transport);
}

// A path of a file may hold what JSON has marks for.
std::string escaped(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        if (c == '"' || c == '\\') safe += '\\';
        safe += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    }
    return safe;
}

void print_json_row(const Options& options, const MoeRow& row, double gbs, double others, const std::string& wrong) {
    const Figures& f = row.figures;
    fmt::print(R"({{"peer":"tenon","version":"{}","collective":"moe_{}","model":"{}","routing":"{}",)"
               R"("layout":"{}","path":"{}","type":"{}","hidden":{},"tokens":{},"ranks":{},"memory":"{}",)"
               R"("transport":"{}","time_us":{:.3f},"p50_us":{:.3f},"p95_us":{:.3f},"p99_us":{:.3f},"GBs":{:.4f},)"
               R"("others_GBs":{:.4f},"inside_bytes":{},"leaving_bytes":{},"least_leaving_bytes":{},)"
               R"("crossing_rows":{},"calls":{},"imbalance":{:.4f},"straggler":{},"straggles":{:.4f},"wrong":{}}})"
               "\n",
               library_version(), row.call, row.model, escaped(row.routing), layout_of(options), row.path,
               tenon::name_of(row.type), row.hidden, row.tokens, row.ranks, name_of(options.memory), row.transport,
               f.median_us, f.p50_us, f.p95_us, f.p99_us, gbs, others, row.inside_bytes, row.leaving_bytes,
               row.least_leaving_bytes, row.crossing_rows, row.calls, row.imbalance, row.straggler, row.straggles,
               row.is_checked ? wrong : "null");
}

void print_csv_row(const Options& options, const MoeRow& row, double gbs, double others, const std::string& wrong) {
    const Figures& f = row.figures;
    fmt::print("{},{},{},{},{},{},{},{},{},{},{},{:.3f},{:.3f},{:.3f},{:.3f},{:.4f},{:.4f},{},{},{},{},{:.4f},{},"
               "{:.4f},{}\n",
               row.model, row.routing, layout_of(options), row.path, row.call, tenon::name_of(row.type), row.hidden,
               row.tokens, row.ranks, name_of(options.memory), row.transport, f.median_us, f.p50_us, f.p95_us, f.p99_us,
               gbs, others, row.inside_bytes, row.leaving_bytes, row.least_leaving_bytes, row.crossing_rows,
               row.imbalance, row.straggler, row.straggles, wrong);
}

}  // namespace

void print_moe_head(const Options& options) {
    if (options.format == Format::csv)
        fmt::print(
            "model,routing,layout,path,call,type,hidden,tokens,ranks,memory,transport,time_us,p50_us,p95_us,p99_us,"
            "GBs,others_GBs,inside_bytes,leaving_bytes,least_leaving_bytes,crossing_rows,imbalance,straggler,"
            "straggles,wrong\n");
    if (options.format == Format::table)
        fmt::print(
            "# moe: layout {}, {} memory\n"
            "# GB/s: bytes of token rows that the busiest rank receives in a dispatch, its own included, each "
            "once, per second of the call (as DeepEP counts); others: without its own\n"
            "# inside, leaving: MB that a call sends to other ranks of the node, and to other nodes; least: that must "
            "leave nodes\n"
            "# straggler: the rank whose calls take longest after a common start, and how long to the median rank's\n"
            "# {:>8} {:>16} {:>9} {:>12} {:>9} {:>6} {:>6} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>9} {:>9} {:>9} "
            "{:>9} {:>11} {:>6}  {}\n",
            layout_of(options), name_of(options.memory), "model", "routing", "call", "path", "type", "hidden", "tokens",
            "time (us)", "p50", "p95", "p99", "GB/s", "others", "inside", "leaving", "least", "imbalance", "straggler",
            "wrong", "transport");
}

void print_moe_row(const Options& options, const MoeRow& row) {
    const double gbs = algorithm_bandwidth_GBs(row.received_bytes, row.figures.median_us);
    const double others = algorithm_bandwidth_GBs(row.from_others_bytes, row.figures.median_us);
    const std::string wrong = row.is_checked ? fmt::to_string(row.figures.wrong) : "N/A";
    switch (options.format) {
        case Format::table:
            print_table_row(row, gbs, others, wrong);
            break;
        case Format::jsonl:
            print_json_row(options, row, gbs, others, wrong);
            break;
        case Format::csv:
            print_csv_row(options, row, gbs, others, wrong);
            break;
    }
    std::fflush(stdout);
}

}  // namespace tenon::perf
