#include "perf/report.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "tenon/tenon.h"

namespace tenon::perf {
namespace {

const char* name_of(MemoryKind memory) {
    return memory == MemoryKind::tenon ? "tenon" : memory == MemoryKind::device ? "device" : "ordinary";
}

// What one line of JSON or CSV holds: the keys that every peer prints, and Tenon's own.
struct Field {
    const char* key;
    std::string value;
    bool is_text = false;
};

std::vector<Field> fields_of(const Row& row, const Figures& figures, bool in_place) {
    const auto number = [](double value) { return fmt::format("{:.4g}", value); };
    const double bandwidth = algorithm_bandwidth_GBs(row.bytes, figures.median_us);
    return {
        {"peer", "tenon", true},
        {"version", library_version(), true},
        {"collective", row.collective, true},
        {"ranks", std::to_string(row.ranks)},
        {"bytes", std::to_string(row.bytes)},
        {"inplace", in_place ? "true" : "false"},
        {"memory", name_of(row.memory), true},
        {"us_median", number(figures.median_us)},
        {"us_min", number(figures.min_us)},
        {"algbw_GBs", row.has_bandwidth ? number(bandwidth) : "null"},
        {"busbw_GBs", row.has_bandwidth ? number(bandwidth * row.bus_factor) : "null"},
        {"algorithm", row.algorithm, true},
        {"transport", row.transport, true},
        {"type", std::string(name_of(row.type)), true},
        {"op", row.operation, true},
        {"root", std::to_string(row.root)},
        {"count", std::to_string(row.count)},
        {"p50_us", number(figures.p50_us)},
        {"p95_us", number(figures.p95_us)},
        {"p99_us", number(figures.p99_us)},
        {"slot_memory_bytes", std::to_string(row.slot_memory_bytes)},
        {"sent_bytes", in_words(row.sent), true},
        {"sent_bytes_leaving_hosts", row.sent.empty() ? "null" : std::to_string(leaving_host(row.sent))},
        {"wrong", row.checked ? std::to_string(figures.wrong) : "null"},
    };
}

void print_line(const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
}

// A line for each set of figures.
class Lines : public Report {
public:
    void begin(const std::string&) final {}
    void end(const std::string&) final {}
    void add(const Row& row) final {
        print(fields_of(row, row.out_of_place, false));
        if (row.in_place) print(fields_of(row, *row.in_place, true));
    }

private:
    virtual void print(const std::vector<Field>& fields) = 0;
};

class JsonLines : public Lines {
    void print(const std::vector<Field>& fields) override {
        std::string line;
        for (const Field& field : fields) {
            const char* quote = field.is_text ? "\"" : "";
            line += fmt::format("{}\"{}\":{}{}{}", line.empty() ? "{" : ",", field.key, quote, field.value, quote);
        }
        print_line(line + "}");
    }
};

class CsvLines : public Lines {
    void print(const std::vector<Field>& fields) override {
        std::string head, line;
        for (const Field& field : fields) {
            head += (head.empty() ? "" : ",") + std::string(field.key);
            line += (line.empty() ? "" : ",") + (field.value == "null" ? "" : field.value);
        }
        if (!std::exchange(head_printed_, true)) print_line(head);
        print_line(line);
    }
    bool head_printed_ = false;
};

}  // namespace

std::unique_ptr<Report> make_report(const Options& options, std::span<const RankFacts> ranks) {
    switch (options.format) {
        case Format::jsonl:
            return std::make_unique<JsonLines>();
        case Format::csv:
            return std::make_unique<CsvLines>();
        case Format::table:
            break;
    }
    return make_table(options, ranks);
}

std::string in_words(const std::vector<SentBytes>& sent) {
    std::string words;
    for (const SentBytes& level : sent)
        words += fmt::format("{}{} {}", words.empty() ? "" : "; ", level.level, level.bytes);
    return words;
}

std::uint64_t leaving_host(const std::vector<SentBytes>& sent) {
    std::uint64_t bytes = 0;
    for (const SentBytes& level : sent) bytes += level.leaving_host;
    return bytes;
}

std::string library_version() {
    int code = 0;
    tenonGetVersion(&code);
    return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
}

double algorithm_bandwidth_GBs(std::uint64_t bytes, double time_us) {
    return time_us > 0 ? static_cast<double>(bytes) / time_us * 1e-3 : 0;
}

Progress::Progress() : watched_(::isatty(STDERR_FILENO) == 1) {}

void Progress::show(const std::string& what) {
    if (watched_) fmt::print(stderr, "\r\033[K{}", what);
}

void Progress::clear() { show(""); }

}  // namespace tenon::perf
